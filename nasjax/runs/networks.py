"""Networks trained from scratch: their trainer, the training, loading its result.

    run = network_config.preset("nb201", "cpu", dataset="synthetic", genotype=CELL)
    trainer = networks.trainer(run, image_sets.whole(run), [0])
    state, curves = networks.fit(trainer, None)

A run's folder holds config.json (`NetworkRun` as JSON) and, for each group of seeds
trained together, checkpoints.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from nasjax.data import imagenet
from nasjax.networks import augment, color, derived
from nasjax.networks.derived import training as derived_training
from nasjax.networks.training import hits
from nasjax.runs import devices, feeds, image_sets, training, training_job
from nasjax.runs.checkpoints import Checkpoints
from nasjax.runs.configs import read_run
from nasjax.runs.folder import Folder
from nasjax.runs.image_sets import Data
from nasjax.runs.network_config import NetworkRun
from nasjax.spaces import image_sizes


class Curves(NamedTuple):
    """Results of training S seeds, one entry per epoch; accuracies are fractions."""

    loss: np.ndarray  # float32 [S, epochs], mean over the epoch's batches
    accuracy: np.ndarray  # float32 [S, epochs], of training batches
    test: np.ndarray  # float32 [S, epochs], of all test images; NaN if not tested
    seconds: np.ndarray  # float32 [epochs], of training, without tests
    top5: np.ndarray | None = None  # as `test`, of the five likeliest classes


class Trained(NamedTuple):
    """A trained network, read from the folder of its run."""

    config: derived.DerivedConfig
    params: Any
    statistics: Any
    run: NetworkRun  # of the run's config.json
    step: int
    epoch: float


def trainer(
    run: NetworkRun,
    data: Data,
    seeds: Sequence[int],
    mesh: Mesh | None = None,
    *,
    scan: bool | None = None,
    workers: int = 0,
) -> training.Trainer:
    """The trainer of a network; errors as of `with_data` and `training.Trainer`.

    Args:
      run: see `NetworkRun`.
      data: in memory, or on disk.
      seeds: trained together; one for a data set on disk.
      mesh: from `devices.mesh_of`; None for one seed on one device.
      scan: see `training.Trainer`.
      workers: threads that decode images on disk; 0 is one for each core.
    """
    run = image_sets.with_data(run, data)
    config, divided = run.network, devices.data_parallel(mesh)
    if divided is not None:
        config = dataclasses.replace(config, axis_name=derived_training.AXIS)
    tested: dict[str, Any] = {"config": config, "mesh": divided}
    learned = {"recipe": run.recipe, "steps_per_epoch": run.steps_per_epoch, **tested}
    if isinstance(data, feeds.Source):
        if len(seeds) != 1:
            raise ValueError(f"seeds {list(seeds)}: one at a time is trained here")
        step, score = _streamed(config, learned, tested)
        model = training.Model(_init(run), step, score, ("test", "top5"))
        feed: feeds.Feed = feeds.Streamed(
            data,
            run.recipe,
            image_size=image_sizes.sides(run.image_size)[0],
            resize=run.resize,
            test_batch=run.test_batch,
            workers=workers,
        )
    else:
        augmentation = image_sets.augmentation(run, data)
        step = functools.partial(derived_training.step, augment=augmentation, **learned)

        def score(state, images, labels, counted):
            return derived_training.correct(
                state, images, labels, counted, augment=augmentation, **tested
            )[None]

        model = training.Model(_init(run), step, score, ("test",))
        feed = feeds.InMemory(data.train, run.recipe, data.test, run.test_batch)
    return training.Trainer(model, run.recipe, feed, seeds, mesh, scan)


def _streamed(config, learned, tested):
    """`step` and `score` of a `training.Model` for `feeds.Streamed`."""
    colors = color.ColorConfig(mean=imagenet.MEAN, std=imagenet.STD)
    plain = augment.AugmentConfig(mean=imagenet.MEAN, std=imagenet.STD)

    def step(key, state, images, labels):
        colour, drop = jax.random.split(jax.random.fold_in(key, state.step))
        batch = color.augment(colour, images, colors, config.dtype)
        return derived_training.learn(drop, state, batch, labels, **learned)

    def score(state, images, labels):
        logits = derived_training.predict(state, images, augment=plain, **tested)
        return jnp.stack([hits(logits, labels, top) for top in (1, 5)])

    return step, score


def _init(run: NetworkRun) -> Callable[[jax.Array], derived_training.TrainState]:
    return functools.partial(
        derived_training.init,
        config=run.network,
        recipe=run.recipe,
        image_size=run.image_size,
    )


def groups(seeds: Sequence[int], lanes: int) -> list[list[int]]:
    """The seeds that are trained together, at most `lanes` at a time."""
    return [list(seeds[i : i + lanes]) for i in range(0, len(seeds), lanes)]


def trainers(
    run: NetworkRun, data: Data, workers: int = 0
) -> dict[int, training.Trainer]:
    """A trainer for each size of the groups that a run's seeds are trained in.

    Args:
      run: its `seeds`, `lanes` and `devices` count, too.
      data, workers: see `trainer`, also for errors.
    """
    made = {}
    for seeds in {len(seeds): seeds for seeds in groups(run.seeds, run.lanes)}.values():
        mesh = devices.mesh_of(jax.devices()[: run.devices], seeds)
        made[len(seeds)] = trainer(run, data, seeds, mesh, workers=workers)
    return made


def no_curves(epochs: int, seeds: int, top5: bool = False) -> Curves:
    """Curves before the first step; `top5` for streamed data sets."""
    zeros = np.zeros((seeds, epochs), np.float32)
    empty = np.full((seeds, epochs), np.nan, np.float32)
    seconds = np.zeros(epochs, np.float32)
    fifth = empty.copy() if top5 else None
    return Curves(zeros, zeros.copy(), empty, seconds, fifth)


def fit(
    trainer: training.Trainer,
    folder: Folder | None,
    *,
    test_every: int = 1,
    resume: bool = False,
    checkpoint_seconds: float = 60.0,
    chunk: int | None = None,
) -> tuple[derived_training.TrainState, Curves]:
    """Trains a group of seeds from scratch to the last epoch.

    Args:
      trainer: from `trainer`.
      folder: of the run; nothing is written if None.
      test_every: epochs between tests; one follows the last epoch in any case.
      resume: go on from the newest checkpoint, to the same bits on CPU.
      checkpoint_seconds: least time between checkpoints; one is made at the end.
      chunk: most steps between looks at the clock; by default 10, or 50 in a scan. In a
        scan it is lowered to a divisor of an epoch's full batches.

    Returns:
      The last state and the curves.

    Raises:
      StoppedError, DivergedError, RunError: as `job.run`.
    """
    epochs, seeds = trainer.recipe.epochs, trainer.seeds
    chunk = chunk or (50 if trainer.scans else 10)
    if trainer.scans:  # chunks of one length: the program is compiled once
        whole = trainer.epoch.whole or 1
        chunk = max(n for n in range(1, chunk + 1) if whole % n == 0)

    def record(state: derived_training.TrainState, curves: Curves, epoch: int) -> None:
        for name, share in trainer.test(state).items():
            getattr(curves, name)[:, epoch - 1] = share

    task = training_job.Training(
        trainer,
        no_curves(epochs, len(seeds), "top5" in trainer.model.scores),
        record,
        {*range(test_every, epochs + 1, test_every), epochs},
        chunk=chunk,
        name=group_name(seeds),
        label=f"seed {', '.join(map(str, seeds))}",
    )
    return training_job.fit(task, folder, resume, checkpoint_seconds)


def fit_groups(
    trainers: Mapping[int, training.Trainer],
    run: NetworkRun,
    folder: Folder | None,
    **options: Any,
) -> list[Curves]:
    """Trains all seeds of a run, one group after another.

    Args:
      trainers: from `trainers`.
      run: see `NetworkRun`.
      folder, options: see `fit`, also for errors.

    Returns:
      The curves of each group.
    """
    return [
        fit(
            trainers[len(seeds)].with_seeds(seeds),
            folder,
            test_every=run.test_every,
            **options,
        )[1]
        for seeds in groups(run.seeds, run.lanes)
    ]


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
      ValueError: the run has no such seed; its config.json is not a network's.
    """
    folder = Path(folder)
    run: NetworkRun = read_run(folder, NetworkRun, "network", "evaluate")
    seed = run.seeds[0] if seed is None else seed
    if seed not in run.seeds:
        raise ValueError(f"seed {seed} is not in {folder}: it has {list(run.seeds)}")
    (group,) = (seeds for seeds in groups(run.seeds, run.lanes) if seed in seeds)
    single = jax.eval_shape(_init(run), jax.random.key(0))
    shapes = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct((len(group), *x.shape), x.dtype), single
    )
    where = folder / "checkpoints" / group_name(group)
    curves = no_curves(run.recipe.epochs, len(group), run.streamed)
    template = {"state": shapes, "curves": curves}
    saved = Checkpoints(where).restore(template) if where.exists() else None
    if saved is None:
        raise FileNotFoundError(f"{where} holds no checkpoint")
    step, tree = int(saved[0]), saved[1]
    state = jax.tree.map(lambda x: x[group.index(seed)], tree["state"])
    epoch = step / run.steps_per_epoch
    return Trained(run.network, state.params, state.statistics, run, step, epoch)
