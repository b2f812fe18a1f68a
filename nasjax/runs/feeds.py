"""Training from scratch on a data set that is read meanwhile: ImageNet.

    source = streaming.open_source(settings, DIR)
    runs.training.network(streaming.Streamer(settings, source, [seed]), folder)

Threads decode and crop the next batches while the devices work on one; mirroring,
colours and the normalisation are theirs. Over several processes each reads its share.
"""

import copy
import dataclasses
import functools
import hashlib
import os
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from nasjax.data import imagenet
from nasjax.networks import augment, color
from nasjax.networks import training as schedules
from nasjax.networks.derived import training
from nasjax.networks.derived.training import TrainState
from nasjax.runs import networks


class Source(NamedTuple):
    """A data set that stays on disk."""

    train: imagenet.Split
    test: imagenet.Split
    classes: int
    source: str  # what a results file says of it
    sha256: str  # of its name, its version and the sizes of its files, not of pixels


def open_source(
    name: str = imagenet.NAME, data_dir: str | os.PathLike[str] | None = None
) -> Source:
    """Opens both splits of what tensorflow_datasets has prepared.

    Args:
      name: of a data set with the features of imagenet2012.
      data_dir: see `imagenet.open_split`.

    Raises:
      ImageDataError: it is not prepared.
    """
    train = imagenet.open_split("train", data_dir, name)
    test = imagenet.open_split("validation", data_dir, name)
    info = train.source.dataset_info
    sizes = [
        (info.splits[x].shard_lengths, info.splits[x].num_bytes)
        for x in ("train", "validation")
    ]
    digest = hashlib.sha256(repr((info.full_name, sizes)).encode()).hexdigest()
    where = train.name.rpartition(",")[0]
    return Source(train, test, train.classes, where, digest)


def hits(logits: chex.Array, labels: chex.Array, top: int) -> chex.Array:
    """How many labels are among the `top` likeliest classes; label -1 never is.

    Args:
      logits: [B, K].
      labels: int32 [B].
      top: static; with fewer than `top` classes every label counts.

    Returns:
      int32 [].
    """
    chex.assert_rank([logits, labels], [2, 1])
    _, likeliest = jax.lax.top_k(logits, min(top, logits.shape[1]))
    return jnp.sum(jnp.any(likeliest == labels[:, None], axis=1), dtype=jnp.int32)


