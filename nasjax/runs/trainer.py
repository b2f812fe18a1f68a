"""The loop that trains a supernet: epochs, progress, curves, checkpoints."""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from nasjax.networks import training
from nasjax.networks.supernet import training as supernet_training
from nasjax.networks.supernet.training import TrainState
from nasjax.runs import supernets
from nasjax.spaces import image_sizes


class Trainer:
    """Trains a supernet in steps; the data set lies on the devices.

    On a GPU, many steps are one scan; on CPU each is a call, since gradients of
    convolutions are slow inside a loop there.

    Args:
      settings: of the run; see `experiments/train_supernet.py`.
      halves: the data set.
      mesh: devices over which a batch is divided; None for one.
      scan: whether many steps are one scan; None decides by the backend.

    Raises:
      ValueError: a batch that cannot be divided over the devices, or that is larger
        than the training set; images or labels that do not fit the network.
    """

    def __init__(
        self,
        settings: Mapping[str, Any],
        halves: supernets.Halves,
        mesh: Mesh | None = None,
        scan: bool | None = None,
    ):
        settings = {"image_channels": halves.train_images.shape[-1]} | settings
        self.config = supernets.config(settings, halves.classes)
        supernets.check_halves(halves, self.config)
        self.recipe = supernets.recipe(settings)
        self.image_size = image_sizes.size_of(halves.train_images)
        self._key = jax.random.key(settings["seed"])
        self._count = len(halves.train_labels)
        self.epoch = training.epoch_of(self._count, self.recipe)
        self.epoch.check(1 if mesh is None else mesh.devices.size)
        self.steps_per_epoch = self.epoch.steps
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
            augment=supernets.augmentation(settings, halves),
            policy=settings["policy"],
            steps_per_epoch=self.steps_per_epoch,
            mesh=mesh,
        )

        def several(key, state, images, labels, index):
            return jax.lax.scan(
                lambda state, row: one(key, state, images, labels, row), state, index
            )

        self._scan = jax.default_backend() != "cpu" if scan is None else scan
        self._call = jax.jit(several if self._scan else one, donate_argnums=1)
        self._order = jax.jit(
            functools.partial(
                training.batches,
                count=self._count,
                batch_size=self.recipe.batch_size,
                drop_last=self.recipe.drop_last,
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
            image_size=self.image_size,
        )
        return self._put(jax.jit(start)(key))

    def place(self, state: TrainState) -> TrainState:
        """Puts a restored state on the devices."""
        return self._put(jax.tree.map(jnp.asarray, state))

    def batches(self, epoch: int) -> np.ndarray:
        """int32 [steps_per_epoch, B]: the epoch's images; see `training.batches`."""
        return np.asarray(self._order(jax.random.fold_in(self._key, 1), epoch))

    def advance(self, state: TrainState, index: np.ndarray) -> tuple[TrainState, Any]:
        """Steps over rows [T, B] of `batches`; metrics are arrays [T] on the device."""
        key = jax.random.fold_in(self._key, 2)
        found = []
        for part in training.parts(index):
            for rows in [part] if self._scan else part:
                state, metrics = self._call(key, state, *self._data, self._put(rows))
                found.append(metrics)
        join = jnp.concatenate if self._scan else jnp.stack
        return state, jax.tree.map(lambda *x: join(x), *found)
