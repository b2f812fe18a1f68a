"""Spaces: discretisation, uniform draws, mutations, neighbours, indices, strings."""

import dataclasses
import functools
import math

import hypothesis.extra.numpy as hnp
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

import nasjax
from nasjax.data import nb201

pytestmark = pytest.mark.usefixtures("quick_compile")

NB201 = nasjax.nas_bench_201()
DARTS = nasjax.darts()
# Of one cell: node k has k + 2 in-edges.
DARTS_NODES = [range(0, 2), range(2, 5), range(5, 9), range(9, 14)]


def algorithm_2(alpha):
    """Thesis Algorithm 2, line by line; its slices include both ends."""
    alpha_d = np.zeros_like(alpha)
    start, n = 0, 1
    for _ in range(4):
        end = start + n
        A = alpha[start : end + 1, :].copy()
        i1, j1 = np.unravel_index(np.argmax(A), A.shape)
        A[i1] = -np.inf
        i2, j2 = np.unravel_index(np.argmax(A), A.shape)
        alpha_d[start + i1, j1] = 1
        alpha_d[start + i2, j2] = 1
        start = end + 1
        n = n + 1
    return alpha_d


def algorithm_3(alpha):
    """Thesis Algorithm 3, line by line."""
    alpha_d = np.zeros_like(alpha)
    for k in range(len(alpha)):
        alpha_d[k, np.argmax(alpha[k, :])] = 1
    return alpha_d


@functools.cache
def discretized(space):
    def both(alpha):
        arch = space.discretize(alpha)
        return arch, space.one_hot(arch)

    return jax.jit(both)


def matrices(rows, columns):
    """Continuous entries, and a few levels only, so that ties are the rule."""
    shape = (rows, columns)
    few = hnp.arrays(np.float32, shape, elements=st.sampled_from([0.0, 0.5, 1.0]))
    many = hnp.arrays(
        np.float32, shape, elements=st.floats(-8, 8, width=16), fill=st.nothing()
    )
    return few | many


@settings(deadline=None, max_examples=60)
@given(matrices(6, 5))
def test_nas_bench_201_follows_algorithm_3(alpha):
    arch, one_hot = discretized(NB201)(alpha)
    assert arch.dtype == jnp.uint8
    np.testing.assert_array_equal(one_hot, algorithm_3(alpha))


@settings(deadline=None, max_examples=60)
@given(matrices(14, 7), matrices(14, 7))
def test_darts_follows_algorithm_2(normal, reduction):
    arch, one_hot = discretized(DARTS)(np.stack([normal, reduction]))
    assert arch.shape == (2, 14)
    assert arch.dtype == jnp.uint8
    expected = np.stack([algorithm_2(normal), algorithm_2(reduction)])
    np.testing.assert_array_equal(one_hot, expected)
    assert_valid_darts(np.asarray(arch), 7)


def assert_valid_darts(arch, operations):
    for cell in arch.reshape(-1, 14):
        assert (cell < operations).sum() == 8
        assert set(cell[cell >= operations]) == {operations}
        for node in DARTS_NODES:
            assert (cell[list(node)] < operations).sum() == 2


def test_algorithm_3_by_hand():
    alpha = np.full((6, 5), 0.1)
    for edge, operation in enumerate([3, 0, 4, 1, 2, 3]):
        alpha[edge, operation] = 0.2
    assert NB201.discretize(jnp.asarray(alpha)).tolist() == [3, 0, 4, 1, 2, 3]
    # All tied: the first operation.
    assert NB201.discretize(jnp.zeros((6, 5))).tolist() == [0] * 6


def test_algorithm_2_by_hand():
    """Node k owns rows 0-1, 2-4, 5-8, 9-13; each keeps its two best rows."""
    alpha = np.zeros((14, 7))
    best = {0: 6, 1: 5, 2: 4, 4: 3, 5: 2, 8: 1, 9: 0, 13: 6}
    for row, operation in best.items():
        alpha[row, operation] = 1.0
    # Higher than all others but third in its node: 2 in row 3 loses to 3 and 4.
    alpha[2, 4], alpha[3, 0], alpha[4, 3] = 3.0, 2.0, 4.0
    cell = DARTS.discretize(jnp.asarray(np.stack([alpha, np.zeros((14, 7))])))
    wanted = [best.get(row, 7) for row in range(14)]
    assert cell[0].tolist() == wanted
    # All tied: the first operation of the first two rows of each node.
    first_two = {node[i] for node in DARTS_NODES for i in (0, 1)}
    assert cell[1].tolist() == [0 if row in first_two else 7 for row in range(14)]


def test_two_best_entries_in_one_row_count_once():
    alpha = np.zeros((2, 14, 7))
    alpha[:, 2, :] = [9, 8, 7, 6, 5, 4, 3]
    alpha[:, 4, 2] = 1
    cell = DARTS.discretize(jnp.asarray(alpha))[0].tolist()
    assert cell[2:5] == [0, 7, 2]


