"""Flags of searches for several objectives on tables, and the table that they name."""

import argparse
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nasjax.data import joined, tables
from nasjax.data.tables import Table
from nasjax.runs import bounds
from nasjax.runs.table_objectives import Bound, tasks_of
from nasjax.search import Objective
from nasjax.search.objectives import objective, read

# Fields of config.json that other runs and those of earlier versions lack.
ABSENT: dict[str, Any] = {
    **{"failed": "worst", "objectives": None, "constraints": None},
    **bounds.ABSENT,
}


def bound(text: str) -> Bound:
    """Reads `NAME<=NUMBER`, `NAME>=NUMBER` or, as a quantile, `NAME<=50%`.

    Raises:
      ArgumentTypeError: any other text, or a quantile outside of 0 to 100 %.
    """
    match = re.fullmatch(r"\s*(\S+?)\s*(<=|>=)\s*([^%\s]+)\s*(%?)\s*", text)
    try:
        if match is None:
            raise ValueError
        number = float(match[3]) / (100 if match[4] else 1)
        if not np.isfinite(number) or (match[4] and not 0 <= number <= 1):
            raise ValueError
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no constraint; write NAME<=NUMBER, NAME>=NUMBER or NAME<=50%"
        ) from None
    return Bound(match[1], match[2], number, bool(match[4]))


def objectives(text: str) -> tuple[Objective, ...]:
    """Reads comma-separated objectives; a `type` of `add_argument`."""
    try:
        return read([objective(part) for part in text.split(",")])[0]
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def paths(text: str) -> list[Path]:
    """Reads comma-separated files."""
    return [Path(part.strip()) for part in text.split(",")]


def add(parser: argparse.ArgumentParser) -> None:
    """`--objectives` and `--constraint`."""
    add = parser.add_argument_group("several objectives").add_argument
    text = "NAME:max,NAME:min,...: search for their front"
    add("--objectives", type=objectives, default=None, help=text)
    text = "NAME<=NUMBER, NAME>=NUMBER or, as a quantile, NAME<=50%%; can be repeated"
    add("--constraint", type=bound, action="append", default=[], help=text)


def record(args: argparse.Namespace) -> dict[str, list[str]]:
    """Objectives and constraints, as config.json records them."""
    if not args.objectives:
        return {}
    goals = {"objectives": args.objectives, "constraints": args.constraint}
    return {name: list(map(str, terms)) for name, terms in goals.items()}


def load(args: argparse.Namespace) -> Table:
    """The table of the flags, without rows above the bounds on costs.

    Sets `args.above`, the number of these rows, `args.bounded`, whether the table is
    complete but for them, and, if there are objectives, `args.tasks`.

    Args:
      args: of `add` and `bounds.add`; `table`, of `paths`; `columns`, `trial` and
        `failed` as for `tables.load`.

    Raises:
      TableFileError: as `tables.load`, `joined.load` and `tasks_of`.
      ValueError: as `bounds.table_rows`.
    """
    if args.objectives:
        whole = joined.load(args.table)
        goals = args.objectives, args.constraint, args.failed
        table, args.tasks = tasks_of(whole, *goals)
    elif len(args.table) > 1:
        table = joined.picked(joined.load(args.table), args.columns, args.failed)
    else:
        trials = args.trial == "random"
        table = tables.load(args.table[0], args.columns, trials, args.failed)
    args.above, args.bounded = 0, False
    if (rows := bounds.table_rows(args, table)) is not None:
        args.above, args.bounded = len(table.ops) - len(rows), table.complete
        table = table.take(rows)
        if args.objectives:
            args.tasks = args.tasks.take(rows)
    return table


def refuse_idle(
    args: argparse.Namespace,
    parser: argparse.ArgumentParser,
    idle: Sequence[str],
) -> None:
    """Raises ValueError for a flag, one of `idle`, that objectives leave no effect."""
    if args.constraint and not args.objectives:
        raise ValueError("--constraint needs --objectives")
    if len(args.table) > 1 and args.trial == "random":
        raise ValueError("--trial random needs a single --table")
    for name in idle if args.objectives else ():
        if getattr(args, name) != parser.get_default(name):
            raise ValueError(f"--{name} would change nothing with --objectives")
