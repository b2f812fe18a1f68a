"""Kernels of separable convolutions for a GPU, in Pallas's form for Triton.

Images are matrices here, with a row for each pixel of the batch. A program of a kernel
takes a tile of rows. Sums over all rows are stored tile by tile and added up later,
always in the same order. Sizes of Triton's arrays are powers of two: rows and channels
beyond the images are masked.
"""

import functools
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
_PROGRAMS = 512  # at most, of the kernel that sums products of channels
_JOINED = 256  # tiles whose moments are joined at a time
_F32 = jnp.float32


class Block(NamedTuple):
    """ReLU, depthwise and 1 x 1 convolution: static sizes."""

    index: int  # in its operation, which stacks the blocks' weights
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


class _Tile(NamedTuple):
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
        return _Tile(rows, self.columns, valid, self.inside & valid[:, None])


def _tile(start, rows, stop, first, columns, C, offset=0):
    """Rows from `start` and columns from `first` on, before `stop` and C.

    In memory the rows begin at `offset`.
    """
    at, to = start + jnp.arange(rows), first + jnp.arange(columns)
    valid = at < stop
    return _Tile(offset + at, to, valid, valid[:, None] & (to < C)[None])


def _vector(ref, row, columns):
    """Row of a matrix; zero in columns that it does not have."""
    values = triton.load(ref.at[row, columns], mask=columns < ref.shape[1], other=0)
    return values.astype(_F32)[None]


def _store_vector(ref, row, columns, values):
    triton.store(ref.at[row, columns], values, mask=columns < ref.shape[1])


def _place(rows, shape):
    """Image, row and column of pixels."""
    _, H, W, _ = shape
    return rows // (H * W), rows // W % H, rows % W


def _moved(tile, place, shape):
    """The tile of pixels at places, without those outside of the images."""
    image, row, column = place
    _, H, W, _ = shape
    inside = (row >= 0) & (row < H) & (column >= 0) & (column < W)
    return tile.limited((image * H + row) * W + column, inside)


def _affine(moments, columns):
    """Mean and scale, [1, columns], from a matrix of mean and variance."""
    mean, variance = (_vector(moments, row, columns) for row in (0, 1))
    return mean, jax.lax.rsqrt(variance + EPSILON)


def _input(x, affine):
    """Pixels of a block's input in float32, normalised if `affine` is not empty."""
    if not affine:
        return x.astype(_F32)
    mean, scale = affine
    return (x.astype(_F32) - mean) * scale


def _weight(block, tap, columns, depth):
    return _vector(depth, block.index * block.size**2 + tap, columns)


def _weights(block, first, index):
    """Tile [part, whole] of 1 x 1 kernels, from an input channel of number `index`."""
    C = block.shape[-1]
    return _tile(first, block.part, C, 0, block.whole, C, index * C)


def _dot(a, b):
    return jnp.dot(a, b, preferred_element_type=_F32)


def _convolved(block, tile, x, moments, depth):
    """Depthwise convolution of the input's ReLU, at a tile of the output."""
    image, row, column = _place(tile.rows, block.out)
    affine = [y for ref in moments for y in _affine(ref, tile.columns)]

    def add(tap, down, right, total):
        place = image, block.stride * row + down, block.stride * column + right
        there = _moved(tile, place, block.shape)
        y = jnp.maximum(_input(there.load(x), affine), 0)
        # Pixels outside are zero after their normalisation.
        y = jnp.where(there.inside, y, 0) if affine else y
        return total + y * _weight(block, tap, tile.columns, depth)

    total = block.over_taps(add, jnp.zeros(tile.inside.shape, _F32))
    return total.astype(x.dtype)


def _forward_kernel(block, normal, x, *refs):
    """Output before its normalisation; each tile's mean and sum of squares."""
    *before, depth, point, out, moments = refs[: 4 + normal]
    (rows, C), pixels = out.shape, block.pixels
    start = pallas.program_id(0) * pixels
    whole = _tile(start, pixels, rows, 0, block.whole, C)
    total = jnp.zeros((pixels, block.whole), _F32)
    for first in range(0, C, block.part):
        tile = _tile(start, pixels, rows, first, block.part, C)
        convolved = _convolved(block, tile, x, before, depth)
        for kept in refs[4 + normal :]:
            tile.store(kept, convolved)
        total += _dot(convolved, _weights(block, first, block.index).load(point))
    y = total.astype(out.dtype)
    whole.store(out, y)
    values = jnp.where(whole.inside, y.astype(_F32), 0)
    mean = jnp.sum(values, 0) / jnp.minimum(rows - start, pixels).astype(_F32)
    centred = jnp.where(whole.inside, values - mean[None], 0)
    row = 2 * pallas.program_id(0)
    _store_vector(moments, row, whole.columns, mean)
    _store_vector(moments, row + 1, whole.columns, jnp.sum(centred * centred, 0))


