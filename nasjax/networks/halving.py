"""Halving of images [B, H, W, C]; an odd side is rounded up: 33 pixels become 17.

Each function maps [B, H, W, C] to [B, ceil(H / 2), ceil(W / 2), C].
"""

import jax.numpy as jnp


def odd_pixels(x):
    """Pixels in rows and columns 1, 3, 5, ..., as many as there are of 0, 2, 4, ...

    If a side is odd, the last row or column is zero, as in NAS-Bench-201's factorized
    reduce; that of DARTS takes even sides only, for which both are the same.
    """
    missing = [(0, n % 2) for n in x.shape[1:3]]
    x = x[:, 1::2, 1::2]
    if any(more for _, more in missing):
        x = jnp.pad(x, ((0, 0), *missing, (0, 0)))
    return x


def max_pool_2x2(x):
    """2 x 2 max pool of stride 2; windows at an odd side's end are smaller."""
    return _blocks(x, -jnp.inf).max(axis=(2, 4))


def average_pool_2x2(x):
    """2 x 2 average pool of stride 2; windows at an odd side's end are smaller."""
    _, H, W, _ = x.shape
    if H % 2 == W % 2 == 0:
        return _blocks(x, 0).mean(axis=(2, 4))
    ones = jnp.ones((1, H, W, 1), x.dtype)
    return _blocks(x, 0).sum(axis=(2, 4)) / _blocks(ones, 0).sum(axis=(2, 4))


def _blocks(x, value):
    """[B, H / 2, 2, W / 2, 2, C], padded with `value` where a side is odd."""
    B, H, W, C = x.shape
    if H % 2 or W % 2:
        more = ((0, 0), (0, H % 2), (0, W % 2), (0, 0))
        x = jnp.pad(x, more, constant_values=value)
    return x.reshape(B, -(-H // 2), 2, -(-W // 2), 2, C)
