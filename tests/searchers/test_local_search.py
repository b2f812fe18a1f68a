"""Local search against a plain Python climb."""

import jax
import numpy as np
import pytest

import nasjax
from nasjax import search
from nasjax.searchers.local_search import VARIANTS, naszilla

pytestmark = pytest.mark.usefixtures("quick_compile")

SPACE = nasjax.table_space(4, ("a", "b", "c"))
VALUES = np.random.default_rng(1).random((3, 3, 3, 3)).astype(np.float32)


def neighbours(arch):
    for edge in range(4):
        for operation in set(range(3)) - {arch[edge]}:
            yield (*arch[:edge], operation, *arch[edge + 1 :])


def run(config, steps, seed=0):
    searcher = nasjax.local_search(SPACE, config)
    env = search.black_box(lambda arch: VALUES[tuple(arch)])
    trace = search.drive(jax.random.key(seed), searcher, env, steps)[1]
    return [tuple(arch) for arch in np.asarray(trace.arch).tolist()]


@pytest.mark.parametrize("seed", range(3))
def test_naszilla_is_its_climb(seed):
    """The best of ten, its neighbours, the first better one's, ten more at an optimum.

    What the trace does is followed by the rules of White et al.'s code.
    """
    asked = iter(run(naszilla(), 70, seed))
    seen, climbs = set(), 0
    try:
        while True:
            starts = []
            while len(starts) < 10:
                starts.append(next(asked))
                assert starts[-1] not in seen
                seen.add(starts[-1])
            center = max(starts, key=lambda arch: VALUES[arch])
            climbs += 1
            while left := set(neighbours(center)) - seen:
                arch = next(asked)
                assert arch in left
                seen.add(arch)
                if VALUES[arch] > VALUES[center]:
                    center = arch
    except StopIteration:
        pass
    assert climbs >= 2 and len(seen) == 70


def test_naszilla_asks_the_whole_space_once():
    assert len(set(run(naszilla(), 81))) >= 79  # 100 draws may miss the very last


def test_an_exhausted_space_goes_on():
    assert len(run(naszilla(), 95)) == 95


def test_best_of_several_that_forgets():
    """Starts may repeat earlier climbs, and a climb is at the best of its starts."""
    config = nasjax.LocalSearchConfig(initial=3)
    asked = run(config, 30)
    center = max(asked[:3], key=lambda arch: VALUES[arch])
    assert asked[3] in set(neighbours(center))


def test_the_default_is_the_plain_one():
    assert VARIANTS["naszilla"]() == naszilla()
    assert nasjax.LocalSearchConfig() == nasjax.LocalSearchConfig(True, 1, False)
    asked = run(nasjax.LocalSearchConfig(), 3)
    assert asked[1] in set(neighbours(asked[0]))


@pytest.mark.parametrize(("config", "failures"), [(None, 1), (naszilla(), 9)])
def test_a_climb_leaves_a_start_that_failed(config, failures):
    """The first query with a score is where the climb stands, whatever its score."""
    calls = []

    def late(arch):
        calls.append(arch)
        return float("nan") if len(calls) <= failures else 0.0

    searcher = nasjax.local_search(SPACE, config)
    trace = search.drive(jax.random.key(0), searcher, search.black_box(late), 12)[1]
    archs = [tuple(arch) for arch in np.asarray(trace.arch).tolist()]
    assert set(archs[failures + 1 : failures + 3]) <= set(neighbours(archs[failures]))
