"""Configurations of networks trained from scratch, and their presets.

    run = network_config.preset("nb201", "cpu", genotype=CELL, dataset="synthetic")

Source: Liu et al. 2019 and thesis 3.4.3, 4.4.4 (DARTS cells), Xu et al. 2020
(ImageNet), Dong and Yang 2020 (NAS-Bench-201).

Drop path of `pc-cadam` is that of 4.4.4, "a batch size of 96 and a drop path
probability of 0.2"; PC-DARTS' own script has 0.3 (`--drop-path 0.3`).
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

from nasjax.data import user_images
from nasjax.networks import derived
from nasjax.networks.config import check_positive
from nasjax.networks.derived.training import Recipe
from nasjax.runs.configs import named, setting
from nasjax.runs.image_config import ImageRun, completed, refuse_idle
from nasjax.spaces import architectures

DATASETS = {"cifar10": 10, "cifar100": 100, "imagenet": 1000, "synthetic": 10}
_RECIPE = Recipe(drop_last=False)


@dataclasses.dataclass(frozen=True, kw_only=True)
class NetworkRun(ImageRun):
    """Everything that fixes the training of a network, as config.json has it.

    Raises:
      ValueError: names the value and what is allowed.
    """

    genotype: str = setting("", "the architecture, printed", flag=False)
    cells: int = setting(20, "number of cells; of each stage in NAS-Bench-201")
    channels: int = setting(36, "C of the first cells")
    recipe: Recipe = _RECIPE
    cutout: int = setting(
        16,
        "side of the square cut out of training images; default 8 on cifar100 "
        "(PC-DARTS' code has 16 there, too)",
    )
    test_batch: int = setting(500, "images per batch of a test")
    test_every: int = setting(1, "epochs between tests")
    resize: int = setting(0, "shorter side before the crop of a test", flag=False)
    split_seed: int = setting(0, "of a test part of one's own", flag=False)
    seeds: tuple[int, ...] = setting((), "of the trainings", flag=False)
    lanes: int = setting(0, "seeds trained at a time", flag=False)

    def __post_init__(self):
        check_positive(self, "test_batch", "test_every")
        super().__post_init__()

    @property
    def network(self) -> derived.DerivedConfig:
        """The network, for the data set's usual images as long as they are unknown."""
        architecture = architectures.read(self.genotype)
        return derived.DerivedConfig(
            architecture.space,
            architecture.arch,
            auxiliary=self.recipe.auxiliary > 0,
            dtype=self.dtype,
            **self._shape,
        )

    @property
    def sizes(self) -> dict[str, Any]:
        """Arguments of `families.describe`, with the usual size of unknown images."""
        usual = (224 if self.stem == "imagenet" else 32) // self.shrink
        return {**self._shape, "image_size": self.image_size or usual}

    @property
    def _shape(self) -> dict[str, Any]:
        return {
            "cells": self.cells,
            "channels": self.channels,
            "stem": self.stem,
            "image_channels": self.image_channels or 3,
            "classes": self.classes or DATASETS.get(self.dataset, 10),
        }


PRESETS: dict[str, dict[str, NetworkRun]] = {}  # runs by name and kind of architecture


def _add(name: str, kind: str, *parts: Mapping[str, Any], **changes: Any) -> None:
    """Adds a preset: what differs from the defaults, later parts before earlier."""
    run = NetworkRun(preset=name).varied(*parts, **changes)
    PRESETS.setdefault(name, {})[kind] = run


_add("ddas", "darts", cells=10)
_add("cadam", "darts", epochs=1_000, batch_size=80, drop_path=0.1)
_add("pc-cadam", "darts", epochs=1_000)
_PLAIN = {"auxiliary": 0.0, "drop_path": 0.0, "cutout": 0}
_SIZES = {"dataset": "imagenet", "stem": "imagenet", "cells": 14, "channels": 48}
_RATES = {"learning_rate": 0.5, "schedule": "linear", "warmup": 5}
_RATES |= {"weight_decay": 3e-5, "label_smoothing": 0.1, "drop_path": 0.0}
_add("imagenet", "darts", _SIZES, _RATES, batch_size=1_024, epochs=250, cutout=0)
_SIZES = {"cells": 5, "channels": 16}
_RATES = {"learning_rate": 0.1, "nesterov": True, "weight_decay": 5e-4, "clip": 0.0}
_add("nb201", "nb201", _SIZES, _PLAIN, _RATES, batch_size=256, epochs=200)
# Small ones, for two cores.
_SMALL = {"channels": 8, "shrink": 2, "padding": 2, "learning_rate": 0.05}
_SMALL |= {"batch_size": 64, "epochs": 12, "drop_last": True}
_add("cpu", "darts", _PLAIN, _SMALL, cells=3)
_add("cpu", "nb201", _PLAIN, _SMALL, cells=1, nesterov=True)

# Fields without effect on a streamed data set, with their values there; fields of
# streamed data sets alone.
_IN_MEMORY = {"drop_last": True, "constants": "own", "padding": 0, "cutout": 0}
_IN_MEMORY |= {"train_images": 0, "shrink": 1}
_ON_DISK = {"image_size": 224, "resize": 256}
USUAL = {"darts": "cadam", "nb201": "nb201"}


def preset(
    kind: str, name: str | None = None, dataset: str | None = None, **changes: Any
) -> NetworkRun:
    """A preset's run.

    Args:
      kind: the family of the architecture.
      name: of PRESETS; None for the usual one of the kind, or the defaults if it has
        none.
      dataset: None for the preset's. On cifar100 the cutout of a preset is 8, and
        `ddas` has 20 cells.
      changes: fields that differ, of the run and of its recipe.

    Raises:
      ValueError: there is no such preset, it is for other kinds or data sets, or a
        value is out of range or does not fit the space or the data.
    """
    name = name or USUAL.get(kind)
    presets = {kind: NetworkRun()} if name is None else named(PRESETS, name)
    if kind not in presets:
        raise ValueError(f"--preset {name} is for {' or '.join(presets)}, not {kind}")
    run = presets[kind]
    dataset = dataset or run.dataset
    if user_images.is_own(dataset):
        refuse_idle([name for name in ("resize",) if name in changes], dataset)
        return run.varied(completed(run, {"dataset": dataset, **changes}))
    run = dataclasses.replace(run, dataset=dataset)
    if run.dataset == "cifar100" and run.cutout:
        run = dataclasses.replace(run, cutout=8)
    if run.dataset == "cifar100" and name == "ddas":
        run = dataclasses.replace(run, cells=20)
    if run.streamed:
        idle = [k for k, v in _IN_MEMORY.items() if changes.get(k, v) != v]
        run = run.varied(_IN_MEMORY, _ON_DISK)
    else:
        idle = [name for name in _ON_DISK if name in changes]
    idle += [name for name in ("corrupt", "split_seed") if changes.get(name)]
    refuse_idle(idle, dataset)
    if run.streamed and name == "cpu":
        raise ValueError("--preset cpu is for data sets in memory, not imagenet")
    return run.varied(**changes)
