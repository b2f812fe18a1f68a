"""Tables of any space: what is read, and what is refused."""

import os

import numpy as np
import pytest

from nasjax.data import tables
from nasjax.spaces import nas_bench_201

OPS = np.array([[0, 1, 2], [2, 1, 0], [1, 1, 1], [0, 0, 0]], np.uint8)


def save(path, **arrays):
    np.savez(path, **{"ops": OPS, "speed": np.array([1.5, -2, 30, 4])} | arrays)
    return path


def test_a_table(tmp_path):
    names = np.array(["a", "b", "c"])
    loaded = tables.load(save(tmp_path / "t.npz", op_names=names, text=names))
    np.testing.assert_array_equal(loaded.ops, OPS)
    assert loaded.space.operations == ("a", "b", "c") and loaded.space.num_edges == 3
    assert list(loaded.values) == ["speed"] and loaded.values["speed"][1] == -2
    assert not loaded.complete and len(loaded.sha256) == 64


def test_a_complete_table(tmp_path):
    ops = np.array(list(np.ndindex(2, 2, 2)), np.int64)
    loaded = tables.load(save(tmp_path / "t.npz", ops=ops, speed=np.arange(8)))
    assert loaded.complete and loaded.ops.dtype == np.uint8
    assert loaded.space.operations == ("op0", "op1")


def test_edges_of_a_cell(tmp_path):
    order = np.array(["1<-0", "2<-0", "2<-1"])
    space = tables.load(save(tmp_path / "t.npz", edge_order=order)).space
    assert space.sums and space.edges == ((0, 1), (0, 2), (1, 2))
    assert not tables.load(save(tmp_path / "u.npz", edge_order=OPS)).space.sums
    for wrong in (["1<-0", "2<-0"], ["1<-0", "2<-0", "1<-2"]):
        path = save(tmp_path / "w.npz", edge_order=np.array(wrong))
        with pytest.raises(tables.TableFileError, match="3 edges such as"):
            tables.load(path)


@pytest.mark.parametrize("names", [("none", "skip_connect", "avg_pool_3x3"), ("none",)])
def test_cells_with_some_operations_of_nas_bench_201(tmp_path, names):
    """Their edges are known, if identity and zero are among them."""
    ops = np.array([[0] * 6, [len(names) - 1] * 6])
    ops[0, 5] = 1
    more = (*names, "nor_conv_3x3")[: max(2, len(names))]
    path = save(
        tmp_path / "t.npz", ops=ops, op_names=np.array(more), speed=np.arange(2)
    )
    space = tables.load(path).space
    assert space.sums == (len(names) == 3) and space.num_operations == len(more)
    assert (space.edges == nas_bench_201().edges) == space.sums


def test_cells_of_nas_bench_201_are_known(tmp_path):
    names = np.array(nas_bench_201().operations)
    ops = np.array([[0] * 6, [4] * 6])
    path = save(tmp_path / "t.npz", ops=ops, op_names=names, speed=np.arange(2))
    assert tables.load(path).space == nas_bench_201()


def test_columns_by_name_and_by_default(tmp_path):
    more = {"other": np.arange(4), "gaps": np.array([1, np.nan, 2, 3]), "few": [1.0]}
    path = save(tmp_path / "t.npz", **more)
    loaded = tables.load(path)
    assert list(loaded.values) == ["speed", "other"]
    assert loaded.left_out == {
        "gaps": "is nan in row 1",
        "few": "has shape [1], `ops` has 4 rows",
    }
    assert list(tables.load(path, ["other"]).values) == ["other"]


def test_what_describes_a_column_is_no_column_and_nothing_else_vanishes(tmp_path):
    """A name that begins as another column's does is a column of its own."""
    about = {"speed_source": "a file", "speed_trials": np.ones((4, 2))}
    path = save(tmp_path / "t.npz", **about, speed_gpu=np.ones(4), speed_b=[1.0])
    assert tables.load(path).left_out == {
        "speed_gpu": "is constant (1.0)",
        "speed_b": "has shape [1], `ops` has 4 rows",
    }


