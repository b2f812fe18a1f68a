"""Rungs and brackets, worked out by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import nasjax
from nasjax import search
from nasjax.search import Environment, Outcome, fidelity
from nasjax.searchers import rungs
from nasjax.searchers.rungs import HyperbandConfig

SPACE = nasjax.table_space(2, tuple("abcdefgh"))


def test_brackets_of_81_units_and_eta_3():
    """n = ceil(5 / (s + 1) 3^s), then floor(n / 3^i), Li et al. 2018, Algorithm 1."""
    sizes = [[n for _, n in bracket] for bracket in rungs.brackets((1, 3, 9, 27, 81))]
    assert sizes == [[81, 27, 9, 3, 1], [34, 11, 3, 1], [15, 5, 1], [8, 2], [5]]
    levels = [[x for x, _ in bracket] for bracket in rungs.brackets((1, 3, 9, 27, 81))]
    assert levels == [[0, 1, 2, 3, 4], [1, 2, 3, 4], [2, 3, 4], [3, 4], [4]]


def test_brackets_of_12_and_200_epochs():
    """n = ceil(2/2 * 200/12) = ceil(16.67); floor(17 * 12/200) = floor(1.02)."""
    assert rungs.brackets((12, 200)) == [[(0, 17), (1, 1)], [(1, 2)]]


@given(eta=st.integers(2, 5), levels=st.integers(1, 5), unit=st.floats(0.01, 100))
def test_brackets_are_those_of_the_paper(eta, levels, unit):
    """In whole numbers; the unit of the costs does not matter."""
    found = rungs.brackets([unit * eta**i for i in range(levels)])
    for s, bracket in zip(range(levels - 1, -1, -1), found, strict=True):
        n = -(-levels * eta**s // (s + 1))
        wanted = [(levels - 1 - s + i, n // eta**i) for i in range(s + 1)]
        assert bracket == wanted


@given(st.lists(st.floats(0.1, 1000), min_size=1, max_size=5))
def test_no_rung_is_larger_than_the_one_before(cost):
    for bracket in rungs.brackets(sorted(cost)):
        sizes = [n for _, n in bracket]
        assert sizes == sorted(sizes, reverse=True) and sizes[-1] >= 1


def test_schedule_of_eta_and_of_one_bracket():
    """eta 3 on two levels: 3 and 1, then 2, whatever they cost."""
    rounds = rungs.schedule((12, 200), HyperbandConfig(eta=3))
    assert rounds.level.tolist() == [0, 0, 0, 1, 1, 1]
    assert rounds.source.tolist() == [-1, -1, -1, 0, -1, -1]
    assert rounds.size.tolist() == [0, 0, 0, 3, 0, 0]
    halving = nasjax.searchers.successive_halving().replace(eta=2)
    rounds = rungs.schedule((1, 5, 9), halving)
    assert rounds.level.tolist() == [0, 0, 0, 0, 1, 1, 2]
    assert rounds.source.tolist() == [-1, -1, -1, -1, 0, 0, 4]


def evaluate(key, params, state, arch, level):
    """At level 0 the first edge counts, above it the second; 7 on the first fails."""
    del key
    score = params + arch[jnp.minimum(level, 1)] / 10.0
    failed = (level == 0) & (arch[0] == 7)
    return state, Outcome(jnp.where(failed, jnp.nan, score), 0.0)


ENV = Environment(jnp.float32(0), (), evaluate, levels=fidelity.levels((1, 4, 16)))


def test_the_best_of_a_rung_are_promoted():
    """Successive halving of 16, 4, 1: levels, and which architectures come again."""
    searcher = nasjax.hyperband(
        SPACE, nasjax.searchers.successive_halving(), cost=(1, 4, 16)
    )
    _, trace = jax.jit(lambda key: search.run(key, searcher, ENV, 42))(
        jax.random.key(0)
    )
    for first in (0, 21):
        part = jax.tree.map(lambda x, a=first: np.asarray(x)[a : a + 21], trace)
        assert part.metrics["fidelity"].tolist() == [0] * 16 + [1] * 4 + [2]
        low = np.where(part.arch[:16, 0] == 7, -1, part.arch[:16, 0].astype(int))
        best = np.argsort(-low, kind="stable")[:4]
        np.testing.assert_array_equal(part.arch[16:20], part.arch[best])
        second = best[np.argmax(part.arch[best, 1])]
        np.testing.assert_array_equal(part.arch[20], part.arch[second])
    assert len(np.unique(trace.arch[:16], axis=0)) > 8
    assert not np.array_equal(trace.arch[:16], trace.arch[21:37])


def test_pending_outcomes_are_promoted_last():
    """Of four evaluations of a rung two are told: the better one is promoted."""
    rounds = rungs.schedule((1, 4), nasjax.searchers.successive_halving())
    state = rungs.empty(SPACE, rounds)
    for step in range(4):
        new = jnp.array([step, 0], jnp.uint8)
        state, _ = rungs.asked(rounds, state, step, new)
    for query, score in ((2, 0.5), (1, 0.7), (3, np.nan)):
        outcome = Outcome(jnp.float32(score), None, {"fidelity": jnp.float32(0)})
        arch = jnp.array([query, 0], jnp.uint8)
        state = rungs.told(rounds, state._replace(query=query), arch, outcome)
    state, arch = rungs.asked(rounds, state, 4, jnp.zeros(2, jnp.uint8))
    assert arch.tolist() == [1, 0] and rungs.level(rounds, state) == 1
    # Query 0 of the round before is told too late, and query 5 at another level.
    state, _ = rungs.asked(rounds, state, 5, jnp.array([6, 6], jnp.uint8))
    for query, level in ((0, 0), (5, 1)):
        outcome = Outcome(jnp.float32(0.9), None, {"fidelity": jnp.float32(level)})
        state = rungs.told(rounds, state._replace(query=query), arch, outcome)
    assert np.all(np.isneginf(state.score)) and state.arch[0].tolist() == [6, 6]


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"eta": 1}, "eta is 1; allowed: 0, or at least 2"),
        ({"eta": -2}, "eta"),
        ({"brackets": 3}, r"brackets is 3; allowed: 0\.\.2"),
    ],
)
def test_it_refuses_by_name(changes, message):
    with pytest.raises(ValueError, match=message):
        nasjax.hyperband(SPACE, HyperbandConfig(**changes))
    with pytest.raises(ValueError, match=message):
        nasjax.bohb(SPACE, nasjax.BohbConfig(**changes))
