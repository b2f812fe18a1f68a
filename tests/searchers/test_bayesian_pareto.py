"""Fronts and constraints: the improvement, parents, failures, better than NSGA-II."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import norm

import nasjax
from nasjax import search
from nasjax.environments.tabular import from_arrays
from nasjax.search import pareto
from nasjax.searchers.bayesian_pareto import log_improvement

pytestmark = pytest.mark.usefixtures("quick_compile")

SPACE = nasjax.table_space(5, ("a", "b", "c"))
OPS = np.asarray(SPACE.from_index(jnp.arange(243)))
# Every edge adds to both: the front goes from the fast to the good.
GAIN = np.array([0.0, 0.1, 0.2])[OPS].sum(1) - 0.02 * (OPS[:, 0] == OPS[:, 1])
SECONDS = np.array([1.0, 1.5, 4.0])[OPS] @ np.arange(1, 6)
GOALS = ("accuracy", "seconds:min")
SMALL = nasjax.BayesianParetoConfig(
    warm_up=6, actor_proposals=16, offspring=32, random_proposals=16, hidden=(8,)
)
KEYS = jax.vmap(jax.random.key)(jnp.arange(4))


def environment(fails=None):
    fails = np.zeros(243, bool) if fails is None else fails
    gain = np.where(fails, np.nan, GAIN)
    return from_arrays(SPACE, OPS, [gain], metrics={"seconds": [SECONDS]})


def run(searcher, env, steps):
    go = jax.vmap(lambda key: search.run(key, searcher, env, steps)[1])
    return jax.tree.map(np.asarray, jax.jit(go)(KEYS))


def expected(mean, deviation, a):
    """E[max(f - a, 0)]."""
    u = (mean - a) / deviation
    return deviation * (u * norm.cdf(u) + norm.pdf(u))


def test_the_improvement_is_the_closed_form():
    """Of two objectives: strips of the first one times gains in the second."""
    front = np.array([[0.5, 2.0], [1.5, 1.5], [2.5, 0.4], [0.0, 0.0]])
    mean = np.array([[1.0, 1.0], [2.0, 2.0], [0.2, 2.2], [3.0, 0.1], [-1.0, -1.0]])
    deviation = np.array([[0.5, 0.5], [0.3, 1.0], [0.2, 0.4], [0.3, 0.3], [0.7, 0.7]])
    x, y = np.array([0, 0.5, 1.5, 2.5, np.inf]), np.array([2.0, 1.5, 0.4, 0.0])
    wanted = 0.0
    for low, high, height in zip(x[:-1], x[1:], y, strict=True):
        width = expected(*np.stack([mean, deviation])[..., 0], low)
        if np.isfinite(high):
            width = width - expected(*np.stack([mean, deviation])[..., 0], high)
        wanted = wanted + width * expected(*np.stack([mean, deviation])[..., 1], height)
    arrays = (jnp.asarray(x, jnp.float32) for x in (mean, deviation, front))
    count = 4000
    log = jax.jit(log_improvement, static_argnums=4)(jax.random.key(0), *arrays, count)
    # The area is a quarter of pi times the mean of s^2 = integral of 2 t dt; 8 nodes.
    area = np.pi / 4 * 2 * np.exp(np.asarray(log, float)) / count / 8
    np.testing.assert_allclose(area[:4], wanted[:4], rtol=0.08)
    assert 0.8 < area[4] / wanted[4] < 1.2  # cut at four deviations


def test_of_one_objective_it_is_the_expected_improvement():
    mean = jnp.array([[1.0], [2.0], [0.0], [-20.0], [-21.0]])
    deviation = jnp.array([[0.5], [0.3], [1.0], [0.5], [0.5]])
    front = jnp.array([[1.5], [0.2]])
    log = log_improvement(jax.random.key(0), mean, deviation, front, 2)
    wanted = expected(np.asarray(mean)[:3, 0], np.asarray(deviation)[:3, 0], 1.5)
    np.testing.assert_allclose(np.exp(log[:3]) / 2 / 8, wanted, rtol=0.03)
    # Where nothing is likely to improve, the order stays.
    assert np.isfinite(log).all() and log[3] > log[4]


def hypervolume(trace, gain=GAIN, seconds=SECONDS):
    """Share of the table's, of each seed."""
    points = np.stack([trace.accuracy, -trace.metrics["seconds"]], -1)
    whole = np.stack([gain, -seconds], -1)
    low, high = whole.min(0), whole.max(0)
    volume = jax.jit(jax.vmap(lambda x: pareto.hypervolume(x, jnp.zeros(2))))
    scaled = [(x - low) / (high - low) for x in (points, whole[None])]
    both = [volume(jnp.asarray(x)) for x in scaled]
    return np.asarray(both[0] / both[1])


