"""Inverse roots of positive definite matrices, in full precision."""

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import chex
import jax
import jax.numpy as jnp

LEAF = 32  # below this size a loop over columns is faster than halving again
P = ParamSpec("P")
R = TypeVar("R")


def in_full_precision(function: Callable[P, R]) -> Callable[P, R]:
    """Computes products in float32; with a GPU's TF32 covariances become indefinite."""

    @functools.wraps(function)
    def full(*args: P.args, **kwargs: P.kwargs) -> R:
        with jax.default_matmul_precision("highest"):
            return function(*args, **kwargs)

    return full


@in_full_precision
def inverse_root(matrix: chex.Array) -> chex.Array:
    """L^-1 of a positive definite matrix L L^T, [n, n], as suits the platform."""
    return jax.lax.platform_dependent(matrix, cuda=by_cholesky, default=by_halves)


def by_cholesky(matrix: chex.Array) -> chex.Array:
    """By the library's Cholesky and triangular solve: few kernel launches on a GPU."""
    factor = jax.lax.linalg.cholesky(matrix, symmetrize_input=False)
    one = jnp.eye(matrix.shape[-1], dtype=matrix.dtype)
    return jax.lax.linalg.triangular_solve(factor, one, left_side=True, lower=True)


def by_halves(matrix: chex.Array) -> chex.Array:
    """By recursion on the two diagonal blocks: mostly matrix products, no LAPACK.

    It can be vmapped and sharded like any other operation, and LAPACK's triangular
    solve with many right-hand sides is 30 times slower on CPU.
    """
    n = matrix.shape[-1]
    if n > LEAF:
        h = n // 2
        first = by_halves(matrix[:h, :h])
        below = matrix[h:, :h] @ first.T
        last = by_halves(matrix[h:, h:] - below @ below.T)
        corner = -last @ (below @ first)
        return jnp.block([[first, jnp.zeros((h, n - h), matrix.dtype)], [corner, last]])

    def eliminate(j, both):  # [A, I] -> [D L^T, L^-1] with a unit diagonal in L
        row = both[j]
        factor = jnp.where(jnp.arange(n) > j, both[:, j] / row[j], 0.0)
        return both - factor[:, None] * row

    both = jnp.concatenate([matrix, jnp.eye(n, dtype=matrix.dtype)], axis=1)
    both = jax.lax.fori_loop(0, n, eliminate, both)
    return both[:, n:] / jnp.sqrt(jnp.diagonal(both))[:, None]
