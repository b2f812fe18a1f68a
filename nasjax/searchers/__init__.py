"""Searchers; each module has a config and a factory."""

from nasjax.searchers.bayesian_actor_critic import bayesian_actor_critic
from nasjax.searchers.bayesian_agent import BayesianActorCriticConfig
from nasjax.searchers.bayesian_pareto import bayesian_pareto
from nasjax.searchers.bayesian_task_agent import BayesianTasksConfig
from nasjax.searchers.bayesian_tasks import bayesian_tasks
from nasjax.searchers.bohb import BohbConfig, bohb
from nasjax.searchers.cadam import cadam
from nasjax.searchers.cadam_config import CadamConfig
from nasjax.searchers.ddas import DdasConfig, ddas
from nasjax.searchers.evolution import EvolutionConfig, evolution
from nasjax.searchers.hyperband import HyperbandConfig, hyperband, successive_halving
from nasjax.searchers.local_search import LocalSearchConfig, local_search
from nasjax.searchers.nsga2 import Nsga2Config, nsga2
from nasjax.searchers.pareto_agent import BayesianParetoConfig
from nasjax.searchers.random_search import random_search
from nasjax.searchers.reinforce import ReinforceConfig, reinforce

__all__ = [
    "BayesianActorCriticConfig",
    "BayesianParetoConfig",
    "BayesianTasksConfig",
    "BohbConfig",
    "CadamConfig",
    "DdasConfig",
    "EvolutionConfig",
    "HyperbandConfig",
    "LocalSearchConfig",
    "Nsga2Config",
    "ReinforceConfig",
    "bayesian_actor_critic",
    "bayesian_pareto",
    "bayesian_tasks",
    "bohb",
    "cadam",
    "ddas",
    "evolution",
    "hyperband",
    "local_search",
    "nsga2",
    "random_search",
    "reinforce",
    "successive_halving",
]