def test_strings_of_operations_without_names(tmp_path):
    """Any names are right that are the same throughout, and differ."""
    lines = ["|a~0|b~0|c~1|", "|c~0|b~0|a~1|", "|b~0|b~0|b~1|", "|a~0|a~0|a~1|"]
    path = tmp_path / "t.npz"
    assert list(tables.load(save(path, arch_str=np.array(lines))).values) == ["speed"]
    for wrong in ("|a~0|a~0|b~1|", "|a~0|a~0|d~1|", "|a~0|a~0|"):
        other = np.array([*lines[:3], wrong])
        with pytest.raises(tables.TableFileError, match="row 3: `arch_str` is"):
            tables.load(save(path, arch_str=other))
    same = np.array([line.replace("c", "a") for line in lines])
    with pytest.raises(tables.TableFileError, match="row 0: `arch_str` is"):
        tables.load(save(path, arch_str=same))


def test_single_trials(tmp_path):
    trials = np.array([[1.0, 2.0], [np.nan, -2.0], [30, 30], [4, np.nan]])
    more = {"speed_trials": trials, "other": np.arange(4)}
    path = save(tmp_path / "t.npz", **more)
    assert not tables.load(path).trials
    loaded = tables.load(path, trials=True)
    assert list(loaded.values) == ["speed"]  # the other one has none
    np.testing.assert_array_equal(loaded.trials["speed"], trials)


@pytest.mark.parametrize(
    "trials, columns, text",
    [
        (None, None, "no single trials"),
        (None, ["speed"], "'speed' has no single trials .*have: none"),
        (np.ones((3, 2)), None, r"shape \[3, 2\]; needs \[4, R\]"),
        (np.full((4, 2), np.nan), None, "in row 0"),
        (np.array(list("abcd")), None, "holds no numbers"),
    ],
)
def test_single_trials_that_are_wrong(tmp_path, trials, columns, text):
    more = {} if trials is None else {"speed_trials": trials}
    path = save(tmp_path / "t.npz", **more)
    with pytest.raises(tables.TableFileError, match=text):
        tables.load(path, columns, trials=True)


