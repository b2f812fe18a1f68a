"""Trained networks, each in one file, and reading them back.

predict = nasjax.load_network("network-0.npz")
probabilities = predict(images)  # uint8 [B, H, W, C] -> float32 [B, K]
"""

import dataclasses
import json
import os
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax import traverse_util

from nasjax.data.locations import read_npz, write_file
from nasjax.networks import derived
from nasjax.networks.derived.classifier import Classifier
from nasjax.spaces import architectures

FORMAT = "nasjax network 1"
_SHAPE = ("channels", "cells", "image_channels", "stem", "dtype")  # of the config
_OWN = ("genotype", "classes", "mean", "std", "image_size", "shrink")


def save_network(path: str | os.PathLike[str], classifier: Classifier) -> None:
    """Writes a network as an npz: `header` (JSON) and an array for each weight.

    Raises:
      OSError: the file cannot be written; no part of it is left.
    """
    header = {"format": FORMAT} | {x: getattr(classifier, x) for x in _OWN}
    header |= {name: getattr(classifier.config, name) for name in _SHAPE}
    content: dict[str, Any] = {"header": np.array(json.dumps(header))}
    content |= {name: np.asarray(x) for name, x in _flat(classifier).items()}
    write_file(Path(path), lambda file: np.savez(file, **content), shared=True)


def load_network(path: str | os.PathLike[str]) -> Classifier:
    """Reads a network that `save_network` or `evaluate.py --export` wrote.

    Returns:
      A jitted function from images, uint8 [B, H, W, C], to probabilities, float32
      [B, K]; its attributes are those of `Classifier`, such as `classes`.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: it holds something else, is damaged, or has an architecture of a space
        that is not registered; the message names the file.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"there is no network {path}")
    try:
        return _read(read_npz(path))
    except ValueError as error:
        raise ValueError(f"{path} is no exported network: {error}") from error


def _read(arrays: dict[str, np.ndarray]) -> Classifier:
    header = _header(arrays)
    architecture = architectures.read(header["genotype"])
    own: dict[str, Any] = {
        name: tuple(x) if isinstance(x := header[name], list) else x for name in _OWN
    }
    config = derived.DerivedConfig(
        architecture.space,
        architecture.arch,
        classes=len(own["classes"]),
        **{name: header[name] for name in _SHAPE},
    )
    key = jax.ShapeDtypeStruct((), jax.random.key(0).dtype)
    variables = jax.eval_shape(
        lambda key: derived.init(key, config, own["image_size"]), key
    )
    empty = Classifier(**variables, config=config, **own)
    wanted = _flat(empty)
    if arrays.keys() != wanted.keys():
        names = sorted(arrays.keys() ^ wanted.keys())
        raise ValueError(f"weights are absent or unknown: {', '.join(names[:3])}")
    for name, shape in wanted.items():
        found = arrays[name]
        if (found.shape, found.dtype) != (shape.shape, shape.dtype):
            raise ValueError(
                f"{name} is {found.dtype} {list(found.shape)}, not {shape.dtype} "
                f"{list(shape.shape)}"
            )
    trees = traverse_util.unflatten_dict(arrays, sep="/")
    return dataclasses.replace(empty, **jax.tree.map(jax.numpy.asarray, trees))


def _header(arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    """Takes the header out of the arrays."""
    if "header" not in arrays:
        raise ValueError("it has no header")
    header = json.loads(str(arrays.pop("header")))
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise ValueError(f"its format is not {FORMAT!r}")
    if missing := [name for name in (*_OWN, *_SHAPE) if name not in header]:
        raise ValueError(f"the header lacks {missing[0]}")
    return header


def _flat(classifier: Classifier) -> dict[str, Any]:
    trees = {"params": classifier.params, "statistics": classifier.statistics}
    return traverse_util.flatten_dict(trees, sep="/")
