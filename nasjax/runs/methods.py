"""The searchers by the names that experiments and results files use."""

import dataclasses
import functools
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from nasjax import search, searchers
from nasjax.environments.tabular import nearest
from nasjax.searchers.cadam import td3, thesis
from nasjax.searchers.ddas import VARIANTS
from nasjax.searchers.local_search import naszilla


def _same(config: Any) -> Any:
    return config


class Method(NamedTuple):
    """A searcher and its settings.

    Attributes:
      factory: `(space, config) -> Searcher`; of the space alone without a config.
      config: its settings where no flag is given; None if it has none.
      fixed: fields that make it what its name says; flags do not change them.
      finish: what follows from the other fields, applied after the flags.
      prefix: of the flags of its config's class (`--<prefix><field>`); None: its name
        and a hyphen. Only the first method with a config of that class says it.
      projects: the factory takes `project` and `listed` on a table that lacks
        architectures, see `on_table`; the proposals of others are replaced there.
    """

    factory: Callable[..., search.Searcher]
    config: Any = None
    fixed: tuple[str, ...] = ()
    finish: Callable[[Any], Any] = _same
    prefix: str | None = None
    projects: bool = False


BAYESIAN = Method(
    searchers.bayesian_actor_critic,
    searchers.BayesianActorCriticConfig(),
    prefix="best-",
    projects=True,
)


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
        f"ddas-{name}": Method(
            searchers.ddas, make(), fixed.get(name, ()), prefix="ddas-"
        )
        for name, make in VARIANTS.items()
    }


def _without(fixed: Sequence[str] = (), **changes: Any) -> Method:
    """The best searcher with some fields set for good."""
    config = searchers.BayesianActorCriticConfig().replace(**changes)
    fixed = (*changes, *fixed)
    return BAYESIAN._replace(config=config, fixed=fixed)


def _no_actor() -> Method:
    """As many proposals, all of them drawn uniformly."""

    def finish(config):
        both = config.actor_proposals + config.random_proposals
        return config.replace(actor_proposals=0, random_proposals=both)

    config = searchers.BayesianActorCriticConfig()
    idle = ("actor_lr", "hidden", "xi")
    return BAYESIAN._replace(config=config, fixed=idle, finish=finish)


def _same_bounds() -> Method:
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
    "one-bound": _same_bounds(),
    "bound-only": _without(acquisition="bound"),
    "improvement-only": _without(("far_beta",), acquisition="improvement"),
}
METHODS: dict[str, Method] = {
    "cadam": Method(searchers.cadam, thesis(), prefix=""),
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
    BEST: BAYESIAN,
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
PLUGINS: dict[str, Method] = {}  # those of METHODS that `register` added


def register(name: str, method: Method) -> None:
    """Adds a searcher under a name that `--methods` then takes.

    Call it from a file of your own that `--plugin FILE.py` names. The fields of the
    method's config, a dataclass whose fields have a number, bool, text or tuple as
    default, become flags: `--<name>-<field>`.

    Args:
      name: letters, digits and hyphens.
      method: `Method(factory, config)`; see there.

    Raises:
      ValueError: the name is taken or has other characters, or the class of the config
        belongs to another searcher's flags.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9-]*", name):
        raise ValueError(f"{name!r}: names of searchers have letters, digits, hyphens")
    if name in METHODS:
        raise ValueError(f"the name {name!r} is taken; there are {', '.join(METHODS)}")
    if method.config is not None and not dataclasses.is_dataclass(method.config):
        raise ValueError(f"the config of {name!r} must be a dataclass's value")
    for field in dataclasses.fields(method.config) if method.config else ():
        value = getattr(method.config, field.name)
        if not isinstance(value, bool | int | float | str | tuple):
            raise ValueError(
                f"{name!r}: {field.name} is {value!r}, which no flag can express"
            )
    if method.prefix is None:
        method = method._replace(prefix=f"{name}-")
    for other, known in METHODS.items():
        same = method.config is not None and type(known.config) is type(method.config)
        if known.prefix == method.prefix and known.config is not None and not same:
            raise ValueError(f"flags --{method.prefix}... are those of {other}")
    METHODS[name] = PLUGINS[name] = method


def unregister(name: str) -> None:
    """Takes out a method that `register` added."""
    del METHODS[name], PLUGINS[name]


def factory(method: str, configs: Mapping[str, Any]) -> Callable[..., search.Searcher]:
    """The method as a function of the space.

    Args:
      method: a name in METHODS.
      configs: by method; the usual settings where there is none.

    Raises:
      ValueError: the method is not one of METHODS.
    """
    if method not in METHODS:
        raise ValueError(f"{method!r} is unknown; allowed: {', '.join(METHODS)}")
    chosen = METHODS[method]
    if chosen.config is None:
        return chosen.factory
    config = configs[method] if method in configs else chosen.finish(chosen.config)
    return functools.partial(chosen.factory, config=config)


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
        if METHODS[method].projects:
            return make(space, project=project, listed=table.ops)
        return search.projected(make(space), project)

    return build
