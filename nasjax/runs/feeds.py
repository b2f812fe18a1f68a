"""Batches for a `training.Trainer`, of images in memory or streamed from disk.

    source = feeds.open_source(data_dir=DIR)
    feed = feeds.Streamed(source, recipe, image_size=224, resize=256)

A batch depends only on the seed and the number of the step. Threads decode and crop a
streamed batch while the devices work on the one before; the devices mirror, colour and
normalise it. If there are several processes, each reads its share.
"""

import dataclasses
import hashlib
import os
import time
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from nasjax.data import imagenet
from nasjax.networks import training
from nasjax.networks.examples import Examples
from nasjax.networks.train_state import AXIS
from nasjax.networks.training import Epoch, Recipe

Arrays = tuple[Any, ...]


class Feed:
    """Batches of training images and of test images.

    Attributes:
      resident: whether images lie on the devices, so that steps can be scanned.
      epoch: an epoch's division into batches.
      trained, tested: numbers of images.
      note: text at the end of the progress line.
    """

    resident: bool
    epoch: Epoch
    trained: int
    tested: int
    note: str = ""

    def place(self, mesh: Mesh | None, divided: Mesh | None) -> None:
        """Called once, before all else.

        Args:
          mesh: the devices; None for one.
          divided: the same if each batch is divided over them, else None.
        """
        raise NotImplementedError

    def batches(
        self, seeds: Sequence[int], steps: range, scan: bool
    ) -> Iterator[tuple[Arrays, Arrays]]:
        """Batches of steps of one epoch.

        Yields:
          Arrays [S, ...], one entry per seed, or [S, T, ...] of T steps with `scan`;
          and arrays that all seeds share.
        """
        raise NotImplementedError

    def test_batches(self) -> Iterator[Arrays]:
        """Batches that hold every test image once, for `Model.score`."""
        raise NotImplementedError


class InMemory(Feed):
    """A data set on the devices; a step's batch is rows of it.

    Batches are (images, labels, index of the rows); of test images (images, labels,
    whether a row counts).

    Args:
      train: the training images.
      recipe: its batch size and `drop_last` are read.
      test: the test images; none by default.
      test_batch: images per batch of a test, rounded up to a multiple of the devices
        that divide it.

    Raises:
      ValueError: fewer images than a batch takes, and `drop_last`.
    """

    resident = True

    def __init__(
        self,
        train: Examples,
        recipe: Recipe,
        test: Examples | None = None,
        test_batch: int = 500,
    ):
        self._train, self.trained = train, len(train.labels)
        self.epoch = training.epoch_of(self.trained, recipe)
        self._test = train.at(slice(0)) if test is None else test
        self.tested, self._test_batch = len(self._test.labels), test_batch
        self._test_batches: list[Arrays] = []
        self._rows: tuple[Any, np.ndarray] = None, np.empty(0)  # of the last epoch

        def order(seed, epoch):
            key = jax.random.fold_in(jax.random.key(seed), 1)
            division = self.trained, recipe.batch_size, recipe.drop_last
            return training.batches(key, epoch, *division)

        self._order = jax.jit(jax.vmap(order, (0, None)))

    def place(self, mesh: Mesh | None, divided: Mesh | None) -> None:
        where = None if mesh is None else NamedSharding(mesh, PartitionSpec())
        self._train = jax.device_put(self._train, where)
        size = _whole(min(self._test_batch, self.tested), divided)
        self._test_batches = jax.device_put(padded(self._test, size), where)

    def batches(
        self, seeds: Sequence[int], steps: range, scan: bool
    ) -> Iterator[tuple[Arrays, Arrays]]:
        epoch, at = divmod(steps.start, self.epoch.steps)
        key = tuple(seeds), epoch
        if self._rows[0] != key:
            order = self._order(np.array(seeds, np.uint32), epoch)
            self._rows = key, np.asarray(order)
        index = self._rows[1][:, at : at + len(steps)]
        for part in training.parts(index):
            for rows in [part] if scan else part.swapaxes(0, 1):
                yield (rows,), self._train

    def test_batches(self) -> Iterator[Arrays]:
        yield from self._test_batches


def padded(examples: Examples, size: int) -> list[Arrays]:
    """Batches (images [size, H, W, C], labels [size], whether a row counts [size]).

    The last one is filled up with zeros.
    """
    batches: list[Arrays] = []
    for start in range(0, len(examples.labels), max(size, 1)):
        x, y = examples.at(slice(start, start + size))
        count = len(y)
        x = np.concatenate([x, np.zeros((size - count, *x.shape[1:]), x.dtype)])
        y = np.concatenate([y, np.zeros(size - count, y.dtype)])
        batches.append((x, y, np.arange(size) < count))
    return batches


