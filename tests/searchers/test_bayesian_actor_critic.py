"""The Bayesian actor-critic: asks nothing twice, needs few queries, any unit."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import nasjax
from nasjax import search
from nasjax.environments.tabular import from_arrays, nearest
from nasjax.search import Environment, Outcome

pytestmark = pytest.mark.usefixtures("quick_compile")

SPACE = nasjax.table_space(4, ("a", "b", "c"))
OPS = np.asarray(SPACE.from_index(jnp.arange(81)))
# What each operation adds on each edge; one best architecture.
PART = np.random.default_rng(3).normal(size=(4, 3))
VALUES = PART[np.arange(4), OPS].sum(1)
TABLE = from_arrays(SPACE, OPS, [VALUES])
small = functools.partial(
    nasjax.BayesianActorCriticConfig,
    warm_up=6,
    actor_proposals=24,
    random_proposals=8,
    hidden=(8,),
    top_k=4,
)


def searching(steps, space=SPACE, listed=(None, None), **settings):
    """A compiled search: from a key and an environment to the trace."""
    searcher = nasjax.bayesian_actor_critic(space, small(**settings), *listed)
    return jax.jit(lambda key, env: search.run(key, searcher, env, steps)[1])


shared = functools.cache(searching)


def run(env=TABLE, steps=90, seed=0):
    """Of 81 architectures; the same number of steps in all tests is one program."""
    return shared(steps)(jax.random.key(seed), env)


def test_nothing_is_asked_twice_until_all_is_known():
    index = np.asarray(SPACE.index(run().arch))
    assert len(np.unique(index[:81])) == 81


@pytest.mark.parametrize("seed", range(3))
def test_a_separable_table_is_solved_in_a_few_queries(seed):
    """Chance needs 41 queries on average, and 40 to have an even chance."""
    accuracy = np.asarray(run(seed=seed).accuracy)[:25]
    assert accuracy.max() == np.float32(VALUES.max())


def test_units_and_offsets_do_not_matter():
    """Only ranks enter: the same architectures for 64 x - 512."""
    other = from_arrays(SPACE, OPS, [64 * VALUES - 512])
    np.testing.assert_array_equal(run().arch, run(other).arch)


def test_what_is_not_a_number_does_no_harm():
    """Where the best third is missing, the best of the rest is found."""
    limit = np.quantile(VALUES, 0.67)
    known = np.where(limit < VALUES, np.nan, VALUES)
    trace = run(from_arrays(SPACE, OPS, [known]))
    trace = jax.tree.map(lambda x: np.asarray(x)[:60], trace)
    assert np.isfinite(np.asarray(trace.info["mean"])).all()
    accuracy = np.asarray(trace.accuracy)
    assert np.nanmax(accuracy) == np.float32(np.nanmax(known))
    assert len(np.unique(SPACE.index(trace.arch))) == 60


def test_the_critic_learns_of_isomorphic_cells_from_each_other():
    """Its mean at the cell that was told, under another name and at another cell."""
    space = nasjax.nas_bench_201()
    told, twin, other = np.array(
        [[2, 3, 0, 4, 1, 2], [3, 2, 0, 4, 2, 1], [3, 2, 0, 4, 1, 2]], np.uint8
    )

    def means(isomorphic):
        searcher = nasjax.bayesian_actor_critic(space, small(isomorphic=isomorphic))
        state = searcher.init(jax.random.key(0), 12)
        for step, arch in enumerate((np.zeros_like(told), told)):
            outcome = Outcome(jnp.float32(step), jnp.float32(0))
            state, _ = searcher.tell(jax.random.key(1), state, step, arch, outcome)
        cells = np.stack([told, twin, other])
        _, info = jax.vmap(
            lambda arch: searcher.tell(jax.random.key(2), state, 2, arch, outcome)
        )(cells)
        return np.asarray(info["mean"])

    apart, half, one = map(means, (0.0, 0.5, 1.0))
    assert apart[1] < apart[2] < apart[0]
    assert half[2] < half[1] < half[0]
    assert one[1] == pytest.approx(one[0], abs=1e-6)


@pytest.mark.parametrize("listed", [(6, 100), (6, 4), (0, 30)])
def test_on_an_incomplete_table_only_its_rows_are_asked(listed):
    """Whether all rows are looked at for each query or a few; none twice."""
    kept = np.random.default_rng(0).permutation(81)[:30]
    env = from_arrays(SPACE, OPS[kept], [VALUES[kept]])
    only = functools.partial(nearest, env.params), env.params.ops
    go = searching(30, listed=only, listed_proposals=listed)
    trace = go(jax.random.key(0), env)
    assert np.isfinite(np.asarray(trace.accuracy)).all()
    assert sorted(np.asarray(SPACE.index(trace.arch)).tolist()) == sorted(kept)
    early = np.asarray(trace.accuracy)[:20]
    assert early.max() == np.float32(VALUES[kept].max())


def test_project_and_listed_go_together():
    with pytest.raises(ValueError, match="go together"):
        nasjax.bayesian_actor_critic(SPACE, small(), project=lambda arch: arch)
    with pytest.raises(ValueError, match="go together"):
        nasjax.bayesian_actor_critic(SPACE, small(), listed=OPS)


def test_a_noisy_oracle():
    """One architecture more than its noise better than all others is still found."""

    def evaluate(key, params, state, arch):
        score = jnp.sum(params[jnp.arange(4), arch]) + 0.2 * jax.random.normal(key)
        return state, Outcome(score, -score)

    env = Environment(jnp.asarray(PART, jnp.float32), (), evaluate)
    trace = run(env, steps=40)
    best = int(VALUES.argmax())
    assert best in np.asarray(SPACE.index(trace.arch)).tolist()


def test_growing_past_the_capacity_is_exact():
    """From its capacity on the memory has one size, whatever the budget."""
    searcher = nasjax.bayesian_actor_critic(SPACE, small(capacity=12))
    assert not search.budget_free(searcher, 11)
    assert search.budget_free(searcher, 12)
    key = jax.random.key(0)

    @functools.partial(jax.jit, static_argnames="length")
    def advance(state, first, length):
        return search.advance(key, searcher, TABLE, state, first, length)

    init = jax.jit(
        lambda steps: search.init(key, searcher, TABLE, steps), static_argnums=0
    )
    grow = jax.jit(lambda state: search.grow(key, searcher, state, 30))
    state, first = advance(init(15), 0, length=15)
    state, last = advance(grow(state), 15, length=15)
    trace = jax.tree.map(lambda a, b: jnp.concatenate([a, b]), first, last)
    # In two parts as well: the second has the program of the grown search.
    whole, first = advance(init(30), 0, length=15)
    whole, last = advance(whole, 15, length=15)
    both = jax.tree.map(lambda a, b: jnp.concatenate([a, b]), first, last)
    jax.tree.map(np.testing.assert_array_equal, (state, trace), (whole, both))


def test_a_failure_is_remembered_as_one_of_the_worst():
    searcher = nasjax.bayesian_actor_critic(SPACE, small(capacity=4))
    init, tell = jax.jit(searcher.init, static_argnums=1), jax.jit(searcher.tell)
    state = init(jax.random.key(0), 8)
    nan = float("nan")
    for step, accuracy in enumerate([nan, 0.5, 0.3, nan]):
        outcome = Outcome(jnp.float32(accuracy), jnp.float32(0))
        arch = jnp.full(4, step % 3, jnp.uint8)
        state, _ = tell(jax.random.key(1), state, step, arch, outcome)
    # The first came before any score and teaches nothing.
    held = np.float32([0.5, 0.3, 0.3, -np.inf])
    np.testing.assert_array_equal(state.accuracy, held)
    state, _ = tell(jax.random.key(1), state, 4, arch, Outcome(0.6, 0.0))
    assert float(state.accuracy.min()) == np.float32(0.3)


def test_the_actor_proposes_what_is_asked():
    """After the warm-up, whose queries fill the space, most queries are the actor's."""
    by_actor = np.asarray(run().info["by_actor"])[:30]
    assert not by_actor[:6].any() and by_actor[6:].mean() > 0.3


