"""experiments/compare.py on small tables: equal queries, goals, absent rows, resume."""

import functools
import json

import in_process
import numpy as np
import pytest

pytestmark = pytest.mark.usefixtures("quick_compile")

OPS = np.array(list(np.ndindex(3, 3, 3, 3)), np.uint8)
RNG = np.random.default_rng(0)
COST = RNG.normal(200, 40, 81)
KEPT = RNG.permutation(81)[:30]
SMALL = ["--queries", "12", "--seeds", "1-3", "--chunk", "4"]
QUICK = ["--best-hidden", "8", "--best-warm-up", "4"]


run = functools.partial(in_process.call, "compare")


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tables")
    trials = {"gain_trials": -COST[:, None] + [-60.0, 0.0, 60.0]}
    np.savez(folder / "whole.npz", ops=OPS, cost=COST, gain=-COST, **trials)
    np.savez(folder / "part.npz", ops=OPS[KEPT], cost=COST[KEPT])
    return folder


def arrays(folder):
    with np.load(folder / "results.npz") as file:
        return {name: file[name] for name in file.files}


def test_any_unit_and_goal(tables, tmp_path):
    """The lowest cost is found as the highest gain is; all numbers are the table's."""
    methods = "bayesian-actor-critic,local-search,cadam"
    more = ["--methods", methods, *SMALL, *QUICK, "--hidden", "8,8"]
    done = run(
        *("--table", tables / "whole.npz", "--columns", "cost", "--goal", "min"),
        *("--out", tmp_path / "min", *more),
    )
    assert done.code == 0, done.err
    assert "queries to the optimum" in (tmp_path / "min" / "report.txt").read_text()
    lines = done.out.replace(str(tables), "T").replace(str(tmp_path), "R")
    lines = lines.splitlines()
    assert len(lines) <= 24 and max(map(len, lines)) <= 100
    assert any(line.startswith("best: ") for line in lines)
    assert (tmp_path / "min" / "regret.png").read_bytes().startswith(b"\x89PNG")
    found = arrays(tmp_path / "min")
    described = json.loads((tmp_path / "min" / "results.json").read_text())
    assert described["optimum"]["cost"] == COST.min()
    for method in methods.split(","):
        index = found[f"{method}__arch_index"]
        assert index.shape == (1, 3, 12) and index.min() >= 0
        seen = found[f"{method}__accuracy"]
        np.testing.assert_allclose(seen, COST[index], rtol=1e-6)
        entry = described["methods"][method]["columns"]["cost"]["seeds"]["2"]
        assert entry["best"] == pytest.approx(seen[0, 1].min(), rel=1e-6)
        assert entry["rank"] == 1 + (COST[index[0, 1]].min() > COST).sum()
    # It asks nothing twice, and finds more than chance does.
    index = found["bayesian-actor-critic__arch_index"][0]
    assert all(len(np.unique(row)) == 12 for row in index)
    done = run(
        *("--table", tables / "whole.npz", "--columns", "gain"),
        *("--out", tmp_path / "max", *more),
    )
    assert done.code == 0, done.err
    again = arrays(tmp_path / "max")
    for method in methods.split(","):
        key = f"{method}__arch_index"
        np.testing.assert_array_equal(found[key], again[key])


def test_what_is_not_there_is_not_asked(tables, tmp_path):
    methods = "bayesian-actor-critic,random,local-search"
    done = run(
        *("--table", tables / "part.npz", "--goal", "min", "--methods", methods),
        *("--out", tmp_path / "part", *SMALL, *QUICK),
    )
    assert done.code == 0, done.err
    assert "30 architectures (of 81 possible)" in done.out
    found = arrays(tmp_path / "part")
    for method in methods.split(","):
        index = found[f"{method}__arch_index"]
        assert index.min() >= 0 and index.max() < 30
        np.testing.assert_allclose(
            found[f"{method}__accuracy"], COST[KEPT][index], rtol=1e-6
        )
    index = found["bayesian-actor-critic__arch_index"][0]
    assert all(len(np.unique(row)) == 12 for row in index)


