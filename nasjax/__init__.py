"""Neural architecture search with continuous deterministic reinforcement learning."""

from nasjax import agent, environments, search, searchers, spaces
from nasjax.environments import tabular
from nasjax.networks import supernet
from nasjax.search import Environment, Outcome, Searcher, Trace
from nasjax.searchers import (
    BayesianActorCriticConfig,
    BayesianParetoConfig,
    CadamConfig,
    DdasConfig,
    EvolutionConfig,
    LocalSearchConfig,
    Nsga2Config,
    ReinforceConfig,
    bayesian_actor_critic,
    bayesian_pareto,
    cadam,
    ddas,
    evolution,
    local_search,
    nsga2,
    random_search,
    reinforce,
)
from nasjax.spaces import (
    CellSpace,
    costs,
    darts,
    genotypes,
    nas_bench_201,
    table_space,
    topology,
)

__version__ = "0.1.0"

__all__ = [
    "BayesianActorCriticConfig",
    "BayesianParetoConfig",
    "CadamConfig",
    "CellSpace",
    "DdasConfig",
    "Environment",
    "EvolutionConfig",
    "LocalSearchConfig",
    "Nsga2Config",
    "Outcome",
    "ReinforceConfig",
    "Searcher",
    "Trace",
    "agent",
    "bayesian_actor_critic",
    "bayesian_pareto",
    "cadam",
    "costs",
    "darts",
    "ddas",
    "environments",
    "evolution",
    "genotypes",
    "local_search",
    "nas_bench_201",
    "nsga2",
    "random_search",
    "reinforce",
    "search",
    "searchers",
    "spaces",
    "supernet",
    "table_space",
    "tabular",
    "topology",
]
