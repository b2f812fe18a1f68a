"""A cached environment computes every architecture once."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import nasjax
from nasjax import search
from nasjax.environments.cached import cached
from nasjax.environments.tabular import from_arrays
from nasjax.search import Environment, Outcome

SPACE = nasjax.table_space(3, ("a", "b"))
VALUES = np.linspace(0, 0.7, 8, dtype=np.float32)
KEY = jax.random.key(0)


def make():
    """Looks up a value; a counter of traces shows that it is jitted once."""
    traces = []

    def evaluate(key, params, state, arch):
        del key
        traces.append(1)
        accuracy = params[SPACE.index(arch)]
        return state, Outcome(accuracy, 1 - accuracy)

    return cached(Environment(jnp.asarray(VALUES), (), evaluate)), traces


def ask(env, arch):
    return env.evaluate(KEY, env.params, env.state, arch)


def test_hits_misses_and_values():
    env, traces = make()
    assert not env.traceable
    archs = [[0, 0, 1], [1, 0, 1], [0, 0, 1]]
    found = [ask(env, jnp.array(arch, jnp.uint8)) for arch in archs]
    assert [float(x.accuracy) for _, x in found] == VALUES[[1, 5, 1]].tolist()
    assert [float(x.loss) for _, x in found] == (1 - VALUES[[1, 5, 1]]).tolist()
    assert all(state == () for state, _ in found)
    assert (env.evaluate.hits, env.evaluate.misses, len(env.evaluate)) == (1, 2, 2)
    assert len(traces) == 1


def test_the_integer_type_of_an_architecture_does_not_matter():
    env, _ = make()
    for dtype in (np.uint8, np.int32, np.int64):
        ask(env, np.array([1, 1, 0], dtype))
    assert (env.evaluate.hits, env.evaluate.misses) == (2, 1)


def test_arrays_go_into_a_file_and_back(tmp_path):
    env, _ = make()
    for arch in ([1, 1, 1], [0, 1, 0]):
        ask(env, np.array(arch, np.uint8))
    arrays = env.evaluate.arrays()
    assert arrays["arch"].tolist() == [[1, 1, 1], [0, 1, 0]]
    np.savez(tmp_path / "cache.npz", **arrays)
    other, traces = make()
    with np.load(tmp_path / "cache.npz") as file:
        other.evaluate.load(**file)
    assert (other.evaluate.hits, other.evaluate.misses) == (0, 0)
    assert ask(other, np.array([0, 1, 0], np.uint8))[1].accuracy == VALUES[2]
    assert (other.evaluate.hits, len(traces)) == (1, 0)


def test_what_is_known_stays():
    env, _ = make()
    arch = np.array([[0, 0, 1]], np.uint8)
    ask(env, arch[0])
    env.evaluate.load(arch, np.float32([0.9]), np.float32([0.1]))
    assert ask(env, arch[0])[1].accuracy == VALUES[1]


def test_nothing_known():
    env, _ = make()
    arrays = env.evaluate.arrays()
    assert [len(x) for x in arrays.values()] == [0, 0, 0]
    env.evaluate.load(**arrays)
    assert len(env.evaluate) == 0


def test_searches_share_what_is_known():
    env, _ = make()
    searcher = nasjax.random_search(SPACE)
    _, first = search.drive(jax.random.key(1), searcher, env, 40)
    distinct = len(np.unique(first.arch, axis=0))
    assert (env.evaluate.misses, env.evaluate.hits) == (distinct, 40 - distinct)
    _, again = search.drive(jax.random.key(1), searcher, env, 40)
    jax.tree.map(np.testing.assert_array_equal, first, again)
    assert env.evaluate.misses == distinct
    np.testing.assert_array_equal(first.accuracy, VALUES[SPACE.index(first.arch)])


def test_an_environment_with_a_state_is_refused():
    ops = np.asarray(SPACE.from_index(jnp.arange(8)))
    with pytest.raises(ValueError, match="state"):
        cached(from_arrays(SPACE, ops, [VALUES]))
