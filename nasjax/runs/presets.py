"""Settings of training from scratch: presets, and what a preset and flags make.

Source: Liu et al. 2019 and thesis 3.4.3, 4.4.4 (DARTS cells), Xu et al. 2020
(ImageNet), Dong and Yang 2020 (NAS-Bench-201).

Drop path of `pc-cadam` is that of 4.4.4, "a batch size of 96 and a drop path
probability of 0.2"; PC-DARTS' own script has 0.3 (`--drop-path 0.3`).
"""

from collections.abc import Mapping
from typing import Any

from nasjax.runs import networks, supernets

SETTINGS = {
    "cells": 20,
    "channels": 36,
    "stem": "cifar",
    "dtype": "float32",
    "learning_rate": 0.025,
    "final_learning_rate": 0.0,
    "momentum": 0.9,
    "nesterov": False,
    "weight_decay": 3e-4,
    "clip": 5.0,
    "batch_size": 96,
    "drop_last": False,
    "epochs": 600,
    "schedule": "cosine",
    "warmup": 0,
    "label_smoothing": 0.0,
    "auxiliary": 0.4,
    "drop_path": 0.2,
    "padding": 4,
    "constants": "own",
    "cutout": 16,
    "train_images": 0,
    "shrink": 1,
    "test_batch": 500,
    "test_every": 1,
}
PRESETS = {
    "ddas": {"cells": 10},
    "cadam": {"epochs": 1_000, "batch_size": 80, "drop_path": 0.1},
    "pc-cadam": {"epochs": 1_000},
    "imagenet": {
        "dataset": "imagenet",
        "cells": 14,
        "channels": 48,
        "stem": "imagenet",
        "learning_rate": 0.5,
        "weight_decay": 3e-5,
        "batch_size": 1_024,
        "epochs": 250,
        "schedule": "linear",
        "warmup": 5,
        "label_smoothing": 0.1,
        "drop_path": 0.0,
        "cutout": 0,
    },
    "nb201": {
        "cells": 5,
        "channels": 16,
        "learning_rate": 0.1,
        "nesterov": True,
        "weight_decay": 5e-4,
        "clip": 0.0,
        "batch_size": 256,
        "epochs": 200,
        "auxiliary": 0.0,
        "drop_path": 0.0,
        "cutout": 0,
    },
}
SMALL = {
    "channels": 8,
    "learning_rate": 0.05,
    "batch_size": 64,
    "drop_last": True,
    "epochs": 12,
    "auxiliary": 0.0,
    "drop_path": 0.0,
    "padding": 2,
    "cutout": 0,
    "shrink": 2,
}
CPU = {"darts": SMALL | {"cells": 3}, "nb201": SMALL | {"cells": 1, "nesterov": True}}
KINDS_OF = dict.fromkeys(PRESETS, ("darts",)) | {
    "nb201": ("nb201",),
    "cpu": ("darts", "nb201"),
}
USUAL = {"darts": "cadam", "nb201": "nb201"}
# Of a data set that is streamed; and what is not for one.
STREAMED = {"image_size": 224, "resize": 256}
IN_MEMORY = {
    "drop_last": True,
    "constants": "own",
    "padding": 0,
    "cutout": 0,
    "train_images": 0,
    "shrink": 1,
}
# What depends on the data set, where the preset has it at all.
CUTOUT = {"cifar100": 8}
DDAS_CELLS = {"cifar100": 20}
HELP = {
    "cells": "number of cells; of each stage in NAS-Bench-201",
    "channels": "C of the first cells",
    "stem": "cifar or imagenet",
    "dtype": "float32 or bfloat16",
    "drop_last": "leave out an epoch's last batch if it is smaller; imagenet: always",
    "schedule": "cosine or linear",
    "warmup": "epochs of warm-up of the linear schedule",
    "auxiliary": "weight of the auxiliary head's loss; 0: no such head",
    "drop_path": "probability of dropping a path in the last epoch",
    "constants": "mean and deviation of pixels: own, or cifar10's (PC-DARTS' code has "
    "these and cutout 16 on cifar100, too)",
    "cutout": "side of the square cut out of training images; default 8 on cifar100",
    "train_images": "use the first so many training images; 0: all",
    "shrink": "average so many by so many pixels first",
    "test_batch": "images per batch of a test",
    "test_every": "epochs between tests",
}


def settings(
    kind: str,
    preset: str | None = None,
    dataset: str | None = None,
    given: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """What fixes a run's results.

    Args:
      kind: darts or nb201.
      preset: a name in PRESETS, or cpu; None for the kind's usual one.
      dataset: None for the preset's.
      given: fields of SETTINGS or STREAMED that differ from the preset's.

    Raises:
      ValueError: a value that is out of range or does not fit the space or the data.
    """
    preset, given = preset or USUAL[kind], dict(given or {})
    if kind not in KINDS_OF[preset]:
        raise ValueError(
            f"--preset {preset} is for {' or '.join(KINDS_OF[preset])}, not {kind}"
        )
    base = {"preset": preset, "dataset": "cifar10", **SETTINGS}
    base |= CPU[kind] if preset == "cpu" else PRESETS[preset]
    base["dataset"] = dataset or base["dataset"]
    if base["cutout"]:
        base["cutout"] = CUTOUT.get(base["dataset"], base["cutout"])
    if preset == "ddas":
        base["cells"] = DDAS_CELLS.get(base["dataset"], base["cells"])
    if base["dataset"] in networks.STREAMED:
        wrong = [k for k, v in IN_MEMORY.items() if given.get(k, v) != v]
        base |= IN_MEMORY | STREAMED
    else:
        wrong = [name for name in STREAMED if name in given]
    if wrong:
        flags = ", ".join("--" + name.replace("_", "-") for name in wrong)
        raise ValueError(f"{flags}: not with --dataset {base['dataset']}")
    if base["dataset"] in networks.STREAMED and preset == "cpu":
        raise ValueError("--preset cpu is for data sets in memory, not imagenet")
    base |= given
    for name in ("shrink", "test_batch", "test_every"):
        if base[name] < 1:
            raise ValueError(f"{name} must be at least 1, got {base[name]}")
    supernets.check_constants(base)
    networks.recipe(base)
    return base
