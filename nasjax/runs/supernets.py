"""Supernets: their trainer, the training, loading its result.

    run = supernet_config.preset("nb201", "cpu", dataset="synthetic")
    halves = image_sets.halves(run)
    state, curves = supernets.fit(supernets.trainer(run, halves), None, [1], 0, score)

A run's folder holds config.json (`SupernetRun` as JSON) and checkpoints; both are all
that `load` needs.
"""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh

from nasjax.data.images import ImageData
from nasjax.environments.frozen_supernet import score as score_architecture
from nasjax.networks import supernet
from nasjax.networks.supernet import training as supernet_training
from nasjax.runs import devices, feeds, image_sets, training, training_job
from nasjax.runs.checkpoints import Checkpoints
from nasjax.runs.configs import read_run
from nasjax.runs.folder import Folder
from nasjax.runs.supernet_config import SupernetRun
from nasjax.spaces import CellSpace

Scores = tuple[np.ndarray, np.ndarray, np.ndarray]


class Curves(NamedTuple):
    """Results of a training; arrays with one entry per epoch or per scoring."""

    loss: np.ndarray  # float32 [epochs], mean over the epoch's batches
    accuracy: np.ndarray  # float32 [epochs], fractions
    seconds: np.ndarray  # float32 [epochs]
    marks: np.ndarray  # int32 [V], epochs after which architectures were scored
    batch: np.ndarray  # float32 [V, M], accuracy by batch statistics; NaN before
    running: np.ndarray  # float32 [V, M], by running ones
    # float32 [V, 2], accuracy and loss of the whole network; NaN unless it is trained
    one_shot: np.ndarray


class Pretrained(NamedTuple):
    """A trained supernet, read from the folder of its run."""

    config: supernet.SupernetConfig
    params: Any
    statistics: Any  # running averages
    run: SupernetRun  # of the run's config.json
    step: int
    epoch: float
    curves: Curves  # up to there
    state: supernet_training.TrainState  # with momentum, to train on


def no_curves(epochs: int, eval_epochs: Sequence[int], archs: int) -> Curves:
    """Curves before the first step."""
    zeros = np.zeros(epochs, np.float32)
    scores = np.full((len(eval_epochs), archs), np.nan, np.float32)
    return Curves(
        zeros,
        zeros.copy(),
        zeros.copy(),
        np.array(eval_epochs, np.int32),
        scores,
        scores.copy(),
        np.full((len(eval_epochs), 2), np.nan, np.float32),
    )


def _init(run: SupernetRun) -> Callable[[jax.Array], supernet_training.TrainState]:
    return functools.partial(
        supernet_training.init,
        config=run.network,
        recipe=run.recipe,
        image_size=run.image_size,
    )


def trainer(
    run: SupernetRun,
    halves: ImageData,
    mesh: Mesh | None = None,
    scan: bool | None = None,
) -> training.Trainer:
    """The trainer of a supernet on the training half.

    Errors are those of `image_sets.with_data` and `training.Trainer`.

    Args:
      run: see `SupernetRun`.
      halves: the data set.
      mesh: devices over which a batch is divided; None for one.
      scan: see `training.Trainer`.
    """
    run = image_sets.with_data(run, halves)
    config, divided = run.network, devices.data_parallel(mesh)
    if divided is not None:
        config = dataclasses.replace(config, axis_name=supernet_training.AXIS)
    model = training.Model(
        _init(run),
        functools.partial(
            supernet_training.step,
            config=config,
            recipe=run.recipe,
            augment=image_sets.augmentation(run, halves),
            policy=run.policy,
            steps_per_epoch=run.steps_per_epoch,
            mesh=divided,
        ),
    )
    feed = feeds.InMemory(halves.train, run.recipe)
    return training.Trainer(model, run.recipe, feed, [run.seed], mesh, scan, True)


def scored(run: SupernetRun, space: CellSpace) -> np.ndarray:
    """uint8 [M, ...]: the architectures that a run scores, fixed by its seed."""
    key = jax.random.fold_in(jax.random.key(run.seed), 3)
    keys = jax.random.split(key, run.validate_archs)
    return np.asarray(jax.vmap(space.random)(keys))


