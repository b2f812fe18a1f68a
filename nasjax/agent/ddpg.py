"""DDPG and TD3: a deterministic actor, critics of states and actions, and targets."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import optax

from nasjax.agent.actor_critic import squared_loss
from nasjax.agent.draws import flat
from nasjax.agent.networks import Actor, StateCritic
from nasjax.agent.optimizers import descend


class Transition(NamedTuple):
    """Experience: observations, actions, rewards and the next observations."""

    observation: chex.Array  # float32 [B, S]
    action: chex.Array  # float32 [B, D]
    reward: chex.Array  # float32 [B]
    next_observation: chex.Array  # float32 [B, S]


class DdpgState(NamedTuple):
    """Parameters of the networks and of their targets, and optimizer states."""

    actor: Any
    critics: Any  # stacked: the leading axis is the critics
    target_actor: Any
    target_critics: Any
    actor_opt: Any
    critic_opt: Any


class Ddpg(NamedTuple):
    """An agent as pure functions.

    Attributes:
      init: `(key) -> DdpgState`; targets start as copies of the networks.
      act: `(state, observation [..., S]) -> action [..., D]` in (0, 1).
      value: `(state, observation [..., S], action [..., D]) -> Q [...]`, of the first
        critic, the one that trains the actor.
      update: `(key, state, batch, update_actor) -> (state, critic loss [])`: one
        critic step; then, if `update_actor` (bool []), one actor step on the same
        observations with the new critic, and one step of the targets.
    """

    init: Callable[[chex.PRNGKey], DdpgState]
    act: Callable[[DdpgState, chex.Array], chex.Array]
    value: Callable[[DdpgState, chex.Array, chex.Array], chex.Array]
    update: Callable[..., tuple[DdpgState, chex.Array]]


def targets(
    batch: Transition, next_value: chex.Array, gamma: chex.Numeric
) -> chex.Array:
    """y = r + gamma Q'(s', mu'(s')) per example, float32 [B]; episodes never end.

    Args:
      batch: transitions.
      next_value: Q' [critics, B], of which the minimum over critics is used.
      gamma: discount in [0, 1).

    Source: thesis Eq. 3.4; Fujimoto et al. 2018 for several critics.
    """
    return batch.reward + gamma * jnp.min(next_value, axis=0)


def mix(target: Any, online: Any, rate: chex.Numeric) -> Any:
    """(1 - rate) target + rate online, for every parameter (Lillicrap et al. 2016)."""
    return jax.tree.map(lambda t, o: (1 - rate) * t + rate * o, target, online)


def ddpg(
    observation_size: int,
    action_size: int,
    hidden: Sequence[int],
    actor_opt: optax.GradientTransformation,
    critic_opt: optax.GradientTransformation,
    *,
    gamma: chex.Numeric = 0.99,
    mixing: chex.Numeric = 1e-3,
    critics: int = 1,
    smoothing: chex.Numeric = 0.0,
    smoothing_clip: chex.Numeric = 0.0,
    action_layer: int = 1,
) -> Ddpg:
    """Builds a DDPG agent.

    Critics minimise mean (y - Q_i(s, a))^2 / 2 with y from `targets`, the actor
    -mean Q_1(s, mu(s)). With `critics=2` and smoothing this is TD3: the target's
    action is mu'(s') + clip(N(0, smoothing^2), -smoothing_clip, smoothing_clip).

    Args:
      observation_size: S.
      action_size: D.
      hidden: widths of the hidden layers of all networks.
      actor_opt, critic_opt: optimizers; their learning rates may be traced.
      gamma: discount.
      mixing: weight of the online networks in each step of the targets.
      critics: number of critics, static.
      smoothing, smoothing_clip: noise on the target's action; used if `critics > 1`.
      action_layer: hidden layers of a critic before the action enters; static.

    Raises:
      ValueError: `action_layer` is not in 0 .. len(hidden) - 1, or `critics` is below
        1.

    Source: Lillicrap et al. 2016; thesis 3.1.1, 3.1.3 (Eq. 3.5 is printed as a loss of
    +Q; it is ascended); Fujimoto et al. 2018 (TD3).
    """
    if not 0 <= action_layer < len(hidden):
        raise ValueError(
            f"action_layer is {action_layer}; allowed: 0..{len(hidden) - 1}"
        )
    if critics < 1:
        raise ValueError(f"critics must be at least 1, got {critics}")
    actor = Actor(tuple(hidden), action_size)
    critic = StateCritic(tuple(hidden), action_layer)
    values = jax.vmap(critic.apply, (0, None, None))  # [critics, B]

    def init(key):
        key_actor, key_critic = jax.random.split(key)
        observation, action = jnp.zeros(observation_size), jnp.zeros(action_size)
        actor_params = actor.init(key_actor, observation)
        keys = jax.random.split(key_critic, critics)
        critic_params = jax.vmap(critic.init, (0, None, None))(
            keys, observation, action
        )
        return DdpgState(
            actor_params,
            critic_params,
            actor_params,
            critic_params,
            actor_opt.init(actor_params),
            critic_opt.init(critic_params),
        )

    def act(state, observation):
        return actor.apply(state.actor, observation)

    def first(params, observation, action):
        return critic.apply(jax.tree.map(lambda x: x[0], params), observation, action)

    def value(state, observation, action):
        return first(state.critics, observation, action)

    def update(key, state, batch, update_actor=True):
        next_action: Any = actor.apply(state.target_actor, batch.next_observation)
        if critics > 1:
            noise = smoothing * flat(
                jax.random.normal, key, next_action.shape, next_action.dtype
            )
            noise = jnp.clip(noise, -smoothing_clip, smoothing_clip)
            next_action = jnp.clip(next_action + noise, 0.0, 1.0)
        next_value = values(state.target_critics, batch.next_observation, next_action)
        target = targets(batch, next_value, gamma)

        def of_critics(params):
            error = target - values(params, batch.observation, batch.action)
            return jnp.sum(jnp.mean(squared_loss(error), axis=-1))

        critic_params, critic_opt_state, loss = descend(
            critic_opt, of_critics, state.critics, state.critic_opt
        )

        def of_actor(params):
            action = actor.apply(params, batch.observation)
            return -jnp.mean(first(critic_params, batch.observation, action))

        actor_params, actor_opt_state, _ = descend(
            actor_opt, of_actor, state.actor, state.actor_opt
        )
        moved = DdpgState(
            actor_params,
            critic_params,
            mix(state.target_actor, actor_params, mixing),
            mix(state.target_critics, critic_params, mixing),
            actor_opt_state,
            critic_opt_state,
        )
        still = state._replace(critics=critic_params, critic_opt=critic_opt_state)
        chosen = jax.tree.map(
            lambda new, old: jnp.where(update_actor, new, old), moved, still
        )
        return chosen, loss / critics

    return Ddpg(init, act, value, update)
