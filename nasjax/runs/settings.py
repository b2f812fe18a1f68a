"""Settings of hyper-parameters: values to try, their combinations, their programs.

    grid("cadam", tau=[0.5, 0.9], hidden=[(128,), (128, 256, 128)])

has four settings and two programs: fields that only enter the arithmetic are traced,
so that settings which differ in them alone are lanes of one compiled program.
"""

import dataclasses
import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from nasjax.runs.methods import METHODS
from nasjax.searchers.config import Config

DESIGNS = ("grid", "one-at-a-time")


class Setting(NamedTuple):
    """A method with a config."""

    method: str
    config: Any  # None if the method has none

    @property
    def values(self) -> dict[str, Any]:
        """All fields of the config."""
        fields = dataclasses.fields(self.config) if self.config is not None else ()
        return {field.name: getattr(self.config, field.name) for field in fields}

    @property
    def name(self) -> str:
        """The method, and the fields that differ from its own config as flags."""
        usual = Setting(self.method, METHODS[self.method].config).values
        changed = {n: x for n, x in self.values.items() if x != usual[n]}
        return " ".join(
            [self.method, *(f"{flag(n)}={text(x)}" for n, x in changed.items())]
        )

    @property
    def program(self) -> str:
        """The method and its static fields: equal for settings of one program."""
        return f"{self.method} {_structure(self.config)}"


def flag(field: str) -> str:
    """`actor-lr` of `actor_lr`."""
    return field.replace("_", "-")


def text(value: Any) -> str:
    """A value as `--set` reads it: `128x256x128`, `true`, `1e-08`."""
    if isinstance(value, tuple):
        return "x".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


def _structure(config: Any) -> Any:
    """What fixes the compiled program; of a config that is no pytree, everything."""
    return jax.tree.structure(config) if _is_traced(config) else config


def _is_traced(config: Any) -> bool:
    return config is not None and not jax.tree_util.all_leaves([config])


def traced_values(settings: Sequence[Setting]) -> tuple[Any, ...]:
    """Configs of one program as one, whose traced fields are arrays [L].

    Returns:
      `(config,)`, or `()` if the method has none or none of its fields is traced.
    """
    first = settings[0]
    if not _is_traced(first.config):
        return ()

    # The type of the method's own value, so that all sweeps compile one program.
    def stack(usual, *values):
        kind = np.int32 if isinstance(usual, int) else np.float32
        return np.array(values, kind)

    leaves = [jax.tree.leaves(s.config) for s in settings]
    usual = jax.tree.leaves(METHODS[first.method].config)
    stacked = [stack(*x) for x in zip(usual, *leaves, strict=True)]
    return (jax.tree.unflatten(jax.tree.structure(first.config), stacked),)


def factory(setting: Setting) -> Callable[..., Any]:
    """The method as a function of the space and of `traced_values` of one lane."""
    method = METHODS[setting.method]

    def build(space, config=setting.config):
        return (
            method.factory(space) if config is None else method.factory(space, config)
        )

    return build


def made(name: str, base: Any, values: Mapping[str, Any]) -> Setting:
    """A method's setting, with fields that have no effect as they are in `base`.

    Raises:
      ValueError: a value out of range, named with its method.
    """
    method = METHODS[name]
    config = method.finish(dataclasses.replace(base, **values)) if values else base
    if not isinstance(config, Config):
        return Setting(name, config)
    try:
        config.validate()
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None
    idle = config.unused().keys() & values.keys()
    return Setting(name, config.replace(**{n: getattr(base, n) for n in idle}))


def check_fields(name: str, base: Any, values: Mapping[str, Sequence[Any]]) -> None:
    """ValueError unless the fields of `values` are free fields of the method."""
    method = METHODS[name]
    free = [n for n in Setting(name, base).values if n not in method.fixed]
    for field in values:
        if field not in free:
            reason = "is fixed" if field in method.fixed else "is unknown"
            allowed = ", ".join(map(flag, free)) or "none: it has no settings"
            raise ValueError(f"{name}: {flag(field)} {reason}; allowed: {allowed}")
        if not len(values[field]):
            raise ValueError(f"{name}: {flag(field)} has no values")
        usual = getattr(method.config, field)
        if isinstance(usual, int) and not isinstance(usual, bool):
            for value in values[field]:
                if isinstance(value, float) and not value.is_integer():
                    raise ValueError(
                        f"{name}: {flag(field)} {value} must be a whole number"
                    )


def settings(
    name: str,
    values: Mapping[str, Sequence[Any]],
    base: Any = None,
    design: str = "grid",
) -> list[Setting]:
    """Different settings of a method; of equal ones the first is kept.

    Args:
      name: of the method.
      values: to try, by field.
      base: the config of all other fields; the method's own by default.
      design: "grid", all combinations; or "one-at-a-time": the base, then each value
        alone.

    Raises:
      ValueError: an unknown method, field or design; a value that is out of range, or
        has no effect in any setting.
    """
    if name not in METHODS:
        raise ValueError(f"{name!r} is unknown; allowed: {', '.join(METHODS)}")
    if design not in DESIGNS:
        raise ValueError(f"design is {design!r}; allowed: {', '.join(DESIGNS)}")
    method = METHODS[name]
    base = method.finish(method.config) if base is None else base
    check_fields(name, base, values)
    if design == "grid":
        products = itertools.product(*values.values())
        chosen = [dict(zip(values, product, strict=True)) for product in products]
    else:
        chosen = [{}, *({n: x} for n, xs in values.items() for x in xs)]
    tried = [made(name, base, x) for x in chosen]
    for field, wanted in values.items():
        seen = {text(setting.values[field]) for setting in tried}
        if absent := [x for x in wanted if text(x) not in seen]:
            raise ValueError(
                f"{name}: {flag(field)} {text(absent[0])} would change nothing: with "
                "these settings the field has no effect"
            )
    return list({setting.name: setting for setting in tried}.values())


def grid(name: str, **values: Sequence[Any]) -> list[Setting]:
    """All combinations of values of a method's fields; see `settings`."""
    return settings(name, values)
