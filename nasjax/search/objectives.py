"""Objectives and constraints of a search, as functions of outcomes.

An objective is `accuracy:max` or the name of a metric with its goal, such as
`latency:min`; a constraint is `latency<=5.0` or `accuracy>=0.9`. Values are oriented:
larger is better.
"""

import dataclasses
import re
from collections.abc import Sequence

import chex
import jax.numpy as jnp

from nasjax.search.outcomes import Outcome

GOALS = ("max", "min")
SENSES = {"<=": -1.0, ">=": 1.0}


@dataclasses.dataclass(frozen=True)
class Objective:
    """A value to maximise or minimise.

    Raises:
      ValueError: the name is empty or the goal is not in GOALS.
    """

    name: str  # "accuracy", or of a metric
    goal: str = "max"

    def __post_init__(self):
        if not self.name or self.goal not in GOALS:
            raise ValueError(
                f"objective {self.name}:{self.goal}; allowed: NAME:max or NAME:min"
            )

    @property
    def sign(self) -> float:
        """1 where larger is better, else -1."""
        return 1.0 if self.goal == "max" else -1.0

    def __str__(self) -> str:
        return f"{self.name}:{self.goal}"


@dataclasses.dataclass(frozen=True)
class Constraint:
    """A bound that a value has to keep.

    Raises:
      ValueError: the name is empty or the sense is not in SENSES.
    """

    name: str  # "accuracy", or of a metric
    sense: str  # "<=" or ">="
    bound: chex.Numeric  # in the value's unit; may be traced

    def __post_init__(self):
        if not self.name or self.sense not in SENSES:
            raise ValueError(
                f"constraint {self.name}{self.sense}{self.bound}; allowed: "
                "NAME<=NUMBER or NAME>=NUMBER"
            )

    @property
    def sign(self) -> float:
        """1 for a lower bound, -1 for an upper one."""
        return SENSES[self.sense]

    def __str__(self) -> str:
        return f"{self.name}{self.sense}{self.bound}"


def objective(text: str | Objective) -> Objective:
    """Reads `NAME:max` or `NAME:min`; the goal of `NAME` alone is max.

    Raises:
      ValueError: as `Objective`.
    """
    if isinstance(text, Objective):
        return text
    name, colon, goal = (part.strip() for part in text.rpartition(":"))
    return Objective(name, goal) if colon else Objective(goal)


def constraint(text: str | Constraint) -> Constraint:
    """Reads `NAME<=NUMBER` or `NAME>=NUMBER`.

    Raises:
      ValueError: any other text.
    """
    if isinstance(text, Constraint):
        return text
    match = re.fullmatch(r"\s*(\S+?)\s*(<=|>=)\s*(\S+)\s*", text)
    try:
        if match is None:
            raise ValueError
        bound = float(match[3])
        if bound != bound:
            raise ValueError
        return Constraint(match[1], match[2], bound)
    except ValueError:
        raise ValueError(
            f"constraint {text!r}; allowed: NAME<=NUMBER or NAME>=NUMBER"
        ) from None


def metrics(terms: Sequence[Objective | Constraint]) -> tuple[str, ...]:
    """Names of the metrics that `oriented` reads."""
    return tuple(dict.fromkeys(x.name for x in terms if x.name != "accuracy"))


def oriented(terms: Sequence[Objective | Constraint], outcome: Outcome) -> chex.Array:
    """float32 [M], larger is better; NaN in all of a failed evaluation.

    An evaluation has failed if its accuracy or one of these values is not finite.

    Raises:
      KeyError: the outcome has no metric of an objective's or constraint's name.
    """
    known = {**outcome.metrics, "accuracy": outcome.accuracy}
    for term in terms:
        if term.name not in known:
            raise KeyError(
                f"no metric {term.name!r}; the outcome has {', '.join(known)}"
            )
    values = jnp.stack([term.sign * known[term.name] for term in terms])
    succeeded = jnp.isfinite(outcome.accuracy) & jnp.all(jnp.isfinite(values))
    return jnp.where(succeeded, values, jnp.nan)


def read(
    objectives: Sequence[Objective | str], constraints: Sequence[Constraint | str] = ()
) -> tuple[tuple[Objective, ...], tuple[Constraint, ...]]:
    """Objectives and constraints, parsed and checked.

    Raises:
      ValueError: there is no objective, one is named twice, one cannot be read, or a
        text stands where a list should.
    """
    for text in (objectives, constraints):
        if isinstance(text, str):
            raise ValueError(f"objectives and constraints are lists, got {text!r}")
    goals = tuple(map(objective, objectives))
    bounds = tuple(map(constraint, constraints))
    if not goals:
        raise ValueError("there must be at least one objective")
    names = [x.name for x in goals]
    if twice := {name for name in names if names.count(name) > 1}:
        raise ValueError(f"objectives {', '.join(sorted(twice))}: named twice")
    return goals, bounds
