"""What `evaluate` may return, what it may not, and how a search goes on after it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import nasjax
from nasjax import search
from nasjax.environments.cached import cached
from nasjax.search import Environment, Outcome, outcomes

pytestmark = pytest.mark.usefixtures("quick_compile")

SPACE = nasjax.table_space(4, ("a", "b", "c"))
RANDOM = nasjax.random_search(SPACE)
KEY = jax.random.key(0)
NAN = float("nan")


def score(arch):
    return float(np.sum(arch)) / 8


def environment(result, state=()):
    """One whose `evaluate` returns `result(state, accuracy)`."""

    def evaluate(key, params, state, arch):
        return result(state, score(arch))

    return Environment((), state, evaluate, traceable=False)


FORMS = {
    "accuracy": (lambda s, a: a, (), False),
    "NumPy": (lambda s, a: np.float64(a), (), False),
    "array": (lambda s, a: jnp.float32(a), (), False),
    "integer": (lambda s, a: round(a), (), False),
    "pair": (lambda s, a: (a, 1 - a), (), True),
    "list": (lambda s, a: [a, 1 - a], (), True),
    "outcome": (lambda s, a: Outcome(a, 1 - a), (), True),
    "no loss": (lambda s, a: (a, None), (), False),
    "state and accuracy": (lambda s, a: (s, a), (), False),
    "state and pair": (lambda s, a: (s + 1, (a, 1 - a)), 3, True),
    "state and outcome": (lambda s, a: (s + 1, Outcome(a, 1 - a)), 3, True),
    "state left out": (lambda s, a: Outcome(a, 1 - a), 3, True),
    "state of None": (lambda s, a: (None, a), None, False),
}


@pytest.mark.parametrize("form", FORMS)
def test_drive_takes(form):
    result, before, has_loss = FORMS[form]
    state, trace = search.drive(KEY, RANDOM, environment(result, before), 4)
    wanted = np.sum(np.asarray(trace.arch), axis=1, dtype=np.float32) / 8
    if form == "integer":
        wanted = np.round(wanted)
    np.testing.assert_array_equal(trace.accuracy, wanted)
    loss = 1 - wanted if has_loss else np.full(4, NAN)
    np.testing.assert_allclose(trace.loss, loss, rtol=1e-6)
    assert trace.accuracy.dtype == trace.loss.dtype == jnp.float32
    moved = before == 3 and form != "state left out"
    assert state.environment == (7 if moved else before)


def test_run_takes_the_same():
    def evaluate(key, params, state, arch):
        return jnp.sum(arch) / 8

    env = Environment((), (), evaluate)
    _, trace = jax.jit(lambda key: search.run(key, RANDOM, env, 4))(KEY)
    driven = search.drive(KEY, RANDOM, search.black_box(score), 4)[1]
    jax.tree.map(np.testing.assert_array_equal, trace, driven)


@pytest.mark.parametrize(
    ("result", "before", "says"),
    [
        (lambda s, a: None, (), r"None \(is a `return` missing\?\)"),
        (lambda s, a: "0.9", (), r"'0.9' \(str\)"),
        (lambda s, a: True, (), r"True \(bool\)"),
        (lambda s, a: 1j, (), "complex"),
        (lambda s, a: {"accuracy": a}, (), "dict"),
        (lambda s, a: np.zeros(1), (), r"array of shape \[1\]"),
        (lambda s, a: np.array([a, a]), (), r"array of shape \[2\]"),
        (lambda s, a: Outcome(np.zeros(3), a), (), "Outcome"),
        (lambda s, a: (a, a, a), (), "tuple"),
        (lambda s, a: (None, a), (), "None"),
        (lambda s, a: (s, None), (), "None"),
        (lambda s, a: (s, "bad"), 3, "bad"),
        (lambda s, a: (s + 1, a), 3, r"Return \(state, Outcome\(accuracy, loss\)\)"),
    ],
)
def test_drive_refuses_by_name(result, before, says):
    with pytest.raises(ValueError, match=says) as caught:
        search.drive(KEY, RANDOM, environment(result, before), 4)
    assert "query 0 failed" in str(caught.value)


TINY = nasjax.CadamConfig(hidden=(8,), top_k=5, batch_size=4, max_cycles=1)


@pytest.mark.parametrize(
    ("config", "says"),
    [
        (TINY, "accuracy is 93; .* divide a percentage by 100.* reward='scaled'"),
        (TINY.replace(reward="relative", env_accuracy=0.9), "in one unit"),
    ],
)
def test_a_percentage_is_no_fraction(config, says):
    searcher = nasjax.cadam(SPACE, config)
    with pytest.raises(search.EvaluationError, match=says) as caught:
        search.drive(KEY, searcher, search.black_box(lambda arch: 93.0), 3)
    assert caught.value.step == 0


@pytest.mark.parametrize(
    "config",
    [
        TINY.replace(reward="scaled"),
        TINY.replace(reward="relative", env_accuracy=94.0),
    ],
)
def test_where_percent_may_stand(config):
    searcher = nasjax.cadam(SPACE, config)
    percent = search.black_box(lambda arch: 90 + score(arch))
    state, _ = search.drive(KEY, searcher, percent, 8)
    assert all(np.all(np.isfinite(x)) for x in jax.tree.leaves(state.searcher.agent))


def test_ddas_needs_a_loss_for_its_loss_term():
    tiny = nasjax.DdasConfig(hidden=(8, 8), batch_size=4, explore=2)
    env = search.black_box(score)
    with pytest.raises(ValueError, match=r"no loss: .* loss_weight=0"):
        search.drive(KEY, nasjax.ddas(SPACE, tiny), env, 4)
    without = nasjax.ddas(SPACE, tiny.replace(loss_weight=0.0))
    state, trace = search.drive(KEY, without, env, 6)
    assert np.all(np.isfinite(trace.info["reward"]))
    assert all(np.all(np.isfinite(x)) for x in jax.tree.leaves(state.searcher))
    # A loss of NaN is one that failed, and no missing one.
    lost = search.black_box(lambda arch: (score(arch), NAN))
    state, _ = search.drive(KEY, nasjax.ddas(SPACE, tiny), lost, 6)
    assert all(np.all(np.isfinite(x)) for x in jax.tree.leaves(state.searcher))


def test_an_exception_loses_nothing():
    asked = []

    def flaky(arch):
        asked.append(arch.tolist())
        if len(asked) == 4:
            raise OSError("no space left")
        return score(arch)

    searcher, env = nasjax.evolution(SPACE), search.black_box(flaky)
    saved = []
    with pytest.raises(
        RuntimeError, match=r"query 3 failed \(OSError: no space"
    ) as info:
        search.drive(KEY, searcher, env, 8, on_step=lambda *done: saved.append(done))
    error = info.value
    assert isinstance(error, ValueError) and isinstance(error.__cause__, OSError)
    assert error.step == 3 and error.arch.tolist() == asked[-1]
    assert str(asked[-1]) in str(error)
    assert [step for step, *_ in saved] == [1, 2, 3]
    assert error.trace.arch.tolist() == asked[:3]
    state, rest = search.drive(KEY, searcher, env, 8, error.state, error.step)
    whole = search.drive(KEY, searcher, search.black_box(score), 8)
    both = jax.tree.map(lambda a, b: jnp.concatenate([a, b]), error.trace, rest)
    jax.tree.map(np.testing.assert_array_equal, (state, both), whole)


def test_the_first_query_fails():
    with pytest.raises(search.EvaluationError) as info:
        search.drive(KEY, RANDOM, search.black_box(lambda arch: 1 / 0), 8)
    assert info.value.step == 0 and info.value.trace is None


def test_a_black_box_gets_numpy():
    seen = []
    search.drive(KEY, RANDOM, search.black_box(lambda a: seen.append(a) or 0.5), 2)
    assert all(type(arch) is np.ndarray and arch.dtype == np.uint8 for arch in seen)


def test_a_black_box_is_cached():
    calls = []
    space = nasjax.table_space(1, ("a", "b"))
    env = cached(search.black_box(lambda arch: calls.append(1) or NAN))
    trace = search.drive(KEY, nasjax.random_search(space), env, 12)[1]
    assert len(calls) == 2 and np.all(np.isnan(trace.accuracy))


def test_best_by_hand():
    arch = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    accuracy = np.array([[NAN, 0.2, 0.7], [np.inf, NAN, -np.inf]], np.float32)
    best = search.best(search.Trace(arch, accuracy, accuracy, {}))
    assert best.step[0] == 2 and best.accuracy[0] == np.float32(0.7)
    np.testing.assert_array_equal(best.arch[0], arch[0, 2])
    assert np.isnan(best.accuracy[1])
    alone = search.best(search.Trace(arch[0], accuracy[0], accuracy[0], {}))
    np.testing.assert_array_equal(alone.arch, arch[0, 2])
    assert alone.arch.dtype == jnp.uint8


def test_best_of_equals_is_the_first():
    accuracy = np.array([0.1, 0.5, 0.5], np.float32)
    arch = np.zeros((3, 2, 4), np.uint8)
    best = search.best(search.Trace(arch, accuracy, accuracy, {}))
    assert best.step == 1 and best.arch.shape == (2, 4)


def test_or_worst():
    replaced = outcomes.or_worst(jnp.array([0.5, NAN, jnp.inf, -jnp.inf]), 0.1)
    np.testing.assert_array_equal(replaced, np.float32([0.5, 0.1, 0.1, 0.1]))
