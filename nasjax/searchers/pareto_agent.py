"""Actor and critics of the Bayesian Pareto search: config, state and updates."""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import chex
import flax.struct
import jax
import jax.numpy as jnp
import optax
from jax.scipy.special import ndtri

from nasjax.agent import Policy, descend, networks
from nasjax.agent import gaussian_process as gp
from nasjax.search import pareto
from nasjax.search.objectives import Constraint, Objective, oriented
from nasjax.searchers.bayesian_proposals import rows_shape
from nasjax.searchers.config import static
from nasjax.searchers.gaussian_critic import GaussianCriticConfig
from nasjax.spaces import CellSpace


@flax.struct.dataclass
class BayesianParetoConfig(GaussianCriticConfig):
    """Hyper-parameters; those of the critics are the Bayesian actor-critic's."""

    directions: int = static(32, "trade-offs that the improvement is averaged over")
    parents: int = static(5, "proposals start from the front, filled up to so many")
    top_k: int = static(8, "K: parents that the actor starts from")
    offspring: int = static(192, "proposals by crossover and mutation of the front")
    actor_proposals: int = static(64, "proposals of the actor, noise from 0 to xi")
    random_proposals: int = static(64, "proposals drawn uniformly")
    listed_proposals: int = static(2_000, "proposals among listed architectures")
    capacity: int = static(256, "experiences, the least dominated if there are more")


class BayesianParetoState(NamedTuple):
    """The searcher's memory; n = min(capacity, steps), M critics."""

    queried: chex.Array  # uint8 [steps, *arch_shape], O + 1 where not queried yet
    arch: chex.Array  # uint8 [n, *arch_shape], the critics' experiences
    value: chex.Array  # float32 [M, n], larger is better; -inf where empty
    kernel: gp.Kernel  # of M critics
    posterior: gp.Posterior  # of M critics
    actor: Any
    critic_opt: Any
    actor_opt: Any
    by_actor: chex.Array  # bool [], whether the actor proposed the pending architecture


class Experience(NamedTuple):
    """What the critics learn from; n slots, M critics, C of them of constraints."""

    score: chex.Array  # float32 [M, n], normal scores; 0 where empty
    valid: chex.Array  # bool [n]
    front: chex.Array  # bool [n], feasible and not dominated
    parents: chex.Array  # bool [n], where proposals start
    bound: chex.Array  # float32 [C], the constraints' bounds as normal scores


@dataclasses.dataclass(frozen=True, eq=False)
class Agent:
    """The fixed parts of one searcher."""

    space: CellSpace
    config: BayesianParetoConfig
    prior: gp.Prior
    objectives: tuple[Objective, ...]
    constraints: tuple[Constraint, ...]
    policy: Policy
    critic_adam: optax.GradientTransformation
    actor_adam: optax.GradientTransformation
    project: Callable[[chex.Array], chex.Array] | None
    listed: chex.Array | None  # uint8 [A, *arch_shape]

    @property
    def terms(self) -> tuple[Objective | Constraint, ...]:
        """Of the M critics."""
        return (*self.objectives, *self.constraints)

    def rows(self, arch: chex.Array) -> chex.Array:
        """One-hot [n, E, O] of `arch` [n, *arch_shape]; E counts edges of all cells."""
        shape = rows_shape(self.space)
        return self.space.one_hot(arch).reshape(-1, *shape)

    def predict(self, state, alpha):
        """Means [M, n] and deviations [M, n] at `alpha` [n, E, O]."""

        def single(posterior, kernel):
            return gp.predict(posterior, kernel, self.prior, alpha)

        return jax.vmap(single)(state.posterior, state.kernel)

    def condition(self, kernel, arch, score, valid):
        """The posteriors of M critics; `score` [M, n]."""
        alpha = self.rows(arch)

        def single(kernel, score):
            return gp.condition(kernel, self.prior, alpha, score, valid)

        return jax.vmap(single)(kernel, score)

    def experience(self, state) -> Experience:
        """See `Experience`.

        Parents are the front and, if it is smaller than `parents`, the least dominated
        feasible ones; all if nothing feasible is known.
        A bound lies between the scores of the values on both sides of it; beyond all of
        them it is half as far from the end as the outermost score.
        """
        valid = state.value[0] > -jnp.inf
        score = jax.vmap(lambda x: gp.normal_scores(x, valid))(state.value)
        values, K = state.value, len(self.objectives)
        bound = jnp.array([x.sign * x.bound for x in self.constraints], jnp.float32)
        kept = values[K:] >= bound[:, None]
        count = jnp.maximum(jnp.sum(valid), 1).astype(jnp.float32)
        below = jnp.sum(~kept & valid, axis=1) / count
        below = jnp.clip(below, 0.25 / count, 1 - 0.25 / count)
        feasible = valid & jnp.all(kept, axis=0)
        points = jnp.where(feasible, values[:K], -jnp.inf).T
        dominators = jnp.sum(pareto.dominators(points), axis=1)
        dominators = jnp.where(feasible, dominators, len(valid))
        fewest = min(self.config.parents, len(valid))
        parents = feasible & (dominators <= jnp.sort(dominators)[fewest - 1])
        parents = jnp.where(jnp.any(feasible), parents, valid)
        front = feasible & (dominators == 0)
        return Experience(score, valid, front, parents, ndtri(below))

    def reference(self, known: Experience) -> chex.Array:
        """float32 [K]: the worst score of each objective."""
        worst = jnp.min(known.score, axis=1, where=known.valid, initial=0.0)
        return worst[: len(self.objectives)]

    def act(self, params, observation):
        """The actor's action [..., E, O], a distribution in each row."""
        return jax.nn.softmax(networks.apply(self.policy, params, observation))


