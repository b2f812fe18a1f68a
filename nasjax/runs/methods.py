"""The searchers by the names that experiments and results files use."""

import dataclasses
import functools
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from nasjax import search, searchers
from nasjax.environments.tabular import listed, nearest
from nasjax.searchers.cadam_config import td3, thesis
from nasjax.searchers.ddas import VARIANTS
from nasjax.searchers.local_search import naszilla


def _as_it_is(config: Any) -> Any:
    return config


class Method(NamedTuple):
    """A searcher and its config."""

    factory: Callable[..., search.Searcher]  # of (space, config), or the space alone
    config: Any = None  # without flags; None if the searcher has none
    fixed: tuple[str, ...] = ()  # fields that make it what its name says: no flag acts
    finish: Callable[[Any], Any] = _as_it_is  # sets what follows from other fields
    # Of its flags, `--<prefix><field>`. Methods with configs of one class share them;
    # None: those of such a method, or else the name and a hyphen.
    prefix: str | None = None
    # On a table that lacks architectures the factory takes `project` and `listed`, see
    # `on_table`; the proposals of other methods are replaced there.
    projects: bool = False
    # The factory takes `objectives` and `constraints`, the first objective's accuracy
    # alone by default; other methods search the first objective.
    objectives: bool = False
    # The factory takes `cost`, of the environment's levels: it chooses fidelities.
    levels: bool = False


_BEST = searchers.BayesianActorCriticConfig()
BAYESIAN = Method(searchers.bayesian_actor_critic, _BEST, prefix="best-", projects=True)


def _without(
    fixed: Sequence[str] = (),
    finish: Callable[[Any], Any] = _as_it_is,
    **changes: Any,
) -> Method:
    """The Bayesian actor-critic with fields that flags cannot change."""
    return BAYESIAN._replace(
        config=_BEST.replace(**changes), fixed=(*changes, *fixed), finish=finish
    )


def _random_proposals(config: Any) -> Any:
    """The config with as many proposals, all of them drawn uniformly."""
    both = config.actor_proposals + config.random_proposals
    return config.replace(actor_proposals=0, random_proposals=both)


BEST = "bayesian-actor-critic"
TASKS = "bayesian-tasks"
# The Bayesian actor-critic without one of its parts.
ABLATIONS = {
    "no-actor": _without(("actor_lr", "hidden", "xi"), _random_proposals),
    "fixed-actor": _without(actor_lr=0.0),
    "fixed-kernel": _without(critic_lr=0.0),
    "product-only": _without(additive=1e-6),
    "one-bound": _without(
        ("far_beta",), lambda config: config.replace(far_beta=config.beta)
    ),
    "no-climb": _without(climb=0),
    "names-apart": _without(isomorphic=0.0),
    "bound-only": _without(acquisition="bound"),
    "improvement-only": _without(("far_beta",), acquisition="improvement"),
}
PARETO = ("bayesian-pareto", "nsga2", "random")  # compared on several objectives
_DDAS_FIXED = {
    "g": ("noise",),
    "4s": ("noise", "bursts"),
    "td3": ("noise", "critics", "actor_delay"),
}
_CADAM = Method(searchers.cadam, thesis(), prefix="")
_EVOLUTION = Method(
    searchers.evolution, searchers.EvolutionConfig(), prefix="evolution-"
)
_LOCAL = Method(
    searchers.local_search, searchers.LocalSearchConfig(), prefix="local-search-"
)
_HYPERBAND = Method(
    searchers.hyperband, searchers.HyperbandConfig(), prefix="hyperband-", levels=True
)
METHODS: dict[str, Method] = {
    "cadam": _CADAM,
    "random": Method(searchers.random_search),
    "evolution": _EVOLUTION,
    "evolution-64": _EVOLUTION._replace(
        config=searchers.EvolutionConfig(population=64, sample=16),
        fixed=("population", "sample"),
    ),
    "reinforce": Method(
        searchers.reinforce, searchers.ReinforceConfig(), prefix="reinforce-"
    ),
    "local-search": _LOCAL,
    "local-search-naszilla": _LOCAL._replace(
        config=naszilla(), fixed=("forget", "initial", "fresh")
    ),
    **{
        f"ddas-{name}": Method(
            searchers.ddas, make(), _DDAS_FIXED.get(name, ()), prefix="ddas-"
        )
        for name, make in VARIANTS.items()
    },
    "cadam-td3": _CADAM._replace(config=td3(), fixed=("critics", "actor_delay")),
    "cadam-editor": _CADAM._replace(
        config=thesis().replace(mode="editor"), fixed=("mode",)
    ),
    BEST: BAYESIAN,
    PARETO[0]: Method(
        searchers.bayesian_pareto,
        searchers.BayesianParetoConfig(),
        prefix="pareto-",
        projects=True,
        objectives=True,
    ),
    PARETO[1]: Method(
        searchers.nsga2, searchers.Nsga2Config(), prefix="nsga2-", objectives=True
    ),
    **ABLATIONS,
    "hyperband": _HYPERBAND,
    "successive-halving": _HYPERBAND._replace(
        config=searchers.successive_halving(), fixed=("brackets",)
    ),
    "bohb": Method(searchers.bohb, searchers.BohbConfig(), prefix="bohb-", levels=True),
    TASKS: Method(
        searchers.bayesian_tasks,
        searchers.BayesianTasksConfig(),
        prefix="tasks-",
        projects=True,
        levels=True,
    ),
}
FIDELITIES = tuple(name for name in METHODS if METHODS[name].levels)
ALL = tuple(name for name in METHODS if name not in FIDELITIES)
SEARCHERS = tuple(name for name in ALL if name not in ABLATIONS)
USUAL = ("cadam", "random", "evolution", "evolution-64", "reinforce", "local-search")
COMPARED = (BEST, *USUAL)
PRESETS = {"thesis": thesis, "td3": td3}  # CADAM's
PLUGINS: dict[str, Method] = {}  # those that `register` added to METHODS


