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
from nasjax.data.images import ImageData
from nasjax.networks import augment, families, supernet
from nasjax.networks import training as network_training
from nasjax.networks.supernet import training as supernet_training
from nasjax.runs import (
    configs,
    feeds,
    files,
    image_sets,
    networks,
    training,
)
from nasjax.runs.candidate_config import CandidateRun
from nasjax.spaces import CellSpace, architectures


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


def check(run: CandidateRun, data_dir: str | None = None) -> ImageData:
    """Reads the images and returns them, so that errors come before the search.

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
    return halves


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
