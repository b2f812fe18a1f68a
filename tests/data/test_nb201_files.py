"""Files of NAS-Bench-201: strings, npz and CSV, and what is wrong with bad ones."""

import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nasjax.data import nb201
from nasjax.data.nb201 import files
from nasjax.data.nb201.__main__ import main
from nasjax.data.nb201.formats import parse_csv

FIXTURES = {
    0: "|avg_pool_3x3~0|+|nor_conv_1x1~0|skip_connect~1|+"
    "|nor_conv_1x1~0|skip_connect~1|skip_connect~2|",
    11: "|nor_conv_3x3~0|+|nor_conv_3x3~0|avg_pool_3x3~1|+"
    "|none~0|nor_conv_3x3~1|avg_pool_3x3~2|",
    1651: "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|",
    9930: "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+"
    "|skip_connect~0|nor_conv_3x3~1|nor_conv_3x3~2|",
    1462: "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+"
    "|nor_conv_3x3~0|nor_conv_3x3~1|nor_conv_3x3~2|",
}


def small(rows=4, names=("cifar10_valid", "cifar100_test")):
    """Arrays of a small file, in percent."""
    arrays = {"ops": nb201.official_ops()[:rows], "op_names": np.array(nb201.OP_NAMES)}
    for i, name in enumerate(names):
        arrays[name] = np.linspace(50 + i, 60 + i, rows).astype(np.float32)
    return arrays


def save(path, arrays):
    np.savez(path, **arrays)
    return path


@given(st.tuples(*[st.integers(0, 4)] * 6))
def test_strings_both_ways(ops):
    assert nb201.parse_arch(nb201.format_arch(ops)) == ops
    assert nb201.parse_arch("".join(map(str, ops))) == ops


@pytest.mark.parametrize("text", ["", "00000", "000005", "|none~0|", "none"])
def test_no_architecture(text):
    with pytest.raises(nb201.TableError, match="no architecture"):
        nb201.parse_arch(text)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ops": None}, "'ops' is missing"),
        ({"op_names": None}, "'op_names' is missing"),
        ({"op_names": np.array(["conv"])}, r"op_names is \('conv',\)"),
        ({"ops": np.zeros((4, 6), np.uint8)}, "more than once"),
        ({"ops": np.full((4, 6), 5)}, "from 0 to 4"),
        ({"ops": np.zeros((4, 5), np.uint8)}, r"not integers \[A, 6\]"),
        ({"ops": np.zeros(4, np.uint8)}, r"\[A, 6\]"),
        ({"cifar10_valid": np.array([1, 2, np.nan, 50])}, "row 2 is nan"),
        ({"cifar10_valid": np.array([1, 2, 3, 100.5])}, "100.5 is not within 0 to 100"),
        ({"cifar10_valid": np.array([1, 2, 3, -1.0])}, "-1.0 is not within"),
        ({"cifar10_valid": np.array([0.5, 0.6, 0.7, 0.8])}, "not fractions"),
        ({"cifar10_valid": np.array([50.0, 60.0])}, r"not numbers \[4\]"),
        ({"cifar10_valid": np.array(list("abcd"))}, "not numbers"),
        ({"cifar10_valid": np.array(50.0)}, r"not numbers \[4\]"),
        ({"cifar10_valid_source": np.array(["a", "b"])}, "not one text"),
        ({"cifar10_valid": np.array([None] * 4)}, "not a readable npz"),
        ({"cifar10_valid_trials": np.ones(4)}, r"not numbers \[4, R\]"),
        ({"cifar10_valid_trials": np.full((4, 2), np.nan)}, "row 0 has no trial"),
        ({"cifar10_valid_train_time": np.full(4, -1.0)}, "negative"),
        ({"cifar10_valid": None, "cifar100_test": None}, "none of the columns"),
    ],
)
@pytest.mark.filterwarnings("ignore:All-NaN")
def test_bad_npz(tmp_path, change, message):
    arrays = {k: v for k, v in (small() | change).items() if v is not None}
    path = save(tmp_path / "bad.npz", arrays)
    with pytest.raises(nb201.TableError, match=message) as raised:
        files.read(path)
    assert "bad.npz" in str(raised.value)


def test_damaged_files(tmp_path):
    (tmp_path / "nb201.npz").write_bytes(b"PK\x03\x04 no more")
    with pytest.raises(nb201.TableError, match=r"nb201\.npz"):
        files.read(tmp_path)
    with pytest.raises(nb201.TableError, match="cannot be read"):
        files.read(tmp_path / "absent.npz")
    (tmp_path / "table.txt").write_text("")
    with pytest.raises(nb201.TableError, match=r"\.npz or a \.csv"):
        files.read(tmp_path / "table.txt")