def register(name: str, method: Method) -> None:
    """Adds a searcher under a name that `--methods` then takes.

    Call it from a file of your own that `--plugin FILE.py` names. The fields of the
    method's config, a dataclass whose fields have a number, bool, text or tuple as
    default, become flags: `--<name>-<field>`.

    Args:
      name: letters, digits and hyphens.
      method: `Method(factory, config)`; see there.

    Raises:
      ValueError: the name is taken or has other characters, the config is no dataclass
        or one of its fields has a value of another type, or the flags are another
        searcher's.
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
    kind, own = type(method.config), method.prefix
    shared = [m.prefix for m in METHODS.values() if type(m.config) is kind]
    prefix = shared[0] if shared else f"{name}-" if own is None else own
    for other, known in METHODS.items():
        if not shared and known.config is not None and known.prefix == prefix:
            raise ValueError(f"flags --{prefix}... are those of {other}")
    method = method._replace(prefix=prefix)
    METHODS[name] = PLUGINS[name] = method


def factory(
    method: str, configs: Mapping[str, Any], cost: Sequence[float] | None = None
) -> Callable[..., search.Searcher]:
    """The method as a function of the space.

    Args:
      method: a name in METHODS.
      configs: by method; a method that is not in it has its default config.
      cost: of the environment's levels; methods that choose none do without.

    Raises:
      ValueError: the method is not one of METHODS, or needs levels.
    """
    if method not in METHODS:
        raise ValueError(f"{method!r} is unknown; allowed: {', '.join(METHODS)}")
    chosen = METHODS[method]
    make = chosen.factory
    if chosen.levels:
        if cost is None:
            raise ValueError(
                f"{method} chooses a fidelity for each query; here is only one: "
                "see experiments/fidelities.py"
            )
        make = functools.partial(make, cost=tuple(cost))
    if chosen.config is None:
        return make
    config = configs[method] if method in configs else chosen.finish(chosen.config)
    return functools.partial(make, config=config)


def on_table(
    method: str,
    configs: Mapping[str, Any],
    terms: Mapping[str, Any] | None = None,
    bounded: bool = False,
) -> Callable[..., search.Searcher]:
    """The method as a function of the space and of an incomplete table's params.

    With these params, proposals that the table lacks are replaced by the nearest
    architecture in it; without them it is `factory`. If `bounded`, the table lacks only
    what is infeasible: such proposals are made again first, see `search.constrained`.

    Args:
      method, configs: as for `factory`.
      terms: `objectives` and `constraints` of methods that take them.

    Raises:
      ValueError: as `factory`.
    """
    make = factory(method, configs)
    if terms and METHODS[method].objectives:
        make = functools.partial(make, **terms)

    def build(space, table=None):
        if table is None:
            return make(space)
        if bounded:
            return search.constrained(make(space), listed(space, table))
        project = functools.partial(nearest, table)
        if METHODS[method].projects:
            return make(space, project=project, listed=table.ops)
        return search.projected(make(space), project)

    return build
