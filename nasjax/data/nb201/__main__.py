"""`python -m nasjax.data.nb201`: show, save and import the table's columns."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from nasjax.data import nb201
from nasjax.data.nb201 import files, sources
from nasjax.data.nb201.cells import TableError, official_ops
from nasjax.data.nb201.table import COLUMNS, Table, build


def _save(out: str) -> Table:
    """Writes every column that a source has, without predictions."""
    search = sources.Search(lambda _: None)
    columns = sources.collect(COLUMNS, search, predictor=False)
    if not columns:
        raise search.lacks(COLUMNS)
    table = build(official_ops(), columns, out)
    files.write(table, out)
    return table


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m nasjax.data.nb201", description="The NAS-Bench-201 table."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    importer = commands.add_parser("import", help="turn a file into a checked npz")
    importer.add_argument("source", help="npz, CSV, or NATS-Bench file or folder")
    importer.add_argument("out", help="npz to write")
    importer.add_argument(
        "--trust-pickle",
        action="store_true",
        help="let nats_bench unpickle a NATS-Bench file, which can run any code",
    )
    importer.add_argument(
        "--epochs", type=int, choices=(200, 12), default=200, help="NATS-Bench only"
    )
    show = commands.add_parser("show", help="print the columns and their sources")
    show.add_argument("path", nargs="?", help="npz, CSV or folder; default: search")
    saver = commands.add_parser("save", help="write what the sources have into one npz")
    saver.add_argument("out", help="npz to write")
    for command in (importer, saver):
        command.add_argument("--overwrite", action="store_true", help="replace OUT")
    options = parser.parse_args(argv)
    try:
        may_replace = options.command == "show" or options.overwrite
        if not may_replace and Path(options.out).exists():
            raise FileExistsError(f"{options.out} exists; --overwrite replaces it")
        if options.command == "import":
            table = nb201.import_file(
                options.source,
                options.out,
                trust_pickle=options.trust_pickle,
                epochs=options.epochs,
            )
        elif options.command == "save":
            table = _save(options.out)
        else:
            table = files.read(options.path) if options.path else nb201.load()
    except (TableError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    for column in table.columns.values():
        best = int(column.values.argmax())
        trials = column.trials_version or "none"
        print(
            f"{column.name}: {column.version}, trials {trials}, maximum "
            f"{100 * column.values[best]:.4f} @{best}, from {column.source}"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