def scorer(
    run: SupernetRun, halves: ImageData, archs: np.ndarray
) -> Callable[[supernet_training.TrainState], Scores]:
    """Scores on the validation half, for `fit`.

    Args:
      run: with what follows from the data, see `image_sets.with_data`.
      halves: the data set.
      archs: [M, *arch_shape], those to score.

    Returns:
      A function of the state. It returns accuracies by batch statistics [M], by running
      ones [M], and of the whole network accuracy and loss [2], which are NaN unless the
      policy is `one-shot`.
    """
    count = min(run.validate_images, len(halves.valid.labels))
    config, transform = run.network, image_sets.augmentation(run, halves)
    images, labels = jax.device_put(halves.valid.at(slice(count)))

    @jax.jit
    def evaluate(params, statistics, arch, images, labels):
        return score_architecture(
            config,
            params,
            arch,
            images,
            labels,
            mean=transform.mean,
            std=transform.std,
            batch_size=min(run.validate_batch, count),
            statistics=statistics,
        )

    def scores(state: supernet_training.TrainState) -> Scores:
        batch, running = (
            np.array(
                [
                    evaluate(state.params, statistics, arch, images, labels).accuracy
                    for arch in archs
                ]
            )
            for statistics in (None, state.statistics)
        )
        whole = np.full(2, np.nan, np.float32)
        if run.policy == "one-shot":
            alpha = np.ones(config.space.alpha_shape, np.float32)
            outcome = evaluate(state.params, None, alpha, images, labels)
            whole = np.array([outcome.accuracy, outcome.loss])
        return batch, running, whole

    return scores


def fit(
    trainer: training.Trainer,
    folder: Folder | None,
    eval_epochs: Sequence[int],
    archs: int,
    score: Callable[[supernet_training.TrainState], Scores],
    *,
    resume: bool = False,
    checkpoint_seconds: float = 60.0,
    chunk: int = 20,
) -> tuple[supernet_training.TrainState, Curves]:
    """Trains a supernet to the last epoch, with progress, curves and checkpoints.

    Args:
      trainer: from `trainer`.
      folder: of the run; nothing is written if None.
      eval_epochs: epochs after which `score` is called and a checkpoint made.
      archs: M, how many architectures it scores.
      score: see `scorer`.
      resume: go on from the newest checkpoint, to the same bits.
      checkpoint_seconds: least time between the other checkpoints.
      chunk: steps between looks at the clock; sums of the curves are over such chunks.

    Returns:
      The last state and the curves.

    Raises:
      StoppedError, DivergedError, RunError: as `job.run`.
    """
    epochs = list(eval_epochs)

    def record(state: supernet_training.TrainState, curves: Curves, epoch: int) -> None:
        row = epochs.index(epoch)
        curves.batch[row], curves.running[row], curves.one_shot[row] = score(state)

    curves = no_curves(trainer.recipe.epochs, epochs, archs)
    task = training_job.Training(
        trainer, curves, record, epochs, saves=True, chunk=chunk
    )
    return training_job.fit(task, folder, resume, checkpoint_seconds)


def load(folder: str | Path) -> Pretrained:
    """The supernet of a run's newest checkpoint.

    Raises:
      FileNotFoundError: the folder holds no run, or no checkpoint.
      ValueError: its config.json is not a supernet's.
    """
    folder = Path(folder)
    run: SupernetRun = read_run(folder, SupernetRun, "supernet", "train_supernet")
    template = {
        "state": jax.eval_shape(_init(run), jax.random.key(0)),
        "curves": no_curves(run.recipe.epochs, run.eval_epochs, run.validate_archs),
    }
    saved = Checkpoints(folder / "checkpoints").restore(template)
    if saved is None:
        raise FileNotFoundError(f"{folder / 'checkpoints'} holds no checkpoint")
    step, tree = int(saved[0]), saved[1]
    state = supernet_training.TrainState(*tree["state"])
    return Pretrained(
        run.network,
        state.params,
        state.statistics,
        run,
        step,
        step / run.steps_per_epoch,
        Curves(*tree["curves"]),
        state,
    )
