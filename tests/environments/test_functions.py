"""Generated functions: values by hand, and the tables that hold the same functions."""

import jax
import jax.numpy as jnp
import made_tables
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nasjax import search, searchers
from nasjax.environments import functions
from nasjax.spaces import darts, table_space

pytestmark = pytest.mark.usefixtures("quick_compile")


def test_pairwise_by_hand():
    """Three edges, so that pairs have the factor sqrt(2 / 2) = 1."""
    own = np.array([[1, 2], [10, 20], [100, 200]], float)
    both = np.zeros((3, 2, 2))
    both[0, 1, 0], both[1, 1, 1], both[2, 0, 1] = 0.5, 0.25, 0.125  # 01, 02, 12
    function = functions.Pairwise(own, both)
    assert functions.value(function, np.array([1, 0, 1])) == 212 + 0.5 + 0.25 + 0.125
    assert functions.value(function, np.array([0, 1, 0])) == 121


def test_nk_by_hand():
    """Edge 0 reads edge 1; edge 1 reads edge 0; the last named counts singly."""
    function = functions.Nk(
        np.array([[0, 1], [1, 0]]), np.array([[0.0, 0.1, 0.2, 0.3], [1, 2, 3, 4]])
    )
    assert functions.value(function, np.array([1, 0])) == pytest.approx((0.2 + 2) / 2)
    assert functions.value(function, np.array([0, 1])) == pytest.approx((0.1 + 3) / 2)


@given(st.integers(0, 2**31), st.integers(2, 5), st.integers(2, 4))
def test_tables_hold_the_same_functions(seed, edges, operations):
    def rng():
        return np.random.default_rng(seed)

    ops = rng().integers(0, operations, (7, edges))
    size = edges, operations
    np.testing.assert_allclose(
        functions.value(functions.pairwise(rng(), *size), ops),
        made_tables.pairwise(rng(), ops, operations),
        atol=1e-12,
    )
    np.testing.assert_allclose(
        functions.value(functions.nk(rng(), *size, 1), ops),
        made_tables.nk(rng(), ops, operations, 1),
    )


@pytest.mark.parametrize("family", (functions.pairwise, lambda *x: functions.nk(*x, 2)))
def test_scores_are_deviations_above_the_mean(family):
    """Of a space of 10^28, over architectures that did not fix the scale."""
    space = table_space(28, [f"op{i}" for i in range(10)])
    rng = np.random.default_rng(1)
    drawn = [family(rng, 28, 10) for _ in range(2)]
    env = functions.generated(space, drawn, column=1)
    arch = rng.integers(0, 10, (2_000, 28)).astype(np.uint8)
    outcome = jax.jit(
        jax.vmap(lambda arch: env.evaluate(None, env.params, env.state, arch)[1])
    )(arch)
    assert abs(float(outcome.accuracy.mean())) < 0.1
    assert 0.9 < float(outcome.accuracy.std()) < 1.1
    raw = functions.value(drawn[1], arch.astype(int))
    assert np.corrcoef(raw, outcome.accuracy)[0, 1] > 0.99999


def test_it_is_an_environment_of_any_search():
    space = table_space(20, ("a", "b", "c"))
    function = functions.nk(np.random.default_rng(0), 20, 3, 1)
    env = functions.generated(space, [function])
    run = jax.jit(
        lambda key, env: search.run(key, searchers.evolution(space), env, steps=64)
    )
    _, trace = run(jax.random.key(0), env)
    assert float(trace.accuracy[-16:].mean()) > float(trace.accuracy[:16].mean())
    assert jnp.isfinite(trace.accuracy).all()


def test_what_does_not_fit_is_refused():
    function = functions.pairwise(np.random.default_rng(0), 3, 2)
    with pytest.raises(ValueError, match="3 edges and 2 operations does not fit"):
        functions.generated(table_space(4, ("a", "b")), [function])
    with pytest.raises(ValueError, match="does not fit darts"):
        functions.generated(darts(), [function])
    with pytest.raises(ValueError, match="no functions"):
        functions.generated(table_space(3, ("a", "b")), [])
