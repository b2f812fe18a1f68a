"""Pickles: no code is run, and accuracies are read from plain containers."""

import os
import pickle
import types

import numpy as np
import pytest

from nasjax.data import nb201, pickles
from nasjax.data.nb201.formats import parse_package, parse_trials


class Malicious:
    def __reduce__(self):
        return os.system, ("exit 1",)


class Persistent(pickle.Pickler):
    def persistent_id(self, obj):
        return "outside" if obj == "secret" else None


def test_pickles_hold_plain_containers_only(tmp_path):
    plain = {"a": [1, 2.5, None, ("b", b"c")], 3: {True}}
    assert pickles.load(pickle.dumps(plain)) == plain
    for value in (Malicious(), np.float64(1.0), np.zeros(2), types.SimpleNamespace()):
        with pytest.raises(pickle.UnpicklingError, match="refused the global"):
            pickles.load(pickle.dumps(value))
    with open(tmp_path / "p", "wb") as file:
        Persistent(file).dump(["secret"])
    with pytest.raises(pickle.UnpicklingError, match="persistent id"):
        pickles.load((tmp_path / "p").read_bytes())
    for damaged in (b"", b"\x80", pickle.dumps(plain)[:-5], b"no pickle"):
        with pytest.raises(pickle.UnpicklingError):
            pickles.load(damaged)


ARRAYS = (
    np.arange(24, dtype=np.uint8).reshape(2, 3, 4),
    np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    np.array([-1, 2**40], ">i8"),
    np.array([True, False]),
    np.array(2.5, np.float32),
)


@pytest.mark.parametrize("module", ["numpy.core", "numpy._core"])
@pytest.mark.parametrize("protocol", range(5))
def test_arrays_of_numbers_load(protocol, module):
    batch = {"data": list(ARRAYS), "labels": [3, 1], b"name": b"\xff\x00"}
    # What NumPy 1 and 2 write differs in the name of one module only.
    written = pickle.dumps(batch, protocol)
    if protocol < 4:
        written = written.replace(b"numpy._core", module.encode())
    elif module == "numpy.core":  # Its length comes first here, in one byte.
        new, old = (f"{name}.multiarray".encode() for name in (module, "numpy._core"))
        written = written.replace(bytes([len(old)]) + old, bytes([len(new)]) + new)
        written = without_frames(written)
    assert module.encode() in written
    loaded = pickles.load_arrays(written)
    assert loaded["labels"] == [3, 1] and loaded[b"name"] == b"\xff\x00"
    for loaded_array, array in zip(loaded["data"], ARRAYS, strict=True):
        # NumPy itself brings the bytes of an array into the machine's order.
        assert loaded_array.dtype == array.dtype.newbyteorder("=")
        assert type(loaded_array) is np.ndarray
        np.testing.assert_array_equal(loaded_array, array)


def without_frames(written):
    """A pickle of protocol 4 with its only frame, whose length is now wrong, undone."""
    assert written[2:3] == pickle.FRAME
    return written[:2] + written[11:]


def test_strings_of_python_2_are_text():
    # {'data': 'caf\xe9'}: STRING and SHORT_BINSTRING as Python 2 wrote them.
    written = b"\x80\x02}U\x04dataU\x04caf\xe9s."
    assert pickles.load_arrays(written) == {"data": "caf\xe9"}


@pytest.mark.parametrize(
    "value",
    [
        Malicious(),
        types.SimpleNamespace(),
        np.float64(1.0),
        np.array(["text"]),
        np.array([None, Malicious()]),
        np.zeros(2, [("a", "u1")]),
        np.ma.zeros(2),
        np.random.default_rng(0),
        getattr,
        np.load,
        np.zeros,
    ],
    ids=lambda value: type(value).__name__,
)
@pytest.mark.parametrize("protocol", [2, 4])
def test_all_but_arrays_of_numbers_is_refused(value, protocol):
    with pytest.raises(pickle.UnpicklingError, match=r"refused the (global|dtype)"):
        pickles.load_arrays(pickle.dumps({"data": value}, protocol))


