"""Networks trained from scratch: what a run's settings mean, and loading its result.

A run's folder holds config.json and, for each group of seeds trained together,
checkpoints, written by `nasjax.runs.evaluator`.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from nasjax import spaces
from nasjax.data import images as image_data
from nasjax.data import nb201
from nasjax.data.images import ImageData
from nasjax.networks import augment, derived
from nasjax.networks.derived import training
from nasjax.networks.training import ABSENT
from nasjax.runs import supernets
from nasjax.runs.checkpoints import Checkpoints
from nasjax.runs.configs import read_object
from nasjax.spaces import costs, genotypes, topology
from nasjax.spaces.image_sizes import Size

STREAMED = ("imagenet",)  # read while training: `nasjax.runs.feeds`
DATASETS = {"cifar10": 10, "cifar100": 100, "imagenet": 1000, "synthetic": 10}
SPACES = {"darts": spaces.darts(none=True), "nb201": spaces.nas_bench_201()}


class Architecture(NamedTuple):
    """An architecture to train."""

    kind: str  # darts or nb201, a key of SPACES
    arch: np.ndarray  # uint8 [*arch_shape]
    printed: str  # a genotype as the DARTS code prints it, or NAS-Bench-201's string


class Curves(NamedTuple):
    """What a group of S seeds has to show; fractions, one entry per epoch."""

    loss: np.ndarray  # float32 [S, epochs], mean over the epoch's batches
    accuracy: np.ndarray  # float32 [S, epochs], of training batches
    test: np.ndarray  # float32 [S, epochs], of all test images; NaN if not tested
    seconds: np.ndarray  # float32 [epochs], of training
    top5: np.ndarray | None = None  # as `test`, of the five likeliest classes


class Trained(NamedTuple):
    """A network as a run left it."""

    config: derived.DerivedConfig
    params: Any
    statistics: Any
    settings: dict[str, Any]  # of the run's config.json
    step: int
    epoch: float


def no_curves(epochs: int, seeds: int, top5: bool = False) -> Curves:
    """Curves before the first step; `top5` for streamed data sets."""
    zeros = np.zeros((seeds, epochs), np.float32)
    empty = np.full((seeds, epochs), np.nan, np.float32)
    seconds = np.zeros(epochs, np.float32)
    fifth = empty.copy() if top5 else None
    return Curves(zeros, zeros.copy(), empty, seconds, fifth)


def read(source: str | Mapping) -> Architecture:
    """An architecture of either space.

    Args:
      source: what `genotypes.load` takes (a published name, a file, the text), a dict
        that `genotypes.parse` takes, or NAS-Bench-201's `|nor_conv_3x3~0|+|...|`, as
        text or in a file.

    Raises:
      ValueError: names the fault: an unknown operation, a wrong predecessor, ...
    """
    text = source
    if isinstance(source, str) and not source.lstrip().startswith(("|", "{", "Geno")):
        try:
            found = Path(source).read_text(encoding="utf-8").strip()
        except (OSError, ValueError):
            found = ""  # a name, or an error that `genotypes.load` words
        text = found if found.startswith("|") else source
    if isinstance(text, str) and text.lstrip().startswith("|"):
        space = SPACES["nb201"]
        arch = space.parse_arch_string(text)
        return Architecture("nb201", arch, space.arch_string(arch))
    if isinstance(source, Mapping):
        genotype = genotypes.parse(source)
    else:
        genotype = genotypes.load(source)
    arch = genotypes.to_arch(genotype, SPACES["darts"])
    return Architecture("darts", arch, str(genotype))


def config(settings: Mapping[str, Any], classes: int) -> derived.DerivedConfig:
    """The network that a run's settings describe."""
    settings = ABSENT | settings
    found = read(settings["genotype"])
    return derived.DerivedConfig(
        SPACES[found.kind],
        found.arch,
        channels=settings["channels"],
        cells=settings["cells"],
        classes=classes,
        image_channels=settings["image_channels"],
        stem=settings["stem"],
        auxiliary=settings["auxiliary"] > 0,
        dtype=settings["dtype"],
    )


def recipe(settings: Mapping[str, Any]) -> training.Recipe:
    """The optimizer's part of a run's settings."""
    fields, known = training.Recipe.__dataclass_fields__, ABSENT | settings
    return training.Recipe(**{name: known[name] for name in fields})


def augmentation(settings: Mapping[str, Any], data: ImageData) -> augment.AugmentConfig:
    """What is done to training images."""
    return augment.AugmentConfig(
        padding=settings["padding"],
        cutout=settings["cutout"],
        mean=data.mean,
        std=data.std,
    )


def data(
    settings: Mapping[str, Any],
    data_dir: str | None = None,
    log: Callable[[str], None] = print,
) -> ImageData:
    """A data set in memory: all training images, or the first so many; shrunk.

    Raises:
      ValueError: the data set cannot be used, or has fewer images than asked for.
    """
    name = settings["dataset"]
    found = image_data.load(name, data_dir, log=log)
    found = supernets.with_constants(found, settings)
    most = settings["train_images"] or len(found.train_labels)
    if not 1 <= most <= len(found.train_labels):
        raise ValueError(
            f"train_images is {most}; {name} has {len(found.train_labels)}"
        )
    shrink = functools.partial(supernets.shrink, factor=settings["shrink"])
    return found._replace(
        train_images=shrink(found.train_images[:most]),
        train_labels=found.train_labels[:most],
        test_images=shrink(found.test_images),
    )