def test_a_noisy_oracle(tables, tmp_path):
    """Queries return trials; what is reported are the values of what looked best."""
    methods = "bayesian-actor-critic,random"
    done = run(
        *("--table", tables / "whole.npz", "--trial", "random", "--methods", methods),
        *("--out", tmp_path / "noisy", *SMALL, *QUICK),
    )
    assert done.code == 0, done.err
    found = arrays(tmp_path / "noisy")
    described = json.loads((tmp_path / "noisy" / "results.json").read_text())
    for method in methods.split(","):
        index, seen = (found[f"{method}__{k}"] for k in ("arch_index", "accuracy"))
        noise = np.round(seen + COST[index], 3)
        assert set(np.unique(noise)) == {-60, 0, 60}
        entry = described["methods"][method]["columns"]["gain"]["seeds"]["1"]
        at = seen[0, 0].argmax()
        assert entry["best"] == pytest.approx(seen[0, 0, at])
        assert entry["table_value"] == -COST[index[0, 0, at]]


def test_another_run_is_not_continued(tables, tmp_path):
    whole = ["--table", tables / "whole.npz", "--columns", "gain", *SMALL]
    whole += ["--methods", "random", "--out", tmp_path / "run"]
    assert run(*whole).code == 0
    first = arrays(tmp_path / "run")
    assert run(*whole, "--resume").code == 0
    for name, value in arrays(tmp_path / "run").items():
        np.testing.assert_array_equal(value, first[name])
    # A run of before failures could be left out goes on, too.
    path = tmp_path / "run" / "config.json"
    before = json.loads(path.read_text())
    del before["failed"]
    path.write_text(json.dumps(before))
    done = run(*whole, "--resume")
    assert done.code == 0, done.err
    done = run(*whole, "--resume", "--goal", "min")
    assert done.code == 2 and "goal: 'max' then, 'min' now" in done.err


FAILURES = np.arange(81) % 3 == 1


@pytest.fixture(scope="module")
def failing(tables):
    """A third of the rows failed; a column of text, one too short, one constant."""
    cost = np.where(FAILURES, np.nan, COST)
    more = {"short": COST[:5], "flat": np.full(81, 2.0), "note": np.array(["a"] * 81)}
    np.savez(tables / "failing.npz", ops=OPS, cost=cost, speed=RNG.random(81), **more)
    return tables / "failing.npz"


@pytest.mark.parametrize("goal", ["max", "min"])
@pytest.mark.parametrize("failed", ["worst", "absent"])
def test_failed_rows(failing, tmp_path, goal, failed):
    """No column vanishes without a word; a failure can be asked, or cannot."""
    methods = "random,local-search"
    flags = ["--table", failing, "--goal", goal, "--methods", methods]
    done = run(*flags, "--failed", failed, *SMALL, "--out", tmp_path / "run")
    assert done.code == 0, done.err
    assert "columns cost, speed" in done.out
    for text in (
        "'short' has shape [5], `ops` has 81 rows",
        "'flat' is constant (2.0)",
        "'note' holds no numbers",
    ):
        assert f"left out: column {text}" in done.out
    count = "cost: 27 rows failed" if failed == "worst" else "left out: 27 rows"
    assert count in done.out and "nan" not in done.out.replace("nas", "")
    described = json.loads((tmp_path / "run" / "results.json").read_text())
    best = COST[~FAILURES].max() if goal == "max" else COST[~FAILURES].min()
    assert described["optimum"]["cost"] == best
    assert set(described["left_out"]) == {"short", "flat", "note"}
    found = arrays(tmp_path / "run")
    for method in methods.split(","):
        index, seen = (found[f"{method}__{k}"][0] for k in ("arch_index", "accuracy"))
        wanted = np.where(FAILURES, np.nan, COST)[index]
        np.testing.assert_allclose(seen, wanted, rtol=1e-6)
        assert np.isnan(seen).any() == (failed == "worst")
        entries = described["methods"][method]["columns"]["cost"]["seeds"]
        for s, entry in enumerate(entries.values()):
            pick = np.nanmax if goal == "max" else np.nanmin
            assert entry["best"] == pytest.approx(pick(seen[s]), rel=1e-6)
            assert COST[entry["arch_index"]] == pytest.approx(entry["best"])


