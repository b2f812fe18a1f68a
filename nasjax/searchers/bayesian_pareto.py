"""A Bayesian actor-critic for several objectives and for constraints that are learnt.

Every objective and every constraint has a critic, a Gaussian process on the normal
scores of its values. For each query

1. offspring of the current front, the actor's actions on it with noise, and random
   architectures are proposed;
2. the critics choose the proposal with the largest expected hypervolume improvement
   times the probability that it keeps the constraints;
3. the outcome is stored, the critics are fitted to the ranks of all values, and the
   actor ascends: from each member of the front in the direction of its trade-off.
"""

import functools
from collections.abc import Callable, Sequence

import chex
import jax
import jax.numpy as jnp
from jax.scipy.special import log_ndtr, logsumexp

from nasjax.agent import gaussian_process as gp
from nasjax.agent.draws import flat
from nasjax.search import Searcher, in_float32
from nasjax.search.constraints import drawn
from nasjax.search.objectives import Constraint, Objective, metrics, read
from nasjax.searchers import bayesian_proposals as proposals
from nasjax.searchers.crossover import offspring
from nasjax.searchers.gaussian_critic import assembled, check_listed, components
from nasjax.searchers.pareto_agent import (
    Agent,
    BayesianParetoConfig,
    BayesianParetoState,
    members,
    remember,
    train_actor,
    train_critics,
)
from nasjax.spaces import CellSpace

NODES = 8  # of the integral along a direction; more change no choice
SMALLEST = 1e-3  # entry of a direction


def _init(agent, key, steps):
    E, O = proposals.rows_shape(agent.space)
    n, M = min(agent.config.capacity, steps), len(agent.terms)
    kernel = jax.tree.map(
        lambda x: jnp.broadcast_to(x, (M, *x.shape)), gp.init(E, O, agent.prior)
    )
    actor = agent.policy.init(key, jnp.zeros((E, O)))
    arch = jnp.zeros((n, *agent.space.arch_shape), jnp.uint8)

    def unobserved(kernel):
        return gp.unobserved(kernel, agent.prior, agent.rows(arch))

    return BayesianParetoState(
        queried=jnp.full((steps, *agent.space.arch_shape), O + 1, jnp.uint8),
        arch=arch,
        value=jnp.full((M, n), -jnp.inf, jnp.float32),
        kernel=kernel,
        posterior=jax.vmap(unobserved)(kernel),
        actor=actor,
        critic_opt=jax.vmap(agent.critic_adam.init)(kernel),
        actor_opt=agent.actor_adam.init(actor),
        by_actor=jnp.bool_(False),
    )


def log_improvement(
    key: chex.PRNGKey,
    mean: chex.Array,
    deviation: chex.Array,
    front: chex.Array,
    count: int,
) -> chex.Array:
    """log expected hypervolume improvement over a front, up to a constant; [n].

    In a direction d, a unit vector of positive entries, a point y dominates a ray from
    the origin up to s(y) = min_m y_m / d_m, the weighted Chebyshev scalarisation; the
    hypervolume is proportional to the mean over directions of max_y s(y)^K. So, with s*
    of the front and independent normal f,

        improvement = E_d [ integral_{s*}^inf K t^(K-1) prod_m P(f_m > d_m t) dt ],

    averaged over `count` random directions; the integral by the midpoint rule. Sums of
    logarithms stay finite where no point is likely to improve.

    Args:
      key: of the directions.
      mean, deviation: float32 [n, K], above the reference point, the origin.
      front: float32 [F, K], at least 0; rows of zeros where empty.
      count: number of directions, static.

    Source: Knowles 2006 (scalarisation in random directions), Zhang and Golovin 2020,
    Lemma 5 (the hypervolume as their mean), Emmerich et al. 2006 (the improvement).
    """
    K = mean.shape[1]
    direction = jnp.abs(flat(jax.random.normal, key, (count, K), jnp.float32))
    direction = direction / jnp.linalg.norm(direction, axis=1, keepdims=True)
    direction = jnp.maximum(direction, SMALLEST)
    best = jnp.max(jnp.min(front[:, None] / direction, axis=-1), axis=0)
    mean, deviation = mean[:, None], deviation[:, None]
    # Four deviations above the mean the integrand ends; at least a quarter of one is
    # integrated, so that hopeless points keep an order.
    end = jnp.min((mean + 4 * deviation) / direction, axis=-1)
    least = 0.25 * jnp.min(deviation / direction, axis=-1)
    length = jnp.maximum(end - best, least)[..., None]  # [n, count, 1]
    share = (jnp.arange(NODES, dtype=jnp.float32) + 0.5) / NODES
    t = best[:, None] + length * share  # [n, count, NODES]
    above = [
        log_ndtr(
            (mean[..., m, None] - direction[:, m, None] * t) / deviation[..., m, None]
        )
        for m in range(K)
    ]
    log_value = sum(above) + jnp.log(length) + (K - 1) * jnp.log(t)
    return logsumexp(log_value, axis=(1, 2))


