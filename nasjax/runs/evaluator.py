"""The loop that trains networks from scratch: epochs, test accuracy, checkpoints.

`Evaluator` holds a data set on the devices; `nasjax.runs.feeds` reads one meanwhile.
"""

import copy
import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from nasjax.data.images import ImageData
from nasjax.networks import training as schedules
from nasjax.networks.augment import check_statistics
from nasjax.networks.derived import training
from nasjax.networks.derived.training import TrainState
from nasjax.runs import networks
from nasjax.spaces import image_sizes

SEEDS = "seed"


def mesh_of(devices: Sequence, group: Sequence[int]) -> Mesh | None:
    """How a group of seeds uses devices: one each, or one seed's batches over all."""
    if len(group) > 1:
        return Mesh(np.array(devices[: len(group)]), (SEEDS,))
    return Mesh(np.array(devices), (training.AXIS,)) if len(devices) > 1 else None


class Evaluator:
    """Trains a group of seeds in steps; the data set lies on the devices.

    A state has a leading axis for the S seeds. On a GPU, many steps are one scan; on
    CPU each is a call, since gradients of convolutions are slow inside a loop there.

    Args:
      settings: of the run; see `experiments/evaluate.py`.
      data: all of it.
      group: the seeds.
      mesh: from `mesh_of`; None for one seed on one device.
      scan: whether many steps are one scan; None decides by the backend.

    Raises:
      ValueError: a batch that cannot be divided over the devices, or that is larger
        than the training set; a mesh that does not fit the seeds; images or labels
        that do not fit the network.
    """

    top5, note = False, ""

    def __init__(
        self,
        settings: Mapping[str, Any],
        data: ImageData,
        group: Sequence[int],
        mesh: Mesh | None = None,
        scan: bool | None = None,
    ):
        settings = {"image_channels": data.train_images.shape[-1]} | settings
        self.config = networks.config(settings, data.classes)
        for part in ("train", "test"):
            given = getattr(data, f"{part}_images"), getattr(data, f"{part}_labels")
            image_sizes.check_examples(*given, self.config, f"{part} images")
        check_statistics(data.mean, data.std, self.config.image_channels)
        self.recipe = networks.recipe(settings)
        self.seeds, self.tested = tuple(group), len(data.test_labels)
        count, size = len(data.train_labels), self.recipe.batch_size
        self.trained, self.epoch = count, schedules.epoch_of(count, self.recipe)
        self.steps_per_epoch = self.epoch.steps
        self.image_size = image_sizes.size_of(data.train_images)
        self._rows = -1, None  # an epoch and int32 [S, steps_per_epoch, B]
        spread = mesh is not None and mesh.axis_names == (SEEDS,)
        if len(group) != (mesh.devices.size if spread else 1):
            raise ValueError(f"seeds {list(group)} need a device each")
        self._everywhere = self._by_seed = None
        if mesh is not None:
            self._everywhere = NamedSharding(mesh, PartitionSpec())
            axes = PartitionSpec(SEEDS) if spread else PartitionSpec()
            self._by_seed = NamedSharding(mesh, axes)
        shared, divided = self.config, None
        test_batch = min(settings["test_batch"], self.tested)
        if mesh is not None and not spread:
            devices, divided = mesh.devices.size, mesh
            test_batch += -test_batch % devices
            self.epoch.check(devices)
            shared = dataclasses.replace(shared, axis_name=training.AXIS)
        self._data = jax.device_put(
            (data.train_images, data.train_labels), self._everywhere
        )
        self._test = jax.device_put(_padded(data, test_batch), self._everywhere)
        augment = networks.augmentation(settings, data)
        step = functools.partial(
            training.step,
            config=shared,
            recipe=self.recipe,
            augment=augment,
            steps_per_epoch=self.steps_per_epoch,
            mesh=divided,
        )
        score = functools.partial(
            training.correct, config=self.config, augment=augment, mesh=divided
        )
        self._init = functools.partial(
            training.init,
            config=self.config,
            recipe=self.recipe,
            image_size=self.image_size,
        )
        jax.eval_shape(self._init, jax.random.key(0))  # or raise
        self.scans = jax.default_backend() != "cpu" if scan is None else scan

        def train(seed, state, index, images, labels):
            key = jax.random.fold_in(jax.random.key(seed), 2)
            if not self.scans:
                return step(key, state, images, labels, index)
            return jax.lax.scan(
                lambda state, row: step(key, state, images, labels, row), state, index
            )

        def lanes(function, mine):
            """Over the leading axis, which a device of the mesh has one entry of."""

            def one(*args):
                own = jax.tree.map(lambda x: x[0], args[:mine])
                out = function(*own, *args[mine:])
                return jax.tree.map(lambda x: x[None], out)

            if not spread:
                return one
            split, whole = PartitionSpec(SEEDS), PartitionSpec()
            return lambda *args: jax.shard_map(
                one,
                mesh=mesh,
                in_specs=(*[split] * mine, *[whole] * (len(args) - mine)),
                out_specs=split,
                check_vma=False,
            )(*args)

        self._train = jax.jit(lanes(train, 3), donate_argnums=1)
        self._score = jax.jit(lanes(score, 1))
        self._order = jax.jit(
            jax.vmap(
                lambda seed, epoch: schedules.batches(
                    jax.random.fold_in(jax.random.key(seed), 1),
                    epoch,
                    count,
                    size,
                    self.recipe.drop_last,
                ),
                (0, None),
            )
        )

    def with_seeds(self, group: Sequence[int]) -> "Evaluator":
        """The same compiled programs for another group of as many seeds."""
        if len(group) != len(self.seeds):
            raise ValueError(f"{list(group)} are not {len(self.seeds)} seeds")
        other = copy.copy(self)
        other.seeds, other._rows = tuple(group), (-1, None)
        return other

    def init(self) -> TrainState:
        """The state before the first step; arrays [S, ...]."""
        start = jax.jit(self._init)
        keys = [jax.random.fold_in(jax.random.key(seed), 0) for seed in self.seeds]
        states = [jax.device_get(start(key)) for key in keys]
        return self.place(jax.tree.map(lambda *x: np.stack(x), *states))

    def place(self, state: TrainState) -> TrainState:
        """Puts a state on the devices."""
        return jax.device_put(jax.tree.map(jnp.asarray, state), self._by_seed)

    def advance(
        self, state: TrainState, steps: range
    ) -> tuple[TrainState, training.Metrics]:
        """Steps of these numbers, all of one epoch; metrics are arrays [S, T]."""
        epoch, at = divmod(steps.start, self.steps_per_epoch)
        seeds = np.array(self.seeds, np.uint32)
        if self._rows[0] != epoch:
            self._rows = epoch, np.asarray(self._order(seeds, epoch))
        index = self._rows[1][:, at : at + len(steps)]
        found = []
        for part in schedules.parts(index):
            for rows in [part] if self.scans else part.swapaxes(0, 1):
                state, metrics = self._train(seeds, state, rows, *self._data)
                found.append(metrics)
        join = jnp.concatenate if self.scans else jnp.stack
        return state, jax.tree.map(lambda *x: join(x, axis=1), *found)

    def test(self, state: TrainState) -> dict[str, np.ndarray]:
        """`test`: float64 [S], the share of test images that is classified right."""
        found = [self._score(state, *batch) for batch in self._test]
        return {"test": np.sum([np.asarray(x) for x in found], axis=0) / self.tested}


def _padded(data: ImageData, size: int) -> list[tuple[np.ndarray, ...]]:
    """Batches of test images, the last filled up, and which rows count."""
    batches = []
    for start in range(0, len(data.test_labels), size):
        images = data.test_images[start : start + size]
        labels = data.test_labels[start : start + size]
        missing = size - len(labels)
        images = np.concatenate([images, np.zeros_like(data.test_images[:missing])])
        labels = np.concatenate([labels, np.zeros_like(data.test_labels[:missing])])
        batches.append((images, labels, np.arange(size) < size - missing))
    return batches
