"""Tiles of images for Pallas kernels in the form for Triton.

Images are matrices here, with a row for each pixel of the batch. A program of a kernel
takes a tile of rows. Sizes of Triton's arrays are powers of two: rows and channels
beyond the images are masked.
"""

import math
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
from jax.experimental import pallas
from jax.experimental.pallas import triton

from nasjax.networks import platforms
from nasjax.networks.primitives import EPSILON

_TILE = 4_096  # elements of a tile
F32 = jnp.float32


class Block(NamedTuple):
    """ReLU, depthwise and 1 x 1 convolution: static sizes."""

    number: int  # in its operation, which stacks the blocks' weights
    shape: tuple[int, int, int, int]  # of its input, B, H, W, C
    size: int  # k
    dilation: int
    stride: int

    @property
    def out(self) -> tuple[int, int, int, int]:
        """Shape of its output."""
        B, H, W, C = self.shape
        return B, -(-H // self.stride), -(-W // self.stride), C

    @property
    def whole(self) -> int:
        """Columns of a tile with all channels; matrix units take 16 or more."""
        return max(1 << (self.shape[-1] - 1).bit_length(), 16)

    @property
    def part(self) -> int:
        """Columns of a tile with some of the channels."""
        return min(self.whole, 64)

    @property
    def parts(self) -> int:
        """Number of such tiles for all channels."""
        return -(-self.shape[-1] // self.part)

    @property
    def pixels(self) -> int:
        """Rows of a tile."""
        return _TILE // self.part

    def tiles(self, shape: tuple[int, ...]) -> int:
        """Number of tiles of rows of images [B, H, W, C]."""
        return -(-math.prod(shape[:3]) // self.pixels)

    def over_taps(self, body, carry):
        """`body(tap, rows down, columns right, carry)` for each depthwise weight.

        The loop over rows is compiled once; unrolled it compiles k times as long.
        """
        k, d = self.size, self.dilation

        def row(i, carry):
            for j in range(k):
                carry = body(i * k + j, d * (i - k // 2), d * (j - k // 2), carry)
            return carry

        return jax.lax.fori_loop(0, k, row, carry)


class Tile(NamedTuple):
    """Rows and columns of a matrix, and which of its entries exist."""

    rows: chex.Array
    columns: chex.Array
    valid: chex.Array  # rows
    inside: chex.Array  # entries

    def load(self, ref):
        at = ref.at[jnp.where(self.valid, self.rows, 0)[:, None], self.columns[None]]
        return triton.load(at, mask=self.inside, other=0)

    def store(self, ref, values):
        at = ref.at[self.rows[:, None], self.columns[None]]
        triton.store(at, values.astype(ref.dtype), mask=self.inside)

    def limited(self, rows, valid):
        """Other rows in the same columns, of which some exist if the old ones do."""
        valid &= self.valid
        return Tile(rows, self.columns, valid, self.inside & valid[:, None])


def tile_of(start, rows, stop, first, columns, C, offset=0):
    """Rows from `start` and columns from `first` on, before `stop` and C.

    In memory the rows begin at `offset`.
    """
    at, to = start + jnp.arange(rows), first + jnp.arange(columns)
    valid = at < stop
    return Tile(offset + at, to, valid, valid[:, None] & (to < C)[None])


def vector(ref, row, columns):
    """Row of a matrix; zero in columns that it does not have."""
    values = triton.load(ref.at[row, columns], mask=columns < ref.shape[1], other=0)
    return values.astype(F32)[None]


def store_vector(ref, row, columns, values):
    """Stores [columns] as a row of a matrix, without columns that it does not have."""
    triton.store(ref.at[row, columns], values, mask=columns < ref.shape[1])


def place_of(rows, shape):
    """Image, row and column of pixels."""
    _, H, W, _ = shape
    return rows // (H * W), rows // W % H, rows % W


def moved(tile, place, shape):
    """The tile of pixels at places, without those outside of the images."""
    image, row, column = place
    _, H, W, _ = shape
    inside = (row >= 0) & (row < H) & (column >= 0) & (column < W)
    return tile.limited((image * H + row) * W + column, inside)


def mean_and_scale(moments, columns):
    """Mean and scale, [1, columns], from a matrix of mean and variance."""
    mean, variance = (vector(moments, row, columns) for row in (0, 1))
    return mean, jax.lax.rsqrt(variance + EPSILON)


def normalized(x, affine):
    """Pixels of a block's input in float32, normalised if `affine` is not empty."""
    if not affine:
        return x.astype(F32)
    mean, scale = affine
    return (x.astype(F32) - mean) * scale


def run(kernel, block, grid, outputs, arrays, work=0):
    """Runs a kernel on matrices; `outputs` are rows and types, each with C columns.

    `work` is the number of instructions of threads, for `nasjax.analysis.gpu.costs`.
    """
    C = block.shape[-1]
    return pallas.pallas_call(
        kernel,
        grid=grid,
        out_shape=[jax.ShapeDtypeStruct((rows, C), dtype) for rows, dtype in outputs],
        interpret="cpu" in platforms.GPUS,  # in tests
        metadata={"instructions": str(work)},
        compiler_params=triton.CompilerParams(
            num_warps=4 if block.whole <= 64 else 8, num_stages=1
        ),
    )(*(x.reshape(-1, x.shape[-1]) for x in arrays))
