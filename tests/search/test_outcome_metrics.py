"""Metrics beside accuracy and loss, in outcomes and traces."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import nasjax
from nasjax import parallel, search
from nasjax.environments.cached import cached
from nasjax.environments.tabular import from_arrays
from nasjax.runs.errors import RunError
from nasjax.search import EvaluationError, Outcome, outcomes

pytestmark = pytest.mark.usefixtures("quick_compile")

SPACE = nasjax.table_space(4, ("a", "b"))
OPS = np.asarray(SPACE.from_index(jnp.arange(16)))
RNG = np.random.default_rng(0)
VALUES = RNG.random((2, 16)).astype(np.float32)
VALUES[:, 3] = np.nan
LATENCY = RNG.random((2, 16)).astype(np.float32)
ENV = from_arrays(SPACE, OPS, VALUES, column=1, metrics={"latency": LATENCY})
KEY = jax.random.key(0)
RANDOM = nasjax.random_search(SPACE)


def plain(arch):
    """Has no metrics where it fails."""
    row = int(SPACE.index(arch))
    if row == 3:
        return float("nan")
    return VALUES[1, row], None, {"latency": LATENCY[1, row]}


def test_a_table_returns_them_and_a_failure_has_none():
    _, trace = jax.jit(search.run, static_argnums=(1, 3))(KEY, RANDOM, ENV, 50)
    row = np.asarray(SPACE.index(trace.arch))
    assert 3 in row
    wanted = np.where(row == 3, np.nan, LATENCY[1, row])
    np.testing.assert_array_equal(trace.metrics["latency"], wanted)
    _, driven = search.drive(KEY, RANDOM, search.black_box(plain), 50)
    np.testing.assert_array_equal(driven.metrics["latency"], wanted)
    _, timed, _ = search.simulate(KEY, RANDOM, ENV, 50, 1, lambda arch: jnp.float32(1))
    np.testing.assert_array_equal(timed.metrics["latency"], wanted)


def test_failures_before_the_first_success():
    scores = iter([float("nan"), float("nan"), Outcome(0.5, 0.1, {"size": 3})])
    env = search.black_box(lambda arch: next(scores))
    _, trace = search.drive(KEY, RANDOM, env, 3)
    np.testing.assert_array_equal(trace.metrics["size"], [np.nan, np.nan, 3])


@pytest.mark.parametrize(
    ("metrics", "says"),
    [
        ({"latency": "fast"}, "the metric 'latency' as 'fast' .str., not as a number"),
        ({"latency": None}, "the metric 'latency' as None"),
        ({"latency": np.ones(2)}, "the metric 'latency' as an array of shape .2."),
        ({3: 0.5}, "the metric 3 as 0.5"),
    ],
)
def test_a_metric_is_a_number(metrics, says):
    with pytest.raises(ValueError, match=says):
        outcomes.read(Outcome(0.5, 0.1, metrics), ())


@pytest.mark.parametrize("other", [{}, {"size": 1.0}, {"latency": 1.0, "size": 1.0}])
def test_names_stay(other):
    """The search can go on from the error."""
    scores = iter([Outcome(0.5, 0.1, {"latency": 1.0}), Outcome(0.5, 0.1, other)])
    env = search.black_box(lambda arch: next(scores))
    with pytest.raises(EvaluationError, match=r"metrics .*; before it had latency"):
        search.drive(KEY, RANDOM, env, 3)


def test_a_cache_keeps_them(tmp_path):
    env = cached(search.black_box(plain))
    _, first = search.drive(KEY, RANDOM, env, 30)
    np.savez(tmp_path / "cache.npz", **env.evaluate.arrays())
    other = cached(search.black_box(lambda arch: 1 / 0))
    with np.load(tmp_path / "cache.npz") as file:
        assert set(file) == {"arch", "accuracy", "loss", "metrics_latency"}
        other.evaluate.load(**file)
    _, again = search.drive(KEY, RANDOM, other, 30)
    jax.tree.map(np.testing.assert_array_equal, first, again)


FRONT = nasjax.nsga2(SPACE, objectives=("accuracy:max", "latency:min"))


def failing_first(count):
    """An evaluation that fails without metrics `count` times, then has two."""
    calls = iter(range(100))

    def evaluate(arch):
        if next(calls) < count:
            return float("nan")
        return Outcome(arch.mean(), None, {"latency": arch[0], "energy": 1.0})

    return evaluate


def test_a_searcher_that_reads_metrics_is_told_of_failures_without_them():
    assert FRONT.metrics == ("latency",)
    env = search.black_box(failing_first(2))
    state, trace = search.drive(KEY, FRONT, env, steps=4)
    latency = trace.metrics["latency"]
    assert np.isnan(latency[:2]).all() and np.isfinite(latency[2:]).all()
    np.testing.assert_array_equal(latency[2:], trace.arch[2:, 0])
    result = parallel.search(
        *(KEY, FRONT, failing_first(2)), queries=4, retries=0, progress=False
    )
    assert [row.failed for row in result.rows] == [True, True, False, False]
    np.testing.assert_array_equal([row.arch for row in result.rows], trace.arch)
    assert np.isneginf(state.searcher.value[20:22]).all()  # behind the population


def test_a_metric_that_the_searcher_reads_must_be_there():
    def evaluate(arch):
        return Outcome(0.5, None, {"energy": 1.0})

    message = "the searcher reads the metrics latency; evaluate returned energy"
    with pytest.raises(EvaluationError, match=message):
        search.drive(KEY, FRONT, search.black_box(evaluate), steps=2)
    with pytest.raises(RunError, match=message):
        parallel.search(KEY, FRONT, evaluate, queries=2, progress=False)
