"""Actor and critic: multi-layer perceptrons and their initialisation.

The weights start orthogonal with zero biases, and the last layer is scaled by 1e-3, as
in the code that the thesis builds on (ShangtongZhang/DeepRL, `layer_init`). Without
that scale the actor would not move at the thesis's learning rate of 1e-8.
"""

from collections.abc import Sequence
from typing import Any, cast

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp

from nasjax.agent.draws import flat

LAST = 1e-3  # scale of the last layer
# A small singular value grows 1.5-fold per iteration until it is near 1: 40 iterations
# suffice from 1e-6, and few Gaussian matrices of 256 rows have a smaller one.
NEWTON_SCHULZ_ITERATIONS = 40
# A GPU would round the inputs of float32 products to TF32, ten bits of mantissa. These
# products are small, and learning rates of 1e-8 need the full precision.
PRECISION = jax.lax.Precision.HIGHEST
OUTPUTS = {"sigmoid": nn.sigmoid, "tanh": nn.tanh}  # of the actor


def orthogonal(scale: chex.Numeric = 1.0) -> nn.initializers.Initializer:
    """Orthogonal matrices without LAPACK: X <- 1.5 X - 0.5 X X^T X from a Gaussian.

    The polar factor of a Gaussian matrix is uniformly distributed, as the Q of QR is,
    and needs only products (QR inside a vmapped jit can hang).

    Args:
      scale: factor on the orthonormal rows (or columns, the shorter side).

    Returns:
      An initializer for matrices; ValueError for other shapes.

    Source: Saxe et al. 2014; Newton-Schulz iteration, Higham 2008, chapter 8.
    """

    def init(key, shape, dtype=jnp.float32, out_sharding=None):
        del out_sharding
        if len(shape) != 2:
            raise ValueError(f"orthogonal weights need two dimensions, got {shape}")
        x = flat(jax.random.normal, key, (min(shape), max(shape)), jnp.float32)
        x = x / jnp.linalg.norm(x)

        def iterate(_, x):
            square = jnp.matmul(x, x.T, precision=PRECISION)
            return 1.5 * x - jnp.matmul(0.5 * square, x, precision=PRECISION)

        x = jax.lax.fori_loop(0, NEWTON_SCHULZ_ITERATIONS, iterate, x)
        x = x if shape[0] <= shape[1] else x.T
        return (scale * x).astype(dtype)

    return init


def _dense(width: int, scale: chex.Numeric = 1.0) -> nn.Dense:
    return nn.Dense(width, kernel_init=orthogonal(scale), precision=PRECISION)


def _mlp(
    x: chex.Array, hidden: Sequence[int], size: int, last: chex.Numeric = LAST
) -> chex.Array:
    for width in hidden:
        x = nn.relu(_dense(width)(x))
    return _dense(size, last)(x)


def apply(network: nn.Module, params: Any, *inputs: chex.Array) -> chex.Array:
    """`network.apply` for a network without mutable variables, with a typed result."""
    return cast(chex.Array, network.apply(params, *inputs))


class Actor(nn.Module):
    """mu(s): a deterministic policy, sigmoid outputs in (0, 1).

    Attributes:
      hidden: widths of the hidden layers, with ReLU.
      size: D, the number of continuous parameters emitted.
      last: scale of the last layer's weights at the start.
      output: of `OUTPUTS`; tanh outputs lie in (-1, 1).
    """

    hidden: Sequence[int]
    size: int
    last: chex.Numeric = LAST
    output: str = "sigmoid"

    @nn.compact
    def __call__(self, observation: chex.Array) -> chex.Array:
        """[..., S] -> [..., D]."""
        x = _mlp(observation, self.hidden, self.size, self.last)
        return OUTPUTS[self.output](x)


class Critic(nn.Module):
    """Q(a): a scalar per action, identity output.

    Attributes:
      hidden: widths of the hidden layers, with ReLU.
      last: scale of the last layer's weights at the start.
    """

    hidden: Sequence[int]
    last: chex.Numeric = LAST

    @nn.compact
    def __call__(self, action: chex.Array) -> chex.Array:
        """[..., D] -> [...]."""
        return jnp.squeeze(_mlp(action, self.hidden, 1, self.last), axis=-1)


class StateCritic(nn.Module):
    """Q(s, a): a scalar per observation and action, identity output.

    Attributes:
      hidden: widths of the hidden layers, with ReLU.
      action_layer: number of hidden layers before the action is concatenated; 0
        concatenates it to the observation.
    """

    hidden: Sequence[int]
    action_layer: int = 1

    @nn.compact
    def __call__(self, observation: chex.Array, action: chex.Array) -> chex.Array:
        """[..., S], [..., D] -> [...]."""
        x = observation
        for width in self.hidden[: self.action_layer]:
            x = nn.relu(_dense(width)(x))
        x = jnp.concatenate([x, action], axis=-1)
        return jnp.squeeze(_mlp(x, self.hidden[self.action_layer :], 1), axis=-1)


class Policy(nn.Module):
    """mu(s) = pull s + f(s): a deterministic policy that emits logits, [E, O].

    It starts near the observation itself, so that noise on its output explores around
    the observed architecture, and learns how to depart from it.

    Attributes:
      hidden: widths of the hidden layers, with ReLU.
      shape: (E, O), the rows and entries of both the observation and the logits.
      pull: logit that a one-hot row of the observation adds to its operation.
    """

    hidden: Sequence[int]
    shape: tuple[int, int]
    pull: chex.Numeric = 4.0

    @nn.compact
    def __call__(self, observation: chex.Array) -> chex.Array:
        """[..., E, O] -> [..., E, O]."""
        rows, entries = self.shape
        flat = observation.reshape(*observation.shape[:-2], -1)
        logits = _mlp(flat, self.hidden, rows * entries)
        return self.pull * observation + logits.reshape(observation.shape)
