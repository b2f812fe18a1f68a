"""The loop: ask, evaluate, tell; keys; environments of one's own."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import nasjax
from nasjax import search
from nasjax.environments.tabular import from_arrays
from nasjax.search import Environment, Outcome, Searcher

pytestmark = pytest.mark.usefixtures("quick_compile")

SPACE = nasjax.table_space(4, ("a", "b", "c"))
RANDOM = nasjax.random_search(SPACE)


@pytest.fixture(scope="module")
def env():
    values = np.random.default_rng(0).random(81)
    return from_arrays(SPACE, np.asarray(SPACE.from_index(jnp.arange(81))), [values])


def recorder():
    """A searcher that proposes its step and traces the keys it was given."""

    def words(key):
        return jax.random.bits(key, (2,), jnp.uint32)

    def init(key, steps):
        return {"key": words(key), "told": jnp.zeros(steps)}

    def ask(key, state, step):
        state = {**state, "asked": words(key)}
        return state, jnp.full(SPACE.arch_shape, step % 3, jnp.uint8)

    def tell(key, state, step, arch, outcome):
        asked = state["asked"]
        told = state["told"].at[step].set(outcome.accuracy)
        info = {"asked": asked, "tell": words(key), "init": state["key"], "step": step}
        return {"key": state["key"], "told": told}, info

    return Searcher(init, ask, tell)


def key_environment():
    """Its accuracy is a draw from the key it was given."""

    def evaluate(key, params, state, arch):
        accuracy = jax.random.uniform(key) + params + jnp.sum(arch)
        return state + 1, Outcome(accuracy, -accuracy)

    return Environment(jnp.float32(10.0), jnp.int32(5), evaluate)


@pytest.fixture(scope="module")
def recorded():
    go = jax.jit(lambda key: search.run(key, recorder(), key_environment(), 6))
    return [go(jax.random.key(seed)) for seed in (0, 0, 1)]


def test_every_draw_has_a_key_of_its_own(recorded):
    words = [
        np.concatenate(
            [trace.info["asked"], trace.info["tell"], trace.info["init"][:1]]
        )
        for _, trace in recorded[1:]
    ]
    every = np.concatenate(words)
    assert len(np.unique(every, axis=0)) == len(every) == 2 * 13
    accuracy = np.concatenate([trace.accuracy % 1 for _, trace in recorded[1:]])
    assert len(np.unique(accuracy)) == 12


def test_same_key_same_search(recorded):
    jax.tree.map(np.testing.assert_array_equal, recorded[0], recorded[1])
    assert not np.any(recorded[0][1].accuracy == recorded[2][1].accuracy)


def test_what_goes_in_comes_out(recorded):
    state, trace = recorded[0]
    assert trace.info["step"].tolist() == list(range(6))
    assert trace.arch[:, 0].tolist() == [0, 1, 2, 0, 1, 2]
    np.testing.assert_array_equal(state.searcher["told"], trace.accuracy)
    np.testing.assert_array_equal(trace.loss, -trace.accuracy)
    # One call of the environment a step, from the state it had.
    assert int(state.environment) == 11
    # 10 + 4 edges of the operation's number + a draw in [0, 1).
    whole = np.floor(trace.accuracy).tolist()
    assert whole == [10, 14, 18, 10, 14, 18]


def test_run_is_init_and_advance_and_steps(recorded):
    key, searcher, env = jax.random.key(0), recorder(), key_environment()
    state = search.init(key, searcher, env, 6)
    state, first = search.advance(key, searcher, env, state, 0, 4)
    state, one = search.step(key, searcher, env, state, 4)
    state, last = search.advance(key, searcher, env, state, 5, 1)
    one = jax.tree.map(lambda x: jnp.asarray(x)[None], one)
    trace = jax.tree.map(lambda *x: jnp.concatenate(x), first, one, last)
    jax.tree.map(np.testing.assert_array_equal, (state, trace), recorded[0])


def test_drive_is_run(recorded):
    driven = search.drive(jax.random.key(0), recorder(), key_environment(), 6)
    jax.tree.map(np.testing.assert_array_equal, driven, recorded[0])


def test_drive_goes_on(recorded):
    key, searcher, env = jax.random.key(0), recorder(), key_environment()
    state = search.init(key, searcher, env, 6)
    middle, _ = jax.jit(
        lambda key, state: search.advance(key, searcher, env, state, 0, 4)
    )(key, state)
    state, trace = search.drive(key, searcher, env, 6, middle, first=4)
    assert trace.accuracy.shape == (2,)
    jax.tree.map(np.testing.assert_array_equal, state, recorded[0][0])
    np.testing.assert_array_equal(trace.arch, recorded[0][1].arch[4:])


def test_drive_takes_an_environment_in_plain_python():
    seen = []

    def evaluate(key, params, state, arch):
        arch = tuple(np.asarray(arch).tolist())
        seen.append(arch)
        return [*state, arch], Outcome(params[arch], 0.5)

    scores = {index: sum(index) / 8 for index in np.ndindex(3, 3, 3, 3)}
    env = Environment(scores, [], evaluate, traceable=False)
    state, trace = search.drive(jax.random.key(0), RANDOM, env, 5)
    assert state.environment == seen
    assert trace.arch.tolist() == [list(arch) for arch in seen]
    assert trace.accuracy.tolist() == [scores[arch] for arch in seen]
    assert trace.loss.dtype == jnp.float32


@pytest.mark.parametrize("steps", [0, -3])
def test_steps_below_one(env, steps):
    key = jax.random.key(0)
    for function in (search.init, search.run, search.drive):
        with pytest.raises(ValueError, match=f"at least 1, got {steps}"):
            function(key, RANDOM, env, steps)


def test_seeds_under_vmap(env):
    keys = jax.vmap(jax.random.key)(jnp.arange(3))
    _, trace = jax.jit(jax.vmap(lambda key: search.run(key, RANDOM, env, 50)))(keys)
    assert trace.arch.shape == (3, 50, 4)
    assert trace.arch.dtype == jnp.uint8
    assert trace.accuracy.dtype == jnp.float32
    alone = jax.jit(lambda key: search.run(key, RANDOM, env, 50))(jax.random.key(2))[1]
    np.testing.assert_array_equal(trace.arch[2], alone.arch)
    np.testing.assert_array_equal(trace.accuracy[2], alone.accuracy)
    values = np.asarray(env.params.values[0])
    np.testing.assert_array_equal(trace.accuracy, values[SPACE.index(trace.arch)])


def test_a_small_trace_is_not_traced_twice(env):
    """`first` is an argument of the compiled chunk, not part of it."""
    count = []

    @jax.jit
    def chunk(key, state, first):
        count.append(1)
        return search.advance(key, RANDOM, env, state, first, 2)

    key = jax.random.key(0)
    state = search.init(key, RANDOM, env, 6)
    for first in (0, 2, 4):
        state, _ = chunk(key, state, jnp.int32(first))
    assert len(count) == 1


def test_the_loop_under_pmap():
    count = jax.device_count()
    assert count > 1
    space = nasjax.table_space(2, ("a", "b"))
    ops = np.array([[0, 0], [0, 1], [1, 0]])
    table = from_arrays(space, ops, [np.array([0.1, 0.2, 0.3])])
    searcher = nasjax.evolution(space, nasjax.EvolutionConfig(2, 2))

    def one(seed):
        key = jax.random.key(seed)
        trace = search.run(key, searcher, table, 6)[1]
        return trace.arch

    together = jax.pmap(one)(jnp.arange(count))
    alone = [jax.jit(one)(seed) for seed in range(count)]
    np.testing.assert_array_equal(together, np.stack(alone))


def test_drive_hands_out_every_step_so_that_it_can_be_saved():
    space = nasjax.table_space(2, ("a", "b"))

    def evaluate(key, params, state, arch):
        if state == 3:
            raise RuntimeError("the cluster is down")
        return state + 1, Outcome(0.5, 0.5)

    env = Environment(params=(), state=0, evaluate=evaluate, traceable=False)
    saved = []

    def on_step(step, state, trace):
        saved.append((step, state, trace))

    searcher, key = nasjax.random_search(space), jax.random.key(0)
    with pytest.raises(RuntimeError, match="cluster"):
        search.drive(key, searcher, env, 5, on_step=on_step)
    assert [step for step, _, _ in saved] == [1, 2, 3]
    step, state, _ = saved[-1]
    state = state._replace(environment=10)
    _, rest = search.drive(key, searcher, env, 5, state=state, first=step)
    whole = search.drive(key, searcher, env.replace(state=10), 5)[1]
    np.testing.assert_array_equal(rest.arch, whole.arch[3:])
