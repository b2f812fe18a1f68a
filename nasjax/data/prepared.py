"""Data sets that tensorflow_datasets has prepared as ArrayRecord files."""

import os
from collections.abc import Mapping
from typing import Any, NamedTuple


class Prepared(NamedTuple):
    """A data set on disk."""

    splits: Mapping[str, Any]  # sequences of examples, `image` still encoded: bytes
    folder: str
    reason: str  # why a split is not there, for errors


def encoded(name: str, data_dir: str | os.PathLike[str] | None = None) -> Prepared:
    """Opens a data set without TensorFlow; nothing is downloaded.

    Args:
      name: in tensorflow_datasets.
      data_dir: its folder; default: $TFDS_DATA_DIR, or its own.

    Returns:
      The data set, without splits if it is not prepared.
    """
    import tensorflow_datasets as tfds  # Slow to import.

    folder = data_dir or os.environ.get("TFDS_DATA_DIR") or None
    shown = os.fspath(folder or tfds.core.constants.DATA_DIR)
    try:
        splits = tfds.data_source(
            name,
            data_dir=folder,
            download=False,
            builder_kwargs={"file_format": "array_record"},
            decoders={"image": tfds.decode.SkipDecoding()},
        )
        reason = f"its splits are {', '.join(splits)}" if splits else "not there"
    except Exception as error:  # A builder may raise anything.
        splits, reason = {}, f"{type(error).__name__}: {error}".partition("\n")[0]
    return Prepared(splits, shown, reason)
