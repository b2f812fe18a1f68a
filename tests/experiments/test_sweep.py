"""experiments/sweep.py in its smallest form, extended and misused."""

import csv
import functools
import json

import in_process
import numpy as np
import pytest

pytestmark = pytest.mark.usefixtures("quick_compile")

call = functools.partial(in_process.call, "sweep")
SMALL = ["--columns", "cifar10_valid", "--seeds", "1-2", "--steps", 8, "--chunk", 4]
RATES = "learning-rate=0.01,0.5"


@pytest.fixture(scope="module")
def small(tmp_path_factory, quick_compile):
    out = tmp_path_factory.mktemp("sweep") / "run"
    flags = ["--methods", "reinforce", "--set", RATES, "--out", out]
    code, text, err = call(*SMALL, *flags)
    assert code == 0, err
    return out, text


def rows(out):
    with (out / "sweep.csv").open() as file:
        return list(csv.DictReader(file))


def test_it_says_what_it_takes_before_it_starts(small):
    out, text = small
    assert "2 settings of reinforce; 1 programs to compile" in text
    assert "4 lanes (2 settings x 1 columns x 2 seeds) of 8 queries" in text
    assert "MB per lane" in text
    assert f"written: {out}" in text
    assert len(rows(out)) == 4
    assert (out / "reinforce--learning-rate.png").stat().st_size > 1000


def test_more_of_everything(small, table):
    """A method, values, a column and a seed; what was done has the same rows."""
    out, _ = small
    before = {(r["setting"], r["column"], r["seed"]): r for r in rows(out)}
    flags = ["--columns", "cifar100_valid,cifar10_valid", "--seeds", "1-3"]
    flags += ["--steps", 8, "--chunk", 4, "--methods", "reinforce,random", "--at", 4]
    flags += ["--set", f"reinforce.{RATES},0.1", "--set", "reinforce.momentum=0.9,0.5"]
    flags += ["--reference", "reinforce learning-rate=5e-1"]
    code, text, err = call(*flags, "--out", out, "--resume")
    assert code == 0, err
    assert "42 lanes (7 settings x 2 columns x 3 seeds) of 8 queries; 4 done" in text
    found = rows(out)
    assert len(found) == 2 * 42
    for row in found:
        key = (row["setting"], row["column"], row["seed"])
        if row["queries"] == "8" and key in before:
            shared = before[key].items()
            assert {n: row[n] for n, _ in shared} == dict(shared)
    names = {path.name for path in out.glob("*.png")}
    fields = "learning-rate", "momentum", "learning-rate--momentum"
    assert names == {f"reinforce--{name}.png" for name in fields}
    report = (out / "report.txt").read_text()
    assert "minus reinforce learning-rate=0.5" in report
    assert "after 4 queries" in report
    content = json.loads((out / "results.json").read_text())
    assert len(content["config"]["settings"]) == len(content["mean_rank"]) == 7
    with np.load(out / "sweep.npz") as file:
        best = file["best_accuracy"].max()
        assert best <= table.columns["cifar10_valid"].values.max()
        momentum = file["momentum"]
        assert set(momentum[file["method"] == "reinforce"]) == {0.5, 0.9}
        assert np.isnan(momentum[file["method"] == "random"]).all()
    # Fewer of anything is another sweep.
    code, _, err = call(*SMALL, "--set", "tau=0.5", "--out", out, "--resume")
    assert code == 2
    assert "--resume can add to it, not take away" in err


def test_the_plan_alone(tmp_path):
    """Three traced values and two widths beside the base: 6 settings, 3 programs."""
    flags = ["--set", "tau=0.5:0.8:3", "--set", "hidden=4,5", "--hidden", 6]
    flags += ["--design", "one-at-a-time", "--plan", "--memory", 2, "--out"]
    code, text, err = call(*SMALL, *flags, tmp_path / "run")
    assert code == 0, err
    assert text.startswith("6 settings of cadam; 3 programs to compile\n12 lanes")
    assert "2 MB for lanes on each of" in text
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--set", "tau=0.5,1.5"], "cadam: tau must lie in [0, 1], got 1.5"),
        (["--set", "nothing=1"], "cadam: nothing is unknown; allowed: actor-lr"),
        (["--at", "9"], "--at 9 is over --steps 8"),
        (["--against", "table4.1"], "needs --at 500,1000: 500, 1000 is missing"),
        (["--reference", "tau=0.6"], "'tau=0.6' is none of the settings: cadam"),
        (["--methods", "random,cadam", "--set", "tau=1"], "write METHOD.tau"),
        (["--memory", "1", "--hidden", "2000,2000"], "a lane takes"),
    ],
)
def test_refusals_before_any_work(flags, says, tmp_path):
    code, _, err = call(*SMALL, *flags, "--out", tmp_path / "run")
    assert code == 2
    assert says in err
    assert not (tmp_path / "run").exists()
