"""Searches of generated functions: comparisons, growing runs, refusals."""

import json

import large_spaces
import numpy as np
import pytest

from nasjax.analysis.large_spaces import Searches

pytestmark = pytest.mark.usefixtures("quick_compile")
SMALL = ["--sizes", "4x3", "--functions", "2", "--queries", "20", "--families", "nk"]
METHODS = ["--methods", "random,evolution", "--evolution-population", "4"]


def run(out, *flags):
    return large_spaces.main([*SMALL, *METHODS, *flags, "--out", str(out)])


def test_a_run_grows_by_seeds_to_the_same_bits(tmp_path, capsys):
    assert run(tmp_path / "a", "--seeds", "1-2") == 0
    assert run(tmp_path / "a", "--seeds", "1-3", "--resume") == 0
    assert run(tmp_path / "b", "--seeds", "1-3") == 0
    with (
        np.load(tmp_path / "a/results.npz") as a,
        np.load(tmp_path / "b/results.npz") as b,
    ):
        assert a.files == ["random nk 4x3", "evolution nk 4x3"] == b.files
        for name in a.files:
            assert a[name].shape == (2, 3, 20)
            np.testing.assert_array_equal(a[name], b[name])
        best = a["evolution nk 4x3"].max(axis=-1)
    content = json.loads((tmp_path / "a/results.json").read_text())
    entry = content["results"]["nk 4x3"]["evolution"]["20"]
    assert entry["mean"] == pytest.approx(best.mean())
    assert entry["deviation"] == pytest.approx(best.std(ddof=1))
    assert "minus random, 20 queries" in capsys.readouterr().out
    assert (tmp_path / "a/best.png").stat().st_size > 1_000


def test_the_best_so_far_is_compared_seed_by_seed():
    """Method a is one deviation above the reference in each of eight searches."""
    score = np.array([[[0.0, 1.0], [3.0, 2.0]]] * 4)
    text = Searches.of({"nk": {"random": score, "a": score + 1}}, [1, 2]).report()
    rows = [line.split() for line in text.splitlines() if line]
    assert ["random", "1.50", "±", "1.60"] in rows  # after one query: 0, 3, ...
    assert ["a", "3.00", "±", "1.07"] in rows  # after two: 2, 4, ...
    assert ["a", "nk", "+1.00", "[+1.00,", "+1.00]", "0.008"] in rows


@pytest.mark.parametrize(
    "flags, message",
    [
        (["--sizes", "1x9"], "1x9"),
        (["--sizes", "20x300"], "20x300"),
        (["--sizes", "4x3,4x3"], "4x3"),
        (["--neighbours", "4"], "--neighbours 4: a space has 4 edges"),
        (["--families", "other"], "other"),
        (
            ["--sizes", "20x9", "--neighbours", "12"],
            "a function of 20x9 has 50,837,316,566,580 numbers; allowed: 10,000,000",
        ),
        (["--methods", "cadam", "--reward", "relative"], "here, scores are scaled"),
        (["--methods", "hyperband"], "hyperband"),
    ],
)
def test_bad_values_end_before_any_work(tmp_path, capsys, flags, message):
    with pytest.raises(SystemExit) as end:
        large_spaces.main([*SMALL, *flags, "--out", str(tmp_path / "out")])
    assert end.value.code == 2 and message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
