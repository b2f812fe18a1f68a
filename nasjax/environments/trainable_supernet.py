"""A supernet that every query trains further (thesis Algorithm 1)."""

import dataclasses
import functools
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np

from nasjax.environments.frozen_supernet import check_batches, score
from nasjax.networks import augment as augmentation
from nasjax.networks import training
from nasjax.networks.examples import Examples
from nasjax.networks.supernet import training as supernet_training
from nasjax.networks.supernet.config import SupernetConfig
from nasjax.networks.supernet.training import TrainState
from nasjax.search import Environment, Outcome
from nasjax.spaces import image_sizes


class Split(NamedTuple):
    """Both halves of the training images."""

    train: Examples
    valid: Examples


# Traced once for all that are equal; inside of another program they leave no call.
_jit = functools.partial(jax.jit, static_argnums=0, inline=True)


@dataclasses.dataclass(frozen=True)
class Evaluate:
    """The `evaluate` of a supernet in training: M batches, then the validation half.

    As one traced function (`scan=True`) it serves `search.run` and a GPU. On CPU
    gradients of convolutions are slow inside a loop, so there each batch is a call of
    its own (`scan=False`), for `search.drive`. Both train on the same batches.
    """

    config: SupernetConfig
    recipe: training.Recipe
    augment: augmentation.AugmentConfig
    batches: int
    eval_batch: int
    scan: bool
    together: int | None = None  # of `score`

    @functools.partial(_jit, static_argnums=(0, 2))
    def _rows(self, key, count):
        """int32 [M, B]: images of the training half, none twice in a step."""
        B = self.recipe.batch_size
        order = jax.random.permutation(key, count)
        return order[: self.batches * B].reshape(self.batches, B).astype(jnp.int32)

    @_jit
    def _step(self, key, state, arch, examples, index):
        images, labels = examples.at(index)
        return supernet_training.train(
            jax.random.fold_in(key, state.step),
            state,
            arch,
            images,
            labels,
            self.recipe.learning_rate,
            config=self.config,
            recipe=self.recipe,
            augment=self.augment,
        )[0]

    @_jit
    def _judge(self, params, arch, examples):
        return score(
            self.config,
            params,
            arch,
            *examples,
            mean=self.augment.mean,
            std=self.augment.std,
            batch_size=self.eval_batch,
            together=self.together,
        )

    def __call__(
        self, key: chex.PRNGKey, params: Split, state: TrainState, arch: chex.Array
    ) -> tuple[TrainState, Outcome]:
        """As `Environment.evaluate`."""
        key_order, key_augment = jax.random.split(key)
        rows = self._rows(key_order, len(params.train.labels))

        def train(state, index):
            return self._step(key_augment, state, arch, params.train, index), None

        if self.scan:
            state, _ = jax.lax.scan(train, state, rows)
        else:
            for index in np.asarray(rows):
                state, _ = train(state, index)
        return state, self._judge(state.params, arch, params.valid)


def trainable_supernet(
    config: SupernetConfig,
    state: TrainState,
    train: Examples,
    valid: Examples,
    *,
    recipe: training.Recipe,
    augment: augmentation.AugmentConfig,
    batches: int = 25,
    eval_batch: int = 500,
    scan: bool | None = None,
) -> Environment:
    """Each query trains the architecture for M batches, then scores it.

    The supernet (weights, momentum, statistics) is the environment's state: lanes own
    one each. A query draws M batches of distinct images from the training half, trains
    the selected weights with the recipe's constant `learning_rate`, and returns
    accuracy and mean cross-entropy over the validation half by batch statistics.

    Args:
      config: of the supernet; static.
      state: of a supernet after its warm-up, to start from.
      train: images that queries train on.
      valid: images that architectures are scored on.
      recipe: batch size, learning rate, momentum, decay, clipping; static.
      augment: of training images; its mean and std also normalise the others.
      batches: M.
      eval_batch: images per batch of the evaluation; scores depend on it.
      scan: make it one traced function; None: unless the backend is a CPU.

    Raises:
      ValueError: the halves hold no full batch, or fewer than M of them; images or
        labels do not fit the network, see `image_sizes.check_examples`.

    Source: thesis Algorithm 1, 3.2.1, 3.4.1.
    """
    check_batches(*valid, eval_batch)
    full = check_batches(*train, recipe.batch_size)
    if not 1 <= batches <= full:
        raise ValueError(f"batches is {batches}; the training half has 1..{full}")
    image_sizes.check_examples(*train, config, "train images")
    image_sizes.check_examples(*valid, config, "valid images")
    scan = jax.default_backend() != "cpu" if scan is None else scan
    evaluate = Evaluate(config, recipe, augment, batches, eval_batch, scan)
    shared = jax.tree.map(jnp.asarray, Split(train, valid))
    return Environment(shared, state, evaluate, traceable=scan)
