"""Trainings as jobs: epochs, curves, scores at marks, losses that must be finite."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from nasjax.networks import training as schedules
from nasjax.networks.derived import training
from nasjax.runs import job, networks, supernets
from nasjax.runs.errors import DivergedError, check_finite
from nasjax.runs.folder import Folder

Scorer = Callable[[Any], tuple[np.ndarray, np.ndarray, np.ndarray]]


class Trains(Protocol):
    """What is trained in steps."""

    recipe: Any
    steps_per_epoch: int
    epoch: schedules.Epoch

    def init(self) -> Any:
        """The state before the first step."""

    def place(self, state: Any) -> Any:
        """Puts a state on the devices."""


class Epochs(job.Job):
    """A training: the carry holds `state` and `curves`; a chunk ends with its epoch.

    Args:
      trainer: what is trained.
      epochs: how many.
      curves: before the first step, of NumPy arrays that are filled in place.
      chunk: most steps between looks at the clock.
    """

    def __init__(self, trainer: Trains, epochs: int, curves: Any, chunk: int):
        self.trainer, self.epochs, self._curves = trainer, epochs, curves
        self.per_epoch, self._chunk = trainer.steps_per_epoch, chunk
        self.steps = epochs * self.per_epoch
        self._initial = trainer.init()

    def template(self) -> dict[str, Any]:
        return {"state": job.shapes(self._initial), "curves": self._curves}

    def start(self) -> dict[str, Any]:
        state, self._initial = self._initial, None
        return {"state": state, "curves": self._curves}

    def unpack(self, step: int, tree: Any) -> dict[str, Any]:
        del step
        self._initial = None
        curves = job.writable(tree["curves"])
        return {"state": self.trainer.place(tree["state"]), "curves": curves}

    def pack(self, carry: Any) -> Any:
        return carry

    def end_after(self, step: int) -> int:
        at, whole = step % self.per_epoch, self.trainer.epoch.whole
        if at == whole:  # the smaller last batch, by itself
            return step + 1
        return step + min(self._chunk - at % self._chunk, whole - at)

    def before_save(self, carry: Any, step: int) -> Any:
        check_finite(carry["state"], f"step {step - 1:,}")
        return carry

    def check_loss(self, loss: np.ndarray, first: int) -> None:
        """DivergedError at the first loss that is not finite.

        Args:
          loss: [..., T], of the steps from `first` on.
        """
        bad = ~np.isfinite(loss).reshape(-1, loss.shape[-1]).all(axis=0)
        if bad.any():
            step = first + int(bad.argmax())
            values = np.asarray(loss).reshape(-1, loss.shape[-1])[:, bad.argmax()]
            raise DivergedError(
                f"the loss is {', '.join(f'{x:g}' for x in values)} at step {step:,} "
                f"(epoch {step // self.per_epoch + 1}): the training diverged. "
                "Checkpoints are from before; a smaller learning rate may help"
            )


class SupernetTraining(Epochs):
    """A supernet's training as a job: curves, and scores at marks.

    Args:
      trainer: a `trainer.Trainer`.
      marks: epochs after which `score` is called.
      archs: M, how many architectures it scores.
      score: `(state) -> (by batch statistics [M], by running ones [M], of the whole
        network [2])`, see `supernets.Curves`.
      chunk: steps between looks at the clock.
    """

    def __init__(
        self,
        trainer: Trains,
        marks: Sequence[int],
        archs: int,
        score: Scorer,
        chunk: int = 20,
    ):
        epochs = trainer.recipe.epochs
        curves = supernets.no_curves(epochs, marks, archs)
        super().__init__(trainer, epochs, curves, chunk)
        self._marks, self._score = list(marks), score
        self._order: tuple[int, Any] = (-1, None)
        self._shown = ""

    def advance(self, carry: Any, first: int, last: int) -> Any:
        curves, (epoch, at) = carry["curves"], divmod(first, self.per_epoch)
        if self._order[0] != epoch:
            self._order = epoch, self.trainer.batches(epoch)
        clock = time.perf_counter()
        index = self._order[1][at : at + last - first]
        state, metrics = self.trainer.advance(carry["state"], index)
        loss = np.asarray(metrics.loss)
        self.check_loss(loss, first)
        division, steps = self.trainer.epoch, (at, at + last - first)
        weights, total = division.weights(*steps), division.total
        curves.loss[epoch] += (loss * weights).sum() / total
        curves.accuracy[epoch] += float((metrics.accuracy * weights).sum()) / total
        seconds = time.perf_counter() - clock
        curves.seconds[epoch] += seconds
        rate = division.sizes(*steps).sum() / seconds
        self._shown = (
            f"epoch {epoch + 1}/{self.epochs} loss {loss.mean():.3f} "
            f"{rate:.0f} images/s"
        )
        if self.must_save(last) and last // self.per_epoch in self._marks:
            v = self._marks.index(last // self.per_epoch)
            curves.batch[v], curves.running[v], curves.one_shot[v] = self._score(state)
        return {"state": state, "curves": curves}

    def must_save(self, step: int) -> bool:
        epoch, at = divmod(step, self.per_epoch)
        return step == self.steps or (at == 0 and epoch in self._marks)

    def postfix(self, carry: Any, step: int) -> str:
        del carry, step
        return self._shown

    def log(self, carry: Any, step: int, saved: bool) -> Mapping[str, Any] | None:
        del saved
        epoch, at = divmod(step, self.per_epoch)
        if at:
            return None
        curves = carry["curves"]
        return {
            "epoch": epoch,
            "epochs": self.epochs,
            "loss": float(curves.loss[epoch - 1]),
            "accuracy": float(curves.accuracy[epoch - 1]),
            "seconds": float(curves.seconds[epoch - 1]),
        }


def supernet(
    trainer: Trains,
    folder: Folder | None,
    marks: Sequence[int],
    archs: int,
    score: Scorer,
    *,
    resume: bool = False,
    checkpoint_seconds: float = 60.0,
    chunk: int = 20,
) -> tuple[Any, supernets.Curves]:
    """Trains a supernet to the last epoch, with progress, curves and checkpoints.

    Args:
      trainer, marks, archs, score, chunk: see `SupernetTraining`.
      folder: of the run; nothing is written if None.
      resume: go on from the newest checkpoint, to the same bits.
      checkpoint_seconds: least time between checkpoints (besides those at marks).

    Returns:
      The last state and the curves.

    Raises:
      StoppedError, DivergedError, RunError: as `job.run`.
    """
    task = SupernetTraining(trainer, marks, archs, score, chunk)
    carry = job.run(task, folder, resume=resume, checkpoint_seconds=checkpoint_seconds)
    return carry["state"], carry["curves"]


class NetworkTraining(Epochs):
    """The training of a group of seeds as a job.

    Args:
      evaluator: an `Evaluator` or a `streaming.Streamer`.
      test_every: epochs between looks at the test images; after the last always.
      chunk: most steps between looks at the clock; by default 10, or 50 in a scan.
    """

    def __init__(
        self, evaluator: Trains, test_every: int = 1, chunk: int | None = None
    ):
        epochs = evaluator.recipe.epochs
        chunk = chunk or (50 if evaluator.scans else 10)
        if evaluator.scans:  # chunks of one length: the program is compiled once
            whole = evaluator.epoch.whole or 1
            chunk = max(n for n in range(1, chunk + 1) if whole % n == 0)
        curves = networks.no_curves(epochs, len(evaluator.seeds), evaluator.top5)
        super().__init__(evaluator, epochs, curves, chunk)
        self.name = networks.group_name(evaluator.seeds)
        self.label = f"seed {', '.join(map(str, evaluator.seeds))}"
        self._test_every, self._shown = test_every, ""

    def advance(self, carry: Any, first: int, last: int) -> Any:
        curves, S, clock = carry["curves"], self.per_epoch, time.perf_counter()
        state, metrics = self.trainer.advance(carry["state"], range(first, last))
        loss, (epoch, at) = np.asarray(metrics.loss), divmod(first, S)
        self.check_loss(loss, first)
        division, steps = self.trainer.epoch, (at, at + last - first)
        weights, total = division.weights(*steps), division.total
        curves.loss[:, epoch] += (loss * weights).sum(1) / total
        curves.accuracy[:, epoch] += (np.asarray(metrics.accuracy) * weights).sum(
            1
        ) / total
        seconds = time.perf_counter() - clock
        curves.seconds[epoch] += seconds
        done = last // S
        if last % S == 0 and (done % self._test_every == 0 or done == self.epochs):
            for name, share in self.trainer.test(state).items():
                getattr(curves, name)[:, epoch] = share
        images = int(division.sizes(*steps).sum())
        rate = images * len(self.trainer.seeds) / seconds
        self._shown = (
            f"epoch {epoch + 1}/{self.epochs} loss {loss.mean():.3f}"
            f"{_latest(curves)} {rate:.0f} images/s{self.trainer.note}"
        )
        return {"state": state, "curves": curves}

    def postfix(self, carry: Any, step: int) -> str:
        del carry, step
        return self._shown

    def log(self, carry: Any, step: int, saved: bool) -> Mapping[str, Any] | None:
        del saved
        epoch, at = divmod(step, self.per_epoch)
        if at:
            return None
        curves, recipe = carry["curves"], self.trainer.recipe
        return {
            "seeds": self.trainer.seeds,
            "epoch": epoch,
            "epochs": self.epochs,
            "learning_rate": float(training.learning_rate(recipe, epoch - 1)),
            "loss": curves.loss[:, epoch - 1],
            "accuracy": curves.accuracy[:, epoch - 1],
            "test_accuracy": curves.test[:, epoch - 1],  # null where not tested
            "seconds": float(curves.seconds[epoch - 1]),
        }


def _latest(curves: networks.Curves) -> str:
    """The newest test accuracy, in words."""
    known = np.flatnonzero(np.isfinite(curves.test[0]))
    return f" test {100 * curves.test[:, known[-1]].mean():.2f} %" if len(known) else ""


def network(
    evaluator: Trains,
    folder: Folder | None,
    *,
    test_every: int = 1,
    resume: bool = False,
    checkpoint_seconds: float = 60.0,
    chunk: int | None = None,
) -> tuple[Any, networks.Curves]:
    """Trains a group of seeds from scratch to the last epoch.

    Args:
      evaluator, test_every, chunk: see `NetworkTraining`.
      folder: of the run; nothing is written if None.
      resume: go on from the newest checkpoint, to the same bits on CPU.
      checkpoint_seconds: least time between checkpoints; one is made at the end.

    Returns:
      The last state and the curves.

    Raises:
      StoppedError, DivergedError, RunError: as `job.run`.
    """
    task = NetworkTraining(evaluator, test_every, chunk)
    carry = job.run(task, folder, resume=resume, checkpoint_seconds=checkpoint_seconds)
    return carry["state"], carry["curves"]
