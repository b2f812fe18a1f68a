"""What both forms of CADAM do alike: agent, exploration, training cycles."""

from collections.abc import Callable
from typing import Any

import chex
import jax
import jax.numpy as jnp

from nasjax.agent import (
    ActorCritic,
    actor_critic,
    adam,
    check_loss,
    exploration,
    squared_loss,
)
from nasjax.agent import replay as replays
from nasjax.searchers.cadam_config import CadamConfig


def agent_of(config: CadamConfig, size: int, **options: Any) -> ActorCritic:
    """Actor and critic of a config, for actions and states [size]."""
    moments = config.beta1, config.beta2, config.adam_epsilon

    def critic_loss(error):
        squared = config.critic_loss == "squared"
        return squared_loss(error) if squared else check_loss(error, config.tau)

    return actor_critic(
        size,
        size,
        config.hidden,
        adam(config.actor_lr, *moments),
        adam(config.critic_lr, *moments),
        critic_loss,
        config.critics,
        last=config.last_layer,
        **options,
    )


def explores(key: chex.PRNGKey, config: CadamConfig, step: chex.Numeric) -> chex.Array:
    """Whether the action of a step is random, bool []."""
    if config.exploration == "warm-up":
        probability = exploration.warm_up(step, config.warm_up)
    else:
        schedule = config.epsilon_start, config.epsilon_stop, config.epsilon_steps
        probability = exploration.cosine_epsilon(step, *schedule)
    return jax.random.uniform(key, dtype=jnp.float32) < probability


def trained(
    key: chex.PRNGKey,
    agent: ActorCritic,
    config: CadamConfig,
    learner: Any,
    replay: replays.ReplayState,
    step: chex.Numeric,
    cycles: chex.Numeric,
    reward_of: Callable[[chex.Array], chex.Array] = lambda stored: stored,
) -> tuple[Any, chex.Array]:
    """The agent's state after a step's training cycles, and their mean critic loss.

    Args:
      key: of the batches.
      learner: the agent's state.
      replay: of `Batch` items.
      cycles: C, int32 [].
      reward_of: maps stored rewards [|B|] to those that the critic is to predict.
    """
    # All batches of the step at once: each random draw has a high fixed cost.
    shape = (max(config.max_cycles, 1), config.batch_size)
    draw = replays.indices if config.replacement else replays.distinct_indices
    index = draw(key, replay, shape)

    def cycle(i, carry):
        learner, total = carry
        update_actor = None
        if config.actor_delay > 1:
            update_actor = (step * config.max_cycles + i) % config.actor_delay == 0
        batch = replays.take(replay, index[i])
        batch = batch._replace(reward=reward_of(batch.reward))
        learner, loss = agent.update(learner, batch, update_actor)
        return learner, total + loss

    learner, total = jax.lax.fori_loop(0, cycles, cycle, (learner, jnp.float32(0.0)))
    return learner, total / jnp.maximum(cycles, 1)
