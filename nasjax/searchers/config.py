"""Base class and field types of searchers' configs, with ranges of values."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any, Self

import chex
import flax.struct
import jax

from nasjax.search import check_integer


def traced(default: float, text: str, low: float = 0.0, high: float = math.inf) -> Any:
    """A number in [low, high] that only enters the arithmetic; it can be vmapped."""
    metadata = {"help": text, "range": (low, high)}
    return flax.struct.field(default=default, metadata=metadata)


def fraction(default: float, text: str) -> Any:
    """A traced number in [0, 1]."""
    return traced(default, text, 0, 1)


def decay(default: float, text: str) -> Any:
    """A traced number in [0, 1), also after rounding to float32."""
    return traced(default, text, 0, 1 - 1e-7)


def static(default: Any, text: str, low: int = 1) -> Any:
    """An integer of at least `low`, a bool or a tuple that fixes a shape or a branch.

    A tuple named `hidden` lists the widths of layers.
    """
    metadata = {"help": text, "low": low}
    return flax.struct.field(default=default, pytree_node=False, metadata=metadata)


def choice(default: str, allowed: Sequence[str], text: str = "") -> Any:
    """One of the names `allowed`; the help text lists them unless one is passed."""
    metadata = {"help": text or " or ".join(allowed), "allowed": allowed}
    return flax.struct.field(default=default, pytree_node=False, metadata=metadata)


class Config:
    """Base class of a searcher's hyper-parameters, a `flax.struct.dataclass`.

    Its fields come from the functions above; their texts are the help of the flags.
    """

    def validate(self) -> Self:
        """Returns the config.

        Raises:
          ValueError: a value is out of range; the message names the field.
        """
        for field in dataclasses.fields(self):  # type: ignore[arg-type]  # subclasses
            name, metadata = field.name, field.metadata
            value = getattr(self, name)
            if "range" in metadata:
                check_range(name, value, *metadata["range"])
            elif allowed := metadata.get("allowed"):
                if value not in allowed:
                    raise ValueError(
                        f"{name} is {value!r}; allowed: {', '.join(allowed)}"
                    )
            elif name == "hidden":
                check_widths(value)
            elif isinstance(field.default, int) and not isinstance(field.default, bool):
                check_integer(name, value, metadata.get("low", 0))
        return self

    def replace(self, **changes: Any) -> Self:
        """A copy with some fields changed."""
        return dataclasses.replace(self, **changes)  # type: ignore[type-var]

    def unused(self) -> dict[str, str]:
        """Fields without effect, each with the name of the field that disables it."""
        return {}


def check_range(name: str, value: chex.Numeric, low: float, high: float) -> None:
    """Raises ValueError unless `value` is finite and in [low, high].

    JAX arrays are not checked, as they may be tracers; the caller checks their range.
    """
    if isinstance(value, jax.Array):
        return
    try:
        inside = low <= value <= high and abs(value) < float("inf")
    except TypeError:
        raise ValueError(f"{name} must be a number, got {value!r}") from None
    if not inside:
        raise ValueError(f"{name} must lie in [{low:g}, {high:g}], got {value}")


def check_widths(hidden: Any) -> None:
    """Raises ValueError unless `hidden` is a list of integers of at least 1."""
    try:
        widths = list(hidden)
        for width in widths:
            check_integer("hidden", width, 1)
        if not widths:
            raise ValueError
    except (TypeError, ValueError):
        raise ValueError(
            f"hidden must list widths of at least 1, integers: {hidden}"
        ) from None