@pytest.mark.parametrize(
    "arrays, columns, text",
    [
        (
            {"ops": OPS[[0, 1, 2, 0]]},
            None,
            r"rows 0 and 3 of `ops` are both \[0, 1, 2\]",
        ),
        ({"ops": OPS.astype(float)}, None, "float64; needs integers"),
        ({"ops": OPS[0]}, None, r"of shape \[3\]; needs \[n, E\]"),
        ({"ops": OPS[:0]}, None, "needs"),
        ({"ops": OPS.astype(int) - 1}, None, "holds -1 to 1"),
        (
            {"ops": np.array([[1], [1, 2]], object)},
            None,
            "`ops` is ragged",
        ),
        ({"op_names": np.array(["a", "b"])}, None, "must name operations 0 to 2"),
        ({}, ["latency"], "no column 'latency'; it has speed"),
        ({}, ["ops"], "no column 'ops'"),
        ({"x": np.array([1, np.inf, 2, 3])}, ["x"], "'x' is inf in row 1"),
        ({"x": np.arange(3)}, ["x"], r"shape \[3\], `ops` has 4 rows"),
        ({"x": np.array(list("abcd"))}, ["x"], "holds no numbers"),
        (
            {"speed": np.array(list("abcd")), "x": [1, np.nan, 2, 3], "y": [2.5] * 4},
            None,
            "no column of 4 finite numbers: 'speed' holds no numbers; 'x' is nan in "
            r"row 1; 'y' is constant \(2.5\)",
        ),
        ({"x": [1, -1e39, 2, 3]}, ["x"], r"'x' is -1e\+39 in row 1, beyond float"),
        ({"x": [7, 7, 7, 7]}, ["x"], r"column 'x' is constant \(7\)"),
        ({"x": [np.nan] * 4}, ["x"], "column 'x' holds no finite number"),
        (
            {"arch_str": np.array(["|op0~0|", "|op2~0|", "|op1~0|", "|op0~0|"])},
            None,
            r"row 0: `arch_str` is '\|op0~0\|', but `ops` is \[0, 1, 2\]",
        ),
        ({"arch_str": np.array(["a"])}, None, r"has shape \[1\], `ops` has 4 rows"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, arrays, columns, text):
    path = save(tmp_path / "t.npz", **arrays)
    with pytest.raises(tables.TableFileError, match=text):
        tables.load(path, columns)


def test_tables_are_found_where_data_lies(tmp_path, monkeypatch):
    """First the path itself, then the folders in their order."""
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        save(tmp_path / name / "t.npz")
    both = os.pathsep.join(str(tmp_path / name) for name in ("first", "second"))
    monkeypatch.setenv("NASJAX_DATA", both)
    monkeypatch.chdir(tmp_path)
    assert tables.find("t.npz") == tmp_path / "first" / "t.npz"
    save(tmp_path / "t.npz")
    assert tables.find("t.npz").resolve() == tmp_path / "t.npz"
    assert tables.load("second/t.npz").ops.shape == (4, 3)


def test_no_table_at_all(tmp_path):
    with pytest.raises(tables.TableFileError, match=r"no table .*nowhere\.npz"):
        tables.load(tmp_path / "nowhere.npz")
    (tmp_path / "text.npz").write_text("ops")
    with pytest.raises(tables.TableFileError, match="is not an npz table"):
        tables.load(tmp_path / "text.npz")
    np.save(tmp_path / "one.npy", OPS)
    with pytest.raises(tables.TableFileError, match="a single array"):
        tables.load(tmp_path / "one.npy")
    np.savez(tmp_path / "without.npz", x=OPS)
    with pytest.raises(tables.TableFileError, match="no `ops`"):
        tables.load(tmp_path / "without.npz")


GAPS = {"gaps": np.array([1, np.nan, 2, np.inf]), "flat": [3, np.nan, 3, 3]}


def test_failed_evaluations_can_be_asked_or_not(tmp_path):
    path = save(tmp_path / "t.npz", **GAPS)
    worst = tables.load(path, failed="worst")
    assert list(worst.values) == ["speed", "gaps"]
    assert worst.left_out == {"flat": "is constant (3.0)"}
    np.testing.assert_array_equal(worst.values["gaps"], [1, np.nan, 2, np.nan])
    np.testing.assert_array_equal(worst.row, np.arange(4))
    absent = tables.load(path, failed="absent")
    np.testing.assert_array_equal(absent.row, [0, 2])
    np.testing.assert_array_equal(absent.ops, OPS[[0, 2]])
    np.testing.assert_array_equal(absent.values["speed"], [1.5, 30])
    assert absent.rows == 4 and absent.space == worst.space
    with pytest.raises(tables.TableFileError, match="'gaps' is nan in row 1"):
        tables.load(path, ["gaps"])
    with pytest.raises(ValueError, match="'best'; allowed: refuse, worst, absent"):
        tables.load(path, failed="best")


def test_trials_belong_to_values(tmp_path):
    trials = np.array([[1.0, 2.0], [np.nan, np.nan], [30, 30], [4, np.nan]])
    values = np.array([1, np.nan, 2, 3])
    path = save(tmp_path / "t.npz", speed=values, speed_trials=trials)
    loaded = tables.load(path, trials=True, failed="worst")
    np.testing.assert_array_equal(loaded.trials["speed"], trials)
    trials[1] = 5
    path = save(tmp_path / "t.npz", speed=values, speed_trials=trials)
    with pytest.raises(tables.TableFileError, match="in row 1, where speed is nan"):
        tables.load(path, trials=True, failed="worst")


def test_strings_that_are_those_of_the_rows(tmp_path):
    space = nas_bench_201()
    ops = np.array([[0, 1, 2, 3, 4, 0], [4] * 6])
    texts = np.array([space.arch_string(row) for row in ops])
    more = {"op_names": np.array(space.operations), "speed": np.arange(2)}
    for kind in (texts, texts.astype("S")):
        tables.load(save(tmp_path / "t.npz", ops=ops, arch_str=kind, **more))
    path = save(tmp_path / "t.npz", ops=ops, arch_str=texts[::-1], **more)
    with pytest.raises(tables.TableFileError, match="row 0: `arch_str` is "):
        tables.load(path)
