"""A Bayesian actor-critic: as few queries as possible.

The critic is a Gaussian process on continuous architecture parameters, the actor a
network that maps good architectures to the parameters of better ones by climbing the
critic's upper confidence bound. Its actions plus noise are discretised into many
proposals; the critic chooses among those that were not asked before, in turn by
expected improvement and by upper confidence bound, every other time a wide one.
"""

import functools
from collections.abc import Callable

import chex
import jax
import jax.numpy as jnp
import optax

from nasjax.agent import Policy, adam, networks
from nasjax.agent import gaussian_process as gp
from nasjax.agent.imagined import imagine
from nasjax.search import Asynchronous, Searcher, in_float32
from nasjax.search.outcomes import or_worst
from nasjax.search.protocol import fields
from nasjax.searchers.bayesian_config import BayesianActorCriticConfig
from nasjax.searchers.bayesian_proposals import (
    Agent,
    BayesianActorCriticState,
    elite,
    fallback,
    fallback_start,
    known,
    propose,
)
from nasjax.spaces import CellSpace


def _merit(agent, state, step, alpha):
    """The acquisition value and the deviation of `alpha` [n, E, O], two of [n]."""
    mean, deviation = agent.predict(state, alpha)
    beta = jnp.where(step % 4 == 3, agent.config.far_beta, agent.config.beta)
    bound = mean + beta * deviation
    score = gp.normal_scores(state.accuracy, state.accuracy > -jnp.inf)
    gain = gp.log_expected_improvement(mean, deviation, jnp.max(score))
    improve = {"both": step % 2 == 0, "bound": False, "improvement": True}
    return jnp.where(improve[agent.config.acquisition], gain, bound), deviation


def _init(agent, key, steps):
    E, O = agent.shape
    n = min(agent.config.capacity, steps)
    kernel = gp.init(E, O, agent.prior)
    actor = agent.policy.init(key, jnp.zeros((E, O)))
    arch = jnp.zeros((n, *agent.space.arch_shape), jnp.uint8)
    none = jnp.zeros(n, jnp.float32)
    return BayesianActorCriticState(
        queried=jnp.full((steps, *agent.space.arch_shape), O + 1, jnp.uint8),
        arch=arch,
        accuracy=jnp.full(n, -jnp.inf, jnp.float32),
        kernel=kernel,
        posterior=gp.condition(kernel, agent.prior, agent.rows(arch), none, none),
        actor=actor,
        critic_opt=agent.critic_adam.init(kernel),
        actor_opt=agent.actor_adam.init(actor),
        by_actor=jnp.bool_(False),
    )


def _ask(agent, key, state, step, pending=None):
    key_propose, key_unasked = jax.random.split(key)
    arch = propose(agent, key_propose, state)
    believed, warm = state, step < agent.config.warm_up
    if pending is not None:
        imagined = imagine(
            state.posterior,
            state.kernel,
            agent.prior,
            agent.rows(pending.arch),
            pending.held,
            _assumed(agent, state),
        )
        believed = state._replace(posterior=imagined)
        warm |= step == jnp.sum(pending.held)
    score, deviation = _merit(agent, believed, step, agent.rows(arch))
    # At first the least known of the random ones: they fill the space.
    random = jnp.arange(len(arch)) >= agent.acted
    first = jnp.where(random, deviation, -jnp.inf)
    score = jnp.where(warm, first, score)
    score = jnp.where(known(agent, state, arch), -jnp.inf, score)
    at = jnp.argmax(score)
    new = score[at] > -jnp.inf
    start = fallback_start(agent, key_unasked, state.queried.shape[0] + 1)
    chosen = jax.lax.cond(new, lambda: arch[at], lambda: fallback(agent, start, state))
    queried = state.queried.at[step].set(chosen)
    state = state._replace(queried=queried, by_actor=new & (at < agent.acted))
    return state, chosen


def _assumed(agent, state):
    """The score that pending queries are assumed to have; None for the mean.

    Source: Ginsbourger et al. 2010, section 4.2: kriging believer and constant liar.
    """
    valid = state.accuracy > -jnp.inf
    score = gp.normal_scores(state.accuracy, valid)
    return {
        "mean": None,
        "lowest": jnp.min(score, where=valid, initial=0.0),
        "average": 0.0,
        "highest": jnp.max(score, where=valid, initial=0.0),
    }[agent.config.pending]


