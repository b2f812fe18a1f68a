"""Actor and critic of the Bayesian actor-critic: config, state and updates."""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple, Self

import chex
import flax.struct
import jax
import jax.numpy as jnp
import optax

from nasjax.agent import Policy, descend, networks
from nasjax.agent import gaussian_process as gp
from nasjax.search.constraints import drawn
from nasjax.search.outcomes import or_worst
from nasjax.searchers import bayesian_proposals as proposals
from nasjax.searchers.config import choice, fraction, static, traced
from nasjax.searchers.gaussian_critic import GaussianCriticConfig
from nasjax.spaces import CellSpace, isomorphism

ACQUISITIONS = ("both", "bound", "improvement")
PENDING = ("mean", "lowest", "average", "highest")


@flax.struct.dataclass
class BayesianActorCriticConfig(GaussianCriticConfig):
    """See `GaussianCriticConfig`."""

    beta: chex.Numeric = traced(1.0, "deviations above the mean in the upper bound")
    far_beta: chex.Numeric = traced(3.0, "beta in every fourth query")
    acquisition: str = choice(
        "both", ACQUISITIONS, ", ".join(ACQUISITIONS) + "; both: in turn"
    )
    pending: str = choice(
        "mean", PENDING, f"assumed score of pending queries: {', '.join(PENDING)}"
    )
    isomorphic: chex.Numeric = fraction(
        0.5, "share of the isomorphic representative in what the critic sees"
    )
    climb: int = static(6, "most moves from the chosen proposal to neighbours", 0)
    listed_proposals: tuple[int, int] = static(
        (64, 2_000), "proposals of the actor and of listed architectures, if listed"
    )

    def validate(self) -> Self:
        """See `Config`."""
        super().validate()
        if len(self.listed_proposals) != 2 or not (
            self.listed_proposals[0] >= 0 < self.listed_proposals[1]
        ):
            raise ValueError(
                "listed_proposals must be two numbers, of at least 0 and 1: "
                f"{self.listed_proposals}"
            )
        return self

    def unused(self) -> dict[str, str]:
        """See `Config`."""
        return {"far_beta": "acquisition"} if self.acquisition == "improvement" else {}


class BayesianActorCriticState(NamedTuple):
    """The searcher's memory; n = min(capacity, steps)."""

    queried: chex.Array  # uint8 [steps, *arch_shape], O + 1 where not queried yet
    arch: chex.Array  # uint8 [n, *arch_shape], the critic's experiences
    accuracy: chex.Array  # float32 [n], -inf where empty
    kernel: gp.Kernel
    posterior: gp.Posterior
    actor: Any
    critic_opt: Any
    actor_opt: Any
    by_actor: chex.Array  # bool [], whether the actor proposed the pending architecture


