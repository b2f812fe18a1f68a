"""Recipes of training: SGD with momentum, schedules, losses, epochs.

Shared by supernets and networks trained from scratch. Schedules and label smoothing are
not optax's, which round differently.
"""

import dataclasses
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax

from nasjax.networks.config import check_positive
from nasjax.networks.platforms import by_platform

_GROUP = 32  # arrays whose squares a GPU sums together
# Values of fields that a run's config.json lacks if an older version wrote it.
ABSENT = {"drop_last": True, "image_channels": 3, "constants": "own"}


def setting(default: Any, text: str) -> Any:
    """A dataclass field with its help text."""
    return dataclasses.field(default=default, metadata={"help": text})


@dataclasses.dataclass(frozen=True)
class Recipe:
    """Stochastic gradient descent; the defaults are those of DARTS's supernets.

    Raises:
      ValueError: names the value and what is allowed.

    Source: Liu et al. 2019; thesis 3.4.1.
    """

    learning_rate: float = setting(
        0.025, "of the first epoch, or at the end of the warm-up"
    )
    final_learning_rate: float = setting(
        1e-3, "end of the cosine; it moves once an epoch"
    )
    momentum: float = setting(0.9, "of SGD")
    nesterov: bool = setting(False, "Nesterov's momentum")
    weight_decay: float = setting(
        3e-4, "times the weight is added to its gradient, after clipping"
    )
    clip: float = setting(5.0, "largest global norm of a gradient; 0: no clipping")
    batch_size: int = setting(64, "images per step, over all devices")
    epochs: int = setting(50, "of the whole training")
    drop_last: bool = setting(
        True, "leave out an epoch's last batch if it is smaller than the others"
    )

    def __post_init__(self):
        check_positive(self, "batch_size", "epochs")
        for name in ("learning_rate", "final_learning_rate", "weight_decay", "clip"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise ValueError(
                    f"{name} must not be negative, got {getattr(self, name)}"
                )
        if not 0 <= self.momentum < 1:
            raise ValueError(f"momentum must lie in [0, 1), got {self.momentum}")


def cosine(recipe: Recipe, epoch: chex.Numeric) -> chex.Array:
    """Learning rate of an epoch, counted from 0, falling by a cosine.

    final + (initial - final) (1 + cos(pi epoch / epochs)) / 2
    """
    initial, final = recipe.learning_rate, recipe.final_learning_rate
    share = (1 + jnp.cos(jnp.pi * epoch / recipe.epochs)) / 2
    return final + (initial - final) * share


def linear(recipe: Recipe, epoch: chex.Numeric, warmup: int = 0) -> chex.Array:
    """Learning rate of an epoch: a linear warm-up, then linearly to zero.

    lr (e + 1) / W for e < W;  lr (E - W - e) / (E - W) while E - e > W;
    then lr (E - e) / (W (E - W)). Without a warm-up lr (E - e) / E.
    Epochs e count from 0; E in all, W of warm-up.

    Args:
      recipe: its `final_learning_rate` must be 0.
      epoch: e, [].
      warmup: W, static; less than half of the epochs.

    Raises:
      ValueError: as `check_linear`.

    Source: the public ImageNet code of PC-DARTS (W = 5), the recipe of thesis 4.4.4.
    """
    check_linear(recipe, warmup)
    E, W = recipe.epochs, warmup
    if not W:
        return recipe.learning_rate * (E - epoch) / E
    share = jnp.where(
        E - epoch > W, (E - W - epoch) / (E - W), (E - epoch) / W / (E - W)
    )
    return recipe.learning_rate * jnp.where(epoch < W, (epoch + 1) / W, share)


def check_linear(recipe: Recipe, warmup: int) -> None:
    """Checks that `linear` can follow a recipe.

    Raises:
      ValueError: the final rate is not 0, or W is below 0 or not below half the epochs.
    """
    E, W = recipe.epochs, warmup
    if recipe.final_learning_rate:
        raise ValueError(
            f"a linear schedule ends at 0, got final_learning_rate "
            f"{recipe.final_learning_rate}"
        )
    if not 0 <= 2 * W < E:
        raise ValueError(
            f"warmup is {W}; allowed: less than half of the {E} epochs, at least 0"
        )


def cross_entropy(
    logits: chex.Array, labels: chex.Array, smoothing: float = 0.0
) -> chex.Array:
    """Cross-entropy of each image: -sum_k q_k log p_k, q = (1 - s) one_hot + s / K.

    Args:
      logits: float32 [B, K], p = softmax(logits).
      labels: int32 [B].
      smoothing: s, static.

    Returns:
      float32 [B].

    Source: Szegedy et al. 2016 (label smoothing).
    """
    errors = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
    if smoothing == 0:
        return errors
    uniform = -jnp.mean(jax.nn.log_softmax(logits), axis=-1)
    return (1 - smoothing) * errors + smoothing * uniform


def _norm_in_groups(tree):
    """Global norm by few kernels; a GPU would run one or two for each array."""
    leaves = [x.reshape(-1) for x in jax.tree.leaves(tree)]
    groups = [leaves[i : i + _GROUP] for i in range(0, len(leaves), _GROUP)]
    return jnp.sqrt(sum(jnp.sum(jnp.concatenate(group) ** 2) for group in groups))


def _clip_by_global_norm(limit):
    """`optax.clip_by_global_norm`, of which a GPU computes the norm in groups."""

    def update(updates, state, params=None):
        norm = by_platform(_norm_in_groups, optax.tree.norm, updates)

        def clip(x):
            return jax.lax.select(norm < limit, x, x / norm.astype(x.dtype) * limit)

        return jax.tree.map(clip, updates), state

    return optax.GradientTransformation(optax.init_empty_state, update)


def sgd(recipe: Recipe) -> optax.GradientTransformation:
    """SGD: clipping, weight decay, momentum; the caller scales by the learning rate."""
    clip = [_clip_by_global_norm(recipe.clip)] if recipe.clip else []
    return optax.chain(
        *clip,
        optax.add_decayed_weights(recipe.weight_decay),
        optax.trace(recipe.momentum, recipe.nesterov),
    )


class Epoch(NamedTuple):
    """An epoch's division into batches, of which the last may be smaller."""

    images: int  # in all batches together
    batch_size: int  # of all batches but the last

    @property
    def steps(self) -> int:
        """Number of batches."""
        return -(-self.images // self.batch_size)

    @property
    def whole(self) -> int:
        """Number of batches of full size."""
        return self.images // self.batch_size

    def sizes(self, first: int, last: int) -> np.ndarray:
        """Numbers of images of the steps `first .. last - 1`, int [last - first]."""
        left = self.images - self.batch_size * np.arange(first, last)
        return np.minimum(left, self.batch_size)

    def weights(self, first: int, last: int) -> np.ndarray:
        """`sizes` as shares of a full batch, float32; an epoch's sum to `total`."""
        return (self.sizes(first, last) / self.batch_size).astype(np.float32)

    @property
    def total(self) -> float:
        """Number of batches, a smaller last batch counted by its share."""
        return self.images / self.batch_size

    def check(self, devices: int) -> None:
        """ValueError if a batch cannot be divided evenly over that many devices."""
        last = self.images % self.batch_size
        if self.whole and self.batch_size % devices:
            raise ValueError(
                f"a batch of {self.batch_size} cannot be divided over {devices} devices"
            )
        if last % devices:
            raise ValueError(
                f"the last batch, of {last} images, cannot be divided over {devices} "
                "devices; drop_last=True (--drop-last true) leaves it out"
            )


def epoch_of(count: int, recipe: Recipe) -> Epoch:
    """The division of `count` images into batches.

    Raises:
      ValueError: `drop_last` leaves no batch, as there are fewer images than in one.
    """
    size = recipe.batch_size
    if not recipe.drop_last:
        return Epoch(count, size)
    if count < size:
        raise ValueError(f"{count} images are too few for a batch of {size}")
    return Epoch(count // size * size, size)


def batches(
    key: chex.PRNGKey,
    epoch: chex.Numeric,
    count: int,
    batch_size: int,
    drop_last: bool = True,
) -> chex.Array:
    """Indices of an epoch's images in random order, a row for each batch.

    The last few, too few for a batch, are left out with `drop_last`; otherwise they are
    a row of their own, filled up with -1, which `parts` cuts off.

    Args:
      key: of the whole training; the epoch's own is folded from it.
      epoch: [].
      count: number of images, static.
      batch_size: B, static.
      drop_last: static.

    Returns:
      int32 [steps, B].

    Raises:
      ValueError: as `epoch_of`.
    """
    order = jax.random.permutation(jax.random.fold_in(key, epoch), count)
    of = epoch_of(count, Recipe(batch_size=batch_size, drop_last=drop_last))
    fill = of.steps * batch_size - of.images
    order = jnp.pad(order[: of.images], (0, fill), constant_values=-1)
    return order.reshape(of.steps, batch_size).astype(jnp.int32)


def parts(index: np.ndarray) -> list[np.ndarray]:
    """Steps split by the size of their batch: full ones, and the last if smaller.

    Args:
      index: int32 [..., T, B], rows of `batches`; leading axes with the same fill.

    Returns:
      At most two arrays [..., t, b] without fill, in order, none of them empty.
    """
    sizes = (index.reshape(-1, *index.shape[-2:])[0] >= 0).sum(axis=1)
    whole = int((sizes == index.shape[-1]).sum())
    blocks = [index[..., :whole, :]] if whole else []
    if whole < len(sizes):
        blocks.append(index[..., whole:, : sizes[-1]])
    return blocks


def hits(logits: chex.Array, labels: chex.Array, top: int) -> chex.Array:
    """Number of labels among the `top` likeliest classes; label -1 never counts.

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
