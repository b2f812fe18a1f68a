"""Weights: drawn as today's PyTorch does, and counted."""

import math
from typing import Any

import chex
import jax
import jax.numpy as jnp


def uniform(key: chex.PRNGKey, shape: tuple[int, ...], inputs: int) -> chex.Array:
    """float32 U(-1 / sqrt(n), 1 / sqrt(n)), n the inputs of an output.

    PyTorch's default for convolutions and linear layers (kaiming_uniform, a = sqrt 5).
    """
    bound = inputs**-0.5
    return jax.random.uniform(key, shape, jnp.float32, -bound, bound)


def count(params: Any) -> int:
    """Number of parameters: of arrays, or of their shapes."""
    return sum(math.prod(x.shape) for x in jax.tree.leaves(params))