@dataclasses.dataclass(frozen=True, eq=False)
class Agent:
    """The fixed parts of one searcher."""

    space: CellSpace
    config: BayesianActorCriticConfig
    prior: gp.Prior
    policy: Policy
    critic_adam: optax.GradientTransformation
    actor_adam: optax.GradientTransformation
    actor_proposals: int
    other_proposals: int
    project: Callable[[chex.Array], chex.Array] | None
    listed: chex.Array | None  # uint8 [A, *arch_shape]
    # From architectures [n, *arch_shape] to the critic's mean [n] before any query.
    prior_mean: Callable[[chex.Array], chex.Array] | None = dataclasses.field(
        default=None, kw_only=True
    )

    def rows(self, arch: chex.Array) -> chex.Array:
        """One-hot [n, E, O] of `arch` [n, *arch_shape]; E counts edges of all cells.

        Mixed with those of its representative: isomorphic architectures are near each
        other for the critic, but not one, since a benchmark trains or times them apart.
        """
        rows = self.space.one_hot(arch)
        if (represent := isomorphism.representative(self.space)) is not None:
            rows += self.config.isomorphic * (
                self.space.one_hot(represent(arch)) - rows
            )
        return rows.reshape(-1, *proposals.rows_shape(self.space))

    def predict(self, state, alpha):
        """Mean [n] and deviation [n] of the critic at `alpha` [n, E, O]."""
        return gp.predict(state.posterior, state.kernel, self.prior, alpha)

    def above_prior(self, score, arch):
        """Scores [n] of `arch` less the prior mean, which the process models."""
        return score if self.prior_mean is None else score - self.prior_mean(arch)

    def predict_arch(self, state, arch):
        """`predict` at architectures [n, *arch_shape], with the prior mean."""
        mean, deviation = self.predict(state, self.rows(arch))
        if self.prior_mean is not None:
            mean += self.prior_mean(arch)
        return mean, deviation

    def elite(self, state):
        """The best min(K, n) architectures [K, E, O]; empty slots repeat the best."""
        score, index = jax.lax.top_k(
            state.accuracy, min(self.config.top_k, state.accuracy.shape[0])
        )
        index = jnp.where(score > -jnp.inf, index, index[0])
        return self.rows(state.arch[index])

    def act(self, params, observation):
        """The actor's action [..., E, O], a distribution in each row."""
        return jax.nn.softmax(networks.apply(self.policy, params, observation))

    def propose(self, key, state, feasible=None):
        """Architectures [n, *arch_shape]: those of the actor, then the others."""
        key_noise, key_others = jax.random.split(key)

        def draw(key):
            return proposals.drawn(key, self.space, self.other_proposals, self.listed)

        if feasible is None:
            others = draw(key_others)
        else:
            others = drawn(key_others, draw, feasible)
        count = self.actor_proposals
        if not count:
            return others
        action, xi = self.act(state.actor, self.elite(state)), self.config.xi
        arch = proposals.perturbed(key_noise, self.space, action, xi, count)
        arch = arch if self.project is None else self.project(arch)
        return jnp.concatenate([arch, others])

    def train_critic(self, key, state, cycles):
        """Takes `cycles` minibatch steps of the kernel and updates the posterior."""
        n = state.accuracy.shape[0]
        valid = state.accuracy > -jnp.inf
        score = gp.normal_scores(state.accuracy, valid)
        score = self.above_prior(score, state.arch)
        alpha = self.rows(state.arch)

        def cycle(i, carry):
            # Distinct experiences in random order, empty slots last.
            order = jax.random.uniform(jax.random.fold_in(key, i), (n,), jnp.float32)
            order = order + valid
            index = jax.lax.top_k(order, min(self.config.batch_size, n))[1]
            batch = alpha[index], score[index], valid[index]

            def loss(kernel):
                return gp.loss(kernel, self.prior, *batch)

            return descend(self.critic_adam, loss, *carry)[:2]

        kernel, critic_opt = jax.lax.fori_loop(
            0, cycles, cycle, (state.kernel, state.critic_opt)
        )
        posterior = gp.condition(kernel, self.prior, alpha, score, valid)
        return state._replace(kernel=kernel, posterior=posterior, critic_opt=critic_opt)

    def train_actor(self, state, cycles):
        """Takes `cycles` steps of the actor on the critic's upper confidence bound.

        The prior mean has no gradient, so it is left out.
        """
        best = self.elite(state)

        def loss(params):
            mean, deviation = self.predict(state, self.act(params, best))
            return -jnp.mean(mean + self.config.beta * deviation)

        def cycle(_, carry):
            return descend(self.actor_adam, loss, *carry)[:2]

        actor, actor_opt = jax.lax.fori_loop(
            0, cycles, cycle, (state.actor, state.actor_opt)
        )
        return state._replace(actor=actor, actor_opt=actor_opt)


def remember(state, arch, outcome):
    """Stores the outcome in an empty slot, or in place of the worst if it is better.

    A failed evaluation is stored with the worst stored accuracy.
    """
    slot = jnp.argmin(state.accuracy)
    valid = state.accuracy > -jnp.inf
    worst = jnp.min(jnp.where(valid, state.accuracy, jnp.inf))
    observed = or_worst(outcome.accuracy, jnp.where(valid[0], worst, -jnp.inf))
    keep = observed > state.accuracy[slot]
    accuracy = jnp.where(keep, observed, state.accuracy[slot])
    return state._replace(
        arch=state.arch.at[slot].set(jnp.where(keep, arch, state.arch[slot])),
        accuracy=state.accuracy.at[slot].set(accuracy),
    )