def test_a_constant_column_is_refused_by_name(failing, tmp_path):
    flags = ["--table", failing, "--columns", "flat", "--out", tmp_path / "run"]
    done = run(*flags)
    assert done.code == 2 and "column 'flat' is constant (2.0)" in done.err


def test_one_seed_is_said(failing, tmp_path):
    """`--seeds 20` may be meant as a number of seeds."""
    more = ["--methods", "random", "--queries", "3", "--out", tmp_path / "run"]
    done = run("--table", failing, "--seeds", "20", *more)
    assert done.code == 0, done.err
    assert done.out.startswith("1 seed: 20 (1-20 would be 20 seeds)\n")


@pytest.mark.parametrize(
    "more, text",
    [
        (["--columns", "latency"], "no column 'latency'; it has cost, gain"),
        (["--methods", "best"], "'best' is unknown"),
        (["--trial", "random", "--columns", "cost"], "'cost' has no single trials"),
        (["--queries", "0"], "1 or more"),
        (["--best-beta", "-1"], "beta must lie in"),
        (["--reward", "power"], "--reward power needs --goal max and values in [0, 1]"),
        (["--table", "nowhere.npz"], "no table nowhere.npz; looked at nowhere.npz"),
    ],
)
def test_it_refuses(tables, tmp_path, more, text):
    given = ["--table", tables / "whole.npz", "--out", tmp_path / "run", *more]
    done = run(*given)
    assert done.code == 2 and text in done.err
    assert not (tmp_path / "run").exists()


GOALS = ["--objectives", "gain:max,cost*:min"]
FRONT = ["--methods", "bayesian-pareto,nsga2,random"]
PARETO = ["--pareto-hidden", "8", "--pareto-warm-up", "4", "--pareto-offspring", "16"]


@pytest.fixture(scope="module")
def two_files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("two")
    rows = RNG.permutation(81)
    cost2 = np.where(FAILURES, np.nan, COST**2)
    np.savez(folder / "gain.npz", ops=OPS, gain=-COST + RNG.normal(0, 40, 81))
    np.savez(folder / "cost.npz", ops=OPS[rows], cost1=COST[rows], cost2=cost2[rows])
    return f"{folder / 'gain.npz'},{folder / 'cost.npz'}"


def test_several_objectives(two_files, tmp_path):
    """A task for each cost; shares of the exact hypervolume of the rows queried."""
    flags = ["--table", two_files, *GOALS, *FRONT, *SMALL, *PARETO]
    done = run(*flags, "--out", tmp_path / "run")
    assert done.code == 0, done.err
    lines = done.out.splitlines()
    assert len(lines) <= 24 and max(map(len, lines)) <= 100
    described = json.loads((tmp_path / "run" / "results.json").read_text())
    assert list(described["tasks"]) == ["cost1", "cost2"]
    assert described["config"]["objectives"] == ["gain:max", "cost*:min"]
    found = arrays(tmp_path / "run")
    for picture in ("hypervolume.png", "fronts.png"):
        assert (tmp_path / "run" / picture).read_bytes().startswith(b"\x89PNG")
    for method in FRONT[1].split(","):
        index, share = (found[f"{method}__{k}"] for k in ("arch_index", "hypervolume"))
        assert index.shape == share.shape == (2, 3, 12)
        assert (np.diff(share) >= 0).all() and 0 < share.max() <= 1
        entry = described["methods"][method]["tasks"]["cost1"]["2"]
        assert entry["hypervolume"]["12"] == pytest.approx(share[0, 1, -1], rel=1e-6)
        assert set(entry["front"]) <= set(index[0, 1].tolist())
        if "cost2" in described["tasks"]:
            assert not FAILURES[described["tasks"]["cost2"]["front"]].any()
    assert "paired over seeds" in (tmp_path / "run" / "report.txt").read_text()


