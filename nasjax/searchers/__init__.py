"""Searchers; each module has a config and a factory."""

from nasjax.searchers.bayesian_actor_critic import bayesian_actor_critic
from nasjax.searchers.bayesian_agent import BayesianActorCriticConfig
from nasjax.searchers.cadam import CadamConfig, cadam
from nasjax.searchers.ddas import DdasConfig, ddas
from nasjax.searchers.evolution import EvolutionConfig, evolution
from nasjax.searchers.local_search import LocalSearchConfig, local_search
from nasjax.searchers.random_search import random_search
from nasjax.searchers.reinforce import ReinforceConfig, reinforce

__all__ = [
    "BayesianActorCriticConfig",
    "CadamConfig",
    "DdasConfig",
    "EvolutionConfig",
    "LocalSearchConfig",
    "ReinforceConfig",
    "bayesian_actor_critic",
    "cadam",
    "ddas",
    "evolution",
    "local_search",
    "random_search",
    "reinforce",
]
