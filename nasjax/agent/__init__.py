"""Parts of a continuous agent; they work on vectors and do not know architectures."""

from nasjax.agent import exploration, gaussian_process, history, replay
from nasjax.agent.actor_critic import (
    ActorCritic,
    ActorCriticState,
    Batch,
    actor_critic,
    check_loss,
    squared_loss,
)
from nasjax.agent.ddpg import Ddpg, DdpgState, Transition, ddpg
from nasjax.agent.networks import Actor, Critic, Policy, StateCritic, orthogonal
from nasjax.agent.optimizers import adam, descend

__all__ = [
    "Actor",
    "ActorCritic",
    "ActorCriticState",
    "Batch",
    "Critic",
    "Ddpg",
    "DdpgState",
    "Policy",
    "StateCritic",
    "Transition",
    "actor_critic",
    "adam",
    "check_loss",
    "ddpg",
    "descend",
    "exploration",
    "gaussian_process",
    "history",
    "orthogonal",
    "replay",
    "squared_loss",
]
