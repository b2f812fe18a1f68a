"""A deterministic actor and a critic of actions, trained from replay."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import optax

from nasjax.agent.networks import Actor, Critic

LossFn = Callable[[chex.Array], chex.Array]


class Batch(NamedTuple):
    """Experience: what was seen, done and earned."""

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
      value: `(state, action [..., D]) -> Q [...]`.
      update: `(state, batch) -> (state, critic loss [])`: one critic step, then one
        actor step on the same observations with the new critic.
    """

    init: Callable[[chex.PRNGKey], ActorCriticState]
    act: Callable[[ActorCriticState, chex.Array], chex.Array]
    value: Callable[[ActorCriticState, chex.Array], chex.Array]
    update: Callable[[ActorCriticState, Batch], tuple[ActorCriticState, chex.Array]]


def check_loss(error: chex.Array, tau: chex.Numeric) -> chex.Array:
    """u (tau - 1[u < 0]) per example; its minimiser is the tau-quantile.

    Args:
      error: u = target - prediction, any shape.
      tau: quantile level in [0, 1]; at 0.9 too low a prediction costs 9 times as much
        as one too high.

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
) -> ActorCritic:
    """Builds CADAM's agent: Q(a) without a state, no targets, no discount.

    The critic minimises mean critic_loss(r - Q(a)), the actor -mean Q(mu(s)).

    Args:
      observation_size: S.
      action_size: D.
      hidden: widths of the hidden layers of both networks.
      actor_opt, critic_opt: optimizers; their learning rates may be traced.
      critic_loss: from errors [B] to losses [B].

    Source: thesis Eqs 4.3-4.5 (Eq. 4.5 is printed as a loss of +Q; it is ascended).
    """
    actor = Actor(tuple(hidden), action_size)
    critic = Critic(tuple(hidden))

    def init(key):
        key_actor, key_critic = jax.random.split(key)
        actor_params = actor.init(key_actor, jnp.zeros(observation_size))
        critic_params = critic.init(key_critic, jnp.zeros(action_size))
        return ActorCriticState(
            actor_params,
            critic_params,
            actor_opt.init(actor_params),
            critic_opt.init(critic_params),
        )

    def act(state, observation):
        return actor.apply(state.actor, observation)

    def value(state, action):
        return critic.apply(state.critic, action)

    def update(state, batch):
        def of_critic(params):
            error = batch.reward - critic.apply(params, batch.action)
            return jnp.mean(critic_loss(error))

        loss, grads = jax.value_and_grad(of_critic)(state.critic)
        updates, critic_opt_state = critic_opt.update(grads, state.critic_opt)
        critic_params = optax.apply_updates(state.critic, updates)

        def of_actor(params):
            action = actor.apply(params, batch.observation)
            return -jnp.mean(critic.apply(critic_params, action))

        grads = jax.grad(of_actor)(state.actor)
        updates, actor_opt_state = actor_opt.update(grads, state.actor_opt)
        actor_params = optax.apply_updates(state.actor, updates)
        new = ActorCriticState(
            actor_params, critic_params, actor_opt_state, critic_opt_state
        )
        return new, loss

    return ActorCritic(init, act, value, update)
