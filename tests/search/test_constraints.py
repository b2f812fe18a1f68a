"""Constraints that are known without a query: only feasible architectures are asked."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import nasjax
from nasjax import costs, search
from nasjax.environments.tabular import from_arrays, listed, within
from nasjax.runs import methods
from nasjax.search import Environment, Outcome, constraints
from nasjax.searchers.local_search import naszilla

pytestmark = pytest.mark.usefixtures("quick_compile")

NB201, DARTS = nasjax.nas_bench_201(), nasjax.darts()
TABLES = {
    "nb201": (NB201, costs.nb201_network()),
    "darts": (DARTS, costs.darts_network(DARTS)),
    "darts-none": (nasjax.darts(none=True), costs.darts_network(nasjax.darts(True))),
    "imagenet": (
        DARTS,
        costs.darts_network(DARTS, cells=14, channels=48, stem="imagenet"),
    ),
}
STEPS, KEY = 24, jax.random.key(3)
SEEDS = jax.vmap(jax.random.key)(jnp.arange(4))
small = functools.partial(nasjax.CadamConfig, hidden=(8,), top_k=5, batch_size=4)
SEARCHERS = {
    "cadam": lambda space: nasjax.cadam(space, small(max_cycles=2, epsilon_steps=9)),
    "ddas": lambda space: nasjax.ddas(
        space, nasjax.DdasConfig(hidden=(8, 8), batch_size=4, explore=10, exploit=10)
    ),
    "bayesian-actor-critic": lambda space: nasjax.bayesian_actor_critic(
        space,
        nasjax.BayesianActorCriticConfig(
            warm_up=6, actor_proposals=16, random_proposals=8, hidden=(8,)
        ),
    ),
    "random": nasjax.random_search,
    "evolution": nasjax.evolution,
    "reinforce": nasjax.reinforce,
    "local-search": nasjax.local_search,
    "local-search-naszilla": lambda space: nasjax.local_search(space, naszilla()),
}
CASES = [(name, "nb201") for name in SEARCHERS]
CASES += [(name, "darts") for name in list(SEARCHERS)[:5]]  # the others refuse it


def drawn(space, seed, count=200):
    return np.asarray(_drawn(space, jax.random.split(jax.random.key(seed), count)))


@functools.partial(jax.jit, static_argnums=0)
def _drawn(space, keys):
    return jax.vmap(space.random)(keys)


def quantile(space, table, cost, share):
    return int(np.quantile(cost(table, drawn(space, 99, 2000)), share))


def larger_is_better(space, table):
    """Accuracy grows with the parameters: the constraint is where the search wants."""

    def evaluate(key, params, state, arch):
        del key, params
        size = costs.params(table, arch).astype(jnp.float32)
        return state, Outcome(size / 1e7, jnp.float32(0), {"size": size})

    return Environment((), (), evaluate)


@functools.cache
def judged(name, params, macs):
    """Both functions, jitted, of bounds on quantiles; and the bounds."""
    space, table = TABLES[name]
    bounds = {}
    for what, share in (("params", params), ("macs", macs)):
        if share is not None:
            bounds[what] = quantile(space, table, getattr(costs, what), share)
    constraint = search.bounded(space, table, **bounds)
    both = jax.jit(lambda x: (constraint.feasible(x), jax.vmap(constraint.nearest)(x)))
    return both, bounds


@pytest.mark.parametrize("shares", [(0.3, None), (None, 0.01), (0.1, 0.5)])
@pytest.mark.parametrize("name", TABLES)
@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_bounds_are_the_costs(name, shares, seed):
    """What is infeasible is mapped to a valid feasible architecture."""
    space, table = TABLES[name]
    both, bounds = judged(name, *shares)
    archs = drawn(space, seed)
    wanted = np.ones(len(archs), bool)
    for what, limit in bounds.items():
        wanted &= getattr(costs, what)(table, archs) <= limit
    feasible, near = map(np.asarray, both(archs))
    np.testing.assert_array_equal(feasible, wanted)
    for what, limit in bounds.items():
        assert getattr(costs, what)(table, near).max() <= limit
    np.testing.assert_array_equal(near[wanted], archs[wanted])
    present = near < space.num_operations
    np.testing.assert_array_equal(space.keep(present.astype(np.float32)), present)
    assert near.dtype == np.uint8


def test_few_operations_are_swapped():
    """Of the six convolutions one must go for a bound just below the largest cell."""
    table = TABLES["nb201"][1]
    largest = np.full(6, 3, np.uint8)
    limit = int(costs.params(table, largest)) - 1
    near = np.asarray(search.bounded(NB201, table, limit).nearest(largest))
    assert (near != largest).sum() == 1


def test_the_smallest_architecture_is_known():
    ops = np.asarray(NB201.from_index(jnp.arange(NB201.size)))
    table = TABLES["nb201"][1]
    for what, quantity in (("params", "parameters"), ("macs", "multiply-adds")):
        smallest = int(getattr(costs, what)(table, ops).min())
        left = search.bounded(NB201, table, **{what: smallest}).feasible(ops)
        assert left.sum() == 3**6
        with pytest.raises(ValueError, match=f"most 9 {quantity}: .* {smallest:,}$"):
            search.bounded(NB201, table, **{what: 9})
    with pytest.raises(ValueError, match="needs a number"):
        search.bounded(NB201, table)
    with pytest.raises(ValueError, match="are of another space than darts"):
        search.bounded(DARTS, table, params=10**7)


def test_a_searcher_must_say_its_space():
    searcher = nasjax.random_search(NB201)._replace(space=None)
    constraint = search.bounded(*TABLES["nb201"], params=1_000_000)
    with pytest.raises(ValueError, match="says its space"):
        search.constrained(searcher, constraint)


@pytest.mark.parametrize(("name", "of"), CASES)
def test_no_infeasible_query(name, of):
    """Many seeds at once, alone and beside two pending queries."""
    space, table = TABLES[of]
    limit = quantile(space, table, costs.params, 0.1)
    constraint = search.bounded(space, table, params=limit)
    searcher = search.constrained(SEARCHERS[name](space), constraint)
    env = larger_is_better(space, table)

    def run(key):
        return search.run(key, searcher, env, STEPS)[1]

    def beside(key):
        def seconds(arch):
            return 1.0 + arch.reshape(-1)[0] % 3

        return search.simulate(key, searcher, env, STEPS, 3, seconds)[1]

    alone, together = jax.jit(lambda k: (jax.vmap(run)(k), jax.vmap(beside)(k)))(SEEDS)
    for trace in (alone, together):
        assert np.all(costs.params(table, np.asarray(trace.arch)) <= limit)
        flat = np.asarray(trace.arch).reshape(len(SEEDS), STEPS, -1)
        assert min(len(np.unique(row, axis=0)) for row in flat) >= STEPS // 3
        np.testing.assert_array_equal(
            trace.metrics["size"], costs.params(table, np.asarray(trace.arch))
        )


@pytest.mark.parametrize("name", ["cadam", "bayesian-actor-critic", "local-search"])
def test_a_bound_that_all_meet_changes_nothing(name):
    space, table = TABLES["nb201"]
    searcher = SEARCHERS[name](space)
    loose = search.constrained(searcher, search.bounded(space, table, params=10**7))
    env = larger_is_better(space, table)
    run = jax.jit(search.run, static_argnums=(1, 3))
    jax.tree.map(
        np.testing.assert_array_equal,
        run(KEY, searcher, env, STEPS),
        run(KEY, loose, env, STEPS),
    )


def test_any_predicate_of_which_one_architecture_is_known():
    """The single architecture of 4^14 that is feasible, by random search."""
    space = nasjax.table_space(14, tuple("abcd"))
    example = np.resize(np.arange(4, dtype=np.uint8), 14)
    constraint = constraints.toward(
        space, lambda arch: jnp.all(arch == example, axis=-1), example
    )
    searcher = search.constrained(nasjax.random_search(space), constraint)
    env = search.black_box(lambda arch: float((arch == example).all()))
    _, trace = search.drive(KEY, searcher, env, 3)
    np.testing.assert_array_equal(trace.accuracy, 1)


@pytest.mark.parametrize("name", ["random", "local-search", "bayesian-actor-critic"])
def test_rows_of_a_table(name):
    """What the table lacks is not queried, and every row that it has is found."""
    space = nasjax.table_space(4, tuple("abc"))
    ops = np.asarray(space.from_index(jnp.arange(81)))
    values = np.random.default_rng(0).random(81).astype(np.float32)
    rows = np.flatnonzero(ops.sum(1) <= 3)
    env = within(from_arrays(space, ops, [values]), rows)
    searcher = SEARCHERS[name](space)
    searcher = search.constrained(searcher, listed(space, env.params))
    _, trace = jax.jit(search.run, static_argnums=(1, 3))(KEY, searcher, env, 120)
    index = np.asarray(space.index(trace.arch))
    np.testing.assert_array_equal(trace.accuracy, values[index])
    assert {*index} <= {*rows}
    assert values[rows].max() == trace.accuracy.max()
    if name == "bayesian-actor-critic":
        assert {*index} == {*rows}


@pytest.mark.parametrize("name", methods.METHODS)
def test_every_registered_searcher_takes_a_constraint(name):
    """Traced only; the cases above run one of each kind."""
    space, table = TABLES["nb201"]
    searcher = methods.factory(name, {}, cost=(12, 200))(space)
    constraint = search.bounded(space, table, macs=30_000_000)
    env = larger_is_better(space, table)
    if name in methods.FIDELITIES:
        single = env.evaluate
        env = env.replace(
            evaluate=lambda *args: single(*args[:-1]),
            levels=search.fidelity.levels((12, 200)),
        )
    searcher = search.constrained(searcher, constraint)
    plain = jax.eval_shape(lambda k: search.run(k, searcher, env, 12)[1].arch, KEY)
    assert plain.shape == (12, 6)
