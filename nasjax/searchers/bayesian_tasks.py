"""A Bayesian actor-critic for several tasks: fidelities, or data sets.

The critic is one Gaussian process over all tasks, see `agent.coregionalisation`, so
that an outcome on one of them informs the others. Tasks are the levels of an
environment, see `search.fidelity`. Each query is chosen for a target task:

- schedule `fidelities`: the last level counts. The first queries search the lowest
  level; then the architecture that is best for the last level is evaluated at the
  lowest level at which it was not evaluated yet. So a cheap outcome decides whether the
  costly one is wanted.
- `together`: every level is a data set of its own; they are searched in turn.
- `transfer`: the first data set alone, then the others in turn.

Proposals, acquisition and actor are those of `bayesian_actor_critic`.
"""

from collections.abc import Callable, Sequence

import chex
import jax
import jax.numpy as jnp

from nasjax.agent import coregionalisation as cr
from nasjax.agent import gaussian_process as gp
from nasjax.search import Searcher, in_float32
from nasjax.search.asynchronous import is_pending
from nasjax.search.fidelity import check_costs
from nasjax.searchers import bayesian_proposals as proposals
from nasjax.searchers.bayesian_task_agent import (
    BayesianTasksConfig,
    BayesianTasksState,
    TaskAgent,
    remember,
)
from nasjax.searchers.gaussian_critic import assembled, check_listed, components
from nasjax.spaces import CellSpace


def _init(agent, key, steps):
    E, O = proposals.rows_shape(agent.space)
    n = min(agent.config.capacity, steps)
    kernel = cr.init(E, O, agent.count, agent.tasks)
    actor = agent.policy.init(key, jnp.zeros((E, O)))
    arch = jnp.zeros((n, *agent.space.arch_shape), jnp.uint8)
    none, task = jnp.zeros(n, jnp.float32), jnp.zeros(n, jnp.int32)
    return BayesianTasksState(
        queried=jnp.full((steps, *agent.space.arch_shape), O + 1, jnp.uint8),
        queried_task=jnp.zeros(steps, jnp.int32),
        arch=arch,
        arch_task=task,
        accuracy=jnp.full(n, -jnp.inf, jnp.float32),
        score=none,
        kernel=kernel,
        posterior=cr.unobserved(kernel, agent.tasks, agent.rows(arch), task),
        actor=actor,
        critic_opt=agent.critic_adam.init(kernel),
        actor_opt=agent.actor_adam.init(actor),
        target=jnp.int32(0),
        task=jnp.int32(0),
        by_actor=jnp.bool_(False),
    )


