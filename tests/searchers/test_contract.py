"""What every searcher keeps: one contract, over all of them."""

import functools
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import nasjax
from nasjax import search
from nasjax.environments.tabular import from_arrays
from nasjax.search import Environment, Outcome, fidelity
from nasjax.searchers.local_search import naszilla

pytestmark = pytest.mark.usefixtures("quick_compile")

SPACE = nasjax.table_space(4, ("a", "b", "c"))
VALUES = np.random.default_rng(0).random(81).astype(np.float32)
SECONDS = np.random.default_rng(1).random(81).astype(np.float32)
TABLE = from_arrays(
    SPACE,
    np.asarray(SPACE.from_index(jnp.arange(81))),
    [VALUES],
    metrics={"latency": [SECONDS]},
)
PLAIN = TABLE.replace(params=TABLE.params._replace(metrics={}))
# A third of it fails: the architectures with "a" on the first edge.
FAILS = np.asarray(SPACE.from_index(jnp.arange(81)))[:, 0] == 0
BAD = np.resize(np.array([np.nan, np.inf, -np.inf], np.float32), 81)
FAILING, NOTHING = (
    TABLE.replace(params=TABLE.params._replace(values=jnp.asarray(values)[None]))
    for values in (np.where(FAILS, BAD, VALUES), BAD)
)
LEVELS = fidelity.levels((1, 3))
STEPS = 40
small = functools.partial(
    nasjax.CadamConfig, hidden=(8,), top_k=5, batch_size=4, max_cycles=2
)
tiny = functools.partial(
    nasjax.DdasConfig, hidden=(8, 8), batch_size=4, explore=10, exploit=10, stagnation=3
)
GOALS = ("accuracy:max", "latency:min")
QUICK_PARETO = nasjax.BayesianParetoConfig(
    warm_up=6,
    actor_proposals=8,
    offspring=16,
    random_proposals=8,
    hidden=(8,),
    directions=4,
)
QUICK_TASKS = nasjax.BayesianTasksConfig(
    first=12, warm_up=6, actor_proposals=16, random_proposals=8, hidden=(8,)
)
SEARCHERS = {
    "cadam": nasjax.cadam(SPACE, small(epsilon_steps=20)),
    "cadam-warm-up": nasjax.cadam(
        SPACE,
        small(exploration="warm-up", warm_up=10, critic_loss="squared", capacity=15),
    ),
    "cadam-scaled": nasjax.cadam(SPACE, small(epsilon_steps=20, reward="scaled")),
    "cadam-td3": nasjax.cadam(SPACE, small(critics=2, actor_delay=2)),
    "cadam-editor": nasjax.cadam(SPACE, small(epsilon_steps=20, mode="editor")),
    "ddas-nl": nasjax.ddas(SPACE, tiny()),
    "ddas-4s": nasjax.ddas(
        SPACE, tiny(noise="gaussian", scale=0.05, bursts=True, recent=15)
    ),
    "ddas-td3": nasjax.ddas(SPACE, tiny(scale=0.3, critics=2, actor_delay=2)),
    "bayesian-actor-critic": nasjax.bayesian_actor_critic(
        SPACE,
        nasjax.BayesianActorCriticConfig(
            warm_up=6, actor_proposals=16, random_proposals=8, hidden=(8,)
        ),
    ),
    "bayesian-pareto": nasjax.bayesian_pareto(
        SPACE, QUICK_PARETO, objectives=GOALS, constraints=("latency<=0.8",)
    ),
    "bayesian-pareto-alone": nasjax.bayesian_pareto(SPACE, QUICK_PARETO),
    "nsga2": nasjax.nsga2(SPACE, nasjax.Nsga2Config(population=8), objectives=GOALS),
    "nsga2-bound": nasjax.nsga2(
        SPACE, nasjax.Nsga2Config(population=8), constraints=("latency<=0.5",)
    ),
    "hyperband": nasjax.hyperband(SPACE, cost=(1, 3)),
    "bohb": nasjax.bohb(SPACE, nasjax.BohbConfig(random_fraction=0.2), cost=(1, 3)),
    "bayesian-tasks": nasjax.bayesian_tasks(SPACE, QUICK_TASKS),
    "random": nasjax.random_search(SPACE),
    "evolution": nasjax.evolution(SPACE),
    "evolution-64": nasjax.evolution(
        SPACE, nasjax.EvolutionConfig(population=64, sample=16)
    ),
    "reinforce": nasjax.reinforce(SPACE),
    "local-search": nasjax.local_search(SPACE),
    "local-search-remembers": nasjax.local_search(
        SPACE, nasjax.LocalSearchConfig(forget=False)
    ),
    "local-search-naszilla": nasjax.local_search(SPACE, naszilla()),
}


