"""Costs of an architecture: parameters, multiply-adds, FLOPS.

A network is a fixed frame (stem, preprocessing, classifier) and one operation on each
edge of its cells, so each quantity is `base + sum_e table[e, arch[e]]`, exactly.
"""

from collections.abc import Callable
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np

from nasjax.spaces import CellSpace, check_darts, image_sizes, nas_bench_201


class Costs(NamedTuple):
    """Additive costs, arrays of the same shape."""

    weights: chex.Array  # int64: parameters of convolutions and of the linear layer
    affine: chex.Array  # int64: scales and shifts of batch normalisations
    macs: chex.Array  # int64: multiply-adds of convolutions and of the linear layer
    batch_norm: chex.Array  # int64: elements that enter a batch normalisation
    pooled: chex.Array  # int64: outputs of average pools


class CostTable(NamedTuple):
    """Costs of every architecture of a space in one network, for one image."""

    base: Costs  # []: costs that are the same for all architectures
    edges: Costs  # [*arch_shape, O + 1]: over all cells; an absent edge (last) is 0
    limit: Costs  # []: upper bounds over all architectures
    auxiliary: chex.Array  # int64 []: parameters of the auxiliary head


def params(table: CostTable, arch: chex.Array) -> chex.Array:
    """Parameters without the auxiliary head: weights + affine.

    Args:
      table: NumPy arrays, e.g. of `darts_network`. As an argument of a jitted function
        it is cast to int32 without a check.
      arch: uint8 `[..., *arch_shape]`.

    Returns:
      int64 `[...]` for NumPy input; for JAX arrays int32, exact.

    Raises:
      ValueError: `arch` is a JAX array, and costs in the space may reach 2^31.
    """
    return _total(table, arch, lambda c: c.weights + c.affine)


def macs(table: CostTable, arch: chex.Array) -> chex.Array:
    """Multiply-adds, without the bias of the linear layer. Otherwise as `params`."""
    return _total(table, arch, lambda c: c.macs)


def batch_norm_elements(table: CostTable, arch: chex.Array) -> chex.Array:
    """Elements that enter a batch normalisation. Otherwise as `params`."""
    return _total(table, arch, lambda c: c.batch_norm)


def flops(table: CostTable, arch: chex.Array) -> chex.Array:
    """2 (multiply-adds + 2 batch-normalised elements + average-pool outputs).

    The global pool, ReLU and max pools are free, and the auxiliary head does not run.
    Otherwise as `params`.

    Source: thesis Table 3.1, whose numbers (counted by THOP) this rule reproduces.
    """
    return _total(table, arch, lambda c: 2 * (c.macs + 2 * c.batch_norm + c.pooled))


def _total(
    table: CostTable, arch: chex.Array, quantity: Callable[[Costs], chex.Array]
) -> chex.Array:
    base, edges, limit = map(quantity, table[:3])
    traced = isinstance(arch, jax.Array) or isinstance(edges, jax.Array)
    xp = jnp if traced else np
    entries, arch = xp.asarray(edges), xp.asarray(arch)
    if not isinstance(limit, jax.Array) and limit > np.iinfo(entries.dtype).max:
        raise ValueError(f"costs up to {limit} need NumPy arrays, or jax_enable_x64")
    chex.assert_shape(arch, (..., *entries.shape[:-1]))
    rows = entries.reshape(-1, entries.shape[-1])
    flat = arch.reshape(*arch.shape[: arch.ndim + 1 - entries.ndim], len(rows))
    return base + rows[np.arange(len(rows)), flat].sum(-1)


# Below, a cost is int64 [5]: the fields of Costs in order.


def _convolution(
    inputs: int, outputs: int, kernel: int, area: int, *, groups: int = 1, norm=True
) -> np.ndarray:
    """A convolution to `area` pixels and, usually, batch normalisation."""
    weights = inputs // groups * outputs * kernel**2
    elements = outputs * area * norm
    return np.array([weights, 2 * outputs * norm, weights * area, elements, 0])


def _linear(inputs: int, classes: int) -> np.ndarray:
    return np.array([(inputs + 1) * classes, 0, inputs * classes, 0, 0])


