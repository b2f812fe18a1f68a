"""Command lines: short errors and help, seeds, one flag per field of a config."""

import argparse
import contextlib
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NoReturn

from nasjax.runs import configs

MAX_SEED = 2**32 - 1


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line and whose help starts short.

    Args:
      doc: the script's docstring. Its first paragraphs, up to the one that shows a
        command (it is indented), stand above the flags, the others below. If none shows
        a command, the first stands above.
      kwargs: as for `argparse.ArgumentParser`.
    """

    def __init__(self, doc: str = "", **kwargs):
        parts = doc.strip().split("\n\n")
        commands = [part.startswith("    ") for part in parts]
        cut = commands.index(True) + 1 if True in commands else 1
        kwargs.setdefault("description", "\n\n".join(parts[:cut]))
        kwargs.setdefault("epilog", "\n\n".join(parts[cut:]))
        kwargs.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        super().__init__(**kwargs)

    def error(self, message: str) -> NoReturn:
        """Prints the reason alone and ends the program with status 2."""
        print(f"{self.prog}: error: {message}\nsee --help", file=sys.stderr)
        raise SystemExit(2)

    @contextlib.contextmanager
    def refusals(self) -> Iterator[None]:
        """A ValueError inside ends the program, as `error` does."""
        try:
            yield
        except ValueError as error:
            self.error(str(error))

    def format_usage(self) -> str:
        """Usage with the required flags only; all of them would fill a screen."""
        return f"usage: {self._short_usage()}\n"

    def format_help(self) -> str:
        before, self.usage = self.usage, self._short_usage().replace("%", "%%")
        try:
            return super().format_help()
        finally:
            self.usage = before

    def _short_usage(self) -> str:
        either = [g for g in self._mutually_exclusive_groups if g.required]
        parts = [" | ".join(map(_usage, g._group_actions)) for g in either]
        parts = [f"({part})" for part in parts]
        for action in self._actions:
            if action.required or not action.option_strings:
                parts.append(_usage(action))
        return " ".join([self.prog, "[options]", *parts])


def _usage(action: argparse.Action) -> str:
    name = action.metavar or (action.choices and "{" + ",".join(action.choices) + "}")
    if not action.option_strings:
        text = str(name or action.dest)
        return f"[{text} ...]" if action.nargs in ("*", "?") else text
    return f"{action.option_strings[-1]} {name or action.dest.upper()}"


def say_seeds(seeds: Sequence[int]) -> None:
    """Prints a line if the one seed may have been meant as a number of seeds."""
    if len(seeds) == 1 and seeds[0] > 1:
        n = seeds[0]
        print(f"1 seed: {n} (1-{n} would be {n} seeds)", flush=True)


def seeds(text: str) -> list[int]:
    """Reads `3`, `1-10`, `1,4,7` or a mixture such as `1-3,8`.

    Raises:
      ArgumentTypeError: not of that form, a seed twice, a range that runs backwards
        or has more than 100,000 seeds, or a seed over 2^32 - 1.
    """
    values: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d+)(?:-(\d+))?\s*", part)
        if not match:
            raise argparse.ArgumentTypeError(
                f"{part!r} is no seed; write 3, 1-10 or 1,4,7"
            )
        first, last = int(match[1]), int(match[2] or match[1])
        if last < first:
            raise argparse.ArgumentTypeError(f"the range {part!r} runs backwards")
        if last > MAX_SEED:
            raise argparse.ArgumentTypeError(f"seed {last} is over {MAX_SEED}")
        if last - first >= 100_000:
            raise argparse.ArgumentTypeError(f"{part!r} is more than 100,000 seeds")
        values.extend(range(first, last + 1))
    if len(set(values)) != len(values):
        raise argparse.ArgumentTypeError(f"{text!r} names a seed twice")
    return values


def names(allowed: Sequence[str]) -> Callable[[str], list[str]]:
    """A reader of comma-separated names, each of `allowed` and none twice.

    Like the other readers here, it is a `type` of `add_argument`, keeps the order and
    raises ArgumentTypeError.
    """

    def read(text: str) -> list[str]:
        chosen = [part.strip() for part in text.split(",")]
        for name in chosen:
            if name not in allowed:
                raise argparse.ArgumentTypeError(
                    f"{name!r} is unknown; allowed: {', '.join(allowed)}"
                )
        if len(set(chosen)) != len(chosen):
            raise argparse.ArgumentTypeError(f"{text!r} names the same entry twice")
        return chosen

    return read


def at_least(minimum: int) -> Callable[[str], int]:
    """A reader of whole numbers from `minimum` up."""

    def read(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(
                f"{text!r} is no whole number; allowed: {minimum} or more"
            ) from None
        if value < minimum:
            raise argparse.ArgumentTypeError(
                f"{value} is too small; allowed: {minimum} or more"
            )
        return value

    return read


def numbers(minimum: int) -> Callable[[str], list[int]]:
    """A reader of comma-separated whole numbers from `minimum` up."""
    read_number = at_least(minimum)

    def read(text: str) -> list[int]:
        return [read_number(part) for part in text.split(",")]

    return read


def add_config_flags(
    parser: argparse.ArgumentParser, default: Any, prefix: str, title: str
) -> None:
    """Adds a flag per field of a config: `--<prefix><field>`, such as `--best-top-k`.

    Fields of nested dataclasses have flags like its own; fields with `flag: False` in
    their metadata have none. The help text is the field's own, with its value in
    `default`; a flag that is left out is None.
    """
    group = parser.add_argument_group(title)
    for field, value in configs.fields(default):
        if not field.metadata.get("flag", True):
            continue
        is_list = isinstance(value, tuple)
        printed = ",".join(map(str, value)) if is_list else value
        group.add_argument(
            flag(prefix, field.name),
            dest=_destination(prefix, field.name),
            type=reader(value),
            default=None,
            metavar="N,N,..." if is_list else type(value).__name__.upper(),
            help=f"{field.metadata.get('help', field.name)} (default {printed})",
        )


def changes(args: argparse.Namespace, config: Any, prefix: str) -> dict[str, Any]:
    """The fields of `config` that flags of the command line set, by name."""
    values = {
        field.name: getattr(args, _destination(prefix, field.name), None)
        for field, _ in configs.fields(config)
    }
    return {name: value for name, value in values.items() if value is not None}


def config_from_flags(
    args: argparse.Namespace, config: Any, prefix: str, fixed: Sequence[str] = ()
) -> Any:
    """`config` with the fields that flags of the command line set.

    Args:
      args: parsed flags of `add_config_flags`.
      config: a dataclass.
      prefix: of the flags.
      fixed: fields that stay as they are.
    """
    values = changes(args, config, prefix)
    free = {name: x for name, x in values.items() if name not in fixed}
    return configs.replaced(config, **free)


def fill(args: argparse.Namespace, preset: Any, names: Iterable[str]) -> None:
    """Gives the flags of `names` that were left out their values in a preset."""
    for name in names:
        if getattr(args, name) is None:
            setattr(args, name, getattr(preset, name))


def flag(prefix: str, name: str) -> str:
    """The flag of a config's field, `--best-top-k` of `best-` and `top_k`."""
    return f"--{prefix}{name}".replace("_", "-")


def _destination(prefix: str, name: str) -> str:
    return f"config_{prefix}{name}".replace("-", "_")


def reader(value: Any) -> Callable[[str], Any]:
    """A reader of values of the type of `value`; of a tuple, whole numbers."""
    kind = type(value)

    def read(text: str) -> Any:
        try:
            if kind is bool:
                return {"true": True, "false": False}[text.lower()]
            if kind is tuple:
                return tuple(int(part) for part in text.split(","))
            return kind(text)
        except (ValueError, KeyError):
            form = {
                bool: "true or false",
                tuple: "whole numbers such as 128,256,128",
                int: "a whole number",
                float: "a number",
            }[kind]
            raise argparse.ArgumentTypeError(
                f"{text!r} is not valid; allowed: {form}"
            ) from None

    return read
