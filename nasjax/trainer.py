"""The loop that trains a supernet: epochs, progress, curves, checkpoints."""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from nasjax import pretraining, training
from nasjax.supernet import training as supernet_training
from nasjax.supernet.training import TrainState


class Trainer:
    """Trains a supernet in steps; the data set lies on the devices.

    On a GPU, many steps are one scan; on CPU each is a call, since gradients of
    convolutions are slow inside a loop there.
    """

    def __init__(
        self,
        settings: Mapping[str, Any],
        halves: pretraining.Halves,
        mesh: Mesh | None = None,
    ):
        self.config = pretraining.config(settings, halves.classes)
        self.recipe = pretraining.recipe(settings)
        self._size = halves.train_images.shape[1]
        self._key = jax.random.key(settings["seed"])
        self._count = len(halves.train_labels)
        self.steps_per_epoch = self._count // self.recipe.batch_size
        training.batches(self._key, 0, self._count, self.recipe.batch_size)  # or raise
        if mesh is not None and self.recipe.batch_size % mesh.devices.size:
            raise ValueError(
                f"a batch of {self.recipe.batch_size} cannot be divided over "
                f"{mesh.devices.size} devices"
            )
        self._sharding = None
        shared = self.config
        if mesh is not None:
            self._sharding = NamedSharding(mesh, PartitionSpec())
            shared = dataclasses.replace(shared, axis_name=supernet_training.AXIS)
        self._data = self._put((halves.train_images, halves.train_labels))
        one = functools.partial(
            supernet_training.step,
            config=shared,
            recipe=self.recipe,
            augment=pretraining.augmentation(settings, halves),
            policy=settings["policy"],
            steps_per_epoch=self.steps_per_epoch,
            mesh=mesh,
        )

        def several(key, state, images, labels, index):
            return jax.lax.scan(
                lambda state, row: one(key, state, images, labels, row), state, index
            )

        self._scan = jax.default_backend() != "cpu"
        self._call = jax.jit(several if self._scan else one, donate_argnums=1)
        self._order = jax.jit(
            functools.partial(
                training.batches,
                count=self._count,
                batch_size=self.recipe.batch_size,
            )
        )

    def _put(self, tree):
        return jax.device_put(tree, self._sharding)

    def init(self) -> TrainState:
        """The state before the first step."""
        key = jax.random.fold_in(self._key, 0)
        start = functools.partial(
            supernet_training.init,
            config=self.config,
            recipe=self.recipe,
            image_size=self._size,
        )
        return self._put(jax.jit(start)(key))

    def place(self, state: TrainState) -> TrainState:
        """Puts a restored state on the devices."""
        return self._put(jax.tree.map(jnp.asarray, state))

    def batches(self, epoch: int) -> jax.Array:
        """int32 [steps_per_epoch, B]: the epoch's images."""
        return self._order(jax.random.fold_in(self._key, 1), epoch)

    def advance(self, state: TrainState, index) -> tuple[TrainState, Any]:
        """Steps over `index` [T, B]; metrics are arrays [T] on the device."""
        key = jax.random.fold_in(self._key, 2)
        if self._scan:
            return self._call(key, state, *self._data, self._put(index))
        rows = []
        for row in np.asarray(index):
            state, metrics = self._call(key, state, *self._data, self._put(row))
            rows.append(metrics)
        return state, jax.tree.map(lambda *x: jnp.stack(x), *rows)