def _join_kernel(block, tiles, parts, out):
    """Mean and variance of all rows from those of tiles."""
    rows, columns = math.prod(block.out[:3]), 16
    first, C = pallas.program_id(0) * columns, out.shape[1]

    def over_tiles(body):
        def add(i, total):
            tile = _tile(i * _JOINED, _JOINED, tiles, first, columns, C)
            size = jnp.clip(rows - tile.rows * block.pixels, 0, block.pixels)
            of_means = tile._replace(rows=2 * tile.rows)
            of_squares = tile._replace(rows=2 * tile.rows + 1)
            means, squares = of_means.load(parts), of_squares.load(parts)
            return total + jnp.sum(body(size.astype(_F32)[:, None], means, squares), 0)

        steps = -(-tiles // _JOINED)
        return jax.lax.fori_loop(0, steps, add, jnp.zeros(columns, _F32)) / rows

    mean = over_tiles(lambda size, means, squares: size * means)
    variance = over_tiles(
        lambda size, means, squares: squares + size * (means - mean[None]) ** 2
    )
    for row, values in enumerate((mean, variance)):
        _store_vector(out, row, first + jnp.arange(columns), values)


def _store_means(row, tile, rows, g, y, out):
    """A tile's part of the means that a normalisation's gradient needs."""
    _store_vector(out, 2 * row, tile.columns, jnp.sum(g * y, 0) / rows)
    _store_vector(out, 2 * row + 1, tile.columns, jnp.sum(g, 0) / rows)


def _means_kernel(block, g, y, moments, out):
    """Parts of the means of g times normalised y, and of g."""
    (rows, C), program = g.shape, pallas.program_id(0)
    start, first = program * block.pixels, pallas.program_id(1) * block.part
    tile = _tile(start, block.pixels, rows, first, block.part, C)
    normal_y = _input(tile.load(y), _affine(moments, tile.columns))
    _store_means(program, tile, rows, tile.load(g).astype(_F32), normal_y, out)


def _point_kernel(block, repeats, g, y, moments, means, convolved, point, *out):
    """Gradients at the 1 x 1 convolution's input, and of its weights, by program."""
    (rows, C), pixels, part = g.shape, block.pixels, block.part
    program, first = pallas.program_id(0), pallas.program_id(1) * part
    weights = _weights(block, first, block.index).load(point)
    g_convolved, g_point = out

    def add(i, total):
        start = (program * repeats + i) * pixels
        whole = _tile(start, pixels, rows, 0, block.whole, C)
        tile = _tile(start, pixels, rows, first, part, C)
        mean, scale = _affine(moments, whole.columns)
        along, straight = (_vector(means, row, whole.columns) for row in (0, 1))
        normal_y = _input(whole.load(y), (mean, scale))
        at_y = scale * (whole.load(g).astype(_F32) - straight - normal_y * along)
        at_y = jnp.where(whole.inside, at_y, 0).astype(g.dtype)
        tile.store(g_convolved, _dot(at_y, weights.T))
        return total + _dot(tile.load(convolved).T, at_y)

    total = jnp.zeros((part, block.whole), _F32)
    total = jax.lax.fori_loop(0, repeats, add, total)
    _weights(block, first, program).store(g_point, total)


def _depth_kernel(block, normal, g, x, *refs):
    """Gradients at the block's input, and of the depthwise kernel, by program.

    With a normalised input also the sums that the normalisation's gradient needs.
    """
    *before, depth, out, g_depth = refs[: 3 + normal]
    (rows, C), pixels, part = out.shape, block.pixels, block.part
    program, first = pallas.program_id(0), pallas.program_id(1) * part
    tile = _tile(program * pixels, pixels, rows, first, part, C)
    y = _input(tile.load(x), [v for r in before for v in _affine(r, tile.columns)])
    y = jnp.where(tile.inside, y, 0)
    image, row, column = _place(tile.rows, block.shape)

    def add(tap, down, right, total):
        there, reached = (row - down, column - right), tile
        if block.stride == 2:
            even = (there[0] & 1 == 0) & (there[1] & 1 == 0)
            # A shift rounds down, so that places before the image stay there.
            there = there[0] >> 1, there[1] >> 1
            reached = tile.limited(tile.rows, even)
        gradient = _moved(reached, (image, *there), block.out).load(g).astype(_F32)
        sums = jnp.sum(jnp.maximum(y, 0) * gradient, 0)
        _store_vector(g_depth, program * block.size**2 + tap, tile.columns, sums)
        return total + gradient * _weight(block, tap, tile.columns, depth)

    total = block.over_taps(add, jnp.zeros((pixels, part), _F32))
    gradient = jnp.where(y > 0, total, 0).astype(out.dtype)
    tile.store(out, gradient)
    for means in refs[3 + normal :]:
        _store_means(program, tile, rows, gradient.astype(_F32), y, means)


def _run(kernel, block, grid, outputs, arrays, work=0):
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


def forward(block, x, before, depth, point, keep):
    """A block before its normalisation.

    Args:
      block: static.
      x: the block's input.
      before: moments float32 [2, C] by which it is normalised, in a list; or empty.
      depth, point: [T, k, k, C] and [T, C, C], weights of T blocks.
      keep: whether the result of the depthwise convolution is returned, too.

    Returns:
      Its output, moments float32 [2, C] of that, and a list of what is kept.
    """
    tiles, rows = block.tiles(block.out), math.prod(block.out[:3])
    images = (rows, x.dtype)
    # A tap: load (twice), type, ReLU, product, sum; and three of a normalisation.
    work = rows * block.part * block.parts * block.size**2 * (6 + 3 * len(before))
    y, parts, *kept = _run(
        functools.partial(_forward_kernel, block, len(before)),
        block,
        (tiles,),
        [images, (2 * tiles, _F32), *([images] if keep else [])],
        (x, *before, depth, point),
        work,
    )
    (moments,) = _run(
        functools.partial(_join_kernel, block, tiles),
        block,
        (-(-block.shape[-1] // 16),),
        [(2, _F32)],
        (parts,),
    )
    return y.reshape(block.out), moments, [k.reshape(block.out) for k in kept]


def gradient_means(block, g, y, moments):
    """float32 [2, C], means of g times normalised y, and of g; arguments as below."""
    tiles = block.tiles(block.out)
    (parts,) = _run(
        functools.partial(_means_kernel, block),
        block,
        (tiles, block.parts),
        [(2 * tiles, _F32)],
        (g, y, moments),
    )
    return parts.reshape(tiles, 2, -1).sum(0)


def backward(block, g, y, moments, means, convolved, x, before, depth, point):
    """Gradients of a block with its normalisation.

    Args:
      block, x, before, depth, point: as for `forward`.
      g: gradient at the normalised output.
      y, moments, convolved: what `forward` returned and kept.
      means: from `gradient_means`, of the whole batch.

    Returns:
      Gradient at the normalised x; sums by program, of which the sum is the gradient of
      the block's weights: [programs, k, k, C] and [programs, C, C]; and `means` of x in
      a list, empty if x is not normalised.
    """
    C, taps = block.shape[-1], block.size**2
    tiles = block.tiles(block.out)
    repeats = -(-tiles // _PROGRAMS)
    programs = -(-tiles // repeats)
    g, g_point = _run(
        functools.partial(_point_kernel, block, repeats),
        block,
        (programs, block.parts),
        [(math.prod(block.out[:3]), x.dtype), (programs * C, _F32)],
        (g, y, moments, means, convolved, point),
    )
    tiles, rows = block.tiles(block.shape), math.prod(block.shape[:3])
    # A tap: load (twice), type, two products, two sums.
    work = rows * block.part * block.parts * taps * 7
    g, g_depth, *sums = _run(
        functools.partial(_depth_kernel, block, len(before)),
        block,
        (tiles, block.parts),
        [(rows, x.dtype), (tiles * taps, _F32), *[(2 * tiles, _F32)] * len(before)],
        (g, x, *before, depth),
        work,
    )
    return (
        g.reshape(block.shape),
        g_depth.reshape(tiles, block.size, block.size, C),
        g_point.reshape(programs, C, C),
        [s.reshape(tiles, 2, C).sum(0) for s in sums],
    )
