"""Searchers: one file each, a config and a factory."""

from nasjax.searchers.cadam import CadamConfig, cadam
from nasjax.searchers.evolution import EvolutionConfig, evolution
from nasjax.searchers.local_search import LocalSearchConfig, local_search
from nasjax.searchers.random_search import random_search
from nasjax.searchers.reinforce import ReinforceConfig, reinforce

__all__ = [
    "CadamConfig",
    "EvolutionConfig",
    "LocalSearchConfig",
    "ReinforceConfig",
    "cadam",
    "evolution",
    "local_search",
    "random_search",
    "reinforce",
]
