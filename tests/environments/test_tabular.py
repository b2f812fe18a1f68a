"""Tables as environments: every row found, none invented, columns per lane."""

import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

import nasjax
from nasjax import search
from nasjax.environments import tabular as environments_tabular
from nasjax.environments.tabular import (
    among_all,
    by_halving,
    from_arrays,
    lookup,
    nearest,
)

SMALL = nasjax.table_space(3, ("a", "b", "c"))
look_up = jax.jit(jax.vmap(lookup, in_axes=(None, 0)))
# That of a GPU and that of other devices.
FORMS = [
    jax.jit(jax.vmap(form, in_axes=(None, None, 0))) for form in (among_all, by_halving)
]


def column(values, trials=None):
    return types.SimpleNamespace(values=np.asarray(values), trials=trials)


def small_table():
    """Three of the 27 rows, unsorted; two columns, one with one to three trials."""
    nan = np.nan
    trials = np.array([[0.1, 0.3, nan], [0.5, nan, nan], [0.7, 0.8, 0.9]], np.float32)
    return types.SimpleNamespace(
        ops=np.array([[2, 0, 1], [0, 1, 1], [0, 1, 0]], np.uint8),
        columns={
            "good": column([0.2, 0.5, 0.8], trials),
            "means": column([0.25, 0.5, 0.75]),
        },
    )


def test_every_row_of_the_benchmark(space, table):
    env = nasjax.tabular(space, table)
    ops = jnp.asarray(table.ops)
    np.testing.assert_array_equal(look_up(env.params, ops), np.arange(15_625))

    @jax.jit
    def score(env, arch):
        key = jax.random.key(0)
        return env.evaluate(key, env.params, env.state, arch)[1]

    outcome = jax.vmap(score, in_axes=(None, 0))(env, ops)
    values = next(iter(table.columns.values())).values
    np.testing.assert_array_equal(outcome.accuracy, values)
    np.testing.assert_allclose(outcome.loss, 1 - values, atol=1e-7)


def test_shuffled_part_of_the_benchmark(space, table):
    rows = np.random.default_rng(0).permutation(15_625)[:4_000]
    values = next(iter(table.columns.values())).values[rows]
    env = from_arrays(space, table.ops[rows], [values])
    wanted = np.full(15_625, -1)
    wanted[rows] = np.arange(4_000)
    found = np.asarray(look_up(env.params, jnp.asarray(table.ops)))
    np.testing.assert_array_equal(found, wanted)


archs = st.tuples(*[st.integers(0, 2)] * 3)


@settings(deadline=None, max_examples=40)
@given(
    st.lists(archs, min_size=5, max_size=5, unique=True), st.lists(archs, max_size=9)
)
def test_against_a_dictionary(rows, asked):
    # Always the same shapes, so that it compiles once.
    asked = [*rows, *asked, *([(1, 1, 1)] * (9 - len(asked)))]
    params = from_arrays(SMALL, np.array(rows, np.uint8), [np.arange(5)]).params
    reference = {arch: row for row, arch in enumerate(rows)}
    wanted = [reference.get(arch, -1) for arch in asked]
    assert look_up(params, jnp.array(asked, jnp.uint8)).tolist() == wanted
    for form in FORMS:
        assert form(params.ops, params.row, jnp.array(asked)).tolist() == wanted


@pytest.mark.parametrize("count", [1, 2, 3, 27])
def test_tables_of_any_size(count):
    every = np.asarray(SMALL.from_index(jnp.arange(27)))
    params = from_arrays(SMALL, every[:count][::-1], [np.zeros(count)]).params
    wanted = [count - 1 - i if i < count else -1 for i in range(27)]
    assert look_up(params, jnp.asarray(every)).tolist() == wanted


@pytest.mark.parametrize("trial", ["mean", "random"])
def test_absent_architectures_score_nan(trial):
    env = nasjax.tabular(SMALL, small_table(), ["good"], trial=trial)
    absent = jnp.array([1, 1, 1], jnp.uint8)
    _, outcome = env.evaluate(jax.random.key(0), env.params, env.state, absent)
    assert np.isnan(outcome.accuracy)
    assert np.isnan(outcome.loss)


def test_two_cells_and_absent_edges():
    darts = nasjax.darts()
    archs = jax.jit(jax.vmap(darts.random))(jax.random.split(jax.random.key(0), 21))
    params = from_arrays(darts, np.asarray(archs)[:20], [np.arange(20)]).params
    # The last one is not in the table.
    np.testing.assert_array_equal(look_up(params, archs), [*range(20), -1])


