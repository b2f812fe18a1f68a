"""Proposals of the Bayesian actor-critic: the actor's, random ones, a new one."""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import optax

from nasjax.agent import Policy, networks
from nasjax.agent import gaussian_process as gp
from nasjax.searchers.bayesian_config import BayesianActorCriticConfig
from nasjax.spaces import CellSpace


class BayesianActorCriticState(NamedTuple):
    """The searcher's memory; n = min(capacity, steps)."""

    queried: chex.Array  # uint8 [steps, *arch_shape], O + 1 where not yet asked
    arch: chex.Array  # uint8 [n, *arch_shape], what the critic remembers
    accuracy: chex.Array  # float32 [n], -inf where empty
    kernel: gp.Kernel
    posterior: gp.Posterior
    actor: Any
    critic_opt: Any
    actor_opt: Any
    by_actor: chex.Array  # bool [], the actor proposed the pending architecture


@dataclasses.dataclass(frozen=True, eq=False)
class Agent:
    """The fixed parts of one searcher; rows are the E edges of all cells."""

    space: CellSpace
    config: BayesianActorCriticConfig
    prior: gp.Prior
    policy: Policy
    critic_adam: optax.GradientTransformation
    actor_adam: optax.GradientTransformation
    acted: int  # proposals of the actor in each query
    others: int  # other proposals
    project: Callable[[chex.Array], chex.Array] | None
    listed: chex.Array | None  # uint8 [A, *arch_shape]

    @property
    def shape(self) -> tuple[int, int]:
        """(E, O)."""
        O = self.space.num_operations
        return self.space.action_size // O, O

    def rows(self, arch: chex.Array) -> chex.Array:
        """One-hot [n, E, O] of [n, *arch_shape], cells one after another."""
        return self.space.one_hot(arch).reshape(-1, *self.shape)

    def discretize(self, alpha: chex.Array) -> chex.Array:
        """[n, E, O] -> uint8 [n, *arch_shape]."""
        return self.space.discretize(alpha.reshape(-1, *self.space.alpha_shape))

    def predict(self, state, alpha):
        """Mean and deviation of the critic for `alpha` [n, E, O], two of [n]."""
        return gp.predict(state.posterior, state.kernel, self.prior, alpha)


def elite(agent: Agent, state: BayesianActorCriticState) -> chex.Array:
    """The best min(K, n) architectures, one-hot; the best again where empty."""
    score, index = jax.lax.top_k(
        state.accuracy, min(agent.config.top_k, state.accuracy.shape[0])
    )
    index = jnp.where(score > -jnp.inf, index, index[0])
    return agent.rows(state.arch[index])


def known(
    agent: Agent, state: BayesianActorCriticState, arch: chex.Array
) -> chex.Array:
    """bool [n]: all E entries agree with something asked; a product, so fast."""
    E, O = agent.shape
    a, b = (
        jax.nn.one_hot(x, O + 1, dtype=jnp.float32).reshape(len(x), -1)
        for x in (arch, state.queried)
    )
    both = jnp.matmul(a, b.T, precision=jax.lax.Precision.HIGHEST)
    return jnp.any(both > E - 0.5, axis=1)


def propose(
    agent: Agent, key: chex.PRNGKey, state: BayesianActorCriticState
) -> chex.Array:
    """Architectures [n, *arch_shape]: first those of the actor."""
    E, O = agent.shape
    key_noise, key_others = jax.random.split(key)
    proposals = []
    if agent.acted:
        best = elite(agent, state)
        action = jax.nn.softmax(networks.apply(agent.policy, state.actor, best))
        action = action[jnp.arange(agent.acted) % best.shape[0]]
        noise = jax.random.gumbel(key_noise, action.shape, jnp.float32)
        scale = jnp.linspace(0.0, 1.0, agent.acted, dtype=jnp.float32)
        arch = agent.discretize(action + agent.config.xi * scale[:, None, None] * noise)
        proposals.append(arch if agent.project is None else agent.project(arch))
    if agent.listed is None:
        uniform = jax.random.uniform(key_others, (agent.others, E, O), jnp.float32)
        proposals.append(agent.discretize(uniform))
    elif agent.others < len(agent.listed):
        at = jax.random.randint(
            key_others, (agent.others,), 0, len(agent.listed), jnp.int32
        )
        proposals.append(agent.listed[at])
    else:
        proposals.append(agent.listed)
    return jnp.concatenate(proposals)


def fallback_start(agent: Agent, key: chex.PRNGKey, count: int) -> chex.Array:
    """The random start of `fallback`; drawn outside of a condition, as keys are."""
    E, O = agent.shape
    if agent.listed is not None:
        return jax.random.randint(key, (), 0, len(agent.listed), jnp.int32)
    if agent.space.inputs_per_node is not None:
        return jax.random.uniform(key, (count, E, O), jnp.float32)
    return agent.space.random(key).reshape(E)


def fallback(
    agent: Agent, start: chex.Array, state: BayesianActorCriticState
) -> chex.Array:
    """Some architecture that was not asked, if there is one.

    The first one after a random place in the list, or, where every edge holds an
    operation, in lexicographic order: among steps + 1 in a row one is new.
    """
    E, O = agent.shape
    carry = jnp.arange(state.queried.shape[0] + 1)
    if agent.listed is not None:
        arch = agent.listed[(start + carry) % len(agent.listed)]
    elif agent.space.inputs_per_node is not None:
        arch = agent.discretize(start)
    else:
        digits = []
        for e in reversed(range(E)):
            carry = carry + start[e]
            digits.append(carry % O)
            carry = carry // O
        arch = jnp.stack(digits[::-1], 1).astype(jnp.uint8)
        arch = arch.reshape(-1, *agent.space.arch_shape)
    return arch[jnp.argmin(known(agent, state, arch))]