def test_a_space_that_selects_edges():
    def evaluate(key, params, state, arch):
        accuracy = jnp.mean(arch == params)
        return state, Outcome(accuracy, 1 - accuracy)

    space = nasjax.darts()
    env = Environment(jnp.uint8(3), (), evaluate)
    trace = searching(25, space)(jax.random.key(0), env)
    kept = np.asarray(trace.arch) < 7
    assert (kept.sum(-1) == 8).all()
    assert len(np.unique(np.asarray(trace.arch).reshape(25, -1), axis=0)) == 25
    assert trace.accuracy[-10:].mean() > trace.accuracy[:6].mean()


@pytest.mark.parametrize(
    "name, value",
    [
        ("top_k", 0),
        ("random_proposals", 0),
        ("capacity", 0),
        ("cycles", -1),
        ("hidden", (0,)),
        ("acquisition", "greedy"),
        ("pending", "random"),
        ("beta", -1.0),
        ("noise", 0.0),
        ("correlation", 1.0),
        ("additive", 0.0),
        ("far_beta", -1.0),
        ("listed_proposals", (64,)),
        ("listed_proposals", (64, 0)),
    ],
)
def test_it_refuses_by_name(name, value):
    with pytest.raises(ValueError, match=name):
        nasjax.bayesian_actor_critic(SPACE, small(**{name: value}))


def test_a_prior_mean_guides_from_the_first_query():
    """A prior of the scores' order finds the best at once, its opposite the worst."""

    def search_with(slope, key, steps=4):
        mean = slope * (VALUES - VALUES.mean()) / VALUES.std()
        searcher = nasjax.bayesian_actor_critic(
            SPACE,
            small(warm_up=0, cycles=0),
            prior_mean=lambda arch: mean[SPACE.index(arch)],
        )
        return search.run(key, searcher, TABLE, steps)[1]

    traced = jax.jit(search_with)
    best, against = (traced(slope, jax.random.key(0)) for slope in (3.0, -3.0))
    assert best.accuracy[0] == np.float32(VALUES.max())
    assert against.accuracy[0] == np.float32(VALUES.min())
    # Before any outcome the critic expects the prior mean.
    expected = 3 * (VALUES.max() - VALUES.mean()) / VALUES.std()
    np.testing.assert_allclose(best.info["mean"][0], expected, rtol=1e-4)
