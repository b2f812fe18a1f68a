"""A training as a resumable job: epochs, curves, measurements, finite losses."""

import time
from collections.abc import Callable, Collection, Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np

from nasjax.networks.derived import training as derived
from nasjax.networks.training import cosine
from nasjax.runs import job
from nasjax.runs.errors import DivergedError, check_finite
from nasjax.runs.folder import Folder
from nasjax.runs.training import Trainer


class Training(job.Job):
    """A training as a job; the carry holds `state` and `curves`.

    Args:
      trainer: what is trained.
      curves: before the first step: arrays `loss` and `accuracy` [S, epochs] (without
        S for a trainer of a single state) and `seconds` [epochs], filled in place.
      record: `(state, curves, epoch)`; measures more and writes it into the curves.
        Epochs count from 1 here.
      epochs: after which `record` is called.
      saves: whether a checkpoint follows each such call.
      chunk: most steps between looks at the clock; a chunk ends with its epoch.
      name, label: see `job.Job`.
    """

    def __init__(
        self,
        trainer: Trainer,
        curves: Any,
        record: Callable[[Any, Any, int], None],
        epochs: Collection[int],
        *,
        saves: bool = False,
        chunk: int,
        name: str = "",
        label: str = "",
    ):
        self.name, self.label = name, label
        self.trainer, self.epochs = trainer, trainer.recipe.epochs
        self.per_epoch = trainer.steps_per_epoch
        self.steps = self.epochs * self.per_epoch
        self._curves, self._chunk, self._postfix = curves, chunk, ""
        self._record, self._recorded, self._saves = record, epochs, saves
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

    def must_save(self, step: int) -> bool:
        return step == self.steps or (self._saves and self._records(step))

    def _records(self, step: int) -> bool:
        epoch, at = divmod(step, self.per_epoch)
        return at == 0 and epoch in self._recorded

    def advance(self, carry: Any, first: int, last: int) -> Any:
        curves, (epoch, at) = carry["curves"], divmod(first, self.per_epoch)
        clock = time.perf_counter()
        state, metrics = self.trainer.advance(carry["state"], range(first, last))
        self._check_loss(metrics.loss, first)
        division, steps = self.trainer.epoch, (at, at + last - first)
        weights, total = division.weights(*steps), division.total
        loss = (metrics.loss * weights).sum(-1) / total
        accuracy = (metrics.accuracy * weights).sum(-1) / total
        if self.trainer.single:
            loss = loss[0]
            # JAX's sum, as ever; NumPy's may differ in the last bit.
            accuracy = float((jnp.asarray(metrics.accuracy[0]) * weights).sum()) / total
        curves.loss[..., epoch] += loss
        curves.accuracy[..., epoch] += accuracy
        seconds = time.perf_counter() - clock
        curves.seconds[epoch] += seconds
        if self._records(last):
            self._record(state, curves, epoch + 1)
        rate = division.sizes(*steps).sum() * len(self.trainer.seeds) / seconds
        self._postfix = (
            f"epoch {epoch + 1}/{self.epochs} loss {metrics.loss.mean():.3f}"
            f"{_latest(curves)} {rate:.0f} images/s{self.trainer.feed.note}"
        )
        return {"state": state, "curves": curves}

    def _check_loss(self, loss: np.ndarray, first: int) -> None:
        """DivergedError if a loss, of [S, T] from step `first` on, is not finite."""
        bad = ~np.isfinite(loss).all(axis=0)
        if bad.any():
            step = first + int(bad.argmax())
            values = ", ".join(f"{x:g}" for x in loss[:, bad.argmax()])
            raise DivergedError(
                f"the loss is {values} at step {step:,} "
                f"(epoch {step // self.per_epoch + 1}): the training diverged. "
                "Checkpoints are from before; a smaller learning rate may help"
            )

    def postfix(self, carry: Any, step: int) -> str:
        del carry, step
        return self._postfix

    def log(self, carry: Any, step: int, saved: bool) -> Mapping[str, Any] | None:
        del saved
        epoch, at = divmod(step, self.per_epoch)
        if at:
            return None
        curves, recipe = carry["curves"], self.trainer.recipe
        rate: Any = cosine
        if isinstance(recipe, derived.Recipe):
            rate = derived.learning_rate
        known = {"loss": "loss", "accuracy": "accuracy", "test": "test_accuracy"}
        return {
            "seeds": self.trainer.seeds,
            "epoch": epoch,
            "epochs": self.epochs,
            "learning_rate": float(rate(recipe, epoch - 1)),
            **{  # null where not tested
                text: getattr(curves, name)[..., epoch - 1]
                for name, text in known.items()
                if hasattr(curves, name)
            },
            "seconds": float(curves.seconds[epoch - 1]),
        }


def _latest(curves: Any) -> str:
    """The newest test accuracy as text; empty if there is none."""
    test = getattr(curves, "test", None)
    if test is None or not (known := np.flatnonzero(np.isfinite(test[0]))).size:
        return ""
    return f" test {100 * test[:, known[-1]].mean():.2f} %"


def fit(
    task: Training, folder: Folder | None, resume: bool, checkpoint_seconds: float
) -> tuple[Any, Any]:
    """Runs a training to its end; arguments and errors as of `job.run`.

    Returns:
      The last state and the curves.
    """
    carry = job.run(task, folder, resume=resume, checkpoint_seconds=checkpoint_seconds)
    return carry["state"], carry["curves"]