def _whole(size: int, mesh: Mesh | None) -> int:
    """A batch size, rounded up so that all devices have as many images."""
    return size if mesh is None else size + -size % mesh.devices.size


class Source(NamedTuple):
    """A data set that stays on disk."""

    train: imagenet.Split
    test: imagenet.Split
    classes: int
    source: str  # for results files
    sha256: str  # of its name, its version and the sizes of its files, not of pixels


def open_source(
    name: str = imagenet.NAME, data_dir: str | os.PathLike[str] | None = None
) -> Source:
    """Opens both splits of a data set that tensorflow_datasets has prepared.

    Args:
      name: of a data set with the features of imagenet2012.
      data_dir: see `imagenet.open_split`.

    Raises:
      ImageDataError: it is not prepared.
    """
    train = imagenet.open_split("train", data_dir, name)
    test = imagenet.open_split("validation", data_dir, name)
    info: Any = train.source.dataset_info  # type: ignore[attr-defined]  # of tfds
    sizes = [
        (info.splits[x].shard_lengths, info.splits[x].num_bytes)
        for x in ("train", "validation")
    ]
    digest = hashlib.sha256(repr((info.full_name, sizes)).encode()).hexdigest()
    where = train.name.rpartition(",")[0]
    return Source(train, test, train.classes, where, digest)


class Streamed(Feed):
    """A data set that is read while the devices work, for one seed at a time.

    Batches are (images, labels), cropped and scaled to the size; in a test, rows that
    fill a batch have label -1. An epoch's last images, too few for a batch, are left
    out.

    Args:
      source: from `open_source`.
      recipe: its batch size is read; `drop_last` must be set.
      image_size, resize: sides of training and of test images; see `imagenet.Pipeline`.
      test_batch: images per batch of a test.
      workers: threads that decode; 0 is one for each core.

    Raises:
      ValueError: `drop_last` is False, a batch is larger than the training set, or
        sizes do not fit.

    Attributes:
      rate: images/s of reading the first batch of an epoch, or after a resume, while no
        device works; None before.
    """

    resident = False

    def __init__(
        self,
        source: Source,
        recipe: Recipe,
        *,
        image_size: int,
        resize: int,
        test_batch: int = 500,
        workers: int = 0,
    ):
        if not recipe.drop_last:
            raise ValueError("drop_last is False; a streamed data set needs True")
        self._source = source
        self.trained, self.tested = len(source.train.source), len(source.test.source)
        self.epoch = training.epoch_of(self.trained, recipe)
        self._pipeline = imagenet.Pipeline(
            batch_size=recipe.batch_size,
            size=image_size,
            resize=resize,
            shard=(jax.process_index(), jax.process_count()),
            workers=workers,
        )
        self._test_batch = min(test_batch, self.tested)
        self._stream: Any = None
        self._next: tuple[int, int] | None = None  # seed and step
        self.rate: float | None = None

    def place(self, mesh: Mesh | None, divided: Mesh | None) -> None:
        self._sharding = None
        if divided is not None:
            self._sharding = NamedSharding(divided, PartitionSpec(AXIS))
        size = _whole(self._test_batch, divided)
        self._test = dataclasses.replace(self._pipeline, batch_size=size)

    def batches(
        self, seeds: Sequence[int], steps: range, scan: bool
    ) -> Iterator[tuple[Arrays, Arrays]]:
        (seed,) = seeds
        for step in steps:
            yield (), self._put(self._batch(seed, step))

    def test_batches(self) -> Iterator[Arrays]:
        for batch in imagenet.evaluation(self._source.test, self._test):
            yield self._put(batch)

    def _put(self, batch: imagenet.Batch) -> Arrays:
        if self._sharding is None:
            return tuple(map(jnp.asarray, batch))
        put = jax.make_array_from_process_local_data
        return tuple(put(self._sharding, x) for x in batch)

    def _batch(self, seed: int, step: int) -> imagenet.Batch:
        """This process's share of a step's batch; a stream lasts for an epoch."""
        clock, fresh = time.perf_counter(), (seed, step) != self._next
        if fresh:
            self._close()
            epoch, first = divmod(step, self.epoch.steps)
            pipeline = dataclasses.replace(self._pipeline, seed=seed)
            self._stream = imagenet.training(self._source.train, pipeline, epoch, first)
        batch, self._next = next(self._stream), (seed, step + 1)
        if fresh:
            self.rate = self.epoch.batch_size / (time.perf_counter() - clock)
            self.note = f" (pipeline alone {self.rate:.0f})"
        if (step + 1) % self.epoch.steps == 0:
            self._close()
        return batch

    def _close(self) -> None:
        """Ends the threads."""
        if self._stream is not None:
            self._stream.close()
        self._stream, self._next = None, None
