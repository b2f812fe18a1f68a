"""Pickles: no code is run, and accuracies are found in plain containers."""

import os
import pickle
import types

import numpy as np
import pytest

from nasjax.data import nb201, nb201_pickles, pickles


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
    trials = nb201_pickles.parse_trials(container, "file")
    assert trials.shape == (15625, 3)
    assert trials[:, 0] == pytest.approx(np.arange(15625) / 200)
    assert np.isnan(trials[0::2, 1]).all() and np.isnan(trials[:, 2]).all()


@pytest.mark.parametrize(
    ("entry", "trials"),
    [(5, [5]), ([5, 6], [5, 6]), ({777: 5.0}, [5]), ({"a": [5, 6, 7]}, [5, 6, 7])],
)
def test_trials_in_any_entry(entry, trials):
    found = nb201_pickles.parse_trials([entry] * 15625, "file")
    assert found[7, : len(trials)].tolist() == trials
    assert np.isnan(found[7, len(trials) :]).all()


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
        nb201_pickles.parse_trials(container, "file")


def test_package_file_of_another_shape():
    for container in ([1], {"000000": 1}, {"000000": {"val_acc": [1]}}):
        with pytest.raises(nb201.TableError, match="unexpected"):
            nb201_pickles.parse_package(container, "file")