def _operation(name: str, C: int, area: int, stride: int = 1) -> np.ndarray:
    """An operation of either space, `area` pixels after its stride."""
    kernel = int(name[-1]) if name[-1].isdigit() else 0
    match name:
        case "skip_connect" if stride == 2:  # factorized reduce: two half convolutions
            return _convolution(C, C, 1, area)
        case "none" | "skip_connect" | "max_pool_3x3":
            return np.zeros(5, np.int64)
        case "avg_pool_3x3":
            return np.array([0, 0, 0, 0, C * area])
        case "nor_conv_1x1" | "nor_conv_3x3":
            return _convolution(C, C, kernel, area)
        case "sep_conv_3x3" | "sep_conv_5x5" | "dil_conv_3x3" | "dil_conv_5x5":
            once = _convolution(C, C, kernel, area, groups=C, norm=False)
            once += _convolution(C, C, 1, area)
            return 2 * once if name.startswith("sep") else once
    raise ValueError(f"the cost of operation {name!r} is not known")


def _edges(space: CellSpace, C: int, area: int, reduction: int = 0) -> np.ndarray:
    """int64 [E, O + 1, 5] of one cell."""
    names = (*space.operations, "none")  # an absent edge costs what `none` does
    strides = [2 if reduction and source < 2 else 1 for source, _ in space.edges]
    return np.array([[_operation(n, C, area, s) for n in names] for s in strides])


def _table(
    space: CellSpace, base: np.ndarray, edges: np.ndarray, auxiliary: int = 0
) -> CostTable:
    limit = base.copy()
    largest = edges.max(axis=-2).reshape(space.cells, space.num_edges, 5)
    targets = np.array([target for _, target in space.edges])
    for node in np.unique(targets):
        # The most costly in-edges that the node may keep.
        dearest = np.sort(largest[:, targets == node], axis=1)[:, ::-1]
        limit += dearest[:, : space.inputs_per_node].sum(axis=(0, 1))
    of_edges = Costs(*np.moveaxis(edges, -1, 0))
    return CostTable(Costs(*base), of_edges, Costs(*limit), np.int64(auxiliary))


class _Cell(NamedTuple):
    reduction: int  # 1, or 0: a normal cell
    inputs: tuple[int, int]  # channels of the two cells before
    channels: int
    input_area: int  # pixels of the newer input
    area: int  # pixels of its nodes

    def preprocessing(self) -> np.ndarray:
        """To C channels; a factorized reduce costs what a 1x1 convolution does."""
        costs = [
            _convolution(C, self.channels, 1, self.input_area) for C in self.inputs
        ]
        return np.sum(costs, axis=0)


