"""Cell-based search spaces: an architecture is one small integer array.

An architecture is uint8 `[E]` for a space of one cell, `[2, E]` for a space of a
normal and a reduction cell; entry `e` is the operation on edge `e`, and `O` (the
number of operations) where the edge is absent.
"""

from collections.abc import Sequence

from nasjax.spaces.cell_space import (
    MOST_OPERATIONS,
    CellSpace,
    check_integer,
    check_operations,
)

__all__ = [
    "DARTS_OPERATIONS",
    "MOST_OPERATIONS",
    "NB201_OPERATIONS",
    "CellSpace",
    "check_darts",
    "check_integer",
    "darts",
    "nas_bench_201",
    "table_space",
]

NB201_OPERATIONS = (
    "none",
    "skip_connect",
    "nor_conv_1x1",
    "nor_conv_3x3",
    "avg_pool_3x3",
)
DARTS_OPERATIONS = (
    "none",
    "max_pool_3x3",
    "avg_pool_3x3",
    "skip_connect",
    "sep_conv_3x3",
    "sep_conv_5x5",
    "dil_conv_3x3",
    "dil_conv_5x5",
)


def table_space(
    num_edges: int,
    operations: Sequence[str],
    name: str = "table",
    edges: Sequence[tuple[int, int]] | None = None,
) -> CellSpace:
    """A space of E independent choices among the same O operations.

    Args:
      num_edges: E, at least 1.
      operations: O distinct names, 2 to MOST_OPERATIONS.
      name: name of the space in results.
      edges: `(source, target)` of each, if they are those of a cell whose nodes are
        sums; isomorphic architectures are then known (`isomorphism`).

    Raises:
      ValueError: an argument is out of range, an operation is not a name, or there are
        not E edges.
    """
    check_integer("num_edges", num_edges, 1)
    check_operations(operations)
    if edges is None:
        chain = tuple((edge, edge + 1) for edge in range(num_edges))
        return CellSpace(name, tuple(operations), chain)
    if len(edges) != num_edges:
        raise ValueError(f"{len(edges)} edges were given for {num_edges} choices")
    return CellSpace(
        name, tuple(operations), tuple((a, b) for a, b in edges), sums=True
    )


def nas_bench_201() -> CellSpace:
    """NAS-Bench-201: 4 nodes, 6 edges, 5 operations, 15,625 architectures.

    Source: Dong and Yang 2020; edge order 1<-0, 2<-0, 2<-1, 3<-0, 3<-1, 3<-2.
    """
    edges = ((0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3))
    return CellSpace("nas-bench-201", NB201_OPERATIONS, edges, sums=True)


def darts(none: bool = False) -> CellSpace:
    """DARTS: normal and reduction cell, 4 nodes, 14 edges, 2 in-edges per node.

    Nodes 0 and 1 are the outputs of the two previous cells. `none=True` adds the zero
    operation to the seven that can be selected.

    Source: Liu et al. 2019; thesis 4.2.2 (7 operations), 3.3 (8 with `none`).
    """
    edges = tuple((source, node) for node in range(2, 6) for source in range(node))
    operations = DARTS_OPERATIONS if none else DARTS_OPERATIONS[1:]
    return CellSpace("darts", operations, edges, cells=2, inputs_per_node=2, sums=True)


def check_darts(space: CellSpace) -> None:
    """Raises ValueError unless the space has the two cells of `darts(...)`."""
    if space.edges != darts().edges or space.cells != 2:
        raise ValueError(f"needs the cells of darts(...), not those of {space.name}")
