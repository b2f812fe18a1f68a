"""Proposals of the Bayesian actor-critic, as functions of arrays.

E counts the edges of all cells. `listed`, uint8 [A, *arch_shape], holds all
architectures that can be queried; it is None if all can be queried.
"""

from collections.abc import Callable

import chex
import jax
import jax.numpy as jnp

from nasjax.agent.draws import flat
from nasjax.spaces import CellSpace, isomorphism


def rows_shape(space: CellSpace) -> tuple[int, int]:
    """(E, O), with the edges of all cells."""
    return space.action_size // space.num_operations, space.num_operations


def discretize(space: CellSpace, alpha: chex.Array) -> chex.Array:
    """Architectures uint8 [n, *arch_shape] of `alpha` [n, E, O]."""
    return space.discretize(alpha.reshape(-1, *space.alpha_shape))


def perturbed(
    key: chex.PRNGKey,
    space: CellSpace,
    action: chex.Array,
    xi: chex.Numeric,
    count: int,
) -> chex.Array:
    """uint8 [count, *arch_shape]: actions [K, E, O] in turn, with noise from 0 to xi.

    The noise is Gumbel: the argmax of logits plus it is a draw from their softmax.
    """
    action = action[jnp.arange(count) % action.shape[0]]
    noise = flat(jax.random.gumbel, key, action.shape, jnp.float32)
    scale = jnp.linspace(0.0, 1.0, count, dtype=jnp.float32)
    return discretize(space, action + xi * scale[:, None, None] * noise)


def drawn(
    key: chex.PRNGKey, space: CellSpace, count: int, listed: chex.Array | None
) -> chex.Array:
    """`count` random architectures; all listed ones if there are no more than that."""
    if listed is None:
        shape = (count, *rows_shape(space))
        return discretize(space, flat(jax.random.uniform, key, shape, jnp.float32))
    if count >= len(listed):
        return listed
    return listed[jax.random.randint(key, (count,), 0, len(listed), jnp.int32)]


def climb(
    space: CellSpace,
    valued: Callable[[chex.Array], chex.Array],
    arch: chex.Array,
    value: chex.Numeric,
    rounds: chex.Numeric,
) -> chex.Array:
    """The architecture after `rounds` moves to the best neighbour, while it is better.

    `valued` maps architectures [n, *arch_shape] to values [n]; `value` is that of
    `arch`.
    """

    def move(_, at):
        arch, value = at
        near = space.neighbours(arch)
        values = valued(near)
        best = jnp.argmax(values)
        better = values[best] > value
        return jnp.where(better, near[best], arch), jnp.maximum(values[best], value)

    return jax.lax.fori_loop(0, rounds, move, (arch, value))[0]


def is_queried(space: CellSpace, queried: chex.Array, arch: chex.Array) -> chex.Array:
    """bool [n]: whether architectures [n, *arch_shape] are rows of `queried`.

    It counts equal entries by a product of matrices, which is fast.
    """
    E, O = rows_shape(space)
    a, b = (
        jax.nn.one_hot(x, O + 1, dtype=jnp.float32).reshape(len(x), -1)
        for x in (arch, queried)
    )
    agreeing = jnp.matmul(a, b.T, precision=jax.lax.Precision.HIGHEST)
    return jnp.any(agreeing > E - 0.5, axis=1)


def is_known(space: CellSpace, queried: chex.Array, arch: chex.Array) -> chex.Array:
    """`is_queried`; if nodes select edges, also isomorphic to a row of `queried`.

    Those are one network in every respect. If edges may lead to nothing, isomorphic
    ones are not: they differ in time and size.
    """
    if not space.sums or space.inputs_per_node is None:
        return is_queried(space, queried, arch)
    rows = queried.reshape(len(queried), -1)
    made = jnp.all(rows <= space.num_operations, axis=1)
    known = isomorphism.fingerprint(space, queried)
    same = isomorphism.fingerprint(space, arch)[:, None] == known
    return jnp.any(same & made, axis=1)


def new_start(
    key: chex.PRNGKey, space: CellSpace, count: int, listed: chex.Array | None
) -> chex.Array:
    """The random `start` of `new`; separate, to use no key inside `lax.cond`."""
    E, O = rows_shape(space)
    if listed is not None:
        return jax.random.randint(key, (), 0, len(listed), jnp.int32)
    if space.inputs_per_node is not None:
        return flat(jax.random.uniform, key, (count, E, O), jnp.float32)
    # One draw, where `space.random` compiles three times as long.
    share = jax.random.uniform(key, (E,), jnp.float32)
    return jnp.minimum((share * O).astype(jnp.int32), O - 1)


def new(
    space: CellSpace,
    queried: chex.Array,
    start: chex.Array,
    listed: chex.Array | None,
    feasible: Callable[[chex.Array], chex.Array] | None = None,
) -> chex.Array:
    """An architecture that is not a row of `queried`, if there is one.

    The first new one after a random position in `listed`, or in lexicographic order if
    every edge has an operation: one of steps + 1 in a row is new. If nodes select
    edges, one of steps + 1 random ones. Those that are not feasible count as queried.
    """
    E, O = rows_shape(space)
    carry = jnp.arange(queried.shape[0] + 1)
    if listed is not None:
        arch = listed[(start + carry) % len(listed)]
    elif space.inputs_per_node is not None:
        arch = discretize(space, start)
    else:  # start + 0, start + 1, ... as numbers of E digits in base O
        digits = []
        for e in reversed(range(E)):
            carry = carry + start[e]
            digits.append(carry % O)
            carry = carry // O
        arch = jnp.stack(digits[::-1], 1).astype(jnp.uint8)
        arch = arch.reshape(-1, *space.arch_shape)
    excluded = is_queried(space, queried, arch)
    if feasible is not None:
        excluded |= ~feasible(arch)
    return arch[jnp.argmin(excluded)]


def best_or_new(
    key: chex.PRNGKey,
    space: CellSpace,
    queried: chex.Array,
    arch: chex.Array,
    value: chex.Array,
    listed: chex.Array | None,
    feasible: Callable[[chex.Array], chex.Array] | None = None,
    improve: Callable[..., chex.Array] | None = None,
) -> tuple[chex.Array, chex.Array, chex.Array]:
    """The best proposal, its index, and whether any was new; if none was, see `new`.

    Args:
      key: of `new`.
      arch: [n, *arch_shape], the proposals.
      value: [n], -inf for those that cannot be queried.
      improve: `(arch, value, is_new) -> arch`: what is queried in place of the best.
    """
    best = jnp.argmax(value)
    is_new = value[best] > -jnp.inf
    highest = arch[best]
    if improve is not None:
        highest = improve(highest, value[best], is_new)
    start = new_start(key, space, queried.shape[0] + 1, listed)
    chosen = jax.lax.cond(
        is_new,
        lambda: highest,
        lambda: new(space, queried, start, listed, feasible),
    )
    return chosen, best, is_new
