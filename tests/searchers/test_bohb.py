"""The densities of BOHB, worked out by hand."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import nasjax
from nasjax import search
from nasjax.search import Environment, Outcome, fidelity
from nasjax.searchers.bohb import Density, bandwidths, log_density, split

SPACE = nasjax.table_space(2, ("a", "b", "c"))


def test_bandwidths_are_the_normal_reference_rule():
    """Operations 0 0 2 2: deviation 1, n = 4, E = 2: 1.06 * 4^(-1/6) = 0.8413.

    That is more than 1 - 1/3, where it ends; 1 1 1 1 has the least one. Of the numbers
    0 1 0 1 the deviation is 1/2, half of that.
    """
    rows = jnp.array([[0, 0], [0, 1], [2, 0], [2, 1], [1, 2]])
    chosen = jnp.array([True, True, True, True, False])
    h = bandwidths(rows, chosen, 3, 0.3)
    np.testing.assert_allclose(h, [2 / 3, 0.53 * 4 ** (-1 / 6)], rtol=1e-6)
    assert bandwidths(rows[:, :1] * 0 + 1, chosen, 3, 0.3)[0] == np.float32(0.3)


def test_density_of_two_rows():
    """Rows aa and ab, h = 0.4, 0.2: K is 0.6 or 0.2, and 0.8 or 0.1.

    p(aa) = (0.6 * 0.8 + 0.6 * 0.1) / 2 = 0.27; p(cb) = 0.2 (0.1 + 0.8) / 2 = 0.09;
    over all nine architectures it sums to one.
    """
    rows = jnp.array([[0, 0], [0, 1], [2, 2]])
    density = Density(jnp.array([True, True, False]), jnp.array([0.4, 0.2]))
    every = jnp.array([(a, b) for a in range(3) for b in range(3)])
    p = np.exp(log_density(rows, density, 3, every))
    np.testing.assert_allclose(p[[0, 7]], [0.27, 0.09], rtol=1e-5)
    assert math.isclose(p.sum(), 1, rel_tol=1e-5)


def test_good_and_bad():
    """Of N = 20, top 15 %: max(3, 3) are good; max(3, 17) of the others are bad."""
    score = jnp.arange(24, dtype=jnp.float32).at[5].set(-jnp.inf)
    valid = jnp.arange(24) < 20
    good, bad, order = split(score, valid, 3, 15)
    assert np.flatnonzero(good).tolist() == [17, 18, 19] == sorted(order[:3].tolist())
    assert np.flatnonzero(bad).tolist() == list(range(17))
    good, bad, order = split(score, valid, 8, 15)
    assert int(good.sum()) == 8 and int(bad.sum()) == 12 and order[19] == 5


def test_the_highest_level_with_enough_evaluations_is_modelled():
    """2 (E + 1) = 6 evaluations: at level 0 "c" is good, at level 1 "a" is."""
    config = nasjax.BohbConfig(samples=32, min_bandwidth=0.01)
    searcher = nasjax.bohb(SPACE, config, cost=(1, 2))
    archs = jnp.array([[x] * 2 for x in (2, 2, 2, 0, 0, 0)], jnp.uint8)
    both = jnp.concatenate([archs, archs])
    score = jnp.array([3, 3, 3, 1, 1, 1, 1, 1, 1, 3, 3, 3], jnp.float32)
    level = jnp.repeat(jnp.arange(2, dtype=jnp.int32), 6)
    empty = searcher.init(jax.random.key(0), 12)
    ask = jax.jit(jax.vmap(searcher.ask, in_axes=(0, None, None)))

    def proposed(told):
        state = empty._replace(
            arch=both, score=score, level=jnp.where(jnp.arange(12) < told, level, -1)
        )
        keys = jax.random.split(jax.random.key(1), 40)
        return np.asarray(ask(keys, state, jnp.int32(0))[1])

    assert np.all(proposed(12) == 0)
    assert np.all(proposed(11) == 2)  # of level 1 there are five
    assert len(np.unique(proposed(5), axis=0)) == 9  # uniform: all of them


def test_darts_keeps_two_edges_of_each_node():
    """Also after 2 * 29 evaluations of a level, when its densities are used."""
    space = nasjax.darts()

    def evaluate(key, params, state, arch, level):
        return state, Outcome(jnp.mean(arch == params), 0.0)

    env = Environment(jnp.uint8(3), (), evaluate, levels=fidelity.levels((1, 2)))
    searcher = nasjax.bohb(space, cost=(1, 2))
    run = jax.jit(lambda key: search.run(key, searcher, env, 300)[1])
    arch = np.asarray(run(jax.random.key(0)).arch)
    for node in (range(0, 2), range(2, 5), range(5, 9), range(9, 14)):
        np.testing.assert_array_equal((arch[..., list(node)] < 7).sum(-1), 2)
    assert len(np.unique(arch, axis=0)) > 150


def test_it_refuses_a_share_of_all():
    with pytest.raises(ValueError, match=r"top is 100; allowed: 1\.\.99"):
        nasjax.bohb(SPACE, nasjax.BohbConfig(top=100))