def test_no_global_is_run_before_it_is_refused(tmp_path):
    class Touch:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "made"),)

    written = pickle.dumps(Touch())
    with pytest.raises(pickle.UnpicklingError, match=r"global \w+\.mkdir"):
        pickles.load_arrays(written)
    assert not (tmp_path / "made").exists()
    pickle.loads(written)  # It would have.
    assert (tmp_path / "made").exists()


def test_dotted_names_reach_nothing():
    # Protocol 4 resolves "a.b" from "a": numpy's ndarray.tofile, dtype.__class__.
    for module, name in [("numpy", "ndarray.tofile"), ("numpy", "dtype.__class__")]:
        written = b"\x80\x04" + b"".join(
            b"\x8c" + bytes([len(text)]) + text.encode() for text in (module, name)
        )
        with pytest.raises(pickle.UnpicklingError, match="refused the global"):
            pickles.load_arrays(written + b"\x93.")


def test_damaged_arrays():
    written = pickle.dumps({"data": ARRAYS[0]}, 4)
    for damaged in (b"", written[:-5], written[:40], written.replace(b"u1", b"f8")):
        with pytest.raises(pickle.UnpicklingError):
            pickles.load_arrays(damaged)
    with pytest.raises(pickle.UnpicklingError, match="persistent id"):
        pickles.load_arrays(b"\x80\x02X\x01\x00\x00\x00aQ.")


def keys():
    ops = nb201.official_ops()
    return {
        "list": None,
        "int": range(15625),
        "text": [str(i) for i in range(15625)],
        "padded": [f"{i:06d}" for i in range(15625)],
        "tuple": [tuple(row) for row in ops.tolist()],
        "digits": ["".join(map(str, row)) for row in ops.tolist()],
        "official": [nb201.format_arch(row) for row in ops],
    }


@pytest.mark.parametrize("kind", keys())
def test_trials_by_any_key(kind):
    values = [[i / 200, i / 200 + 1][: 1 + i % 2] for i in range(15625)]
    container = values
    if kind != "list":
        shuffled = np.random.default_rng(0).permutation(15625).tolist()
        names = list(keys()[kind])
        container = {names[i]: values[i] for i in shuffled}
    trials = parse_trials(container, "file")
    assert trials.shape == (15625, 3)
    assert trials[:, 0] == pytest.approx(np.arange(15625) / 200)
    assert np.isnan(trials[0::2, 1]).all() and np.isnan(trials[:, 2]).all()


@pytest.mark.parametrize(
    ("entry", "trials"),
    [(5, [5]), ([5, 6], [5, 6]), ({777: 5.0}, [5]), ({"a": [5, 6, 7]}, [5, 6, 7])],
)
def test_trials_in_any_entry(entry, trials):
    parsed = parse_trials([entry] * 15625, "file")
    assert parsed[7, : len(trials)].tolist() == trials
    assert np.isnan(parsed[7, len(trials) :]).all()


@pytest.mark.parametrize(
    ("container", "message"),
    [
        (7, "a int 7, not a dict or a list"),
        ([1.0], "a list of 1, first 1.0 does not name each"),
        ([1.0] * 15626, "a list of 15626"),
        ({"x": 1.0}, r"keys such as \['x'\]"),
        ({(1, 2): 1.0}, "keys such as"),
        ({i: [1.0] * 4 for i in range(15625)}, "a list of 4, first 1.0, not 1 to 3"),
        ({i: [] for i in range(15625)}, r"a list \[\], not 1 to 3 numbers"),
        ({i: {"a": {"b": 1}} for i in range(15625)}, "a dict of 1"),
        (dict.fromkeys(range(15625), True), "a bool True"),
    ],
)
def test_unexpected_containers_are_described(container, message):
    with pytest.raises(nb201.TableError, match=message):
        parse_trials(container, "file")


def test_package_file_of_another_shape():
    for container in ([1], {"000000": 1}, {"000000": {"val_acc": [1]}}):
        with pytest.raises(nb201.TableError, match="unexpected"):
            parse_package(container, "file")
