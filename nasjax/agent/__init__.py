"""What a continuous agent is made of; plain vectors, nothing of architectures."""

from nasjax.agent import exploration, history, replay
from nasjax.agent.actor_critic import (
    ActorCritic,
    ActorCriticState,
    Batch,
    actor_critic,
    check_loss,
    squared_loss,
)
from nasjax.agent.networks import Actor, Critic, orthogonal
from nasjax.agent.optimizers import adam

__all__ = [
    "Actor",
    "ActorCritic",
    "ActorCriticState",
    "Batch",
    "Critic",
    "actor_critic",
    "adam",
    "check_loss",
    "exploration",
    "history",
    "orthogonal",
    "replay",
    "squared_loss",
]
