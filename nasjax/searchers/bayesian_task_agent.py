"""Actor and critic of the search over several tasks: config, state and updates."""

import dataclasses
from typing import Any, NamedTuple

import chex
import flax.struct
import jax
import jax.numpy as jnp

from nasjax.agent import coregionalisation as cr
from nasjax.agent import descend
from nasjax.search.outcomes import or_worst
from nasjax.searchers.bayesian_agent import Agent
from nasjax.searchers.config import choice, fraction, static, traced
from nasjax.searchers.gaussian_critic import GaussianCriticConfig

SCHEDULES = ("fidelities", "together", "transfer")


@flax.struct.dataclass
class BayesianTasksConfig(GaussianCriticConfig):
    """Hyper-parameters; those of the critic are the Bayesian actor-critic's."""

    beta: chex.Numeric = traced(1.0, "deviations above the mean in the upper bound")
    far_beta: chex.Numeric = traced(3.0, "beta in every fourth query")
    between: chex.Numeric = traced(
        0.9, "prior correlation of two tasks, (0, 1)", 1e-6, 1 - 1e-6
    )
    task: chex.Numeric = traced(0.2, "prior deviation of the tasks' embedding", 1e-6)
    isomorphic: chex.Numeric = fraction(
        0.5, "share of the isomorphic representative in what the critic sees"
    )
    schedule: str = choice(
        "fidelities", SCHEDULES, f"which task a query serves: {', '.join(SCHEDULES)}"
    )
    first: int = static(80, "queries of the first task before others; not together", 0)
    actor_proposals: int = static(256, "proposals of the actor, noise from 0 to xi", 1)
    listed_proposals: int = static(2_000, "proposals among listed architectures")

    def unused(self) -> dict[str, str]:
        """See `Config`."""
        return {"first": "schedule"} if self.schedule == "together" else {}


class BayesianTasksState(NamedTuple):
    """The searcher's memory; n = min(capacity, steps)."""

    queried: chex.Array  # uint8 [steps, *arch_shape], O + 1 where not queried yet
    queried_task: chex.Array  # int32 [steps]
    arch: chex.Array  # uint8 [n, *arch_shape], the critic's experiences
    arch_task: chex.Array  # int32 [n]
    accuracy: chex.Array  # float32 [n], -inf where empty
    score: chex.Array  # float32 [n], `coregionalisation.scores`; 0 where empty
    kernel: cr.Kernel
    posterior: cr.Posterior
    actor: Any
    critic_opt: Any
    actor_opt: Any
    target: chex.Array  # int32 [], the task that the pending query is to improve
    task: chex.Array  # int32 [], the task that it is evaluated on
    by_actor: chex.Array  # bool [], whether the actor proposed it


@dataclasses.dataclass(frozen=True, eq=False)
class TaskAgent(Agent):
    """The fixed parts of one searcher; elite and predictions are the target task's."""

    config: BayesianTasksConfig  # type: ignore[assignment]  # of the fields it reads
    tasks: cr.Prior
    count: int  # L, of tasks

    def predict(self, state, alpha):
        """Mean [n] and deviation [n] of the critic at `alpha` [n, E, O]."""
        return cr.predict(
            state.posterior, state.kernel, self.tasks, alpha, state.target
        )

    def elite(self, state):
        """The architectures [K, E, O] with the highest mean for the target task.

        Also those observed for other tasks only; each once. Empty slots repeat the
        best.
        """
        alpha = self.rows(state.arch)
        valid = state.accuracy > -jnp.inf
        flat = alpha.reshape(len(alpha), -1)
        agreeing = jnp.matmul(flat, flat.T, precision=jax.lax.Precision.HIGHEST)
        again = (agreeing > alpha.shape[1] - 0.5) & valid  # of slot i and slot j < i
        again = jnp.any(jnp.tril(again, -1), axis=1)
        mean, _ = self.predict(state, alpha)
        mean = jnp.where(valid & ~again, mean, -jnp.inf)
        highest, index = jax.lax.top_k(mean, min(self.config.top_k, len(mean)))
        return alpha[jnp.where(highest > -jnp.inf, index, index[0])]

    def train_critic(self, key, state, cycles):
        """Takes `cycles` minibatch steps of the kernel and updates the posterior."""
        n = state.accuracy.shape[0]
        valid = state.accuracy > -jnp.inf
        alpha, task = self.rows(state.arch), state.arch_task
        known = alpha, task, state.accuracy, valid
        score = cr.scores(state.kernel, self.tasks, *known)

        def cycle(i, carry):
            # Distinct experiences in random order, empty slots last.
            order = jax.random.uniform(jax.random.fold_in(key, i), (n,), jnp.float32)
            index = jax.lax.top_k(order + valid, min(self.config.batch_size, n))[1]
            batch = alpha[index], task[index], score[index], valid[index]

            def loss(kernel):
                return cr.loss(kernel, self.tasks, *batch)

            return descend(self.critic_adam, loss, *carry)[:2]

        kernel, critic_opt = jax.lax.fori_loop(
            0, cycles, cycle, (state.kernel, state.critic_opt)
        )
        posterior = cr.condition(kernel, self.tasks, alpha, task, score, valid)
        return state._replace(
            kernel=kernel, posterior=posterior, critic_opt=critic_opt, score=score
        )


def remember(state, arch, outcome):
    """Stores the outcome in an empty slot, or in place of the lowest score.

    A failed evaluation is stored with the worst accuracy of its task; before the task's
    first accuracy it is ignored.
    """
    valid = state.accuracy > -jnp.inf
    slot = jnp.argmin(jnp.where(valid, state.score, -jnp.inf))
    same = valid & (state.arch_task == state.task)
    worst = jnp.min(state.accuracy, where=same, initial=jnp.inf)
    observed = or_worst(outcome.accuracy, jnp.where(jnp.any(same), worst, -jnp.inf))
    keep = observed > -jnp.inf

    def put(array, value):
        return array.at[slot].set(jnp.where(keep, value, array[slot]))

    return state._replace(
        arch=put(state.arch, arch),
        arch_task=put(state.arch_task, state.task),
        accuracy=put(state.accuracy, observed),
    )
