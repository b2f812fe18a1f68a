"""Initial weights, drawn as today's PyTorch does, and their number.

Convolutions and linear layers are drawn by `uniform`, scales of normalisations are 1.
When DARTS was written (PyTorch 0.3) scales were U(0, 1), and n of a depthwise
convolution counted all channels.
"""

import math
from typing import Any

import chex
import jax
import jax.numpy as jnp


def uniform(key: chex.PRNGKey, shape: tuple[int, ...], inputs: int) -> chex.Array:
    """Weights or biases U(-1 / sqrt(n), 1 / sqrt(n)), float32.

    PyTorch's default for convolutions and linear layers (kaiming_uniform, a = sqrt 5).

    Args:
      key: consumed once.
      shape: of the weights.
      inputs: n, the number of inputs that an output depends on.
    """
    bound = inputs**-0.5
    # The same bits as with all axes, which XLA:CPU compiles 10 to 30 times longer.
    weights = jax.random.uniform(key, (math.prod(shape),), jnp.float32, -bound, bound)
    return weights.reshape(shape)


def count(params: Any) -> int:
    """Number of parameters in a pytree of arrays, or of their shapes."""
    return sum(math.prod(x.shape) for x in jax.tree.leaves(params))
