"""The searchers by the names that experiments and results files use."""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from nasjax import search, searchers
from nasjax.environments.tabular import nearest
from nasjax.searchers import ddas_config
from nasjax.searchers.cadam_config import td3, thesis
from nasjax.searchers.local_search import naszilla
from nasjax.spaces import CellSpace


def _same(config: Any) -> Any:
    return config


class Method(NamedTuple):
    """A searcher and its settings.

    Attributes:
      factory: `(space, config) -> Searcher`; of the space alone without a config.
      config: its settings where no flag is given; None if it has none.
      fixed: fields that make it what its name says; flags do not change them.
      finish: what follows from the other fields, applied after the flags.
    """

    factory: Callable[..., search.Searcher]
    config: Any = None
    fixed: tuple[str, ...] = ()
    finish: Callable[[Any], Any] = _same


def _evolution_64() -> Method:
    config = searchers.EvolutionConfig(population=64, sample=16)
    return Method(searchers.evolution, config, ("population", "sample"))


def _ddas() -> dict[str, Method]:
    gaussian = ("noise",)
    fixed = {
        "g": gaussian,
        "4s": (*gaussian, "bursts"),
        "td3": (*gaussian, "critics", "actor_delay"),
    }
    return {
        f"ddas-{name}": Method(searchers.ddas, make(), fixed.get(name, ()))
        for name, make in ddas_config.VARIANTS.items()
    }


def _without(fixed: Sequence[str] = (), **changes: Any) -> Method:
    """The best searcher with some fields set for good."""
    config = searchers.BayesianActorCriticConfig().replace(**changes)
    fixed = (*changes, *fixed)
    return Method(searchers.bayesian_actor_critic, config, fixed)


def _no_actor() -> Method:
    """As many proposals, all of them drawn uniformly."""

    def finish(config):
        both = config.actor_proposals + config.random_proposals
        return config.replace(actor_proposals=0, random_proposals=both)

    config = searchers.BayesianActorCriticConfig()
    idle = ("actor_lr", "hidden", "xi")
    return Method(searchers.bayesian_actor_critic, config, idle, finish)


def _one_bound() -> Method:
    return _without(("far_beta",))._replace(
        finish=lambda config: config.replace(far_beta=config.beta)
    )


BEST = "bayesian-actor-critic"
DDAS = _ddas()
# The best searcher without one of its parts.
ABLATIONS = {
    "no-actor": _no_actor(),
    "fixed-actor": _without(actor_lr=0.0),
    "fixed-kernel": _without(critic_lr=0.0),
    "product-only": _without(additive=1e-6),
    "one-bound": _one_bound(),
    "bound-only": _without(acquisition="bound"),
    "improvement-only": _without(("far_beta",), acquisition="improvement"),
}
METHODS: dict[str, Method] = {
    "cadam": Method(searchers.cadam, thesis()),
    "random": Method(searchers.random_search),
    "evolution": Method(searchers.evolution, searchers.EvolutionConfig()),
    "evolution-64": _evolution_64(),
    "reinforce": Method(searchers.reinforce, searchers.ReinforceConfig()),
    "local-search": Method(searchers.local_search, searchers.LocalSearchConfig()),
    "local-search-naszilla": Method(
        searchers.local_search, naszilla(), ("forget", "initial", "fresh")
    ),
    **DDAS,
    "cadam-td3": Method(searchers.cadam, td3(), ("critics", "actor_delay")),
    BEST: Method(
        searchers.bayesian_actor_critic, searchers.BayesianActorCriticConfig()
    ),
    **ABLATIONS,
}
ALL = tuple(METHODS)
SEARCHERS = tuple(name for name in METHODS if name not in ABLATIONS)
USUAL = (
    "cadam",
    "random",
    "evolution",
    "evolution-64",
    "reinforce",
    "local-search",
)
COMPARED = (BEST, *USUAL)
PRESETS = {"thesis": thesis, "td3": td3}  # CADAM's


def factory(
    method: str, configs: Mapping[str, Any]
) -> Callable[[CellSpace], search.Searcher]:
    """The method as a function of the space.

    Args:
      method: a name in METHODS.
      configs: by method; the usual settings where there is none.

    Raises:
      ValueError: the method is not one of METHODS.
    """
    if method not in METHODS:
        raise ValueError(f"{method!r} is unknown; allowed: {', '.join(ALL)}")
    found = METHODS[method]
    if found.config is None:
        return found.factory
    config = configs[method] if method in configs else found.finish(found.config)
    return functools.partial(found.factory, config=config)


def on_table(method: str, configs: Mapping[str, Any]) -> Callable[..., search.Searcher]:
    """The method as a function of the space and of a table that is not complete.

    Raises:
      ValueError: as `factory`.
    """
    make = factory(method, configs)

    def build(space, table=None):
        if table is None:
            return make(space)
        project = functools.partial(nearest, table)
        if METHODS[method].factory is searchers.bayesian_actor_critic:
            return make(space, project=project, listed=table.ops)
        return search.projected(make(space), project)

    return build
