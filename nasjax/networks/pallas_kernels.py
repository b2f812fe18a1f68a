"""Kernels of separable convolutions for a GPU, on tiles of images.

Sums over all rows are stored tile by tile, or program by program, and added up later,
always in the same order.
"""

import functools
import math

import jax
import jax.numpy as jnp
from jax.experimental import pallas

from nasjax.networks.pallas_tiles import (
    F32,
    mean_and_scale,
    moved,
    normalized,
    place_of,
    run,
    store_vector,
    tile_of,
    vector,
)

_PROGRAMS = 512  # at most, of the kernel that sums products of channels
_JOINED = 256  # tiles whose moments are joined at a time


def _weight(block, tap, columns, depth):
    return vector(depth, block.number * block.size**2 + tap, columns)


def _weights(block, first, index):
    """Tile [part, whole] of 1 x 1 kernels, from an input channel of number `index`."""
    C = block.shape[-1]
    return tile_of(first, block.part, C, 0, block.whole, C, index * C)


def _dot(a, b):
    return jnp.dot(a, b, preferred_element_type=F32)


def _convolved(block, tile, x, moments, depth):
    """Depthwise convolution of the input's ReLU, at a tile of the output."""
    image, row, column = place_of(tile.rows, block.out)
    affine = [y for ref in moments for y in mean_and_scale(ref, tile.columns)]

    def add(tap, down, right, total):
        place = image, block.stride * row + down, block.stride * column + right
        there = moved(tile, place, block.shape)
        y = jnp.maximum(normalized(there.load(x), affine), 0)
        # Pixels outside are zero after their normalisation.
        y = jnp.where(there.inside, y, 0) if affine else y
        return total + y * _weight(block, tap, tile.columns, depth)

    total = block.over_taps(add, jnp.zeros(tile.inside.shape, F32))
    return total.astype(x.dtype)


def _forward_kernel(block, normal, x, *refs):
    """Output before its normalisation; each tile's mean and sum of squares."""
    *before, depth, point, out, moments = refs[: 4 + normal]
    (rows, C), pixels = out.shape, block.pixels
    start = pallas.program_id(0) * pixels
    whole = tile_of(start, pixels, rows, 0, block.whole, C)
    total = jnp.zeros((pixels, block.whole), F32)
    for first in range(0, C, block.part):
        tile = tile_of(start, pixels, rows, first, block.part, C)
        convolved = _convolved(block, tile, x, before, depth)
        for kept in refs[4 + normal :]:
            tile.store(kept, convolved)
        total += _dot(convolved, _weights(block, first, block.number).load(point))
    y = total.astype(out.dtype)
    whole.store(out, y)
    values = jnp.where(whole.inside, y.astype(F32), 0)
    mean = jnp.sum(values, 0) / jnp.minimum(rows - start, pixels).astype(F32)
    centred = jnp.where(whole.inside, values - mean[None], 0)
    row = 2 * pallas.program_id(0)
    store_vector(moments, row, whole.columns, mean)
    store_vector(moments, row + 1, whole.columns, jnp.sum(centred * centred, 0))


