"""Isomorphic cells: equal numbers for equal expressions, and for no others."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nasjax.data import nb201
from nasjax.spaces import darts, isomorphism, nas_bench_201, table_space

NB201 = nas_bench_201()
CELLS = np.stack(np.unravel_index(np.arange(5**6), (5,) * 6), -1).astype(np.uint8)


def expression(row):
    """The last node of a cell as nested sorted tuples; () is zero."""
    nodes = [("input",)]
    for target in (1, 2, 3):
        terms = []
        for (source, end), operation in zip(NB201.edges, row, strict=True):
            name = NB201.operations[operation]
            if end != target or name == "none":
                continue
            inside = nodes[source]
            if name == "skip_connect":  # the sum's own terms
                terms += inside
            elif inside:
                terms.append((name, inside))
        nodes.append(tuple(sorted(terms, key=repr)))
    return nodes[3]


def test_classes_are_those_of_the_expressions():
    """Every cell of the benchmark, written out: 4,930 different functions."""
    number = isomorphism.fingerprint(NB201, CELLS)
    pairs = {(expression(row), n) for row, n in zip(CELLS, number, strict=True)}
    assert len(pairs) == len({n for _, n in pairs}) == len({e for e, _ in pairs})
    assert len(pairs) == 4930


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ([2, 3, 0, 4, 1, 2], [3, 2, 0, 4, 2, 1]),  # nodes 1 and 2 change names
        ([1, 0, 2, 0, 0, 3], [0, 2, 0, 0, 0, 3]),  # node 1 is the input
        ([2, 3, 0, 3, 0, 2], [4, 3, 0, 3, 0, 2]),  # nothing reads node 1
        ([0, 2, 4, 0, 0, 3], [0, 2, 0, 0, 0, 3]),  # an edge of nothing
    ],
)
def test_one_cell_under_two_names(one, other):
    a, b = (np.asarray(x, np.uint8) for x in (one, other))
    assert isomorphism.fingerprint(NB201, a) == isomorphism.fingerprint(NB201, b)
    same = isomorphism.representative(NB201)
    np.testing.assert_array_equal(same(a), same(b))


def test_classes_of_the_benchmark_lie_within_ours():
    """Its 6,466, as nasjax.data.nb201 counts them: no class of ours splits one."""
    theirs = nb201.isomorphism_classes(nb201.official_ops())
    ours = isomorphism.fingerprint(NB201, nb201.official_ops())
    assert len(np.unique(theirs)) == 6466
    assert len(np.unique(np.stack([theirs, ours], 1), axis=0)) == 6466


def test_a_representative_is_one_of_its_class():
    same = isomorphism.representative(NB201)
    chosen = np.asarray(jax.jit(same)(CELLS))
    np.testing.assert_array_equal(same(chosen), chosen)
    numbers = [isomorphism.fingerprint(NB201, x) for x in (chosen, CELLS)]
    np.testing.assert_array_equal(*numbers)


def test_darts_nodes_change_names():
    """Nodes 2 and 3 read inputs only; node 4 reads one of them, node 5 the other."""
    space = darts()
    edge = {pair: i for i, pair in enumerate(space.edges)}

    def cell(*edges):
        row = np.full(14, 7, np.uint8)
        for pair, operation in edges:
            row[edge[pair]] = operation
        return row

    rest = [((4, 5), 6), ((0, 5), 5)]
    one = cell(
        ((0, 2), 3), ((1, 2), 4), ((0, 3), 2), ((1, 3), 5), ((2, 4), 6), ((0, 4), 3)
    )
    other = cell(
        ((0, 3), 3), ((1, 3), 4), ((0, 2), 2), ((1, 2), 5), ((3, 4), 6), ((0, 4), 3)
    )
    for pair, operation in rest:
        one[edge[pair]] = other[edge[pair]] = operation
    changed = one.copy()
    changed[edge[(2, 4)]] = 5
    arch = np.stack([[one, one], [other, one], [one, other], [changed, one]])
    number = np.asarray(isomorphism.fingerprint(space, jnp.asarray(arch)))
    np.testing.assert_array_equal(number, isomorphism.fingerprint(space, arch))
    assert number[0] == number[1] == number[2] != number[3]
    assert isomorphism.representative(space) is None


def test_a_skip_is_a_layer_only_at_the_reduction_cells_inputs():
    """Two edges into node 2, both skips: its name among its readers matters there."""
    space = darts()
    edge = {pair: i for i, pair in enumerate(space.edges)}
    row = np.full(14, 7, np.uint8)
    for pair in ((0, 2), (1, 2)):
        row[edge[pair]] = 2  # node 2 = input 0 + input 1
    for node in (4, 5):
        row[edge[(0, node)]] = row[edge[(1, node)]] = 3
    through, direct = row.copy(), row.copy()
    through[edge[(2, 3)]] = 2  # node 3 = node 2
    direct[edge[(0, 3)]] = direct[edge[(1, 3)]] = 2  # node 3 = input 0 + input 1
    arch = np.stack([[through, row], [direct, row], [row, through], [row, direct]])
    normal, same, reduction, other = isomorphism.fingerprint(space, arch)
    assert normal == same and reduction == other
    direct[edge[(1, 3)]], row[edge[(1, 2)]] = 3, 2
    arch = np.stack([[row, through], [row, direct]])
    assert len(np.unique(isomorphism.fingerprint(space, arch))) == 2


def test_a_table_has_no_isomorphic_rows():
    space = table_space(3, ("none", "skip_connect", "conv"))
    with pytest.raises(ValueError, match="no sums"):
        isomorphism.fingerprint(space, np.zeros(3, np.uint8))
    assert isomorphism.representative(space) is None


def test_edges_of_a_table_are_counted():
    with pytest.raises(ValueError, match="1 edges were given for 3"):
        table_space(3, ("a", "b"), edges=((0, 1),))


def test_values_of_classes():
    """Both names of a cell have its value, and no other cell has one."""
    one, other = np.uint8([2, 3, 0, 3, 0, 2]), np.uint8([4, 3, 0, 3, 0, 2])
    values = isomorphism.of_class(NB201, np.stack([one, CELLS[-1]]), [7.0, 3.0])
    at = NB201.index(np.stack([one, other, CELLS[-1]]))
    np.testing.assert_array_equal(values[at], [7, 7, 3])
    number = isomorphism.fingerprint(NB201, CELLS)
    same = np.isin(number, isomorphism.fingerprint(NB201, np.stack([one, CELLS[-1]])))
    np.testing.assert_array_equal(np.isnan(values), ~same)
    with pytest.raises(ValueError, match="darts are not listed"):
        isomorphism.of_class(darts(), np.zeros((1, 2, 14), np.uint8), [0.0])
