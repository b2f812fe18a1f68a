"""Sizes of the compiled programs: the whole ones and small ones."""

import dataclasses
from collections.abc import Mapping


@dataclasses.dataclass(frozen=True)
class Sizes:
    """What the form of a program fixes.

    Attributes:
      lanes: searches side by side.
      steps: of a search, in one program.
      batch: images per training step and per batch of a score.
      batches: of a DDAS step, in training; and of any score.
      together: batches of a score side by side, as a GPU takes them.
      images: in each half of the data.
      side: pixels of an image.
      cells, channels: of the network.
      dtype: of the network's images.
    """

    lanes: int = 60
    steps: int = 50
    batch: int = 250
    batches: int = 1
    together: int = 1
    images: int = 25_000
    side: int = 32
    cells: int = 8
    channels: int = 16
    dtype: str = "bfloat16"


WHOLE: Mapping[str, Sizes] = {
    "cadam": Sizes(),
    "bayesian": Sizes(steps=200),
    "supernet-train": Sizes(),
    "supernet-eval": Sizes(batches=20, together=10),
    "ddas": Sizes(batch=64, batches=25, together=5, cells=6, dtype="float32"),
    "derived": Sizes(batch=96, images=50_000, cells=20, channels=36),
}
_TINY = Sizes(batch=8, batches=2, images=32, side=8, cells=3, channels=4)
SMALL: Mapping[str, Sizes] = {
    "cadam": Sizes(lanes=4, steps=4),
    "bayesian": Sizes(lanes=4, steps=24),
    "supernet-train": _TINY,
    "supernet-eval": dataclasses.replace(_TINY, together=2),
    "ddas": dataclasses.replace(_TINY, dtype="float32"),
    "derived": _TINY,
}
