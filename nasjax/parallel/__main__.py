"""A search by hand: one architecture at a time, for evaluations in any language.

    python -m nasjax.parallel ask --out runs/search --space darts --queries 100

`ask` prints an architecture as one line of JSON: its number `query`, `arch` (see
`nasjax.spaces`) and its `genotype`. The first `ask` fixes the search; later ones need
only --out. When all queries are asked, it ends with status 2. To evaluate several at a
time, ask several times before telling. `tell` takes an outcome and prints its line of
the journal:

    python -m nasjax.parallel tell --out runs/search --query 0 --accuracy 0.931
    python -m nasjax.parallel tell --out runs/search --query 1 --failed

`best` prints the best so far and the numbers of pending queries, and writes
results.csv, best.json and a picture. `parallel.search(..., out="runs/search",
resume=True)` continues the same search.
"""

import argparse
import dataclasses
import json
import math
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax

from nasjax.networks import families
from nasjax.parallel import journal as journals
from nasjax.parallel import report, store
from nasjax.parallel.queries import Queries
from nasjax.runs import cli, methods
from nasjax.runs.configs import read_object
from nasjax.runs.errors import RefusedError
from nasjax.runs.folder import CONFIG
from nasjax.runs.script import refusals, script
from nasjax.spaces import CellSpace, darts

NONE = "darts-none"  # the space of `--space darts` with the operation `none`


