"""Architectures scored by training each from scratch, for `nasjax.parallel`.

    evaluate = candidate_training.Evaluate(run, cache="runs/search/cache")
    parallel.search(key, searcher, evaluate, queries=50, executor=processes(4))

A network of one path in a supernet is trained, from random weights of its own: the
architecture is a traced array, so a process compiles a single program for all of them.
`retrain` trains networks of `nasjax.networks.derived`, a program each, for longer.
"""

import dataclasses
import functools
import hashlib
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nasjax.data import nb201
from nasjax.networks import augment, families, supernet
from nasjax.networks import training as network_training
from nasjax.networks.config import check_positive
from nasjax.networks.supernet import training as supernet_training
from nasjax.runs import (
    configs,
    feeds,
    files,
    image_sets,
    network_config,
    networks,
    supernet_config,
    training,
)
from nasjax.runs.configs import setting
from nasjax.spaces import CellSpace, architectures, costs


@dataclasses.dataclass(frozen=True)
class CandidateRun:
    """Everything that fixes the score of an architecture.

    Raises:
      ValueError: names the value and what is allowed.
    """

    space: str = setting("nb201", "of `families.variants()`", flag=False)
    dataset: str = setting("cifar10", "of `data.images.NAMES`", flag=False)
    channels: int = setting(16, "C of the first cells")
    cells: int = setting(5, "number of cells; of each stage in NAS-Bench-201")
    epochs: int = setting(12, "of the training of an architecture")
    batch_size: int = setting(128, "images per step")
    learning_rate: float = setting(0.05, "of the first epoch")
    train_images: int = setting(0, "use so many of the training half; 0: all")
    valid_images: int = setting(0, "use so many of the validation half; 0: all")
    shrink: int = setting(1, "average so many by so many pixels first")
    padding: int = setting(4, "zero pixels on each side before the random crop")
    train_seed: int = setting(0, "of initial weights and batches, for all candidates")
    candidate_epochs: int = setting(100, "of the longer training of the best")
    candidate_images: int = setting(0, "training images there; 0: all")

    def __post_init__(self):
        counts = ("channels", "cells", "epochs", "shrink", "candidate_epochs")
        check_positive(self, *counts)
        _ = self.supernet  # or raise

    @property
    def supernet(self) -> supernet_config.SupernetRun:
        """The training of an architecture as one path of a supernet."""
        return supernet_config.preset(
            self.space,
            **self._shared,
            epochs=self.epochs,
            final_learning_rate=0.0,
            train_images=self.train_images,
            seed=self.train_seed,
        )

    @property
    def _shared(self) -> dict[str, Any]:
        """Settings of both trainings."""
        return {
            "dataset": self.dataset,
            "channels": self.channels,
            "cells": self.cells,
            "batch_size": self.batch_size,
            "learning_rate": self.learning_rate,
            "shrink": self.shrink,
            "padding": self.padding,
            "cutout": 0,
            "drop_last": True,
        }

    def network(self, genotype: str) -> network_config.NetworkRun:
        """The longer training, of a network that has only the chosen operations."""
        family = architectures.read(genotype).family
        return network_config.preset(
            family,
            **self._shared,
            genotype=genotype,
            epochs=self.candidate_epochs,
            auxiliary=0.0,
            drop_path=0.0,
            train_images=self.candidate_images,
            test_every=self.candidate_epochs,
        )

    @property
    def searched(self) -> CellSpace:
        """The space of the search."""
        return self.supernet.network.space

    @property
    def costs(self) -> costs.CostTable:
        """Of the networks of the longer training."""
        space = self.searched
        arch = space.random(jax.random.key(0))  # their sizes are the same
        sizes = self.network(architectures.from_array(space, arch).printed).sizes
        family = families.FAMILIES[architectures.family_of(space)]
        return family.cost_table(space, **sizes)


SMALL = {"channels": 8, "shrink": 2, "padding": 2, "batch_size": 64}
SMALL |= {"epochs": 6, "train_images": 3_200, "valid_images": 2_000}
SMALL |= {"candidate_epochs": 6, "candidate_images": 10_000}
PRESETS: dict[str, dict[str, dict[str, Any]]] = {
    "full": {"nb201": {}, "darts": {"cells": 8}, "pc-darts": {"cells": 8}},
    "cpu": {
        "nb201": SMALL | {"cells": 1},
        "darts": SMALL | {"cells": 3},
        "pc-darts": SMALL | {"cells": 3},
    },
}  # changes by preset and space


def preset(space: str, name: str, **changes: Any) -> CandidateRun:
    """A preset's run with changes.

    Args:
      space: of `families.variants()`; one without presets has the defaults.
      name: of PRESETS.
      changes: fields that differ.

    Raises:
      ValueError: there is no such preset, or a value is not allowed.
    """
    values = configs.named(PRESETS, name).get(space, {}) | changes
    return dataclasses.replace(CandidateRun(space), **values)


def canonical(run: CandidateRun, arch: np.ndarray) -> np.ndarray:
    """The representative of all architectures that compute the same function.

    In NAS-Bench-201 that is the first of its isomorphism class; in other spaces it is
    the architecture itself. uint8 [*arch_shape], as `arch` is.
    """
    arch = np.asarray(arch, np.uint8)
    if run.space != "nb201":
        return arch
    ops = nb201.official_ops()
    (row,) = np.flatnonzero((ops == arch.ravel()).all(axis=1))
    return ops[nb201.isomorphism_classes(ops)[row]].reshape(arch.shape)