def describe(
    found: Architecture,
    *,
    cells: int,
    channels: int,
    classes: int,
    stem: str = "cifar",
    image_size: Size = 32,
    image_channels: int = 3,
) -> dict[str, Any]:
    """Exact costs of a network, for one image; width and depth of its cells.

    Returns:
      `params`, `params_with_auxiliary`, `macs` (without the bias), and for DARTS cells
      `flops` (see `costs.flops`), `width` and `depth` of the normal and the reduction
      cell, None in NAS-Bench-201.

    Raises:
      ValueError: sizes that do not fit the network.
    """
    sizes = {"channels": channels, "classes": classes, "image_size": image_size}
    sizes["image_channels"] = image_channels
    space, arch = SPACES[found.kind], found.arch
    if found.kind == "nb201":
        table = costs.nb201_network(cells_per_stage=cells, **sizes)
        shape = {"flops": None, "width": None, "depth": None}
    else:
        table = costs.darts_network(space, cells=cells, stem=stem, **sizes)
        shape = {
            "flops": int(costs.flops(table, arch)),
            "width": np.asarray(topology.width(space, arch)).tolist(),
            "depth": np.asarray(topology.depth(space, arch)).tolist(),
        }
    params = int(costs.params(table, arch))
    return {
        "params": params,
        "params_with_auxiliary": params + int(table.auxiliary),
        "macs": int(costs.macs(table, arch)),
        **shape,
    }


def benchmark(found: Architecture, dataset: str) -> dict[str, Any] | None:
    """The table's test accuracy of a NAS-Bench-201 cell after 200 epochs, a fraction.

    None for other spaces and data sets, and where no table is at hand.
    """
    name = f"{dataset}_test"
    if found.kind != "nb201" or name not in nb201.COLUMNS:
        return None
    try:
        table = nb201.load(columns=[name], predictor=False, log=lambda line: None)
    except nb201.TableError:
        return None
    (row,) = np.flatnonzero((table.ops == found.arch).all(axis=1))
    column = table.columns[name]
    accuracy = float(column.values[row])
    return {"column": name, "accuracy": accuracy, "version": column.version}


def summary(test: np.ndarray) -> dict[str, Any]:
    """Accuracies of the last and of the best epoch over seeds, for results.json.

    Args:
      test: float [S, epochs], fractions, NaN where not tested; the last epoch is.
    """

    def entry(values):
        spread = float(values.std(ddof=1)) if len(values) > 1 else None
        return {
            "mean": float(values.mean()),
            "deviation": spread,  # n - 1 in the denominator
            "values": values.tolist(),
        }

    # Shares of up to 50,000 images, kept in float32: exact again in six digits.
    test = np.asarray(test, np.float64).round(6)
    note = "the epoch is chosen on test images, which leaks: compare `last`"
    best = entry(np.nanmax(test, axis=1))
    best |= {"epochs": (np.nanargmax(test, axis=1) + 1).tolist(), "note": note}
    return {"last": entry(test[:, -1]), "best": best}


def groups(seeds: Sequence[int], lanes: int) -> list[list[int]]:
    """The seeds that are trained together, at most `lanes` at a time."""
    return [list(seeds[i : i + lanes]) for i in range(0, len(seeds), lanes)]


def group_name(group: Sequence[int]) -> str:
    """The folder of a group's checkpoints, below `checkpoints`."""
    return f"seeds-{'-'.join(map(str, group))}"


def load(folder: str | Path, seed: int | None = None) -> Trained:
    """The network of a seed, out of its newest checkpoint.

    Args:
      folder: of the run.
      seed: the first one of the run if None.

    Raises:
      FileNotFoundError: the folder holds no run, or no checkpoint of the seed.
      ValueError: the run has no such seed.
    """
    folder = Path(folder)
    path = folder / "config.json"
    if not path.exists():
        raise FileNotFoundError(
            f"{folder} holds no network: {path} is missing (train one with "
            f"experiments/evaluate.py --out {folder})"
        )
    settings = ABSENT | read_object(path)
    seed = settings["seeds"][0] if seed is None else seed
    found = [g for g in groups(settings["seeds"], settings["lanes"]) if seed in g]
    if not found:
        raise ValueError(f"seed {seed} is not in {folder}: it has {settings['seeds']}")
    (group,) = found
    network = config(settings, settings["classes"])
    one = jax.eval_shape(
        functools.partial(
            training.init,
            config=network,
            recipe=recipe(settings),
            image_size=settings["image_size"],
        ),
        jax.random.key(0),
    )
    shapes = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct((len(group), *x.shape), x.dtype), one
    )
    where = folder / "checkpoints" / group_name(group)
    top5 = settings["dataset"] in STREAMED
    curves = no_curves(settings["epochs"], len(group), top5)
    template = {"state": shapes, "curves": curves}
    saved = Checkpoints(where).restore(template) if where.exists() else None
    if saved is None:
        raise FileNotFoundError(f"{where} holds no checkpoint")
    step, state = saved[0], saved[1]["state"]
    mine = jax.tree.map(lambda x: x[group.index(seed)], state)
    epoch = int(step) / settings["steps_per_epoch"]
    return Trained(network, mine.params, mine.statistics, settings, int(step), epoch)
