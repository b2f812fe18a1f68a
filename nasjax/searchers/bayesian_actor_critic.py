"""A Bayesian actor-critic, for searches with few queries.

The critic is a Gaussian process on continuous architecture parameters; the actor is a
network that maps good architectures to the parameters of better ones. For each query

1. the actor's actions on the best architectures, plus noise, are discretised; random
   architectures join them;
2. the critic chooses one of these proposals that was not queried before, alternately by
   expected improvement and by upper confidence bound (every other time a wide one), and
   moves from it to better neighbours;
3. the outcome is stored, the critic's kernel and posterior are fitted to the ranks of
   all scores, and the actor ascends the critic's upper confidence bound.
"""

from collections.abc import Callable

import chex
import jax
import jax.numpy as jnp

from nasjax.agent import gaussian_process as gp
from nasjax.search import Searcher, in_float32
from nasjax.searchers import bayesian_proposals as proposals
from nasjax.searchers.bayesian_agent import (
    Agent,
    BayesianActorCriticConfig,
    BayesianActorCriticState,
    remember,
)
from nasjax.searchers.gaussian_critic import assembled, check_listed, components
from nasjax.spaces import CellSpace


def _init(agent, key, steps):
    E, O = proposals.rows_shape(agent.space)
    n = min(agent.config.capacity, steps)
    kernel = gp.init(E, O, agent.prior)
    actor = agent.policy.init(key, jnp.zeros((E, O)))
    arch = jnp.zeros((n, *agent.space.arch_shape), jnp.uint8)
    return BayesianActorCriticState(
        queried=jnp.full((steps, *agent.space.arch_shape), O + 1, jnp.uint8),
        arch=arch,
        accuracy=jnp.full(n, -jnp.inf, jnp.float32),
        kernel=kernel,
        posterior=gp.unobserved(kernel, agent.prior, agent.rows(arch)),
        actor=actor,
        critic_opt=agent.critic_adam.init(kernel),
        actor_opt=agent.actor_adam.init(actor),
        by_actor=jnp.bool_(False),
    )


def _acquisition(agent, state, step, warm_up, arch):
    """Values [n] by which the critic chooses among proposals [n, *arch_shape]."""
    config = agent.config
    mean, deviation = agent.predict_arch(state, arch)
    beta = jnp.where(step % 4 == 3, config.far_beta, config.beta)
    bound = mean + beta * deviation
    score = gp.normal_scores(state.accuracy, state.accuracy > -jnp.inf)
    gain = gp.log_expected_improvement(mean, deviation, jnp.max(score))
    by_gain = {"both": step % 2 == 0, "bound": False, "improvement": True}
    value = jnp.where(by_gain[config.acquisition], gain, bound)
    # Warm-up: the most uncertain random proposal, so that queries fill the space.
    is_random = jnp.arange(len(arch)) >= agent.actor_proposals
    return jnp.where(warm_up, jnp.where(is_random, deviation, -jnp.inf), value)


def _ask(agent, key, state, step, pending=None):
    key_propose, key_new = jax.random.split(key)
    feasible = None if pending is None else pending.feasible
    arch = agent.propose(key_propose, state, feasible)
    critic, warm_up = state, step < agent.config.warm_up
    if pending is not None and len(pending.valid):
        alpha = agent.rows(pending.arch)
        score = _assumed_score(agent.config, state)
        if score is not None:
            score = agent.above_prior(score, pending.arch)
        posterior = gp.imagine(
            state.posterior, state.kernel, agent.prior, alpha, pending.valid, score
        )
        critic = state._replace(posterior=posterior)
        warm_up |= step == jnp.sum(pending.valid)  # there is no outcome yet

    def valued(arch, warm_up=False):
        value = _acquisition(agent, critic, step, warm_up, arch)
        excluded = proposals.is_known(agent.space, state.queried, arch)
        if feasible is not None:
            excluded |= ~feasible(arch)
        return jnp.where(excluded, -jnp.inf, value)

    value = valued(arch, warm_up)
    climb = None
    if agent.listed is None and agent.space.inputs_per_node is None:

        def climb(arch, value, is_new):
            rounds = jnp.where(warm_up | ~is_new, 0, agent.config.climb)
            return proposals.climb(agent.space, valued, arch, value, rounds)

    chosen, best, is_new = proposals.best_or_new(
        key_new, agent.space, state.queried, arch, value, agent.listed, feasible, climb
    )
    return state._replace(
        queried=state.queried.at[step].set(chosen),
        by_actor=is_new & (best < agent.actor_proposals),
    ), chosen