def _propose(agent, key, state, known, feasible=None):
    """Architectures [n, *arch_shape]: of the actor, offspring, random ones."""
    config, space = agent.config, agent.space
    keys = jax.random.split(key, 4)
    actor, children = config.actor_proposals, config.offspring
    others = config.random_proposals
    if agent.listed is not None:  # each is compared with all that is listed
        actor, children, others = actor // 4, children // 4, config.listed_proposals
    index = members(keys[0], known.parents, 2 * children + config.top_k)
    arch = state.arch[index]
    action = agent.act(state.actor, agent.rows(arch[2 * children :]))
    acted = proposals.perturbed(keys[1], space, action, config.xi, actor)
    # From one change per offspring on average to three; every other has two parents.
    E, _ = proposals.rows_shape(space)
    rate = jnp.minimum(jnp.linspace(1.0, 3.0, children, dtype=jnp.float32) / E, 1.0)
    crossed = jnp.arange(children) % 2 == 0
    pairs = arch[:children], arch[children : 2 * children]
    born = offspring(keys[2], space, *pairs, crossed, rate)
    near = jnp.concatenate([acted, born])
    near = near if agent.project is None else agent.project(near)
    draw = functools.partial(
        proposals.drawn, space=space, count=others, listed=agent.listed
    )
    rest = draw(keys[3]) if feasible is None else drawn(keys[3], draw, feasible)
    return jnp.concatenate([near, rest]), (actor, actor + children)


def _value(agent, key, known, mean, deviation):
    """log (improvement x probability of feasibility) [n] of M critics' [M, n].

    Where nothing feasible is known, the probability alone.
    """
    K = len(agent.objectives)
    reference = agent.reference(known)
    front = jnp.where(known.front[:, None], known.score[:K].T - reference, 0.0)
    count = agent.config.directions
    gain = log_improvement(key, mean[:K].T - reference, deviation[:K].T, front, count)
    keeps = log_ndtr((mean[K:] - known.bound[:, None]) / deviation[K:])
    gain = jnp.where(jnp.any(known.front), gain, 0.0)
    return gain + jnp.sum(keeps, axis=0)


def _ask(agent, key, state, step, pending=None):
    key_propose, key_value, key_new = jax.random.split(key, 3)
    known = agent.experience(state)
    feasible = None if pending is None else pending.feasible
    arch, (actor, near) = _propose(agent, key_propose, state, known, feasible)
    critics, warm_up = state, step < agent.config.warm_up
    if pending is not None and len(pending.valid):
        alpha = agent.rows(pending.arch)

        def imagined(posterior, kernel):
            return gp.imagine(posterior, kernel, agent.prior, alpha, pending.valid)

        posterior = jax.vmap(imagined)(state.posterior, state.kernel)
        critics = state._replace(posterior=posterior)
        warm_up |= step == jnp.sum(pending.valid)  # there is no outcome yet
    mean, deviation = agent.predict(critics, agent.rows(arch))
    value = _value(agent, key_value, known, mean, deviation)
    # Warm-up: the most uncertain random proposal, so that queries fill the space.
    is_random = jnp.arange(len(arch)) >= near
    filling = jnp.where(is_random, jnp.sum(deviation, axis=0), -jnp.inf)
    value = jnp.where(warm_up, filling, value)
    excluded = proposals.is_queried(agent.space, state.queried, arch)
    if feasible is not None:
        excluded |= ~feasible(arch)
    value = jnp.where(excluded, -jnp.inf, value)
    chosen, best, is_new = proposals.best_or_new(
        key_new, agent.space, state.queried, arch, value, agent.listed, feasible
    )
    return state._replace(
        queried=state.queried.at[step].set(chosen),
        by_actor=is_new & (best < actor),
    ), chosen


def _tell(agent, key, state, step, arch, outcome):
    key_critics, key_actor = jax.random.split(key)
    mean, deviation = agent.predict(state, agent.rows(arch[None]))
    state = remember(agent, state, arch, outcome)
    known = agent.experience(state)
    cycles = jnp.where(step + 1 >= agent.config.warm_up, agent.config.cycles, 0)
    state = train_critics(agent, key_critics, state, known, cycles)
    state = train_actor(agent, key_actor, state, known, cycles)
    info = {
        "mean": mean[0, 0],
        "deviation": deviation[0, 0],
        "by_actor": state.by_actor,
        "front": jnp.sum(known.front).astype(jnp.int32),
    }
    return state, info


def bayesian_pareto(
    space: CellSpace,
    config: BayesianParetoConfig | None = None,
    project: Callable[[chex.Array], chex.Array] | None = None,
    listed: chex.Array | None = None,
    *,
    objectives: Sequence[Objective | str] = ("accuracy:max",),
    constraints: Sequence[Constraint | str] = (),
) -> Searcher:
    """Searches for a front, with one Gaussian process per objective and constraint.

    Only the ranks of the values are used, so their units do not matter. No architecture
    is queried twice. Names are `accuracy` and those of the outcomes' metrics. An
    evaluation whose accuracy or metrics are not finite has failed; it is stored with
    the worst values so far. The trace's `info`: `mean` and `deviation` (of the first
    objective's critic at the query, in normal scores), `by_actor` (whether the actor
    proposed it) and `front` (number of feasible queries that no other dominates).

    Args:
      space: any cell space.
      config: see `BayesianParetoConfig`; traced fields may be tracers.
      project, listed: as for `bayesian_actor_critic`.
      objectives: such as ("accuracy:max", "latency:min"), one or more.
      constraints: such as ("latency<=5.0",); a `Constraint`'s bound may be a tracer.

    Raises:
      ValueError: an objective or constraint that cannot be read; a config value out of
        range; `project` without `listed` or `listed` without `project`.

    Source: see `log_improvement`; Gardner et al. 2014 for the constraints.
    """
    config = BayesianParetoConfig() if config is None else config
    config = in_float32(config.validate())
    goals, bounds = read(objectives, constraints)
    check_listed(project, listed)
    prior, policy, critic_adam, actor_adam = components(space, config)
    agent = Agent(
        space,
        config,
        prior,
        goals,
        bounds,
        policy,
        critic_adam,
        actor_adam,
        project,
        None if listed is None else listed.reshape(-1, *space.arch_shape),
    )
    return assembled(agent, _init, _ask, _tell, metrics=metrics(agent.terms))
