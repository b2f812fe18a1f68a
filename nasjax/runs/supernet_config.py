"""Configurations of the training of supernets, and their presets.

    run = supernet_config.preset("nb201", "cpu", dataset="synthetic")

Source: thesis 3.4.1 (`ddas`), 4.4.2; Dong and Yang 2020 (`nb201`).
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from nasjax.networks import families, supernet
from nasjax.networks.config import check_choice, check_positive
from nasjax.networks.supernet.training import POLICIES
from nasjax.networks.training import Recipe
from nasjax.runs.configs import named, setting
from nasjax.runs.image_config import ImageRun, completed

_RECIPE = Recipe(batch_size=250, epochs=10_000, drop_last=False)


@dataclasses.dataclass(frozen=True, kw_only=True)
class SupernetRun(ImageRun):
    """Everything that fixes the training of a supernet, as config.json has it.

    Raises:
      ValueError: names the value and what is allowed.
    """

    space: str = setting("darts", "of `families.variants()`", flag=False)
    policy: str = setting("uniform", f"what a batch trains: {' or '.join(POLICIES)}")
    parts: int = setting(1, "PC-DARTS' K: operations see 1/K of the channels")
    none: bool = setting(False, "make `none` an eighth operation")
    seed: int = setting(2, "of the training")
    split_seed: int = setting(0, "seed of the halves: training, validation")
    recipe: Recipe = _RECIPE
    preprocess: bool = setting(
        True, "crop, flip, cutout and normalise; false: scale to [0, 1] only"
    )
    validate: int = setting(10, "number of times that architectures are scored")
    validate_archs: int = setting(30, "architectures scored each time")
    validate_images: int = setting(5_000, "validation images used for it")
    validate_batch: int = setting(500, "images per batch there")

    def __post_init__(self):
        spaces = families.variants()
        check_choice(self, "space", tuple(spaces))
        for name, value in spaces[self.space].fixed.items():
            if getattr(self, name) != value:
                raise ValueError(
                    f"{name} is {getattr(self, name)}; --space {self.space} has only "
                    f"{value}"
                )
        super().__post_init__()
        _ = self.network  # or raise
        check_choice(self, "policy", POLICIES)
        check_positive(self, "validate", "validate_archs", "validate_images")

    @property
    def network(self) -> supernet.SupernetConfig:
        """The network; of 10 classes and colours as long as the data is unknown."""
        chosen: dict[str, Any] = {
            "channels": self.channels,
            "image_channels": self.image_channels or 3,
            "cells": self.cells,
            "classes": self.classes or 10,
            "dtype": self.dtype,
        }
        variant = families.variants()[self.space]
        optional = {"none": self.none, "stem": self.stem, "parts": self.parts}
        chosen |= {k: v for k, v in optional.items() if k not in variant.fixed}
        return variant.config(**chosen)

    @property
    def eval_epochs(self) -> list[int]:
        """Epochs after which architectures are scored; `marks` in config.json."""
        ends = np.linspace(0, self.recipe.epochs, self.validate + 1)[1:]
        return sorted({max(round(epoch), 1) for epoch in ends})

    def to_json(self) -> dict[str, Any]:
        return super().to_json() | {"marks": self.eval_epochs}


PRESETS: dict[str, dict[str, SupernetRun]] = {}  # runs by name and space


def _add(
    name: str, spaces: Sequence[str], *parts: Mapping[str, Any], **changes: Any
) -> None:
    """Adds a preset: what differs from the defaults, later parts before earlier."""
    for space in spaces:
        run = SupernetRun(
            space=space, preset=name, parts=4 if space == "pc-darts" else 1
        )
        PRESETS.setdefault(name, {})[space] = run.varied(*parts, **changes)


_CELLS = ("darts", "pc-darts")
_NB201 = {"nesterov": True, "weight_decay": 5e-4, "validate_archs": 300}
_DDAS = {"policy": "one-shot", "none": True, "batch_size": 64}
_SMALL = {"channels": 8, "shrink": 2, "padding": 2, "drop_last": True}
_SMALL |= {"batch_size": 64, "validate": 5}
_FEW = {"validate_images": 500, "validate_batch": 250}

_add("cadam", ["darts"], cutout=16)
_add("pc-cadam", ["pc-darts"])
_IMAGENET32 = {"dataset": "imagenet32-120", "preprocess": False}
_add("imagenet32", _CELLS, _IMAGENET32, epochs=5_000, batch_size=750)
_add("ddas", ["darts"], _DDAS, cells=6, epochs=75, validate=25, validate_images=25_000)
_add("nb201", ["nb201"], _NB201, batch_size=64, cells=5, epochs=250)
# Small ones, for two cores.
_SHORT = {"cells": 3, "epochs": 4, "train_images": 6_400}
_add("cpu-ddas", ["darts"], _SMALL, _DDAS, _FEW, _SHORT, validate=4, validate_archs=10)
_add("cpu", _CELLS, _SMALL, cells=3, epochs=25, validate_images=1_000)
_add("cpu", ["nb201"], _SMALL, _NB201, _FEW, cells=1, epochs=100, learning_rate=0.05)
USUAL = {"darts": "cadam", "pc-darts": "pc-cadam", "nb201": "nb201"}


def preset(space: str, name: str | None = None, **changes: Any) -> SupernetRun:
    """A preset's run.

    Args:
      space: of `families.variants()`.
      name: of PRESETS; None for the usual one of the space, or the defaults if it has
        none.
      changes: fields that differ, of the run and of its recipe.

    Raises:
      ValueError: there is no such preset, it is for other spaces, or a value is not
        allowed.
    """
    name = name or USUAL.get(space)
    if name is None:  # a space that was registered later: the defaults
        run = SupernetRun(space=space)
        return run.varied(completed(run, changes))
    runs = named(PRESETS, name)
    if space not in runs:
        raise ValueError(
            f"--preset {name} is for --space {' or '.join(runs)}, not {space}"
        )
    return runs[space].varied(completed(runs[space], changes))
