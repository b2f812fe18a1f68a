"""Training of a derived network.

Pure functions of the images passed to them; nothing here loops over epochs.
"""

import dataclasses
import functools
from typing import Any

import chex
import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from nasjax.networks import augment as augmentation
from nasjax.networks import train_state, training
from nasjax.networks.config import check_choice
from nasjax.networks.derived import network
from nasjax.networks.derived.config import DerivedConfig
from nasjax.networks.train_state import AXIS as AXIS
from nasjax.networks.train_state import Metrics, TrainState, divide, over_devices
from nasjax.networks.training import setting
from nasjax.spaces.image_sizes import Size

SCHEDULES = ("cosine", "linear")


@dataclasses.dataclass(frozen=True)
class Recipe(training.Recipe):
    """SGD of networks trained from scratch; the defaults are those of DARTS on CIFAR.

    Raises:
      ValueError: names the value and what is allowed.

    Source: Liu et al. 2019; thesis 3.4.3 and 4.4.4.
    """

    final_learning_rate: float = setting(0.0, "end of the cosine")
    batch_size: int = setting(96, "images per step, over all devices")
    epochs: int = setting(600, "of the whole training")
    schedule: str = setting(
        "cosine", "cosine, or linear (to zero); both move once an epoch"
    )
    warmup: int = setting(0, "epochs of linear warm-up, with the linear schedule")
    label_smoothing: float = setting(0.0, "share of a label spread over all classes")
    auxiliary: float = setting(
        0.4, "weight of the auxiliary head's loss; 0: no such head"
    )
    drop_path: float = setting(
        0.2, "p; epoch e drops a path with probability p e / epochs"
    )

    def __post_init__(self):
        super().__post_init__()
        check_choice(self, "schedule", SCHEDULES)
        if self.schedule == "linear":
            training.check_linear(self, self.warmup)
        elif self.warmup:
            raise ValueError(f"warmup is {self.warmup}; the cosine schedule has none")
        for name in ("label_smoothing", "drop_path"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(
                    f"{name} must lie in [0, 1), got {getattr(self, name)}"
                )
        if not 0 <= self.auxiliary < float("inf"):
            raise ValueError(f"auxiliary must not be negative, got {self.auxiliary}")


def init(
    key: chex.PRNGKey, config: DerivedConfig, recipe: Recipe, image_size: Size = 32
) -> TrainState:
    """Random weights, zero momentum, statistics of mean 0 and variance 1.

    Arguments and errors as `network.init`.
    """
    variables = network.init(key, config, image_size)
    return train_state.start(variables["params"], variables["statistics"], recipe)


def learning_rate(recipe: Recipe, epoch: chex.Numeric) -> chex.Array:
    """Learning rate of an epoch, counted from 0, by the recipe's schedule."""
    if recipe.schedule == "linear":
        return training.linear(recipe, epoch, recipe.warmup)
    return training.cosine(recipe, epoch)


def gradient(
    key: chex.PRNGKey,
    params: Any,
    statistics: Any,
    drop_path: chex.Numeric,
    images: chex.Array,
    labels: chex.Array,
    *,
    config: DerivedConfig,
    recipe: Recipe,
) -> tuple[Any, Metrics, Any]:
    """Gradient of the mean loss, metrics, and the updated running statistics.

    loss = H(logits) + w H(auxiliary logits), H the mean cross-entropy

    Args:
      key: of the batch, the same on every device.
      params, statistics: of the network.
      drop_path: probability []; unused if the recipe's is 0.
      images: [B, H, W, C], normalised.
      labels: int32 [B].
      config, recipe: static; w is `recipe.auxiliary`.
    """
    options: dict[str, Any] = {"mutable": ["statistics"]}
    if recipe.drop_path:
        options |= {"drop_path": drop_path, "rngs": {"drop_path": key}}

    def loss(params):
        variables = {"params": params, "statistics": statistics}
        (logits, auxiliary), moved = network.Network(config).apply(
            variables, images, True, **options
        )
        errors = training.cross_entropy(logits, labels, recipe.label_smoothing)
        value = total = jnp.mean(errors)
        if auxiliary is not None:
            errors = training.cross_entropy(auxiliary, labels, recipe.label_smoothing)
            total += recipe.auxiliary * jnp.mean(errors)
        correct = jnp.mean(jnp.argmax(logits, -1) == labels)
        return total, (Metrics(value, correct), moved["statistics"])

    return train_state.gradient(loss, params, config.axis_name)


def step(
    key: chex.PRNGKey,
    state: TrainState,
    images: chex.Array,
    labels: chex.Array,
    index: chex.Array,
    *,
    config: DerivedConfig,
    recipe: Recipe,
    augment: augmentation.AugmentConfig,
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
      mesh: devices over which the batch is divided; needs `config.axis_name = "data"`.
        Without a mesh, but with an axis name, the call is one device's part of a
        `pmap`, and `index` is its share of the rows.

    Returns:
      The next state and the batch's metrics.
    """
    key_augment, key_drop = jax.random.split(jax.random.fold_in(key, state.step))
    if mesh is None and config.axis_name is not None:
        place = jax.lax.axis_index(config.axis_name)
        key_augment = jax.random.fold_in(key_augment, place)
    batch = divide(images[index], mesh)
    batch = augmentation.augment(key_augment, batch, augment, config.dtype)
    return learn(
        key_drop,
        state,
        batch,
        labels[index],
        config=config,
        recipe=recipe,
        steps_per_epoch=steps_per_epoch,
        mesh=mesh,
    )


def learn(
    key: chex.PRNGKey,
    state: TrainState,
    images: chex.Array,
    labels: chex.Array,
    *,
    config: DerivedConfig,
    recipe: Recipe,
    steps_per_epoch: int,
    mesh: Mesh | None = None,
) -> tuple[TrainState, Metrics]:
    """Trains on one batch that is already augmented; `step` without its data set.

    Args:
      key: of the batch's drop path.
      images: [B, H, W, C], augmented and normalised.
      labels: int32 [B].
      state, config, recipe, steps_per_epoch, mesh: as in `step`.
    """
    epoch = state.step // steps_per_epoch
    compute = functools.partial(gradient, config=config, recipe=recipe)
    grads, metrics, statistics = over_devices(compute, mesh, shared=4)(
        key,
        state.params,
        state.statistics,
        recipe.drop_path * epoch / recipe.epochs,
        images,
        labels,
    )
    rate = learning_rate(recipe, epoch)
    return train_state.update(state, grads, statistics, rate, recipe), metrics


def correct(
    state: TrainState,
    images: chex.Array,
    labels: chex.Array,
    counted: chex.Array,
    *,
    config: DerivedConfig,
    augment: augmentation.AugmentConfig,
    mesh: Mesh | None = None,
) -> chex.Array:
    """Number of images that are classified correctly, by the running statistics.

    Args:
      state: of the network.
      images: uint8 [B, H, W, C].
      labels: int32 [B].
      counted: bool [B], False for rows that only fill the batch.
      config, augment: static; only the normalisation of `augment` is applied.
      mesh: devices over which the batch is divided.

    Returns:
      int32 [].
    """
    logits = predict(state, images, config=config, augment=augment, mesh=mesh)
    return jnp.sum((jnp.argmax(logits, -1) == labels) & counted)


def predict(
    state: TrainState,
    images: chex.Array,
    *,
    config: DerivedConfig,
    augment: augmentation.AugmentConfig,
    mesh: Mesh | None = None,
) -> chex.Array:
    """Logits float32 [B, K] by the running statistics; arguments as in `correct`."""
    batch = divide(images, mesh)
    batch = augmentation.normalize(batch, augment.mean, augment.std, config.dtype)
    variables = {"params": state.params, "statistics": state.statistics}
    logits, _ = network.Network(config).apply(variables, batch, False)
    return logits