class Streamer:
    """Trains one seed in steps, as `evaluator.Evaluator` does a group in memory.

    The batch of a step follows from the seed and the step's number alone; an epoch's
    last images, too few for a batch, are left out. States have a leading axis of 1.

    Args:
      settings: of the run; see `experiments/evaluate.py`.
      source: from `open_source`.
      group: one seed.
      mesh: devices over which a batch is divided, of all processes; None for one.
      workers: threads that decode; 0 is one for each core.

    Raises:
      ValueError: more than one seed; a batch that cannot be divided over the devices,
        or that is larger than the training set; images that do not fit the network.
    """

    top5 = True

    def __init__(
        self,
        settings: Mapping[str, Any],
        source: Source,
        group: Sequence[int],
        mesh: Mesh | None = None,
        workers: int = 0,
    ):
        if len(group) != 1:
            raise ValueError(f"seeds {list(group)}: one at a time is trained here")
        self.config = networks.config(settings, source.classes)
        self.recipe = networks.recipe(settings)
        self.seeds, self.scans = tuple(group), False
        self.trained, self.tested = len(source.train.source), len(source.test.source)
        self.image_size, size = settings["image_size"], self.recipe.batch_size
        if not self.recipe.drop_last:
            raise ValueError("drop_last is False; a streamed data set needs True")
        self.epoch = schedules.epoch_of(self.trained, self.recipe)
        self.steps_per_epoch = self.epoch.steps
        devices = 1 if mesh is None else mesh.devices.size
        self.epoch.check(devices)
        shared, self._everywhere, self._divided = self.config, None, None
        if mesh is not None:
            shared = dataclasses.replace(shared, axis_name=training.AXIS)
            self._everywhere = NamedSharding(mesh, PartitionSpec())
            self._divided = NamedSharding(mesh, PartitionSpec(training.AXIS))
        self._source = source
        self._pipeline = imagenet.Pipeline(
            batch_size=size,
            size=self.image_size,
            resize=settings["resize"],
            seed=group[0],
            shard=(jax.process_index(), jax.process_count()),
            workers=workers,
        )
        test_batch = min(settings["test_batch"], self.tested)
        test_batch += -test_batch % devices
        self._test = dataclasses.replace(self._pipeline, batch_size=test_batch)
        self._stream, self._next = None, -1
        self.rate = None  # images/s read while no device works: an epoch's first batch
        colors = color.ColorConfig(mean=imagenet.MEAN, std=imagenet.STD)
        plain = augment.AugmentConfig(mean=imagenet.MEAN, std=imagenet.STD)
        self._init = functools.partial(
            training.init,
            config=self.config,
            recipe=self.recipe,
            image_size=self.image_size,
        )
        jax.eval_shape(self._init, jax.random.key(0))  # or raise

        def train(seed, state, images, labels):
            state = jax.tree.map(lambda x: x[0], state)
            key = jax.random.fold_in(jax.random.key(seed), 2)
            colour, drop = jax.random.split(jax.random.fold_in(key, state.step))
            state, metrics = training.learn(
                drop,
                state,
                color.augment(colour, images, colors, self.config.dtype),
                labels,
                config=shared,
                recipe=self.recipe,
                steps_per_epoch=self.steps_per_epoch,
                mesh=mesh,
            )
            return jax.tree.map(lambda x: x[None], (state, metrics))

        def score(state, images, labels):
            state = jax.tree.map(lambda x: x[0], state)
            logits = training.predict(
                state, images, config=self.config, augment=plain, mesh=mesh
            )
            return jnp.stack([hits(logits, labels, top) for top in (1, 5)])

        same = {"out_shardings": self._everywhere}
        self._train = jax.jit(train, donate_argnums=1, **same)
        self._score = jax.jit(score, **same)

    @property
    def note(self) -> str:
        """What the progress line adds."""
        return f" (pipeline alone {self.rate:.0f})" if self.rate else ""

    def with_seeds(self, group: Sequence[int]) -> "Streamer":
        """The same compiled programs for another seed."""
        (seed,) = group
        other = copy.copy(self)
        other.seeds, other._stream, other._next = (seed,), None, -1
        other._pipeline = dataclasses.replace(self._pipeline, seed=seed)
        return other

    def init(self) -> TrainState:
        """The state before the first step; arrays [1, ...]."""
        key = jax.random.fold_in(jax.random.key(self.seeds[0]), 0)
        state = jax.device_get(jax.jit(self._init)(key))
        return self.place(jax.tree.map(lambda x: x[None], state))

    def place(self, state: TrainState) -> TrainState:
        """Puts a state on the devices."""
        return jax.device_put(jax.tree.map(jnp.asarray, state), self._everywhere)

    def advance(
        self, state: TrainState, steps: range
    ) -> tuple[TrainState, training.Metrics]:
        """Steps of these numbers; metrics are arrays [1, T]."""
        rows, seed = [], np.uint32(self.seeds[0])
        for step in steps:
            # The call returns before the step is done; the next batch comes meanwhile.
            state, metrics = self._train(seed, state, *self._put(self._batch(step)))
            rows.append(metrics)
        rows = jax.device_get(rows)
        return state, jax.tree.map(lambda *x: np.stack(x, axis=1), *rows)

    def test(self, state: TrainState) -> dict[str, np.ndarray]:
        """`test` and `top5`: float64 [1], shares of all test images."""
        found = []
        for batch in imagenet.evaluation(self._source.test, self._test):
            found.append(self._score(state, *self._put(batch)))
            jax.block_until_ready(found[-2:][0])  # two batches at most wait on a device
        first, fifth = np.sum([np.asarray(x) for x in found], axis=0) / self.tested
        return {"test": np.array([first]), "top5": np.array([fifth])}

    def _put(self, batch: imagenet.Batch) -> tuple[jax.Array, ...]:
        if self._divided is None:
            return tuple(map(jnp.asarray, batch))
        put = jax.make_array_from_process_local_data
        return tuple(put(self._divided, x) for x in batch)

    def _batch(self, step: int) -> imagenet.Batch:
        """This process's share of a step's batch; an epoch comes from one stream."""
        clock, fresh = time.perf_counter(), step != self._next
        if fresh:
            self._close()
            epoch, first = divmod(step, self.steps_per_epoch)
            self._stream = imagenet.training(
                self._source.train, self._pipeline, epoch, first
            )
        batch, self._next = next(self._stream), step + 1
        if fresh:
            self.rate = self.recipe.batch_size / (time.perf_counter() - clock)
        if self._next % self.steps_per_epoch == 0:
            self._close()
        return batch

    def _close(self) -> None:
        """Ends the threads."""
        if self._stream is not None:
            self._stream.close()
        self._stream, self._next = None, -1