def _join_kernel(block, tiles, parts, out):
    """Mean and variance of all rows from those of tiles."""
    rows, columns = math.prod(block.out[:3]), 16
    first, C = pallas.program_id(0) * columns, out.shape[1]

    def over_tiles(body):
        def add(i, total):
            tile = tile_of(i * _JOINED, _JOINED, tiles, first, columns, C)
            size = jnp.clip(rows - tile.rows * block.pixels, 0, block.pixels)
            of_means = tile._replace(rows=2 * tile.rows)
            of_squares = tile._replace(rows=2 * tile.rows + 1)
            means, squares = of_means.load(parts), of_squares.load(parts)
            return total + jnp.sum(body(size.astype(F32)[:, None], means, squares), 0)

        steps = -(-tiles // _JOINED)
        return jax.lax.fori_loop(0, steps, add, jnp.zeros(columns, F32)) / rows

    mean = over_tiles(lambda size, means, squares: size * means)
    variance = over_tiles(
        lambda size, means, squares: squares + size * (means - mean[None]) ** 2
    )
    for row, values in enumerate((mean, variance)):
        store_vector(out, row, first + jnp.arange(columns), values)


def _store_means(row, tile, rows, g, y, out):
    """A tile's part of the means that a normalisation's gradient needs."""
    store_vector(out, 2 * row, tile.columns, jnp.sum(g * y, 0) / rows)
    store_vector(out, 2 * row + 1, tile.columns, jnp.sum(g, 0) / rows)


def _means_kernel(block, g, y, moments, out):
    """Parts of the means of g times normalised y, and of g."""
    (rows, C), program = g.shape, pallas.program_id(0)
    start, first = program * block.pixels, pallas.program_id(1) * block.part
    tile = tile_of(start, block.pixels, rows, first, block.part, C)
    normal_y = normalized(tile.load(y), mean_and_scale(moments, tile.columns))
    _store_means(program, tile, rows, tile.load(g).astype(F32), normal_y, out)


def _point_kernel(block, repeats, g, y, moments, means, convolved, point, *out):
    """Gradients at the 1 x 1 convolution's input, and of its weights, by program."""
    (rows, C), pixels, part = g.shape, block.pixels, block.part
    program, first = pallas.program_id(0), pallas.program_id(1) * part
    weights = _weights(block, first, block.number).load(point)
    g_convolved, g_point = out

    def add(i, total):
        start = (program * repeats + i) * pixels
        whole = tile_of(start, pixels, rows, 0, block.whole, C)
        tile = tile_of(start, pixels, rows, first, part, C)
        mean, scale = mean_and_scale(moments, whole.columns)
        along, straight = (vector(means, row, whole.columns) for row in (0, 1))
        normal_y = normalized(whole.load(y), (mean, scale))
        at_y = scale * (whole.load(g).astype(F32) - straight - normal_y * along)
        at_y = jnp.where(whole.inside, at_y, 0).astype(g.dtype)
        tile.store(g_convolved, _dot(at_y, weights.T))
        return total + _dot(tile.load(convolved).T, at_y)

    total = jnp.zeros((part, block.whole), F32)
    total = jax.lax.fori_loop(0, repeats, add, total)
    _weights(block, first, program).store(g_point, total)


def _depth_kernel(block, normal, g, x, *refs):
    """Gradients at the block's input, and of the depthwise kernel, by program.

    With a normalised input also the sums that the normalisation's gradient needs.
    """
    *before, depth, out, g_depth = refs[: 3 + normal]
    (rows, C), pixels, part = out.shape, block.pixels, block.part
    program, first = pallas.program_id(0), pallas.program_id(1) * part
    tile = tile_of(program * pixels, pixels, rows, first, part, C)
    y = normalized(
        tile.load(x), [v for r in before for v in mean_and_scale(r, tile.columns)]
    )
    y = jnp.where(tile.inside, y, 0)
    image, row, column = place_of(tile.rows, block.shape)

    def add(tap, down, right, total):
        there, reached = (row - down, column - right), tile
        if block.stride == 2:
            even = (there[0] & 1 == 0) & (there[1] & 1 == 0)
            # A shift rounds down, so that places before the image stay there.
            there = there[0] >> 1, there[1] >> 1
            reached = tile.limited(tile.rows, even)
        gradient = moved(reached, (image, *there), block.out).load(g).astype(F32)
        sums = jnp.sum(jnp.maximum(y, 0) * gradient, 0)
        store_vector(g_depth, program * block.size**2 + tap, tile.columns, sums)
        return total + gradient * _weight(block, tap, tile.columns, depth)

    total = block.over_taps(add, jnp.zeros((pixels, part), F32))
    gradient = jnp.where(y > 0, total, 0).astype(out.dtype)
    tile.store(out, gradient)
    for means in refs[3 + normal :]:
        _store_means(program, tile, rows, gradient.astype(F32), y, means)


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
    y, parts, *kept = run(
        functools.partial(_forward_kernel, block, len(before)),
        block,
        (tiles,),
        [images, (2 * tiles, F32), *([images] if keep else [])],
        (x, *before, depth, point),
        work,
    )
    (moments,) = run(
        functools.partial(_join_kernel, block, tiles),
        block,
        (-(-block.shape[-1] // 16),),
        [(2, F32)],
        (parts,),
    )
    return y.reshape(block.out), moments, [k.reshape(block.out) for k in kept]


def gradient_means(block, g, y, moments):
    """float32 [2, C], means of g times normalised y, and of g; arguments as below."""
    tiles = block.tiles(block.out)
    (parts,) = run(
        functools.partial(_means_kernel, block),
        block,
        (tiles, block.parts),
        [(2 * tiles, F32)],
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
    g, g_point = run(
        functools.partial(_point_kernel, block, repeats),
        block,
        (programs, block.parts),
        [(math.prod(block.out[:3]), x.dtype), (programs * C, F32)],
        (g, y, moments, means, convolved, point),
    )
    tiles, rows = block.tiles(block.shape), math.prod(block.shape[:3])
    # A tap: load (twice), type, two products, two sums.
    work = rows * block.part * block.parts * taps * 7
    g, g_depth, *sums = run(
        functools.partial(_depth_kernel, block, len(before)),
        block,
        (tiles, block.parts),
        [(rows, x.dtype), (tiles * taps, F32), *[(2 * tiles, F32)] * len(before)],
        (g, x, *before, depth),
        work,
    )
    return (
        g.reshape(block.shape),
        g_depth.reshape(tiles, block.size, block.size, C),
        g_point.reshape(programs, C, C),
        [s.reshape(tiles, 2, C).sum(0) for s in sums],
    )
