"""CADAM as an editor: what it draws, what it changes, what it is paid for."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import nasjax
from nasjax import search
from nasjax.agent import history
from nasjax.search import Outcome
from nasjax.searchers import editor

pytestmark = pytest.mark.usefixtures("quick_compile")

SPACE = nasjax.table_space(4, ("a", "b", "c"))
DARTS = nasjax.darts()
CONFIG = nasjax.CadamConfig(
    hidden=(8,), top_k=4, batch_size=2, max_cycles=2, mode="editor"
)


def test_the_best_change_is_made():
    """Entries that the architecture has already are no changes."""
    arch = jnp.array([0, 1, 2, 0], jnp.uint8)
    action = jnp.full((4, 3), 0.1).at[0, 0].set(0.9).at[2, 1].set(0.5)
    changed = editor.edited(SPACE, arch, action.reshape(-1))
    assert changed.tolist() == [0, 1, 1, 0]


edit_darts = jax.jit(lambda arch, action: editor.edited(DARTS, arch, action))
draw_darts = jax.jit(DARTS.random)


@settings(max_examples=30)
@given(st.integers(0, 2**31 - 1))
def test_an_edit_is_another_valid_architecture(seed):
    """In DARTS one operation changes, or one edge takes the place of another."""
    arch = draw_darts(jax.random.key(seed))
    action = np.random.default_rng(seed).random(DARTS.action_size, np.float32)
    changed = np.asarray(edit_darts(arch, action))
    assert 1 <= (changed != np.asarray(arch)).sum() <= 2
    targets = np.array([target for _, target in DARTS.edges])
    for cell in changed:
        kept = [(cell[targets == n] < DARTS.num_operations).sum() for n in range(2, 6)]
        assert kept == [2, 2, 2, 2]


sample = jax.jit(
    jax.vmap(lambda key, best: editor.sampled(key, SPACE, best), (0, None))
)


def test_the_state_is_drawn_from_mean_and_deviation():
    """Equal architectures have no deviation; where two differ, either may be drawn."""
    best = history.init(2, jax.ShapeDtypeStruct((4,), jnp.uint8))
    for score, arch in enumerate(([0, 1, 2, 0], [0, 1, 2, 1])):
        best = history.insert(best, jnp.array(arch, jnp.uint8), score)
        draw = jax.jit(
            jax.vmap(lambda key, best=best: editor.sampled(key, SPACE, best))
        )
        drawn = np.asarray(draw(jax.random.split(jax.random.key(0), 200)))
        assert (drawn[:, :3] == [0, 1, 2]).all()
        shares = np.bincount(drawn[:, 3], minlength=3) / 200
        wanted = [1, 0, 0] if score == 0 else [0.5, 0.5, 0]
        # Entry 2 has mean 0 and deviation 0, and is exceeded unless both others are
        # negative: n < -1 for each, 0.16^2 = 0.025.
        np.testing.assert_allclose(shares, wanted, atol=0.12 * score)


@pytest.fixture(scope="module")
def run(quick_compile):
    """40 queries of the number of "c" in an architecture, and the last state."""
    searcher = nasjax.cadam(SPACE, CONFIG)
    ask, tell = jax.jit(searcher.ask), jax.jit(searcher.tell)
    state = jax.jit(searcher.init, static_argnums=1)(jax.random.key(0), 40)
    steps = []
    for step in range(40):
        state, arch = ask(jax.random.key(2 * step), state, step)
        asked = state
        outcome = Outcome((arch == 2).mean(dtype=jnp.float32), jnp.float32(0))
        state, info = tell(jax.random.key(2 * step + 1), state, step, arch, outcome)
        steps.append((np.asarray(arch), jax.device_get(asked), bool(info["edit"])))
    return steps, jax.device_get(state)


def test_an_unknown_architecture_is_queried_before_its_edit(run):
    steps, _ = run
    assert not steps[0][2] and steps[1][2]
    seen = set()
    for before, (arch, asked, is_edit) in zip([None, *steps], steps, strict=False):
        base = tuple(asked.base.tolist())
        if is_edit:
            assert base in seen and (arch != asked.base).sum() == 1
        else:
            assert base not in seen and base == tuple(arch.tolist())
        if before is not None and not before[2]:
            assert is_edit and base == tuple(before[0].tolist())
        seen.add(tuple(arch.tolist()))


def test_the_reward_is_the_gain_in_accuracy(run):
    """Of each edit, in the order of the queries: a quarter for each "c" that came."""
    steps, state = run
    edits = [(arch, asked) for arch, asked, is_edit in steps if is_edit]
    count = int(state.replay.count)
    assert count == len(edits) < 40
    gains = [(arch == 2).mean() - (asked.base == 2).mean() for arch, asked in edits]
    np.testing.assert_allclose(state.replay.items.reward[:count], gains, atol=1e-6)
    for row, (_, asked) in zip(state.replay.items.observation, edits, strict=False):
        np.testing.assert_array_equal(row, SPACE.one_hot(asked.base).reshape(-1))


def test_a_failed_edit_is_the_lowest_score_so_far():
    searcher = nasjax.cadam(SPACE, CONFIG)
    state = searcher.init(jax.random.key(0), 4)
    for step, accuracy in enumerate((0.75, jnp.nan)):
        state, arch = searcher.ask(jax.random.key(step), state, step)
        outcome = Outcome(jnp.float32(accuracy), jnp.float32(0))
        state, _ = searcher.tell(jax.random.key(9 + step), state, step, arch, outcome)
    assert state.replay.count == 1 and state.replay.items.reward[0] == 0
    assert state.accuracy.tolist()[:2] == [0.75, 0.75]
    assert (state.history.score > -jnp.inf).sum() == 1


def test_it_learns_which_edits_gain():
    """On a sum over edges, the actor's edits gain more than random ones.

    A random change of one of three operations gains as often as it loses.
    """
    config = nasjax.CadamConfig(
        mode="editor", hidden=(32,), actor_lr=1e-3, critic_lr=1e-3, epsilon_stop=0.5
    )
    space = nasjax.table_space(8, ("a", "b", "c"))
    env = search.Environment((), (), lambda key, p, s, arch: (arch == 2).mean())
    run = jax.jit(
        lambda key: search.run(key, nasjax.cadam(space, config), env, steps=300)[1]
    )
    info = jax.tree.map(lambda x: np.asarray(x)[150:], run(jax.random.key(1)).info)
    own, random = (info["gain"][info["edit"] & (info["explored"] == x)] for x in (0, 1))
    assert min(len(own), len(random)) > 30
    assert own.mean() > random.mean() + 0.03  # of 1/8 at most