def turn(
    schedule: str, tasks: int, first: int, step: chex.Numeric
) -> tuple[chex.Array, chex.Array]:
    """The target task of a step and the number of its turn, int32 [] each.

    The acquisition alternates over the turns of a task.
    """
    step = jnp.asarray(step, jnp.int32)
    if schedule == "together":
        return step % tasks, step // tasks
    last = jnp.int32(tasks - 1)
    begins, after = step < first, jnp.maximum(step - first, 0)
    if schedule == "fidelities":
        return jnp.where(begins, 0, last), step
    others = max(tasks - 1, 1)
    target = jnp.where(begins, 0, last - others + 1 + after % others)
    return target, jnp.where(begins, step, after // others)


def _acquisition(agent, state, number, warm_up, alpha):
    """Values [n] for the target task of proposals `alpha` [n, E, O]."""
    config = agent.config
    mean, deviation = agent.predict(state, alpha)
    bound = mean + jnp.where(number % 4 == 3, config.far_beta, config.beta) * deviation
    valid = state.accuracy > -jnp.inf
    own = valid & (state.arch_task == state.target)
    # Before the target's first outcome: the best of the other tasks.
    known = jnp.where(jnp.any(own), own, valid)
    best = jnp.max(state.score, where=known, initial=-jnp.inf)
    best = jnp.where(jnp.any(known), best, 0.0)
    gain = gp.log_expected_improvement(mean, deviation, best)
    value = jnp.where(number % 2 == 0, gain, bound)
    # Warm-up: the most uncertain random proposal, so that queries fill the space.
    is_random = jnp.arange(len(alpha)) >= agent.actor_proposals
    return jnp.where(warm_up, jnp.where(is_random, deviation, -jnp.inf), value)


def _queried(agent, state, task):
    """`state.queried` without the queries of other tasks."""
    other = (state.queried_task != task).reshape(-1, *(1,) * (state.queried.ndim - 1))
    return jnp.where(other, agent.space.num_operations + 1, state.queried)


def _next_level(agent, state, arch):
    """The level after the highest at which `arch` was queried; 0 if at none."""
    at = [
        proposals.is_queried(agent.space, _queried(agent, state, t), arch[None])[0]
        for t in range(agent.count)
    ]
    above = 1 + jnp.arange(agent.count, dtype=jnp.int32)
    level = jnp.max(above, where=jnp.stack(at), initial=0)
    return jnp.minimum(level, jnp.int32(agent.count - 1))


def _task(agent, state, step, arch):
    """The task that `arch` is evaluated on for the state's target."""
    if agent.config.schedule != "fidelities":
        return state.target
    level = _next_level(agent, state, arch)
    return jnp.where(step < agent.config.first, 0, level)


def _ask(agent, key, state, step, pending=None):
    config = agent.config
    key_propose, key_new = jax.random.split(key)
    target, number = turn(config.schedule, agent.count, config.first, step)
    state = state._replace(target=target)
    feasible = None if pending is None else pending.feasible
    arch = agent.propose(key_propose, state, feasible)
    warm_up = step < config.warm_up
    value = _acquisition(agent, state, number, warm_up, agent.rows(arch))
    before = _queried(agent, state, target)
    excluded = proposals.is_queried(agent.space, before, arch)
    if pending is not None:  # at any level, or infeasible
        excluded |= is_pending(pending, arch)
    value = jnp.where(excluded, -jnp.inf, value)
    chosen, best, is_new = proposals.best_or_new(
        key_new, agent.space, before, arch, value, agent.listed, feasible
    )
    state = _note(agent, state, step, chosen)
    return state._replace(by_actor=is_new & (best < agent.actor_proposals)), chosen


def _note(agent, state, step, arch):
    task = _task(agent, state, step, arch)
    return state._replace(
        queried=state.queried.at[step].set(arch),
        queried_task=state.queried_task.at[step].set(task),
        task=task,
        by_actor=jnp.bool_(False),
    )


def _adopt(agent, state, step, arch):
    config = agent.config
    target, _ = turn(config.schedule, agent.count, config.first, step)
    return _note(agent, state._replace(target=target), step, arch)


def _tell(agent, key, state, step, arch, outcome):
    at = state._replace(target=state.task)
    mean, deviation = agent.predict(at, agent.rows(arch[None]))
    state = remember(state, arch, outcome)
    cycles = jnp.where(step + 1 >= agent.config.warm_up, agent.config.cycles, 0)
    state = agent.train_critic(key, state, cycles)
    state = agent.train_actor(state, cycles)
    info = {
        "mean": mean[0],
        "deviation": deviation[0],
        "by_actor": state.by_actor,
        "correlation": cr.correlations(state.kernel, agent.tasks)[0, -1],
    }
    return state, info


def bayesian_tasks(
    space: CellSpace,
    config: BayesianTasksConfig | None = None,
    project: Callable[[chex.Array], chex.Array] | None = None,
    listed: chex.Array | None = None,
    *,
    cost: Sequence[float] = (12, 200),
) -> Searcher:
    """Searches L tasks with one Gaussian process; which task a query serves, see above.

    No architecture is queried twice on a task. Only the ranks of the scores within each
    task are used. A failed evaluation is stored with the worst score of its task so
    far. The trace's `info`: `mean` and `deviation` (the critic's prediction of the
    query on its task), `by_actor` (whether the actor proposed it) and `correlation`
    (of the first and the last task in the critic's model).

    Args:
      space: any cell space.
      config: see `BayesianTasksConfig`; traced fields may be tracers.
      project, listed: as for `bayesian_actor_critic`.
      cost: of the environment's levels, in any unit. Its length is L; its values are
        not used, as an architecture climbs the levels one by one.

    Raises:
      ValueError: a config value out of range; costs as for `fidelity.levels`; `project`
        without `listed` or `listed` without `project`.

    Source: Swersky et al. 2013 (several data sets, transfer), Kandasamy et al. 2017
    (the architecture by the target's acquisition, then its fidelity).
    """
    config = BayesianTasksConfig() if config is None else config
    config = in_float32(config.validate())
    count = len(check_costs(cost))
    check_listed(project, listed)
    prior, policy, critic_adam, actor_adam = components(space, config)
    agent = TaskAgent(
        space,
        config,
        prior,
        policy,
        critic_adam,
        actor_adam,
        config.actor_proposals,
        config.random_proposals if listed is None else config.listed_proposals,
        project,
        None if listed is None else listed.reshape(-1, *space.arch_shape),
        cr.Prior(prior, config.between, config.task),
        count,
    )
    return assembled(
        agent,
        _init,
        _ask,
        _tell,
        _adopt,
        ("task", "by_actor"),
        fidelity=lambda state: state.task,
    )
