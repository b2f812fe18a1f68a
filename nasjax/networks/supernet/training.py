"""Training of a supernet: one architecture per batch, or all operations at once.

Pure functions of the images passed to them; nothing here loops over epochs.
"""

import functools
from typing import Any

import chex
import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh

from nasjax.networks import augment as augmentation
from nasjax.networks import train_state, training
from nasjax.networks.supernet import network
from nasjax.networks.supernet.config import SupernetConfig
from nasjax.networks.train_state import AXIS as AXIS
from nasjax.networks.train_state import Metrics, TrainState, divide, over_devices
from nasjax.spaces import image_sizes

POLICIES = ("uniform", "one-shot")


def init(
    key: chex.PRNGKey,
    config: SupernetConfig,
    recipe: training.Recipe,
    image_size: image_sizes.Size = 32,
) -> TrainState:
    """Random weights, zero momentum, statistics of mean 0 and variance 1.

    Errors as `network.initial_statistics`.
    """
    params = network.init(key, config)
    statistics = network.initial_statistics(config, image_size)
    return train_state.start(params, statistics, recipe)


def choose(
    key: chex.PRNGKey, config: SupernetConfig, policy: str
) -> tuple[chex.Array, str]:
    """The architecture or mask that a batch trains, and its mode of `network.apply`.

    `uniform` draws an architecture uniformly, as discretising alpha ~ U(0, 1) does;
    `one-shot` takes every operation of every edge.

    Raises:
      ValueError: the policy is not one of POLICIES.

    Source: thesis 4.1.3 (uniform), 3.1.2 (one-shot).
    """
    if policy not in POLICIES:
        raise ValueError(f"policy is {policy!r}; allowed: {', '.join(POLICIES)}")
    if policy == "one-shot":
        return jnp.ones(config.space.alpha_shape), "dense"
    return config.space.random(key), "path"


def gradient(
    params: Any,
    choice: chex.Array,
    images: chex.Array,
    labels: chex.Array,
    config: SupernetConfig,
    mode: str = "path",
) -> tuple[Any, Metrics, Any]:
    """Gradient of the mean cross-entropy, metrics, and the batch's statistics.

    Args:
      params, choice, config, mode: see `network.apply`, also for errors.
      images: [B, H, W, C], normalised.
      labels: int32 [B].
    """

    def loss(params):
        logits, used = network.apply(params, choice, images, config, mode=mode)
        errors = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
        correct = jnp.mean(jnp.argmax(logits, -1) == labels)
        value = jnp.mean(errors)
        return value, (Metrics(value, correct), used)

    return train_state.gradient(loss, params, config.axis_name)


def train(
    key: chex.PRNGKey,
    state: TrainState,
    choice: chex.Array,
    images: chex.Array,
    labels: chex.Array,
    learning_rate: chex.Numeric,
    *,
    config: SupernetConfig,
    recipe: training.Recipe,
    augment: augmentation.AugmentConfig,
    mode: str = "path",
    mesh: Mesh | None = None,
) -> tuple[TrainState, Metrics]:
    """Trains what `choice` selects on one batch; other weights keep their bits.

    Args:
      key: of the batch's augmentation.
      choice, mode: see `network.apply`.
      images: uint8 [B, H, W, C].
      labels: int32 [B].
      learning_rate: [].
      state, config, recipe, augment, mesh: see `step`, also for what is returned.
    """
    batch = augmentation.augment(key, images, augment, config.dtype)
    compute = functools.partial(gradient, config=config, mode=mode)
    grads, metrics, used = over_devices(compute, mesh, shared=2)(
        state.params, choice, batch, labels
    )
    selected = network.selected(config, choice)
    statistics = network.update_statistics(config, state.statistics, used, choice)
    new = train_state.update(state, grads, statistics, learning_rate, recipe, selected)
    return new, metrics


def step(
    key: chex.PRNGKey,
    state: TrainState,
    images: chex.Array,
    labels: chex.Array,
    index: chex.Array,
    *,
    config: SupernetConfig,
    recipe: training.Recipe,
    augment: augmentation.AugmentConfig,
    policy: str = "uniform",
    steps_per_epoch: int,
    mesh: Mesh | None = None,
) -> tuple[TrainState, Metrics]:
    """Trains on one batch.

    Args:
      key: of the whole training; the step's own is folded from it.
      state: from `init` or the step before.
      images: uint8 [N, H, W, C], the training set.
      labels: int32 [N].
      index: int32 [B], the batch's rows.
      config, recipe, augment, steps_per_epoch: static.
      policy: see `choose`; static.
      mesh: devices over which the batch is divided; needs `config.axis_name = "data"`.

    Returns:
      The next state and the batch's metrics.
    """
    key = jax.random.fold_in(key, state.step)
    key_choice, key_augment = jax.random.split(key)
    choice, mode = choose(key_choice, config, policy)
    return train(
        key_augment,
        state,
        choice,
        divide(images[index], mesh),
        labels[index],
        training.cosine(recipe, state.step // steps_per_epoch),
        config=config,
        recipe=recipe,
        augment=augment,
        mode=mode,
        mesh=mesh,
    )
