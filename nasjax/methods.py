"""The searchers by the names that experiments and results files use."""

import argparse
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from nasjax import cli, search, searchers
from nasjax.environments.tabular import nearest
from nasjax.searchers import ddas_config
from nasjax.searchers.cadam_config import td3, thesis
from nasjax.spaces import CellSpace

USUAL = (
    "cadam",
    "random",
    "evolution",
    "evolution-64",
    "reinforce",
    "local-search",
)
DDAS = {f"ddas-{name}": make for name, make in ddas_config.VARIANTS.items()}
BEST = "bayesian-actor-critic"
METHODS = (*USUAL, *DDAS, "cadam-td3", BEST)
# The best searcher without one of its parts; as many proposals each time.
_BEST = searchers.BayesianActorCriticConfig()
_PROPOSALS = _BEST.actor_proposals + _BEST.random_proposals
ABLATIONS = {
    "no-actor": _BEST.replace(actor_proposals=0, random_proposals=_PROPOSALS),
    "fixed-actor": _BEST.replace(actor_lr=0.0),
    "fixed-kernel": _BEST.replace(critic_lr=0.0),
    "product-only": _BEST.replace(additive=1e-6),
    "one-bound": _BEST.replace(far_beta=_BEST.beta),
    "bound-only": _BEST.replace(acquisition="bound"),
    "improvement-only": _BEST.replace(acquisition="improvement"),
}
ALL = (*METHODS, *ABLATIONS)
COMPARED = (BEST, *USUAL)
PRESETS = {"thesis": thesis, "td3": td3}

# The prefix of each method's flags, and the defaults they show.
_CONFIGS = {
    "cadam": ("", thesis()),
    "evolution": ("evolution-", searchers.EvolutionConfig()),
    "reinforce": ("reinforce-", searchers.ReinforceConfig()),
    "local-search": ("local-search-", searchers.LocalSearchConfig()),
    BEST: ("best-", _BEST),
}


Presets = Mapping[str, Callable[[], Any]]


def add_flags(
    parser: argparse.ArgumentParser,
    methods: Sequence[str] = METHODS,
    presets: Presets = PRESETS,
    usual: Sequence[str] = USUAL,
) -> None:
    """`--methods`, `--preset` and one flag per field of every method's config.

    Args:
      parser: gets the flags.
      methods: names that are offered.
      presets: CADAM's settings by name, the default one first.
      usual: the default methods, for the help text.
    """
    first = next(iter(presets))
    parser.add_argument(
        "--methods",
        type=cli.names(methods),
        default=None,
        help=f"comma-separated, of {', '.join(methods)} (default: {', '.join(usual)})",
    )
    parser.add_argument(
        "--preset", choices=tuple(presets), default=first, help="CADAM's settings"
    )
    for method, (prefix, default) in _CONFIGS.items():
        if method in methods:
            shown = presets[first]() if method == "cadam" else default
            cli.add_config_flags(parser, shown, prefix, f"settings of {method}")
    if set(DDAS) & set(methods):
        title = "settings of ddas (defaults: those of ddas-nl)"
        cli.add_config_flags(parser, searchers.DdasConfig(), "ddas-", title)


def configs(
    args: argparse.Namespace,
    methods: Sequence[str] = METHODS,
    presets: Presets = PRESETS,
) -> dict[str, Any]:
    """Each method's config from the parsed flags; arguments as for `add_flags`."""
    found = {
        method: cli.config_from_flags(
            args, presets[args.preset]() if method == "cadam" else default, prefix
        )
        for method, (prefix, default) in _CONFIGS.items()
        if method in methods
    }
    found["evolution-64"] = searchers.EvolutionConfig(population=64, sample=16)
    found["cadam-td3"] = td3()
    found |= ABLATIONS
    if set(DDAS) & set(methods):
        found |= {
            name: cli.config_from_flags(args, make(), "ddas-")
            for name, make in DDAS.items()
        }
    return found


def factory(
    method: str, configs: Mapping[str, Any]
) -> Callable[[CellSpace], search.Searcher]:
    """The method as a function of the space.

    Raises:
      ValueError: the method is not one of METHODS.
    """
    factories = {
        "cadam": searchers.cadam,
        "random": searchers.random_search,
        "evolution": searchers.evolution,
        "evolution-64": searchers.evolution,
        "reinforce": searchers.reinforce,
        "local-search": searchers.local_search,
        "cadam-td3": searchers.cadam,
        **dict.fromkeys(DDAS, searchers.ddas),
        **dict.fromkeys((BEST, *ABLATIONS), searchers.bayesian_actor_critic),
    }
    if method not in factories:
        raise ValueError(f"{method!r} is unknown; allowed: {', '.join(ALL)}")
    if method not in configs:
        return factories[method]
    return functools.partial(factories[method], config=configs[method])


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
        if method in (BEST, *ABLATIONS):
            return make(space, project=project, listed=table.ops)
        return search.projected(make(space), project)

    return build