@functools.lru_cache(maxsize=8)  # one for each number of epochs
def _trainer(run: CandidateRun, data_dir: str | None) -> training.Trainer:
    """One program for all architectures; a state is `(TrainState, arch)`."""
    halves = image_sets.halves(run.supernet, data_dir, log=lambda _: None)
    within = image_sets.with_data(run.supernet, halves)
    config, transform = within.network, image_sets.augmentation(within, halves)
    count = run.valid_images or len(halves.valid.labels)

    def init(key):
        state = supernet_training.init(key, config, within.recipe, within.image_size)
        return state, jnp.zeros(config.space.arch_shape, jnp.uint8)

    def step(key, carry, images, labels, index):
        state, arch = carry
        epoch = state.step // within.steps_per_epoch
        state, metrics = supernet_training.train(
            jax.random.fold_in(key, state.step),
            state,
            arch,
            images[index],
            labels[index],
            network_training.cosine(within.recipe, epoch),
            config=config,
            recipe=within.recipe,
            augment=transform,
        )
        return (state, arch), metrics

    def score(carry, images, labels, counted):
        state, arch = carry
        pixels = augment.normalize(images, transform.mean, transform.std)
        logits, _ = supernet.apply(
            state.params, arch, pixels, config, statistics=state.statistics
        )
        return jnp.sum((jnp.argmax(logits, -1) == labels) & counted)[None]

    feed = feeds.InMemory(halves.train, within.recipe, halves.valid.at(slice(count)))
    model = training.Model(init, step, score, ("valid",))
    return training.Trainer(model, within.recipe, feed, [run.train_seed], single=True)


def check(run: CandidateRun, data_dir: str | None = None) -> None:
    """Reads the images, so that errors come before the search.

    Raises:
      ValueError: they do not fit the network, or are fewer than asked for.
      OSError: a file cannot be read.
    """
    halves = image_sets.halves(run.supernet, data_dir)
    image_sets.with_data(run.supernet, halves)
    if not 0 <= run.valid_images <= len(halves.valid.labels):
        raise ValueError(
            f"valid_images is {run.valid_images}; the validation half has "
            f"{len(halves.valid.labels)}"
        )


def train(run: CandidateRun, arch: np.ndarray, data_dir: str | None = None) -> float:
    """Validation accuracy of an architecture after its training, a fraction.

    NaN if a loss is not finite; errors as of `check`.
    """
    trainer = _trainer(run, data_dir)
    state, _ = trainer.init()
    carry = trainer.place((state, np.asarray(arch, np.uint8)))
    for epoch in range(trainer.recipe.epochs):
        first = epoch * trainer.steps_per_epoch
        carry, metrics = trainer.advance(
            carry, range(first, first + trainer.steps_per_epoch)
        )
        if not np.isfinite(metrics.loss).all():
            return float("nan")
    return float(trainer.test(carry)["valid"])


@dataclasses.dataclass(frozen=True)
class Evaluate:
    """Evaluation `arch -> accuracy`, kept in a folder that processes share.

    An architecture is trained once, even if several searches of a `run` query it;
    again only if two processes train it at the same time, or if it diverged (NaN).

    With `epochs`, rising up to those of the run, it has a level for each: a training
    from scratch of so many epochs, with a schedule of its own.
    """

    run: CandidateRun
    cache: str
    data_dir: str | None = None
    epochs: tuple[int, ...] = ()

    def __call__(self, arch: np.ndarray, level: int | None = None) -> float:
        run, cache = self.run, self.cache
        if level is not None and self.epochs[level] != run.epochs:
            run = dataclasses.replace(run, epochs=self.epochs[level])
            cache = str(Path(cache) / f"epochs-{run.epochs}")
        arch = canonical(run, arch)
        path = _cached(cache, arch)
        if path.exists():
            return configs.read_object(path)["accuracy"]
        accuracy = train(run, arch, self.data_dir)
        if np.isfinite(accuracy):
            path.parent.mkdir(parents=True, exist_ok=True)
            entry = {"arch": arch.tolist(), "accuracy": accuracy}
            files.write_json(path, entry, shared=True)  # by all workers
        return accuracy


def _cached(cache: str, arch: np.ndarray) -> Path:
    return Path(cache) / f"{hashlib.sha256(arch.tobytes()).hexdigest()[:16]}.json"


def remembered(cache: str | Path) -> list[tuple[np.ndarray, float]]:
    """The architectures in an `Evaluate`'s folder, with their accuracies."""
    entries = map(configs.read_object, sorted(Path(cache).glob("*.json")))
    return [(np.array(x["arch"], np.uint8), x["accuracy"]) for x in entries]


def retrain(
    run: CandidateRun, space: CellSpace, arch: np.ndarray, data_dir: str | None = None
) -> dict[str, Any]:
    """Trains a network of its own on all training images for `candidate_epochs`.

    Returns:
      `genotype`, `test_accuracy` (a fraction, after the last epoch), `params`, `macs`.

    Raises:
      DivergedError: a loss or a weight is not finite.
      ValueError: as `image_sets.whole` and `image_sets.with_data`.
    """
    architecture = architectures.from_array(space, arch)
    chosen = run.network(architecture.printed)
    data = image_sets.whole(chosen, data_dir, log=lambda _: None)
    chosen = image_sets.with_data(chosen, data)
    trainer = networks.trainer(chosen, data, [run.train_seed])
    _, curves = networks.fit(trainer, None, test_every=chosen.test_every)
    described = families.describe(architecture, **chosen.sizes)
    return {
        "genotype": architecture.printed,
        "test_accuracy": float(curves.test[0, -1]),
        "params": described["params"],
        "macs": described["macs"],
    }
