"""A Bayesian actor-critic: as few queries as possible.

The critic is a Gaussian process on continuous architecture parameters, the actor a
network that maps good architectures to the parameters of better ones by climbing the
critic's upper confidence bound. Its actions plus noise are discretised into many
proposals; the critic chooses among those that were not asked before, in turn by
expected improvement and by upper confidence bound, every other time a wide one.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import optax

from nasjax.agent import Policy, adam
from nasjax.agent import gaussian_process as gp
from nasjax.agent.imagined import imagine
from nasjax.search import Asynchronous, Searcher, in_float32
from nasjax.search.outcomes import or_worst
from nasjax.search.protocol import fields
from nasjax.searchers.bayesian_config import BayesianActorCriticConfig
from nasjax.spaces import CellSpace


class BayesianActorCriticState(NamedTuple):
    """What is carried; n = min(capacity, steps)."""

    asked: chex.Array  # uint8 [steps, *arch_shape], O + 1 where not yet asked
    arch: chex.Array  # uint8 [n, *arch_shape], what the critic remembers
    accuracy: chex.Array  # float32 [n], -inf where empty
    kernel: gp.Kernel
    posterior: gp.Posterior
    actor: Any
    critic_opt: Any
    actor_opt: Any
    by_actor: chex.Array  # bool [], the actor proposed the pending architecture


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
    policy = Policy(config.hidden, (E, O))
    critic_adam = adam(config.critic_lr, 0.9, 0.99)
    actor_adam = adam(config.actor_lr, 0.9, 0.99)

    def rows(arch):  # [n, *arch_shape] -> one-hot [n, E, O], cells one after another
        return space.one_hot(arch).reshape(-1, E, O)

    def discretize(alpha):
        return space.discretize(alpha.reshape(-1, *space.alpha_shape))

    def predict(state, alpha):
        return gp.predict(state.posterior, state.kernel, prior, alpha)

    def merit(state, step, alpha):
        """What the critic thinks of asking `alpha` [n, E, O]: merit, deviation [n]."""
        mean, deviation = predict(state, alpha)
        beta = jnp.where(step % 4 == 3, config.far_beta, config.beta)
        bound = mean + beta * deviation
        score = gp.normal_scores(state.accuracy, state.accuracy > -jnp.inf)
        gain = gp.log_expected_improvement(mean, deviation, jnp.max(score))
        improve = {"both": step % 2 == 0, "bound": False, "improvement": True}
        return jnp.where(improve[config.acquisition], gain, bound), deviation

    def elite(state):
        """The best min(K, n) architectures, one-hot; the best again where empty."""
        score, index = jax.lax.top_k(
            state.accuracy, min(config.top_k, state.accuracy.shape[0])
        )
        index = jnp.where(score > -jnp.inf, index, index[0])
        return rows(state.arch[index])

    def init(key, steps):
        n = min(config.capacity, steps)
        kernel = gp.init(E, O, prior)
        actor = policy.init(key, jnp.zeros((E, O)))
        arch = jnp.zeros((n, *space.arch_shape), jnp.uint8)
        none = jnp.zeros(n, jnp.float32)
        return BayesianActorCriticState(
            asked=jnp.full((steps, *space.arch_shape), O + 1, jnp.uint8),
            arch=arch,
            accuracy=jnp.full(n, -jnp.inf, jnp.float32),
            kernel=kernel,
            posterior=gp.condition(kernel, prior, rows(arch), none, none),
            actor=actor,
            critic_opt=critic_adam.init(kernel),
            actor_opt=actor_adam.init(actor),
            by_actor=jnp.bool_(False),
        )

    def known(state, arch):
        """bool [n]: all E entries agree with something asked; a product, so fast."""
        a, b = (
            jax.nn.one_hot(x, O + 1, dtype=jnp.float32).reshape(len(x), -1)
            for x in (arch, state.asked)
        )
        both = jnp.matmul(a, b.T, precision=jax.lax.Precision.HIGHEST)
        return jnp.any(both > E - 0.5, axis=1)

    def propose(key, state):
        """Architectures [n, *arch_shape]: first those of the actor."""
        key_noise, key_others = jax.random.split(key)
        found = []
        if acted:
            best = elite(state)
            logits: Any = policy.apply(state.actor, best)
            action = jax.nn.softmax(logits)
            action = action[jnp.arange(acted) % best.shape[0]]
            noise = jax.random.gumbel(key_noise, action.shape, jnp.float32)
            scale = jnp.linspace(0.0, 1.0, acted, dtype=jnp.float32)
            arch = discretize(action + config.xi * scale[:, None, None] * noise)
            found.append(arch if project is None else project(arch))
        if listed is None:
            uniform = jax.random.uniform(key_others, (others, E, O), jnp.float32)
            found.append(discretize(uniform))
        elif others < len(listed):
            at = jax.random.randint(key_others, (others,), 0, len(listed), jnp.int32)
            found.append(listed[at])
        else:
            found.append(listed)
        return jnp.concatenate(found)

    def drawn(key, count):
        """What `unasked` starts from; drawn outside of a condition, as keys are."""
        if listed is not None:
            return jax.random.randint(key, (), 0, len(listed), jnp.int32)
        if space.inputs_per_node is not None:
            return jax.random.uniform(key, (count, E, O), jnp.float32)
        return space.random(key).reshape(E)

    def unasked(start, state):
        """Some architecture that was not asked, if there is one.

        The first one after a random place in the list, or, where every edge holds an
        operation, in lexicographic order: among steps + 1 in a row one is new.
        """
        carry = jnp.arange(state.asked.shape[0] + 1)
        if listed is not None:
            arch = listed[(start + carry) % len(listed)]
        elif space.inputs_per_node is not None:
            arch = discretize(start)
        else:
            digits = []
            for e in reversed(range(E)):
                carry = carry + start[e]
                digits.append(carry % O)
                carry = carry // O
            arch = jnp.stack(digits[::-1], 1).astype(jnp.uint8)
            arch = arch.reshape(-1, *space.arch_shape)
        return arch[jnp.argmin(known(state, arch))]

    def ask(key, state, step, pending=None):
        key_propose, key_unasked = jax.random.split(key)
        arch = propose(key_propose, state)
        believed, warm = state, step < config.warm_up
        if pending is not None:
            imagined = imagine(
                state.posterior, state.kernel, prior, rows(pending.arch), pending.held
            )
            believed = state._replace(posterior=imagined)
            warm |= step == jnp.sum(pending.held)
        score, deviation = merit(believed, step, rows(arch))
        # At first the least known of the random ones: they fill the space.
        random = jnp.arange(len(arch)) >= acted
        first = jnp.where(random, deviation, -jnp.inf)
        score = jnp.where(warm, first, score)
        score = jnp.where(known(state, arch), -jnp.inf, score)
        at = jnp.argmax(score)
        new = score[at] > -jnp.inf
        start = drawn(key_unasked, state.asked.shape[0] + 1)
        chosen = jax.lax.cond(new, lambda: arch[at], lambda: unasked(start, state))
        asked = state.asked.at[step].set(chosen)
        state = state._replace(asked=asked, by_actor=new & (at < acted))
        return state, chosen

    def tell(key, state, step, arch, outcome):
        mean, deviation = predict(state, rows(arch[None]))
        n = state.accuracy.shape[0]
        # The slot that is lost: an empty one, or the worst.
        slot = jnp.argmin(state.accuracy)
        held = state.accuracy > -jnp.inf
        worst = jnp.min(jnp.where(held, state.accuracy, jnp.inf))
        observed = or_worst(outcome.accuracy, jnp.where(held[0], worst, -jnp.inf))
        keep = observed > state.accuracy[slot]
        accuracy = state.accuracy.at[slot].set(
            jnp.where(keep, observed, state.accuracy[slot])
        )
        archs = state.arch.at[slot].set(jnp.where(keep, arch, state.arch[slot]))
        held = accuracy > -jnp.inf
        score = gp.normal_scores(accuracy, held)
        alpha = rows(archs)

        def learn_kernel(i, carry):
            kernel, opt = carry
            order = jax.random.uniform(jax.random.fold_in(key, i), (n,), jnp.float32)
            order = order + held
            index = jax.lax.top_k(order, min(config.batch_size, n))[1]
            batch = alpha[index], score[index], held[index]
            return gp.update(critic_adam, kernel, opt, prior, *batch)

        cycles = jnp.where(step + 1 >= config.warm_up, config.cycles, 0)
        kernel, critic_opt = jax.lax.fori_loop(
            0, cycles, learn_kernel, (state.kernel, state.critic_opt)
        )
        state = state._replace(
            arch=archs,
            accuracy=accuracy,
            kernel=kernel,
            posterior=gp.condition(kernel, prior, alpha, score, held),
            critic_opt=critic_opt,
        )
        if acted:
            best = elite(state)

            def of_actor(params):
                logits: Any = policy.apply(params, best)
                action = jax.nn.softmax(logits)
                mean, deviation = predict(state, action)
                return -jnp.mean(mean + config.beta * deviation)

            def learn_actor(_, carry):
                params, opt = carry
                updates, opt = actor_adam.update(jax.grad(of_actor)(params), opt)
                return optax.apply_updates(params, updates), opt

            actor, actor_opt = jax.lax.fori_loop(
                0, cycles, learn_actor, (state.actor, state.actor_opt)
            )
            state = state._replace(actor=actor, actor_opt=actor_opt)
        info = {
            "mean": mean[0],
            "deviation": deviation[0],
            "by_actor": state.by_actor,
            "noise": jnp.exp(0.5 * kernel.log_noise),
        }
        return state, info

    def budget(state):
        return state.asked.shape[0]

    def adopt(state, step, arch):
        asked = state.asked.at[step].set(arch)
        return state._replace(asked=asked, by_actor=jnp.bool_(False))

    beside = Asynchronous(ask, adopt=adopt, **fields("by_actor"))
    # Below the capacity the budget is a size of the critic's matrices, whose products
    # then round differently.
    return Searcher(init, ask, tell, None, budget, config.capacity, beside, space)