def _remember(state, arch, outcome):
    """The state with the outcome in the slot that is lost: an empty one, or the worst.

    A failed evaluation counts as the worst that is remembered.
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


def _train_critic(agent, key, state, cycles):
    """`cycles` minibatch steps of the kernel; then the posterior of all scores."""
    n = state.accuracy.shape[0]
    valid = state.accuracy > -jnp.inf
    score = gp.normal_scores(state.accuracy, valid)
    alpha = agent.rows(state.arch)

    def cycle(i, carry):
        order = jax.random.uniform(jax.random.fold_in(key, i), (n,), jnp.float32)
        order = order + valid
        index = jax.lax.top_k(order, min(agent.config.batch_size, n))[1]
        kernel, opt = carry
        batch = alpha[index], score[index], valid[index]
        return gp.update(agent.critic_adam, kernel, opt, agent.prior, *batch)

    kernel, critic_opt = jax.lax.fori_loop(
        0, cycles, cycle, (state.kernel, state.critic_opt)
    )
    posterior = gp.condition(kernel, agent.prior, alpha, score, valid)
    return state._replace(kernel=kernel, posterior=posterior, critic_opt=critic_opt)


def _train_actor(agent, state, cycles):
    """`cycles` steps of the actor up the critic's upper confidence bound."""
    best = elite(agent, state)

    def loss(params):
        action = jax.nn.softmax(networks.apply(agent.policy, params, best))
        mean, deviation = agent.predict(state, action)
        return -jnp.mean(mean + agent.config.beta * deviation)

    def cycle(_, carry):
        params, opt = carry
        updates, opt = agent.actor_adam.update(jax.grad(loss)(params), opt)
        return optax.apply_updates(params, updates), opt

    actor, actor_opt = jax.lax.fori_loop(
        0, cycles, cycle, (state.actor, state.actor_opt)
    )
    return state._replace(actor=actor, actor_opt=actor_opt)


def _tell(agent, key, state, step, arch, outcome):
    mean, deviation = agent.predict(state, agent.rows(arch[None]))
    state = _remember(state, arch, outcome)
    cycles = jnp.where(step + 1 >= agent.config.warm_up, agent.config.cycles, 0)
    state = _train_critic(agent, key, state, cycles)
    if agent.acted:
        state = _train_actor(agent, state, cycles)
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
) -> Searcher:
    """Actor-critic with a Gaussian-process critic; asks nothing twice.

    Scores only enter by their rank, so that any unit and sign goes. A failed evaluation
    is remembered as one more of the worst rank, so that the critic learns where
    failures lie; before any score is seen it teaches nothing. Its trace's `info`:
    `mean` and `deviation` (what the critic expected of the query, in normal scores),
    `by_actor` (the actor proposed it) and `noise` (standard deviation that the critic
    ascribes to the oracle).

    Args:
      space: any cell space.
      config: see `BayesianActorCriticConfig`; traced fields may be tracers.
      project: from architectures [n, *arch_shape] to the ones that can be asked in
        their place, such as `environments.tabular.nearest`; None if all can.
      listed: uint8 [A, *arch_shape], with `project`: all that can be asked. Some of
        them, drawn anew for each query, are then proposed instead of random ones.

    Raises:
      ValueError: a config value out of range; `project` without `listed` or `listed`
        without `project`.

    Source: Silver et al. 2014 (deterministic policy gradient) for the actor; Srinivas
    et al. 2010 (upper confidence bound), Rasmussen and Williams 2006 for the critic.
    """
    config = BayesianActorCriticConfig() if config is None else config
    config = in_float32(config.validate())
    E, O = space.action_size // space.num_operations, space.num_operations
    if (project is None) != (listed is None):
        raise ValueError("project and listed go together: give both or none")
    # Two random architectures differ in E (1 - 1 / O) rows.
    correlation = config.correlation ** (1 / (E * (1 - 1 / O)))
    prior = gp.Prior(
        correlation, config.shared, config.own, config.noise, config.additive
    )
    acted, others = config.actor_proposals, config.random_proposals
    if listed is not None:
        acted, others = config.listed_proposals
        acted = min(acted, config.actor_proposals)
        listed = listed.reshape(-1, *space.arch_shape)
    agent = Agent(
        space,
        config,
        prior,
        Policy(config.hidden, (E, O)),
        adam(config.critic_lr, 0.9, 0.99),
        adam(config.actor_lr, 0.9, 0.99),
        acted,
        others,
        project,
        listed,
    )

    def budget(state):
        return state.queried.shape[0]

    def adopt(state, step, arch):
        queried = state.queried.at[step].set(arch)
        return state._replace(queried=queried, by_actor=jnp.bool_(False))

    ask = functools.partial(_ask, agent)
    # Below the capacity the budget is a size of the critic's matrices, whose products
    # then round differently.
    return Searcher(
        functools.partial(_init, agent),
        ask,
        functools.partial(_tell, agent),
        None,
        budget,
        config.capacity,
        Asynchronous(ask, adopt=adopt, **fields("by_actor")),
        space,
    )