@pytest.mark.parametrize(
    "row, values", [(0, [0.1, 0.3]), (1, [0.5]), (2, [0.7, 0.8, 0.9])]
)
def test_random_trials_are_those_that_exist(row, values):
    table = small_table()
    env = nasjax.tabular(SMALL, table, ["good"], trial="random")
    keys = jax.random.split(jax.random.key(row), 3_000)
    arch = jnp.asarray(table.ops[row])

    @jax.jit
    @jax.vmap
    def score(key):
        return env.evaluate(key, env.params, env.state, arch)[1].accuracy

    found, counts = np.unique(score(keys), return_counts=True)
    np.testing.assert_array_equal(found, np.float32(values))
    assert len(values) == 1 or stats.chisquare(counts).pvalue > 1e-3


def test_trials_of_the_benchmark(space, table):
    """Only existing ones are drawn, and evenly enough to keep the mean."""
    name = "cifar10_valid"
    env = nasjax.tabular(space, table, [name], trial="random")
    keys = jax.random.split(jax.random.key(0), 15_625)

    @jax.jit
    @jax.vmap
    def score(key, arch):
        return env.evaluate(key, env.params, env.state, arch)[1].accuracy

    drawn = np.asarray(score(keys, jnp.asarray(table.ops)))
    trials = table.columns[name].trials
    assert np.all(np.any(drawn[:, None] == trials, axis=1))
    assert abs(drawn.mean() - np.nanmean(trials, axis=1).mean()) < 1e-3


def test_column_is_traced_per_lane():
    table = small_table()
    arch = jnp.asarray(table.ops[2])
    count = []

    @jax.jit
    @jax.vmap
    def score(column):
        count.append(1)
        env = nasjax.tabular(SMALL, table, column=column)
        return env.evaluate(jax.random.key(0), env.params, env.state, arch)[1].accuracy

    np.testing.assert_allclose(score(jnp.array([0, 1, 0])), [0.8, 0.75, 0.8])
    np.testing.assert_allclose(score(jnp.array([1, 1, 0])), [0.75, 0.75, 0.8])
    assert len(count) == 1


def test_columns_keep_the_order_asked_for():
    env = nasjax.tabular(SMALL, small_table(), ["means", "good"])
    np.testing.assert_allclose(env.params.values[:, 0], [0.25, 0.2])


def test_an_environment_is_a_pytree_and_an_argument(space, table):
    env = nasjax.tabular(space, table)
    leaves = jax.tree.leaves(env)
    assert len(leaves) == 5
    assert all(isinstance(leaf, jax.Array) for leaf in leaves)

    def go(key, env):
        return search.run(key, nasjax.random_search(space), env, 4)[1].accuracy

    key = jax.random.key(0)
    closed = jax.make_jaxpr(go)(key, env)
    # The table is an argument: no constant of the program is as large as a column.
    assert sum(np.asarray(const).nbytes for const in closed.consts) < 15_625
    text = jax.jit(go).lower(key, env).as_text()
    assert len(text) < 1_000_000
    assert jax.jit(go)(key, env).shape == (4,)


@pytest.mark.parametrize(
    "change, says",
    [
        ({"trial": "median"}, "allowed: mean, random"),
        ({"columns": ["good", "bad"]}, r"\['bad'\].*good, means"),
        ({"columns": []}, "unknown columns"),
        ({"trial": "random"}, "no single trials are known for means"),
    ],
)
def test_arguments_that_are_refused(change, says):
    with pytest.raises(ValueError, match=says):
        nasjax.tabular(SMALL, small_table(), **change)


def test_shapes_that_do_not_fit():
    with pytest.raises(ValueError, match="3 edges"):
        nasjax.tabular(nasjax.nas_bench_201(), small_table())
    with pytest.raises(ValueError, match=r"operations 0..2 in the table"):
        few = nasjax.table_space(3, ("a", "b"))
        nasjax.tabular(few, small_table())
    with pytest.raises(ValueError, match="values for 3 architectures"):
        from_arrays(SMALL, small_table().ops, [np.zeros(4)])
    env = nasjax.tabular(SMALL, small_table())
    with pytest.raises(AssertionError):
        lookup(env.params, jnp.zeros(4, jnp.uint8))


def test_the_package_names_the_factory():
    assert environments_tabular is nasjax.tabular


def test_nearest_is_by_hamming_distance_and_lowest_row():
    """(1, 1, 1) differs from rows 1 and 2 on two edges, from the others on three."""
    space = nasjax.table_space(3, ("a", "b", "c"))
    ops = np.array([[2, 2, 2], [1, 0, 2], [0, 1, 0], [0, 0, 0]], np.uint8)
    env = from_arrays(space, ops, [np.arange(4)])
    asked = jnp.array([[1, 1, 1], [2, 2, 2], [0, 0, 1]], jnp.uint8)
    found = jax.jit(nearest)(env.params, asked)
    np.testing.assert_array_equal(found, ops[[1, 0, 3]])
    np.testing.assert_array_equal(nearest(env.params, asked[0]), ops[1])