def _assumed_score(config, state):
    """The score that pending queries are assumed to have; None for the critic's mean.

    Source: Ginsbourger et al. 2010, section 4.2: kriging believer and constant liar.
    """
    valid = state.accuracy > -jnp.inf
    score = gp.normal_scores(state.accuracy, valid)
    return {
        "mean": None,
        "lowest": jnp.min(score, where=valid, initial=0.0),
        "average": 0.0,
        "highest": jnp.max(score, where=valid, initial=0.0),
    }[config.pending]


def _tell(agent, key, state, step, arch, outcome):
    mean, deviation = agent.predict_arch(state, arch[None])
    state = remember(state, arch, outcome)
    cycles = jnp.where(step + 1 >= agent.config.warm_up, agent.config.cycles, 0)
    state = agent.train_critic(key, state, cycles)
    if agent.actor_proposals:
        state = agent.train_actor(state, cycles)
    info = {
        "mean": mean[0],
        "deviation": deviation[0],
        "by_actor": state.by_actor,
        "noise": jnp.exp(0.5 * state.kernel.log_noise),
    }
    return state, info


def bayesian_actor_critic(
    space: CellSpace,
    config: BayesianActorCriticConfig | None = None,
    project: Callable[[chex.Array], chex.Array] | None = None,
    listed: chex.Array | None = None,
    prior_mean: Callable[[chex.Array], chex.Array] | None = None,
) -> Searcher:
    """Actor-critic with a Gaussian-process critic; no architecture is queried twice.

    A cell of DARTS with other node numbers is the same architecture.

    Only the ranks of the scores are used, so their unit does not matter. A failed
    evaluation is stored with the worst score so far, so that the critic learns where
    failures lie; before the first score it is ignored. The trace's `info`: `mean` and
    `deviation` (the critic's prediction of the query, in normal scores), `by_actor`
    (whether the actor proposed it) and `noise` (standard deviation of the evaluations'
    noise in the critic's model).

    Args:
      space: any cell space.
      config: see `BayesianActorCriticConfig`; traced fields may be tracers.
      project: maps architectures [n, *arch_shape] to those that are queried instead,
        such as `environments.tabular.nearest`; None if all can be queried.
      listed: uint8 [A, *arch_shape], with `project`: all that can be queried. Random
        proposals are then drawn from these.
      prior_mean: what is expected of architectures [n, *arch_shape] before any query,
        [n], in normal scores of the queries, such as the normal score of a
        zero-cost score among all architectures; the Gaussian process models the rest.
        With it, `warm_up=0` is best. None: nothing is known.

    Raises:
      ValueError: a config value out of range; `project` without `listed` or `listed`
        without `project`.

    Source: Silver et al. 2014 (deterministic policy gradient) for the actor; Srinivas
    et al. 2010 (upper confidence bound), Rasmussen and Williams 2006 for the critic.
    """
    config = BayesianActorCriticConfig() if config is None else config
    config = in_float32(config.validate())
    check_listed(project, listed)
    prior, policy, critic_adam, actor_adam = components(space, config)
    actor_proposals, others = config.actor_proposals, config.random_proposals
    if listed is not None:
        actor_proposals = min(config.listed_proposals[0], actor_proposals)
        others = config.listed_proposals[1]
        listed = listed.reshape(-1, *space.arch_shape)
    agent = Agent(
        space,
        config,
        prior,
        policy,
        critic_adam,
        actor_adam,
        actor_proposals,
        others,
        project,
        listed,
        prior_mean=prior_mean,
    )
    return assembled(agent, _init, _ask, _tell)
