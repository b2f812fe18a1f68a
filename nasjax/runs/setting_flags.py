"""`--set NAME=VALUES`: values of hyper-parameters as text."""

import argparse
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from nasjax.runs import cli, settings
from nasjax.runs.methods import METHODS

FORMS = "low:high:count, log:low:high:count or a,b,c"


def read_values(described: str, default: Any) -> list[Any]:
    """Values of one field.

    Args:
      described: `a,b,c`; `low:high:count`, equal steps; or `log:low:high:count`, equal
        factors. Widths of layers are `128x256x128`.
      default: a value of the field's type.

    Raises:
      ValueError: another form.
    """
    convert = cli.reader(default)
    try:
        if ":" not in described:
            parts = [part.strip() for part in described.split(",")]
            if isinstance(default, tuple):  # whose entries the reader expects by commas
                parts = [part.replace("x", ",") for part in parts]
            return [convert(part) for part in parts]
        if type(default) not in (int, float):
            raise ValueError(f"{described!r} is a range, and the field is no number")
        logarithmic = described.startswith("log:")
        low, high, count = described.removeprefix("log:").split(":")
        space = np.geomspace if logarithmic else np.linspace
        if int(count) < 2:
            raise ValueError(f"{described!r} needs a count of at least 2")
        ends = float(low), float(high)
        if logarithmic and min(ends) <= 0:
            raise ValueError(f"{described!r} needs ends above 0")
        # Twelve digits: 0.696, not 0.6960000000000001.
        return [convert(f"{x:.12g}") for x in space(*ends, int(count))]
    except argparse.ArgumentTypeError as error:
        raise ValueError(str(error)) from None
    except ValueError as error:
        known = str(error).startswith(repr(described))
        reason = str(error) if known else f"{described!r} is not valid"
        raise ValueError(f"{reason}; allowed: {FORMS}") from None


def read_sets(
    sets: Iterable[str], methods: Sequence[str]
) -> dict[str, dict[str, list[Any]]]:
    """`NAME=VALUES` and `METHOD.NAME=VALUES` as values by method and field.

    Args:
      sets: of the command line.
      methods: that run; with several of them each name needs its method.

    Raises:
      ValueError: names what is wrong, with the method.
    """
    read: dict[str, dict[str, list[Any]]] = {name: {} for name in methods}
    for item in sets:
        key, equals, described = item.partition("=")
        name, dot, field = key.rpartition(".")
        field = field.strip().replace("-", "_")
        if not equals or not field:
            raise ValueError(f"--set {item}: write NAME=VALUES")
        if not dot and len(methods) > 1:
            raise ValueError(
                f"--set {item}: several methods run; write METHOD.{key}, of "
                f"{', '.join(methods)}"
            )
        name = name or methods[0]
        if name not in read:
            raise ValueError(
                f"--set {item}: {name!r} does not run; --methods has "
                f"{', '.join(methods)}"
            )
        if field in read[name]:
            raise ValueError(f"--set {item}: {key} is set twice")
        default = METHODS[name].config
        usual = settings.Setting(name, default).values
        settings.check_fields(name, default, {field: [None]})
        try:
            read[name][field] = read_values(described, usual[field])
        except ValueError as error:
            raise ValueError(f"--set {item}: {name}: {error}") from None
    return read


def named(name: str, among: Sequence[settings.Setting]) -> settings.Setting:
    """The setting of a name such as `cadam tau=0.5`, in any spelling of its values.

    Args:
      name: the method may be left out if there is only one.
      among: the settings.

    Raises:
      ValueError: there is no such setting.
    """
    methods = list(dict.fromkeys(setting.method for setting in among))
    words = name.split()
    method = methods[0] if len(methods) == 1 else ""
    if words and "=" not in words[0]:
        method = words.pop(0)
    if method in methods:
        read = read_sets(words, [method])[method]
        one = {field: values[0] for field, values in read.items()}
        wanted = settings.made(method, METHODS[method].config, one)
        for setting in among:
            if setting.name == wanted.name:
                return setting
    raise ValueError(
        f"{name!r} is none of the settings: {', '.join(s.name for s in among[:8])}"
        + (", ..." if len(among) > 8 else "")
    )