def test_rows_are_put_in_official_order(tmp_path):
    order = np.random.default_rng(0).permutation(15625)
    arrays = small(15625, ("cifar10_valid",))
    trials = np.stack([arrays["cifar10_valid"]] * 2, axis=1)
    table = files.read(
        save(
            tmp_path / "a.npz",
            {
                "ops": arrays["ops"][order],
                "op_names": arrays["op_names"].astype("S"),
                "cifar10_valid": arrays["cifar10_valid"][order],
                "cifar10_valid_trials": trials[order],
            },
        )
    )
    assert np.array_equal(table.ops, nb201.official_ops())
    column = table.column("cifar10_valid")
    assert np.array_equal(column.values, (arrays["cifar10_valid"] / 100.0))
    assert np.array_equal(column.trials[:, 1], column.values)
    assert column.version == "unknown"  # Its maximum is not that of v1_1.


def test_unlabelled_arrays_of_another_benchmark(tmp_path):
    arrays = small(15625, ("cifar100_test", "cifar10_valid_12ep"))
    arrays["cifar100_test_trials"] = np.full((15625, 2), 70.0)
    arrays["cifar10_valid_12ep_trials"] = np.full((15625, 1), 70.0)
    table = files.read(save(tmp_path / "a.npz", arrays))
    for column in table.columns.values():
        assert column.version == column.trials_version == "unknown"


def test_written_tables_read_back_in_bits(tmp_path):
    arrays = small(15625)
    trials = np.random.default_rng(0).uniform(0, 100, (15625, 3))
    trials[1::2, 2] = np.nan
    arrays |= {
        "cifar10_valid_trials": trials,
        "cifar10_valid_train_time": np.linspace(900, 9000, 15625),
        "cifar10_valid_source": np.array(b"elsewhere"),
        "cifar10_valid_version": np.array("NATS v1_0"),
        "cifar10_valid_trials_version": np.array("NATS v1_0"),
        "cifar10_valid_sha256": np.array("0" * 64),
    }
    table = files.read(save(tmp_path / "a.npz", arrays))
    assert table.columns["cifar10_valid"].source == "elsewhere"
    assert table.columns["cifar10_valid"].version == "NATS v1_0"
    files.write(table, tmp_path / "deep" / "nb201.npz")
    again = files.read(tmp_path / "deep")
    for name, column in table.columns.items():
        other = again.columns[name]
        assert np.array_equal(other.values, column.values)
        if column.trials is not None:
            assert np.array_equal(other.trials, column.trials, equal_nan=True)
            assert np.array_equal(other.train_time, column.train_time)
        for field in ("source", "version", "trials_version", "sha256", "predicted"):
            assert getattr(other, field) == getattr(column, field)
    assert os.listdir(tmp_path / "deep") == ["nb201.npz"]


PUBLIC = (
    "file id,arch str,cfg name,C,N,train accuracy,validation accuracy,test accuracy\n"
    f"0,{FIXTURES[0]},infer.tiny,16,5,88.9,81.98,81.52\n"
    f"11,{FIXTURES[11]},infer.tiny,16,5,88.9,83.5,82.5\n"
)


def test_public_csv():
    ops, columns = parse_csv(PUBLIC.encode(), "nasbench201_cifar10.csv")
    assert ops.tolist() == nb201.official_ops()[[0, 11]].tolist()
    # The test accuracy there is not that of the training on all of CIFAR-10.
    assert list(columns) == ["cifar10_valid"]
    assert columns["cifar10_valid"] == pytest.approx([81.98, 83.5])
    for name, short in (("cifar100", "cifar100"), ("ImageNet16-120", "imagenet16")):
        _, columns = parse_csv(PUBLIC.encode(), f"nasbench201_{name}.csv")
        assert columns[f"{short}_valid"] == pytest.approx([81.98, 83.5])
        assert columns[f"{short}_test"] == pytest.approx([81.52, 82.5])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (PUBLIC.replace("\n11,", "\n12,"), "line 3: file id 12 is"),
        (PUBLIC.replace("83.5", "high"), "line 3.*high"),
        (PUBLIC.replace("83.5,", ""), "line 3"),
        (PUBLIC.replace("validation", "valid"), "the header is"),
        ("arch,accuracy\n000000,1\n", "the header is"),
        ("cifar10_valid\n1\n", "the header is"),
        ("arch,cifar10_valid\n00000,1\n", "line 2: '00000' is no architecture"),
        ("", "not a CSV"),
    ],
)
def test_bad_csv(text, message):
    with pytest.raises(nb201.TableError, match=message):
        parse_csv(text.encode(), "cifar10.csv")
    with pytest.raises(nb201.TableError, match="must say the data set"):
        parse_csv(PUBLIC.encode(), "nasbench201.csv")


def test_a_file_that_is_there_is_not_replaced_unasked(tmp_path, capsys):
    path = tmp_path / "table.npz"
    path.write_text("a user's")
    for command in (["save", str(path)], ["import", str(path), str(path)]):
        assert main(command) == 1
        assert "exists; --overwrite replaces it" in capsys.readouterr().err
    assert path.read_text() == "a user's"
    assert main(["save", str(path), "--overwrite"]) == 0
    assert path.read_bytes().startswith(b"PK")
