"""Flags of a data set: a published one by name, or one's own.

image_flags.add(parser, images.NAMES)
changes = image_flags.changes(parser.parse_args(argv))  # fields of a run
"""

import argparse
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from nasjax.data import user_images
from nasjax.data.image_forms import CORRUPT
from nasjax.runs import cli
from nasjax.runs.image_config import OWN


def dataset(names: Sequence[str]) -> Callable[[str], str]:
    """A reader of one of `names`, `tfds:NAME`, a folder or an npz; paths absolute.

    Raises:
      ArgumentTypeError: the text is none of these.
    """

    def read(text: str) -> str:
        if text in names or text.removeprefix(user_images.TFDS) not in (text, ""):
            return text
        path = Path(text).expanduser()
        exists = path.exists()
        # A path that does not exist is refused where it is read.
        if path.is_dir() or path.suffix == ".npz" or (os.sep in text and not exists):
            return os.path.abspath(path)
        reason = "is neither a folder nor an .npz" if exists else "does not exist"
        raise argparse.ArgumentTypeError(
            f"{text!r} {reason}; allowed: {', '.join(names)}, a folder of a folder for "
            "each class, a file .npz, or tfds:NAME"
        )

    return read


def add(
    parser: argparse.ArgumentParser,
    names: Sequence[str],
    default: str | None = None,
    text: str = "cifar10",
) -> None:
    """Adds `--dataset` and `--data-dir`.

    Args:
      names: of the published data sets.
      default: of `--dataset`.
      text: what it is by default, for the help.
    """
    help_text = f"{', '.join(names)}, a folder, FILE.npz, tfds:NAME (default: {text})"
    add, read = parser.add_argument, dataset(names)
    add("--dataset", type=read, default=default, metavar="NAME", help=help_text)
    add("--data-dir", default=None, help="folder of the data set's official files")


def add_own(
    parser: argparse.ArgumentParser, *, streamed: bool = False, split_seed: bool = True
) -> None:
    """Adds the flags of a data set of one's own.

    Args:
      streamed: whether `--image-size` is also ImageNet's.
      split_seed: whether to add `--split-seed`; a run may have it already.
    """
    add = parser.add_argument_group("images of one's own").add_argument
    text = "side that they are resized to (32, divided by --shrink of the preset)"
    text += "; imagenet: side (224)" if streamed else ""
    add("--image-size", type=cli.at_least(1), help=text)
    add("--corrupt", choices=CORRUPT, help="damaged files (refuse)")
    if split_seed:
        text = "of the test part, if they have none, and of the halves (0)"
        add("--split-seed", type=cli.at_least(0), help=text)


def changes(args: argparse.Namespace) -> dict[str, Any]:
    """The fields of a run that the flags of `add` set, by name."""
    named = {} if args.dataset is None else {"dataset": args.dataset}
    return named | own(args)


def own(args: argparse.Namespace) -> dict[str, Any]:
    """The same without the data set: the flags of `add_own`."""
    values = {name: getattr(args, name, None) for name in OWN}
    return {name: value for name, value in values.items() if value is not None}


def inputs(args: argparse.Namespace) -> list[str | None]:
    """What a run reads its images from: `--data-dir`, and a path in `--dataset`.

    Raises:
      ValueError: `--out` lies in the folder of `--dataset`.
    """
    path = args.dataset if os.path.isabs(args.dataset or "") else None
    out = Path(args.out).resolve()
    if path is not None and Path(path).resolve() in out.parents:
        raise ValueError(
            f"--out {args.out} lies in --dataset {path}, where it would be taken for "
            "a class: name another folder"
        )
    return [args.data_dir, path]