def test_a_column_may_be_called_accuracy(tmp_path):
    values = {"accuracy": COST[::-1], "cost": COST}
    np.savez(tmp_path / "named.npz", ops=OPS, **values)
    flags = ["--table", tmp_path / "named.npz", "--methods", "nsga2", *SMALL]
    for goals in ("cost:min,accuracy:max", "accuracy:max,cost:min"):
        done = run(*flags, "--objectives", goals, "--out", tmp_path / goals[:4])
        assert done.code == 0, done.err
        assert f"1 task of {goals[:8]}" in done.out


def test_a_run_with_a_constraint_goes_on_to_the_same_bits(two_files, tmp_path):
    flags = ["--table", two_files, "--objectives", "gain", "--methods"]
    flags += ["bayesian-pareto,nsga2", "--constraint", "cost1<=50%", *PARETO, *SMALL]
    assert run(*flags, "--out", tmp_path / "whole").code == 0
    fewer = [*flags[:-4], "--seeds", "1-2", "--chunk", "4", "--out", tmp_path / "parts"]
    done = run(*fewer)
    assert done.code == 0, done.err
    done = run(*flags, "--out", tmp_path / "parts", "--resume")
    assert done.code == 0, done.err
    whole, parts = arrays(tmp_path / "whole"), arrays(tmp_path / "parts")
    for name, value in whole.items():
        np.testing.assert_array_equal(parts[name], value)
    described = json.loads((tmp_path / "parts" / "results.json").read_text())
    (task,) = described["tasks"].values()
    assert task["bounds"] == {"cost1<=50%": pytest.approx(np.median(COST))}
    assert task["feasible"] == 41
    assert "to the optimum" in done.out
    index = whole["nsga2__arch_index"][0, :, :]
    gain = np.load(two_files.split(",")[0])["gain"]
    feasible = np.median(COST) >= COST
    best = np.where(feasible[index], gain[index], -np.inf).max(axis=1).mean()
    log = (tmp_path / "whole" / "log.jsonl").read_text().splitlines()
    last = [x for x in map(json.loads, log) if x.get("method") == "nsga2"][-1]
    assert [*last["best"].values()] == [pytest.approx(best, rel=1e-5)]
    other = [x if x != "cost1<=50%" else "cost1<=40%" for x in flags]
    done = run(*other, "--out", tmp_path / "parts", "--resume")
    assert done.code == 2 and "constraints" in done.err


@pytest.mark.parametrize(
    "flags, reason",
    [
        (["--constraint", "cost<=5"], "--constraint needs --objectives"),
        (["--objectives", "gain:most"], "allowed: NAME:max or NAME:min"),
        (["--objectives", "gain", "--constraint", "cost<5"], "is no constraint"),
        (["--objectives", "gain", "--constraint", "cost<=120%"], "is no constraint"),
        (["--objectives", "gain", "--goal", "min"], "--goal would change nothing"),
        (["--objectives", "gain,time:min"], "no column 'time' to search"),
        (["--objectives", "gain", "--constraint", "cost<=1"], "no row keeps cost<=1"),
        (["--objectives", "gain", "--constraint", "gain<=0%"], "has no hypervolume"),
        (["--objectives", "gain,g*:min"], "gain, g*: every combination of columns"),
    ],
)
def test_objectives_that_cannot_be_searched(tables, tmp_path, flags, reason):
    whole = ["--table", tables / "whole.npz", "--out", tmp_path / "run"]
    done = run(*whole, *flags)
    assert done.code == 2 and reason in done.err