def read_by(searcher, env):
    """The environment without the metrics that the searcher does not read.

    With two levels of the same values, if the searcher chooses levels.
    """
    if searcher.fidelity is not None:

        def evaluate(key, params, state, arch, level):
            return env.evaluate(key, params, state, arch)

        plain = env.replace(params=env.params._replace(metrics={}))
        return plain.replace(evaluate=evaluate, levels=LEVELS)
    if searcher.metrics:
        return env
    return env.replace(params=env.params._replace(metrics={}))


class Compiled(NamedTuple):
    """A searcher, its jitted loops, and what three seeds gave."""

    searcher: search.Searcher
    env: Environment
    init: Any
    half: Any
    whole: Any
    together: Any
    lanes: Any


KEYS = jax.vmap(jax.random.key)(jnp.arange(3))


def key(seed):
    return jax.random.key(seed)


@pytest.fixture(scope="module", params=SEARCHERS)
def compiled(request, quick_compile):
    searcher = SEARCHERS[request.param]

    def run(key, env):
        return search.run(key, searcher, env, STEPS)

    def init(key, env):
        return search.init(key, searcher, env, STEPS)

    def advance(key, env, state, first, length):
        return search.advance(key, searcher, env, state, first, length)

    half = jax.jit(functools.partial(advance, length=STEPS // 2))
    whole = jax.jit(functools.partial(advance, first=0, length=STEPS))
    together = jax.jit(jax.vmap(run, in_axes=(0, None)))
    env = read_by(searcher, TABLE)
    lanes = together(KEYS, env)
    return Compiled(searcher, env, jax.jit(init), half, whole, together, lanes)


@pytest.fixture(scope="module")
def alone(compiled):
    """One seed at a time: an init, and a loop over all steps."""

    def one(key):
        return compiled.whole(key, compiled.env, compiled.init(key, compiled.env))

    return [one(key(seed)) for seed in range(3)]


def test_trace(compiled):
    _, trace = compiled.lanes
    assert trace.arch.shape == (3, STEPS, 4)
    assert trace.arch.dtype == jnp.uint8
    assert trace.arch.max() <= 2
    np.testing.assert_array_equal(trace.accuracy, VALUES[SPACE.index(trace.arch)])
    for leaf in jax.tree.leaves(trace):
        assert leaf.shape[:2] == (3, STEPS)
        assert np.all(np.isfinite(leaf))


def test_it_searches(compiled):
    """Each seed its own way, and not one architecture over and over."""
    arch = SPACE.index(compiled.lanes[1].arch)
    assert not np.array_equal(arch[0], arch[1])
    assert min(len(np.unique(row)) for row in arch) >= 10


def test_vmap_is_a_loop(compiled, alone):
    for seed, (_, trace) in enumerate(alone):
        np.testing.assert_array_equal(compiled.lanes[1].arch[seed], trace.arch)
        np.testing.assert_array_equal(compiled.lanes[1].accuracy[seed], trace.accuracy)


def test_two_halves_are_one_run(compiled, alone):
    state = compiled.init(key(1), compiled.env)
    state, first = compiled.half(key(1), compiled.env, state, first=jnp.int32(0))
    # As a checkpoint would: to NumPy and back.
    state = jax.tree.map(lambda x: jnp.asarray(np.asarray(x)), state)
    state, last = compiled.half(
        key(1), compiled.env, state, first=jnp.int32(STEPS // 2)
    )
    trace = jax.tree.map(lambda a, b: jnp.concatenate([a, b]), first, last)
    jax.tree.map(np.testing.assert_array_equal, (state, trace), alone[1])


def test_state_holds_no_key(compiled, alone):
    """Neither a typed key nor the words of one; shapes never change."""
    before, after = compiled.init(key(0), compiled.env), alone[0][0]
    jax.tree.map(lambda x, y: chex.assert_shape(y, x.shape), before, after)
    jax.tree.map(lambda x, y: chex.assert_type(y, x.dtype), before, after)
    for leaf in jax.tree.leaves(before):
        assert not jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
        assert leaf.dtype != jnp.uint32


def test_drive_with_plain_python_is_run(compiled, alone):
    lookup = {
        arch: (VALUES[i], np.float32(1) - VALUES[i], {"latency": SECONDS[i]})
        for i, arch in enumerate(np.ndindex(3, 3, 3, 3))
    }

    def evaluate(key, params, state, arch, *level):
        outcome = params[tuple(np.asarray(arch).tolist())]
        return state, Outcome(*outcome[: 3 if compiled.searcher.metrics else 2])

    env = compiled.env.replace(params=lookup, evaluate=evaluate, traceable=False)
    start = compiled.init(
        key(2), compiled.env
    )  # unjitted it would be many small programs
    _, trace = search.drive(key(2), compiled.searcher, env, STEPS, start)
    wanted = alone[2][1]
    np.testing.assert_array_equal(trace.arch, wanted.arch)
    np.testing.assert_array_equal(trace.accuracy, wanted.accuracy)
    np.testing.assert_array_equal(trace.loss, wanted.loss)
    assert set(trace.info) == set(wanted.info)


# Whose settings change how they ask while outcomes are pending; one of each.
BESIDE = (
    "cadam",
    "ddas-4s",
    "bayesian-actor-critic",
    "bayesian-pareto",
    "nsga2",
    "hyperband",
    "bohb",
    "bayesian-tasks",
    "random",
    "evolution",
    "reinforce",
    "local-search",
    "local-search-naszilla",
)


@pytest.fixture(scope="module")
def beside(compiled):
    """`search.simulate` on up to three workers, and on how many of them."""
    if all(compiled.searcher is not SEARCHERS[name] for name in BESIDE):
        pytest.skip("a variant that asks as another one does")

    def go(key, workers):
        def seconds(arch, *level):  # 1 to 3
            return 1 + SPACE.index(arch) * 7 % 5 / 2

        args = compiled.searcher, compiled.env, STEPS, workers, seconds, 3
        return search.simulate(key, *args)

    return jax.jit(go)


def test_one_worker_is_run(beside, alone):
    state, trace, when = beside(key(1), 1)
    jax.tree.map(np.testing.assert_array_equal, (state, trace), alone[1])
    np.testing.assert_allclose(
        np.diff(when), 1 + SPACE.index(trace.arch)[1:] * 7 % 5 / 2
    )


def test_three_workers_search_beside_one_another(beside, alone):
    """No query is asked while it is pending, each is told with its own outcome."""
    state, trace, when = beside(key(1), 3)
    assert_no_harm(state.searcher)
    index = np.asarray(SPACE.index(trace.arch))
    np.testing.assert_array_equal(trace.accuracy, VALUES[index])
    assert all(np.all(np.isfinite(x)) for x in jax.tree.leaves(trace.info))
    assert len(np.unique(index)) >= 10
    begun = when - (1 + index * 7 % 5 / 2)
    for i, j in zip(*np.nonzero(np.tril(index[:, None] == index, -1)), strict=True):
        assert begun[i] >= when[j], "asked again before it was told"
    assert when[-1] < 2 * STEPS / 2


# Scores that do not exist, and NSGA-II's distances of the ends of a front.
INFINITE = ("accuracy", "score", "low", "high", "value", "violation", "crowding")


def assert_no_harm(state):
    """No leaf holds NaN, and infinity only marks scores that do not exist."""
    for path, leaf in jax.tree_util.tree_leaves_with_path(state):
        assert not np.any(np.isnan(leaf)), path
        if getattr(path[-1], "name", "") not in INFINITE:
            assert np.all(np.isfinite(leaf)), path


def test_failed_evaluations_do_no_harm(compiled):
    env = read_by(compiled.searcher, FAILING)
    state, trace = compiled.together(KEYS, env)
    index = np.asarray(SPACE.index(trace.arch))
    np.testing.assert_array_equal(
        trace.accuracy, np.where(FAILS, BAD, VALUES)[index], "the trace has it as it is"
    )
    assert FAILS[index].any(axis=1).all()
    assert_no_harm(state.searcher)
    assert all(np.all(np.isfinite(x)) for x in jax.tree.leaves(trace.info))
    assert min(len(np.unique(row)) for row in index) >= 10
    for seed in range(3):
        one = compiled.whole(key(seed), env, compiled.init(key(seed), env))[1]
        np.testing.assert_array_equal(one.arch, trace.arch[seed])


def test_nothing_but_failures(compiled):
    state, trace = compiled.together(KEYS, read_by(compiled.searcher, NOTHING))
    assert_no_harm(state.searcher)
    assert all(np.all(np.isfinite(x)) for x in jax.tree.leaves(trace.info))


def test_a_grown_search_is_the_larger_one(compiled, alone):
    small = jax.jit(
        functools.partial(search.init, searcher=compiled.searcher, steps=20)
    )
    state = small(key(1), env=compiled.env)
    state, first = compiled.half(key(1), compiled.env, state, first=jnp.int32(0))
    grow = functools.partial(search.grow, searcher=compiled.searcher, steps=STEPS)
    state = jax.jit(grow)(key(1), state=state)
    state, last = compiled.half(key(1), compiled.env, state, first=jnp.int32(20))
    trace = jax.tree.map(lambda a, b: jnp.concatenate([a, b]), first, last)
    if search.budget_free(compiled.searcher, 20):
        jax.tree.map(np.testing.assert_array_equal, (state, trace), alone[1])
    else:
        jax.tree.map(lambda a, b: chex.assert_shape(a, b.shape), state, alone[1][0])
        again = compiled.searcher.fidelity is not None  # at other levels
        assert len(np.unique(SPACE.index(trace.arch))) >= (10 if again else STEPS)


def test_the_budget_is_kept(compiled):
    """Where the state is sized by it; elsewhere any number of steps goes."""
    searcher = compiled.searcher
    state = compiled.init(key(0), compiled.env)
    if searcher.budget is None or searcher.budget(state.searcher) is None:
        return
    with pytest.raises(ValueError, match=r"step 40 .* made for 40 steps.*search\.grow"):
        search.advance(key(0), searcher, compiled.env, state, 30, 11)
    with pytest.raises(ValueError, match=r"made for 40 steps"):
        search.drive(key(0), searcher, compiled.env, 41, state, 39)
    with pytest.raises(ValueError, match="does not fit a budget of 39 steps"):
        jax.eval_shape(lambda: search.grow(key(0), searcher, state, 39))


def test_x64_changes_no_type(compiled, alone):
    """Traced only: a wider number in the state would stop the scan."""

    def run(key):
        return search.run(key, compiled.searcher, compiled.env, 12)

    with jax.enable_x64(True):
        wide = jax.eval_shape(run, key(0))
    jax.tree.map(lambda a, b: chex.assert_type(a, b.dtype), wide, alone[0])
    for leaf in jax.tree.leaves(wide):
        assert leaf.dtype not in (jnp.float64, jnp.int64)


def test_x64_asks_the_same(compiled, alone):
    """Every draw has a type of its own, so that x64 makes no other search."""
    names = "ddas-td3", "evolution", "local-search"
    if all(compiled.searcher is not SEARCHERS[name] for name in names):
        pytest.skip("draws as one of these three does")

    def run(key):
        return search.run(key, compiled.searcher, compiled.env, STEPS)[1].arch

    with jax.enable_x64(True):
        wide = jax.jit(run)(key(0))
    np.testing.assert_array_equal(alone[0][1].arch, wide)


TRACED = {
    "actor_lr": [1e-4, 1e-2, 1e-3],
    "critic_lr": [1e-3, 1e-2, 0.0],
    "tau": [0.9, 0.5, 0.1],
    "xi": [1e-4, 0.1, 0.3],
    "beta1": [0.9, 0.5, 0.0],
    "beta2": [0.99, 0.999, 0.9],
    "epsilon_start": [1.0, 0.5, 0.2],
    "epsilon_stop": [0.05, 0.3, 0.0],
    "epsilon_steps": [5, 10, 20],
    "reward_base": [100.0, 2.0, 10.0],
}


def test_configs_are_traced_and_vmapped():
    """One program for all values; a lane of many configurations is the one alone."""
    count = []

    def run(values):
        count.append(1)
        searcher = nasjax.cadam(SPACE, small(**values))
        return search.run(key(0), searcher, PLAIN, 25)[1]

    one_by_one, together = jax.jit(run), jax.jit(jax.vmap(run))
    traces = []
    for lane in range(3):
        values = {name: jnp.asarray(v[lane]) for name, v in TRACED.items()}
        traces.append(one_by_one(values))
    assert len(count) == 1
    batch = {name: jnp.asarray(v) for name, v in TRACED.items()}
    lanes = together(batch)
    for lane, trace in enumerate(traces):
        np.testing.assert_array_equal(lanes.arch[lane], trace.arch)
    assert not np.array_equal(traces[0].arch, traces[1].arch)
    assert len(count) == 2


@pytest.mark.parametrize(
    "factory, configs",
    [
        (nasjax.cadam, [small(), small(actor_lr=1e-3, tau=0.5, epsilon_steps=7)]),
        (
            nasjax.bayesian_actor_critic,
            [
                nasjax.BayesianActorCriticConfig(),
                nasjax.BayesianActorCriticConfig(beta=3.0, correlation=0.8, noise=0.3),
            ],
        ),
        (nasjax.ddas, [tiny(), tiny(gamma=0.5, scale=0.3, os_accuracy=0.2)]),
        (
            nasjax.reinforce,
            [
                nasjax.ReinforceConfig(),
                nasjax.ReinforceConfig(learning_rate=0.5, momentum=0.1),
            ],
        ),
    ],
)
def test_new_values_in_a_config_do_not_retrace(factory, configs):
    """The config itself is the argument, as a user would pass it."""
    count = []

    @jax.jit
    def go(config):
        count.append(1)
        return search.run(key(0), factory(SPACE, config), PLAIN, 12)[1].arch

    first, second = (go(config) for config in configs)
    assert len(count) == 1
    assert not np.array_equal(first, second)


@pytest.mark.parametrize(
    "name, value",
    [
        ("top_k", 0),
        ("batch_size", 0),
        ("capacity", 0),
        ("max_cycles", -1),
        ("warm_up", -1),
        ("hidden", ()),
        ("hidden", (16, 0)),
        ("exploration", "greedy"),
        ("critic_loss", "huber"),
        ("tau", 1.5),
        ("tau", -0.1),
        ("tau", float("nan")),
        ("epsilon_start", 2.0),
        ("epsilon_stop", -1.0),
        ("epsilon_steps", -1),
        ("beta1", 1.2),
        ("beta2", -0.1),
        ("actor_lr", -1e-8),
        ("critic_lr", float("nan")),
        ("xi", -1e-4),
    ],
)
def test_cadam_refuses_by_name(name, value):
    with pytest.raises(ValueError, match=name):
        nasjax.cadam(SPACE, nasjax.CadamConfig(**{name: value}))


@pytest.mark.parametrize("name", ["population", "sample"])
def test_evolution_refuses_by_name(name):
    config = nasjax.EvolutionConfig(**{name: 0})
    with pytest.raises(ValueError, match=f"{name} must be at least 1, got 0"):
        nasjax.evolution(SPACE, config)


@pytest.mark.parametrize("make", [nasjax.reinforce, nasjax.local_search])
def test_searchers_of_every_edge_refuse_spaces_that_select(make):
    with pytest.raises(ValueError, match="darts"):
        make(nasjax.darts())


@pytest.mark.parametrize(
    "searcher",
    [
        nasjax.cadam(nasjax.darts(), small(epsilon_steps=10)),
        nasjax.ddas(nasjax.darts(), tiny(hidden=(8, 8))),
        nasjax.random_search(nasjax.darts()),
        nasjax.evolution(nasjax.darts(), nasjax.EvolutionConfig(population=5)),
    ],
    ids=["cadam", "ddas", "random", "evolution"],
)
def test_darts(searcher):
    """A space of two cells that selects edges, and an environment of one's own."""

    def evaluate(key, params, state, arch):
        accuracy = jnp.mean(arch == params)
        return state, Outcome(accuracy, 1 - accuracy)

    env = Environment(jnp.uint8(3), (), evaluate)
    trace = jax.jit(lambda key: search.run(key, searcher, env, 30))(key(0))[1]
    arch = np.asarray(trace.arch)
    assert arch.shape == (30, 2, 14)
    for node in (range(0, 2), range(2, 5), range(5, 9), range(9, 14)):
        np.testing.assert_array_equal((arch[..., list(node)] < 7).sum(-1), 2)
    assert arch.max() == 7
    assert len(np.unique(arch, axis=0)) >= 15