@dataclasses.dataclass(frozen=True)
class Settings:
    """The search that the first `ask` fixes; `by_hand` in config.json."""

    space: str = "darts"
    method: str = methods.BEST
    queries: int = 300
    seed: int = 0


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Reads the command line; the choices of --space are the registered spaces."""
    parser = cli.Parser(__doc__ or "", prog="python -m nasjax.parallel")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    plain: Any = {"formatter_class": argparse.RawDescriptionHelpFormatter}
    ask = commands.add_parser("ask", help="the next architecture to evaluate", **plain)
    spaces = (*families.variants(), NONE)
    text = "search space (default darts); darts-none has the operation `none`"
    ask.add_argument("--space", choices=spaces, help=text)
    ask.add_argument(
        "--method", choices=methods.ALL, help=f"searcher (default {methods.BEST})"
    )
    ask.add_argument(
        "--queries",
        type=cli.at_least(1),
        help="queries in all; a later ask may raise it (default 300)",
    )
    ask.add_argument("--seed", type=cli.at_least(0), help="of the search (default 0)")
    ask.add_argument(
        "--earlier",
        action="append",
        help="earlier evaluations: a journal, or CSV with arch,accuracy[,loss] and "
        "further columns of metrics",
    )
    tell = commands.add_parser("tell", help="the outcome of a query", **plain)
    tell.add_argument(
        "--query",
        type=cli.at_least(0),
        required=True,
        help="the number that ask printed",
    )
    outcome = tell.add_mutually_exclusive_group(required=True)
    outcome.add_argument("--accuracy", type=_fraction, help="a fraction, 0 to 1")
    outcome.add_argument(
        "--failed", nargs="?", const="failed", metavar="WHY", help="it failed; why"
    )
    tell.add_argument("--loss", type=float, help="of the validation (optional)")
    tell.add_argument(
        "--metric",
        type=_metric,
        action="append",
        default=[],
        metavar="NAME=NUMBER",
        help="measured beside it, such as latency=3.2; may be repeated",
    )
    best = commands.add_parser("best", help="the ten best so far", **plain)
    for command in (ask, tell, best):
        command.add_argument("--out", required=True, help="folder of the search")
    return parser.parse_args(argv)


def _fraction(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a fraction; allowed: 0 to 1")
    return value


def _metric(text: str) -> tuple[str, float]:
    name, _, number = text.partition("=")
    try:
        value = float(number)
    except ValueError:
        value = float("nan")
    if not name or not math.isfinite(value):
        raise argparse.ArgumentTypeError(
            f"{text!r} is no metric; allowed: NAME=NUMBER, such as latency=3.2"
        )
    return name, value


def _space(name: str) -> CellSpace:
    if name == NONE:
        return darts(none=True)
    return families.variants()[name].config().space


@script
def main(argv: Sequence[str] | None = None) -> int | None:
    """Runs one command."""
    args = parse(argv)
    there = (Path(args.out) / journals.NAME).exists()
    if not there and args.command != "ask":
        raise RefusedError(f"{args.out} holds no search; the first `ask` starts one")
    if args.command == "tell":
        names = [name for name, _ in args.metric]
        if twice := {name for name in names if names.count(name) > 1}:
            raise RefusedError(f"--metric {', '.join(sorted(twice))}: named twice")
        if names and args.failed is not None:
            raise RefusedError("--metric would change nothing with --failed")
    with refusals():
        settings = _settings(args, there)
        space = _space(settings.space)
        searcher = methods.factory(settings.method, {})(space)
        state = Queries(jax.random.key(settings.seed), searcher, space)
        opened = store.open_store(
            args.out,
            state,
            settings.queries,
            getattr(args, "earlier", None),
            resume=there,
            config={"by_hand": dataclasses.asdict(settings)},
            by_hand=True,
        )
        with opened as saved:
            {"ask": _ask, "tell": _tell, "best": _best}[args.command](
                args, state, saved
            )
    return None


def _settings(args: argparse.Namespace, there: bool) -> Settings:
    """The settings of the search in --out or, if there is none, those of the flags.

    Raises:
      ValueError: a flag differs from the setting with which the search was begun, or
        the search is one of `parallel.search`.
    """
    flags: dict[str, Any] = {
        field.name: value
        for field in dataclasses.fields(Settings)
        if (value := getattr(args, field.name, None)) is not None
    }
    if not there:
        return Settings(**flags)
    before = read_object(Path(args.out) / CONFIG).get("by_hand")
    if before is None:
        raise ValueError(
            f"{args.out} holds a search of `parallel.search`, whose searcher only its "
            "program knows: resume it there"
        )
    for name, value in flags.items():
        if name != "queries" and before[name] != value:
            raise ValueError(
                f"the search in {args.out} has --{name} {before[name]}, not {value}"
            )
    most = max(before["queries"], flags.get("queries", 0))
    return Settings(**{**before, "queries": most})


def _ask(args: argparse.Namespace, state: Queries, saved: store.Store) -> None:
    if len(state.rows) >= state.budget:
        raise RefusedError(
            f"all {state.budget} queries are asked; a larger --queries asks on"
        )
    if not state.rows:
        print(f"a new search of {state.budget} queries in {args.out}", file=sys.stderr)
    query, event = state.ask()
    saved.append(event)
    genotype = report.genotype(state.space, query.arch)
    print(json.dumps({**event, "genotype": genotype}))


def _tell(args: argparse.Namespace, state: Queries, saved: store.Store) -> None:
    if args.query not in state.pending:
        reason = "told already" if args.query < len(state.rows) else "never asked"
        pending = ", ".join(map(str, state.pending)) or "none"
        raise RefusedError(f"query {args.query} was {reason}; pending: {pending}")
    query, metrics = state.pending[args.query], dict(args.metric)
    if args.failed is None:
        state.check(args.accuracy, args.loss, metrics)
        seconds = time.time() - query.asked
        event = {"event": "finished", "query": query.number, "attempt": 0}
        event |= {"accuracy": args.accuracy, "loss": args.loss}
        event |= {"seconds": seconds, "worker": "by hand"}
        event |= {"metrics": metrics} if metrics else {}
    else:
        event = {"event": "failed", "query": query.number, "attempt": 0}
        event |= {"reason": "by hand", "error": args.failed, "counted": True}
    told = state.tell(query.number, args.accuracy, args.loss, metrics)
    saved.append(event, told)
    print(json.dumps(event))


def _best(args: argparse.Namespace, state: Queries, saved: store.Store) -> None:
    report.write(state, saved, "so far", show=True)
    if state.pending:
        print("pending:", ", ".join(map(str, state.pending)))


if __name__ == "__main__":
    sys.exit(main(None))