def members(key, mask, count):
    """Indices int [count] of random members of a set, bool [n], with replacement.

    The last index if the set is empty.
    """
    drawn = jax.random.uniform(key, (count,), jnp.float32)
    place = jnp.ceil(drawn * jnp.sum(mask)).astype(jnp.int32)
    index = jnp.searchsorted(jnp.cumsum(mask), jnp.maximum(place, 1))
    return jnp.minimum(index, len(mask) - 1)


def remember(agent, state, arch, outcome):
    """Stores the outcome in an empty slot, or in place of the most dominated.

    A failed evaluation is stored with the worst value so far of every critic; before
    the first success it is ignored.
    """
    value = oriented(agent.terms, outcome)
    valid = state.value[0] > -jnp.inf
    worst = jnp.min(jnp.where(valid, state.value, jnp.inf), axis=1)
    value = jnp.where(jnp.isnan(value), worst, value)
    above = pareto.dominators(state.value[: len(agent.objectives)].T)
    slot = jnp.argmax(jnp.where(valid, jnp.sum(above, axis=1), len(valid)))
    keep = jnp.all(jnp.isfinite(value))
    return state._replace(
        arch=state.arch.at[slot].set(jnp.where(keep, arch, state.arch[slot])),
        value=state.value.at[:, slot].set(jnp.where(keep, value, state.value[:, slot])),
    )


def train_critics(agent, key, state, known, cycles):
    n = len(known.valid)
    alpha = agent.rows(state.arch)

    def cycle(i, carry):
        # Distinct experiences in random order, empty slots last.
        order = jax.random.uniform(jax.random.fold_in(key, i), (n,), jnp.float32)
        order = order + known.valid
        index = jax.lax.top_k(order, min(agent.config.batch_size, n))[1]

        def of_critic(kernel, critic_opt, score):
            def loss(kernel):
                batch = alpha[index], score[index], known.valid[index]
                return gp.loss(kernel, agent.prior, *batch)

            return descend(agent.critic_adam, loss, kernel, critic_opt)[:2]

        return jax.vmap(of_critic)(carry[0], carry[1], known.score)

    kernel, critic_opt = jax.lax.fori_loop(
        0, cycles, cycle, (state.kernel, state.critic_opt)
    )
    posterior = agent.condition(kernel, state.arch, known.score, known.valid)
    return state._replace(kernel=kernel, posterior=posterior, critic_opt=critic_opt)


def train_actor(agent, key, state, known, cycles):
    """Ascends the upper bounds, each scaled by the scores of the member it starts from.

    The smallest of them and a small share of their sum: the augmented Chebyshev
    scalarisation (Knowles 2006).
    """
    start = members(key, known.parents, agent.config.top_k)
    observation = agent.rows(state.arch[start])
    reference = agent.reference(known)[:, None]
    K = len(reference)
    scale = known.score[:K, start] - reference + 0.1

    def loss(params):
        mean, deviation = agent.predict(state, agent.act(params, observation))
        bound = ((mean + deviation)[:K] - reference) / scale
        return -jnp.mean(jnp.min(bound, axis=0) + 0.05 * jnp.sum(bound, axis=0))

    def cycle(_, carry):
        return descend(agent.actor_adam, loss, *carry)[:2]

    actor, actor_opt = jax.lax.fori_loop(
        0, cycles, cycle, (state.actor, state.actor_opt)
    )
    return state._replace(actor=actor, actor_opt=actor_opt)