def _plan(
    space: CellSpace, cells: int, C: int, stem: str, wide: int, size, colours
) -> tuple[np.ndarray, list[_Cell]]:
    """The cost of the stem, which has `wide` output channels, and the cells."""
    check_darts(space)
    if stem not in ("cifar", "imagenet"):
        raise ValueError(f"unknown stem {stem!r}: allowed are cifar, imagenet")
    reductions = {cells // 3, 2 * cells // 3}
    halvings = len(reductions) + 3 * (stem == "imagenet")
    if min(cells, C) < 1 or (C % 2 and stem == "imagenet"):
        raise ValueError(
            f"{cells} cells, {C} channels: at least 1; imagenet: even channels"
        )
    areas = image_sizes.areas(size, halvings)
    if stem == "cifar":
        cost = _convolution(colours, wide, 3, areas[0])
    else:
        cost = _convolution(colours, wide // 2, 3, areas[1])
        cost += _convolution(wide // 2, wide, 3, areas[2])
        areas = areas[3:]
        cost += _convolution(wide, wide, 3, areas[0])
    layout, inputs = [], (wide, wide)
    for index in range(cells):
        reduction = int(index in reductions)
        C <<= reduction
        layout.append(_Cell(reduction, inputs, C, areas[0], areas[reduction]))
        areas = areas[reduction:]
        inputs = (inputs[1], 4 * C)
    return cost, layout


def darts_network(
    space: CellSpace,
    *,
    cells: int = 20,
    channels: int = 36,
    classes: int = 10,
    image_size: image_sizes.Size = 32,
    stem: str = "cifar",
    image_channels: int = 3,
) -> CostTable:
    """Costs in the networks of DARTS cells that are trained from scratch.

    Batch normalisations are affine, pools have none. Cells cells // 3 and
    2 cells // 3 are reductions; the auxiliary head follows the second.

    Args:
      space, cells: `darts(...)`, number of cells.
      channels: C of the first cell; a reduction doubles it.
      classes: outputs of the classifier.
      image_size, image_channels: pixels a side, or (height, width); and channels.
      stem: "cifar", or "imagenet" (which halves the images three times).

    Raises:
      ValueError: another space or stem, bad sizes, or images too small to be halved.

    Source: NetworkCIFAR and NetworkImageNet of the public DARTS code.
    """
    wide = 3 * channels if stem == "cifar" else channels
    image = image_size, image_channels
    base, layout = _plan(space, cells, channels, stem, wide, *image)
    edges = np.zeros((*space.arch_shape, space.num_operations + 1, 5), np.int64)
    for cell in layout:
        base = base + cell.preprocessing()
        edges[cell.reduction] += _edges(space, cell.channels, cell.area, cell.reduction)
    base = base + _linear(4 * layout[-1].channels, classes)
    head = _convolution(4 * layout[2 * cells // 3].channels, 128, 1, 1)
    # The public ImageNet head lacks its second normalisation.
    head += _convolution(128, 768, 2, 1, norm=stem == "cifar") + _linear(768, classes)
    return _table(space, base, edges, auxiliary=head[:2].sum())


def supernet_parameters(
    space: CellSpace,
    *,
    cells: int = 8,
    channels: int = 16,
    classes: int = 10,
    partial: int = 1,
    stem: str = "cifar",
    image_channels: int = 3,
) -> int:
    """Parameters of the search network, which holds every operation on every edge.

    Only the stem, 3 C wide, has affine batch normalisations.

    Args:
      partial: operations see 1 / partial of the channels (PC-DARTS).
      space, cells, channels, classes, stem, image_channels: as for `darts_network`.

    Raises:
      ValueError: as `darts_network`, and channels that `partial` does not divide.

    Source: the public DARTS and PC-DARTS code, whose logs print these numbers.
    """
    if partial < 1 or channels % partial:
        raise ValueError(f"{channels} channels do not split into {partial} parts")
    base, layout = _plan(space, cells, channels, stem, 3 * channels, 32, image_channels)
    total = base[:2].sum() + _linear(4 * layout[-1].channels, classes)[0]
    for cell in layout:
        edges = _edges(space, cell.channels // partial, cell.area, cell.reduction)
        total += cell.preprocessing()[0] + edges[..., 0].sum()
    return int(total)


def nb201_network(
    *,
    cells_per_stage: int = 5,
    channels: int = 16,
    classes: int = 10,
    image_size: image_sizes.Size = 32,
    image_channels: int = 3,
) -> CostTable:
    """Costs in NAS-Bench-201's networks: 3 stages, residual blocks between them.

    Args:
      cells_per_stage: N of the paper.
      channels: C of the first stage; the later ones have 2 C and 4 C.
      classes, image_size, image_channels: as for `darts_network`.

    Raises:
      ValueError: sizes below 1, or pixels that cannot be halved twice.

    Source: Dong and Yang 2020; TinyNetwork of the public code.
    """
    if min(cells_per_stage, channels) < 1:
        raise ValueError(f"{cells_per_stage} cells, {channels} channels: at least 1")
    space, areas = nas_bench_201(), image_sizes.areas(image_size, 2)
    base = _convolution(image_channels, channels, 3, areas[0])
    edges = np.zeros_like(_edges(space, channels, areas[0]))
    for stage, area in enumerate(areas):
        C = channels * 2**stage
        if stage:
            base += _convolution(C // 2, C, 3, area) + _convolution(C, C, 3, area)
            base += _convolution(C // 2, C, 1, area, norm=False)
            base += _operation("avg_pool_3x3", C // 2, area)
        edges = edges + cells_per_stage * _edges(space, C, area)
    base += np.array([0, 2 * C, 0, C * area, 0]) + _linear(C, classes)
    return _table(space, base, edges)