def test_one_hot_rows():
    rows = NB201.one_hot(jnp.array([0, 1, 2, 3, 4, 5], jnp.uint8))
    np.testing.assert_array_equal(rows, np.eye(6, 5, dtype=np.float32))


def test_discretize_refuses_other_shapes():
    with pytest.raises(AssertionError):
        NB201.discretize(jnp.zeros((5, 6)))
    with pytest.raises(AssertionError):
        DARTS.discretize(jnp.zeros((2, 14, 8)))


def test_sizes():
    assert NB201.size == 15_625 == 5**6
    assert (NB201.num_edges, NB201.num_operations, NB201.action_size) == (6, 5, 30)
    # Liu et al. 2019, 3.1: prod_k (k + 1) k / 2 * 7^2, about 10^9 a cell.
    cell = math.prod(k * (k + 1) // 2 * 7**2 for k in (1, 2, 3, 4))
    assert DARTS.size == cell**2 == (180 * 7**8) ** 2
    assert nasjax.darts(none=True).size == (180 * 8**8) ** 2
    assert (DARTS.arch_shape, DARTS.alpha_shape) == ((2, 14), (2, 14, 7))
    assert (DARTS.action_size, nasjax.darts(none=True).action_size) == (196, 224)
    assert nasjax.table_space(4, ("a", "b", "c")).size == 81


def test_operations_of_the_public_code():
    assert DARTS.operations == nasjax.darts(none=True).operations[1:]
    assert nasjax.darts(none=True).operations[0] == "none"
    assert "none" not in DARTS.operations
    assert NB201.operations == nb201.OP_NAMES


def test_spaces_are_values():
    assert NB201 == nasjax.nas_bench_201() != DARTS
    counted = []

    @functools.partial(jax.jit, static_argnums=0)
    def draw(space, key):
        counted.append(space)
        return space.random(key)

    for seed in range(3):
        draw(nasjax.nas_bench_201(), jax.random.key(seed))
    assert len(counted) == 1
    with pytest.raises(AttributeError):
        NB201.cells = 2


def draws(function, count, seed=0):
    keys = jax.random.split(jax.random.key(seed), count)
    return np.asarray(jax.jit(jax.vmap(function))(keys))


def assert_frequencies(counts, shares):
    counts, shares = np.asarray(counts), np.asarray(shares)
    assert stats.chisquare(counts, shares * counts.sum()).pvalue > 1e-3


def test_random_is_uniform():
    small = nasjax.table_space(2, ("a", "b", "c"))
    index = small.index(draws(small.random, 9_000))
    assert_frequencies(np.bincount(index, minlength=9), np.full(9, 1 / 9))


def test_random_darts_cells_are_uniform():
    arch = draws(DARTS.random, 6_000)
    assert_valid_darts(arch, 7)
    assert_frequencies(np.bincount(arch[arch < 7], minlength=7), np.full(7, 1 / 7))
    for cell in range(2):
        for node in DARTS_NODES:
            kept = arch[:, cell, list(node)] < 7
            pair = kept @ (1 << np.arange(len(node)))
            _, counts = np.unique(pair, return_counts=True)
            pairs = math.comb(len(node), 2)
            assert len(counts) == pairs
            if pairs > 1:
                assert_frequencies(counts, np.full(pairs, 1 / pairs))


def test_mutation_changes_one_operation_of_a_random_node():
    parent = jnp.array([3, 1, 4, 0, 2, 3], jnp.uint8)
    child = draws(lambda key: NB201.mutate(key, parent), 9_000, seed=1)
    changed = child != np.asarray(parent)
    assert child.max() <= 4
    np.testing.assert_array_equal(changed.sum(1), 1)
    # The node first, then one of its in-edges.
    shares = np.array([1 / 3, 1 / 6, 1 / 6, 1 / 9, 1 / 9, 1 / 9])
    assert_frequencies(changed.sum(0), shares)
    shift = (child.astype(int) - np.asarray(parent)).sum(1) % 5
    assert_frequencies(np.bincount(shift, minlength=5)[1:], np.full(4, 1 / 4))


def test_darts_mutation_changes_or_moves_one_operation():
    parent = DARTS.random(jax.random.key(3))
    child = draws(lambda key: DARTS.mutate(key, parent), 4_000, seed=2)
    parent = np.asarray(parent)
    assert_valid_darts(child, 7)
    differs = child != parent
    assert not np.any(differs[:, 0].any(-1) & differs[:, 1].any(-1))
    count = differs.sum((1, 2))
    assert set(count) == {1, 2}
    for kid, mask in zip(child[count == 2], differs[count == 2], strict=True):
        # The operation went to another in-edge of the same node.
        before, after = parent[mask], kid[mask]
        assert sorted(before) == sorted(after)
        assert 7 in before
        edge = np.flatnonzero(mask.any(0))
        assert any(set(edge) <= set(node) for node in DARTS_NODES)
    # Three of four nodes have an absent in-edge; half of their mutations move.
    moved = (count == 2).sum()
    assert_frequencies([moved, 4_000 - moved], [3 / 8, 5 / 8])
    in_cell = differs[:, 0].any(-1).sum()
    assert_frequencies([in_cell, 4_000 - in_cell], [1 / 2, 1 / 2])


@settings(deadline=None, max_examples=20)
@given(st.lists(st.integers(0, 4), min_size=6, max_size=6))
def test_neighbours_are_all_architectures_one_operation_away(arch):
    near = np.asarray(jax.jit(NB201.neighbours)(jnp.array(arch, jnp.uint8)))
    assert near.dtype == np.uint8
    assert len(np.unique(near, axis=0)) == len(near) == 24
    np.testing.assert_array_equal((near != arch).sum(1), 1)
    assert near.max() <= 4


def test_index_is_a_bijection():
    every = NB201.from_index(jnp.arange(15_625))
    np.testing.assert_array_equal(NB201.index(every), np.arange(15_625))
    digits = np.unravel_index(np.arange(15_625), (5,) * 6)
    np.testing.assert_array_equal(every, np.stack(digits, 1))
    assert int(NB201.index(jnp.array([0, 0, 0, 0, 1, 2], jnp.uint8))) == 7


def test_arch_strings_both_ways():
    for ops in nb201.official_ops():
        text = NB201.arch_string(ops)
        assert text == nb201.format_arch(ops)
        np.testing.assert_array_equal(NB201.parse_arch_string(text), ops)
    # Row 9930 of the benchmark, its best on CIFAR-100.
    assert NB201.arch_string(np.array([3, 3, 3, 1, 3, 3])) == (
        "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+"
        "|skip_connect~0|nor_conv_3x3~1|nor_conv_3x3~2|"
    )


@pytest.mark.parametrize(
    "text, says",
    [
        ("|conv_9x9~0|+|none~0|none~1|+|none~0|none~1|none~2|", "conv_9x9"),
        ("|none~0|+|none~1|none~0|+|none~0|none~1|none~2|", "edges"),
        ("|none~0|+|none~0|none~1|", "edges"),
        ("|none~0|+|none~0|none~1|+|none~0|none~1|none~2|none~3|", "edges"),
        ("", "unknown operation"),
    ],
)
def test_parse_errors(text, says):
    with pytest.raises(ValueError, match=says):
        NB201.parse_arch_string(text)


@pytest.mark.parametrize("method", ["neighbours", "index", "from_index", "arch_string"])
def test_what_needs_every_edge_says_so(method):
    with pytest.raises(ValueError, match="darts keeps 2 in-edges"):
        getattr(DARTS, method)(jnp.zeros((2, 14), jnp.uint8))


def test_index_needs_a_countable_space():
    with pytest.raises(ValueError, match="2\\^31"):
        nasjax.table_space(32, ("a", "b")).index(jnp.zeros(32, jnp.uint8))
    last = nasjax.table_space(19, ("a", "b", "c")).index(jnp.full(19, 2, jnp.uint8))
    assert int(last) == 3**19 - 1


@pytest.mark.parametrize(
    ("edges", "operations", "says"),
    [
        (2, ("a",), "2 to 254 operations .* got 1"),
        (2, (), "got 0"),
        (2, [f"op{i}" for i in range(255)], "uint8.* got 255"),
        (2, [["a", "b"], ["c"]], r"must be names, got \['a', 'b'\]: every edge"),
        (2, (0, 1), "must be names, got 0"),
        (2, 3, "must be a list of names, got 3"),
        (2, "abc", "must be a list of names, got 'abc'"),
        (2, ("a", "b", "a"), "'a' occurs twice"),
        (0, ("a", "b"), "num_edges must be at least 1, got 0"),
        (2.5, ("a", "b"), "num_edges .* got 2.5"),
    ],
)
def test_spaces_that_cannot_be(edges, operations, says):
    with pytest.raises(ValueError, match=says):
        nasjax.table_space(edges, operations)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"edges": ()}, "has no edges"),
        ({"edges": ((1, 1),)}, r"edge \(1, 1\) .* to a later one"),
        ({"cells": 0}, "cells must be"),
        ({"inputs_per_node": 1.5}, "inputs_per_node must be .* got 1.5"),
        ({"operations": ("a",)}, "got 1"),
    ],
)
def test_cells_that_cannot_be(change, says):
    with pytest.raises(ValueError, match=says):
        dataclasses.replace(nasjax.darts(), **change)


def test_as_many_operations_as_fit():
    """254 of them: every one can be drawn, mutated to, and told from an absent one."""
    space = nasjax.table_space(3, [f"op{i}" for i in range(254)])
    keys = jax.random.split(jax.random.key(0), 4_000)
    drawn = np.asarray(jax.jit(jax.vmap(space.random))(keys))
    assert drawn.min() == 0 and drawn.max() == 253
    last = jnp.full(3, 253, jnp.uint8)
    assert np.asarray(space.neighbours(last)).max() == 253
    assert space.index(last) == 254**3 - 1
    np.testing.assert_array_equal(space.from_index(254**3 - 1), last)