def test_nsga2_is_ahead_of_chance():
    """200 queries of 6,561 architectures whose edges add up."""
    space = nasjax.table_space(8, ("a", "b", "c"))
    ops = np.asarray(space.from_index(jnp.arange(3**8)))
    rng = np.random.default_rng(0)
    gain, seconds = (rng.normal(size=(8, 3))[np.arange(8), ops].sum(1) for _ in "ab")
    env = from_arrays(space, ops, [gain], metrics={"seconds": [seconds]})
    shares = [
        hypervolume(run(searcher, env, 200), gain, seconds)
        for searcher in (
            nasjax.nsga2(space, objectives=GOALS),
            nasjax.random_search(space),
        )
    ]
    assert shares[0].mean() > shares[1].mean() + 0.05


def test_ahead_of_nsga2():
    env = environment()
    ours = run(nasjax.bayesian_pareto(SPACE, SMALL, objectives=GOALS), env, 50)
    nsga2 = run(nasjax.nsga2(SPACE, objectives=GOALS), env, 50)
    assert hypervolume(ours).min() > 0.97
    assert hypervolume(ours).mean() > hypervolume(nsga2).mean() + 0.03
    index = np.asarray(SPACE.index(ours.arch))
    assert all(len(np.unique(row)) == 50 for row in index)


@pytest.mark.parametrize("name", ["bayesian", "nsga2"])
def test_units_do_not_matter(name):
    """Monotone transformations of the metrics give the same search."""
    make = {
        "bayesian": lambda **terms: nasjax.bayesian_pareto(SPACE, SMALL, **terms),
        "nsga2": lambda **terms: nasjax.nsga2(SPACE, **terms),
    }[name]
    first = make(objectives=GOALS[:1], constraints=("seconds<=25",))
    other = from_arrays(SPACE, OPS, [GAIN], metrics={"rate": [1e3 / SECONDS]})
    second = make(objectives=GOALS[:1], constraints=("rate>=40",))
    arch = [run(first, environment(), 30).arch, run(second, other, 30).arch]
    np.testing.assert_array_equal(*arch)


def test_a_constraint_is_learnt():
    """The best row that keeps it is queried, which is far from the best of all."""
    searcher = nasjax.bayesian_pareto(SPACE, SMALL, constraints=("seconds<=25",))
    trace = run(searcher, environment(), 50)
    best = GAIN[SECONDS <= 25].max()
    kept = trace.metrics["seconds"] <= 25
    reached = np.where(kept, trace.accuracy, 0).max(1)
    np.testing.assert_allclose(reached, best, rtol=1e-6)
    assert best < np.sort(GAIN)[-20]


def test_nothing_feasible_is_looked_for():
    """With 3 rows of 243 feasible, one is queried soon."""
    bound = np.sort(SECONDS)[2]
    bounds = (f"seconds<={bound}",)
    trace = run(
        nasjax.bayesian_pareto(SPACE, SMALL, constraints=bounds), environment(), 40
    )
    assert (trace.metrics["seconds"] <= bound).any(1).all()


def test_fewer_failures_than_chance():
    """A third of the rows fails; of the last queries less than a fifth do."""
    fails = OPS[:, 0] == 0
    searcher = nasjax.bayesian_pareto(SPACE, SMALL, objectives=GOALS)
    trace = run(searcher, environment(fails), 50)
    failed = np.isnan(trace.accuracy)
    assert failed[:, 25:].mean() < 0.2


def test_nothing_to_search_for():
    with pytest.raises(ValueError, match="at least one objective"):
        nasjax.bayesian_pareto(SPACE, objectives=())
    with pytest.raises(ValueError, match="go together"):
        nasjax.bayesian_pareto(SPACE, listed=jnp.asarray(OPS))
    with pytest.raises(ValueError, match="population"):
        nasjax.nsga2(SPACE, nasjax.Nsga2Config(population=0))


def test_darts_and_three_objectives():
    """A space that selects edges; proposals of all kinds are valid."""
    space = nasjax.darts()

    def evaluate(key, params, state, arch):
        share = [jnp.mean(arch == i) for i in range(3)]
        metrics = {"size": share[1], "time": share[2]}
        return state, search.Outcome(share[0], jnp.float32(0), metrics)

    env = search.Environment((), (), evaluate)
    terms = {"objectives": ("accuracy", "size", "time:min")}
    config = SMALL.replace(actor_proposals=4, offspring=4, random_proposals=2)
    for searcher in (
        nasjax.bayesian_pareto(space, config, **terms),
        nasjax.nsga2(space, nasjax.Nsga2Config(population=6), **terms),
    ):
        go = jax.jit(lambda key, searcher=searcher: search.run(key, searcher, env, 14))
        arch = np.asarray(go(jax.random.key(0))[1].arch)
        assert arch.max() == 7
        for node in (range(0, 2), range(2, 5), range(5, 9), range(9, 14)):
            np.testing.assert_array_equal((arch[..., list(node)] < 7).sum(-1), 2)
