"""A deterministic actor and a critic of actions, trained from replay."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import optax

from nasjax.agent.networks import LAST, Actor, Critic
from nasjax.agent.optimizers import descend

LossFn = Callable[[chex.Array], chex.Array]


class Batch(NamedTuple):
    """Experience: observations, actions and their rewards."""

    observation: chex.Array  # float32 [B, S]
    action: chex.Array  # float32 [B, D]
    reward: chex.Array  # float32 [B]


class ActorCriticState(NamedTuple):
    """Parameters and Adam moments of both networks."""

    actor: Any
    critic: Any
    actor_opt: Any
    critic_opt: Any


class ActorCritic(NamedTuple):
    """An agent as pure functions.

    Attributes:
      init: `(key) -> ActorCriticState`.
      act: `(state, observation [..., S]) -> action [..., D]` in (0, 1).
      value: `(state, action [..., D], observation [..., S]) -> Q [...]`, the minimum
        over critics; the observation is only read by critics that see it.
      update: `(state, batch, update_actor) -> (state, critic loss [])`: one critic
        step, then one actor step on the same observations with the new critic (see
        `actor_first`); the latter only if `update_actor` (bool [], True by default).
    """

    init: Callable[[chex.PRNGKey], ActorCriticState]
    act: Callable[[ActorCriticState, chex.Array], chex.Array]
    value: Callable[..., chex.Array]
    update: Callable[..., tuple[ActorCriticState, chex.Array]]


def check_loss(error: chex.Array, tau: chex.Numeric) -> chex.Array:
    """u (tau - 1[u < 0]) per example; its minimiser is the tau-quantile.

    Args:
      error: u = target - prediction, any shape.
      tau: quantile level in [0, 1]; at 0.9 a prediction that is too low costs 9 times
        as much as one that is too high by as much.

    Source: thesis Eq. 4.4 (Koenker 2005); also called pinball loss.
    """
    return error * (tau - (error < 0))


def squared_loss(error: chex.Array) -> chex.Array:
    """u^2 / 2 per example; its minimiser is the mean. Source: thesis Eq. 3.4."""
    return 0.5 * jnp.square(error)


def actor_critic(
    observation_size: int,
    action_size: int,
    hidden: Sequence[int],
    actor_opt: optax.GradientTransformation,
    critic_opt: optax.GradientTransformation,
    critic_loss: LossFn,
    critics: int = 1,
    *,
    last: chex.Numeric = LAST,
    output: str = "sigmoid",
    actor_first: bool = False,
    observed: bool = False,
) -> ActorCritic:
    """Builds CADAM's agent: Q(a) without a state, no targets, no discount.

    Critic i minimises mean critic_loss(r - Q_i(a)), the actor -mean min_i Q_i(mu(s));
    Q_i(s, a) and Q_i(s, mu(s)) if the critics see the state.

    Args:
      observation_size: S.
      action_size: D.
      hidden: widths of the hidden layers of both networks.
      actor_opt, critic_opt: optimizers; their learning rates may be traced.
      critic_loss: maps errors [B] to losses [B].
      critics: number of critics; the parameters of several are stacked along a leading
        axis.
      last: scale of the last layer's weights at the start, of both networks.
      output: of the actor, `sigmoid` or `tanh`.
      actor_first: the actor's step precedes the critic's and uses the old critic.
      observed: the critics see the state, before the action.

    Source: thesis Eqs 4.3-4.5 (Eq. 4.5 is printed as a loss of +Q; it is ascended);
    several critics: Fujimoto et al. 2018 (TD3), the thesis's future work.
    """
    actor = Actor(tuple(hidden), action_size, last, output)
    critic = Critic(tuple(hidden), last)

    def of_each(function):  # the parameters of a single critic have no leading axis
        return function if critics == 1 else jax.vmap(function, (0, None))

    def values(params, observation, action):
        if observed:
            action = jnp.concatenate([observation, action], axis=-1)
        return of_each(critic.apply)(params, action)

    def lowest(params, observation, action):
        each = values(params, observation, action)
        return each if critics == 1 else jnp.min(each, axis=0)

    def init(key):
        key_actor, key_critic = jax.random.split(key)
        actor_params = actor.init(key_actor, jnp.zeros(observation_size))
        keys = key_critic if critics == 1 else jax.random.split(key_critic, critics)
        inputs = action_size + (observation_size if observed else 0)
        critic_params = of_each(critic.init)(keys, jnp.zeros(inputs))
        return ActorCriticState(
            actor_params,
            critic_params,
            actor_opt.init(actor_params),
            critic_opt.init(critic_params),
        )

    def act(state, observation):
        return actor.apply(state.actor, observation)

    def value(state, action, observation=None):
        return lowest(state.critic, observation, action)

    def update(state, batch, update_actor=None):
        def of_critic(params):
            error = batch.reward - values(params, batch.observation, batch.action)
            return jnp.sum(jnp.mean(critic_loss(error), axis=-1))

        critic_params, critic_opt_state, loss = descend(
            critic_opt, of_critic, state.critic, state.critic_opt
        )

        judge = state.critic if actor_first else critic_params

        def of_actor(params):
            action = actor.apply(params, batch.observation)
            return -jnp.mean(lowest(judge, batch.observation, action))

        *moved, _ = descend(actor_opt, of_actor, state.actor, state.actor_opt)
        if update_actor is not None:
            moved = jax.tree.map(
                lambda new, old: jnp.where(update_actor, new, old),
                moved,
                [state.actor, state.actor_opt],
            )
        actor_params, actor_opt_state = moved
        new = ActorCriticState(
            actor_params, critic_params, actor_opt_state, critic_opt_state
        )
        return new, loss / critics

    return ActorCritic(init, act, value, update)
