"""experiments/nb201.py in its smallest form, killed, resumed and misused."""

import functools
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import in_process
import nb201
import numpy as np
import pytest

pytestmark = pytest.mark.usefixtures("quick_compile")

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
COLUMNS = ["--columns", "cifar10_valid,cifar100_valid"]
SMALL = ["--hidden", "16,16", *COLUMNS]


def start(*arguments, **kwargs):
    # No forced host devices here: the experiment makes its own.
    flags = os.environ.get("XLA_FLAGS", "").split()
    flags = [f for f in flags if "device_count" not in f]
    environment = {**os.environ, "XLA_FLAGS": " ".join(flags), "NASJAX_OFFLINE": "1"}
    environment["JAX_DISABLE_MOST_OPTIMIZATIONS"] = "1"
    return subprocess.Popen(
        [sys.executable, str(EXPERIMENTS / "nb201.py"), *map(str, arguments)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **kwargs,
    )


call = functools.partial(in_process.call, "nb201")


def finish(*arguments):
    """In a process of its own: bits depend on the number of devices."""
    process = start(*arguments)
    _, err = process.communicate(timeout=300)
    assert process.returncode == 0, err


@pytest.fixture(scope="module")
def small(tmp_path_factory, quick_compile):
    out = tmp_path_factory.mktemp("nb201") / "run"
    methods = "cadam,random,evolution,evolution-64,reinforce,local-search"
    flags = ["--methods", methods, "--seeds", "1-3", "--steps", 12, "--out", out]
    code, text, err = call(*SMALL, *flags)
    assert code == 0, err
    return out, text


def load(folder):
    with np.load(folder / "results.npz") as file:
        return {name: file[name] for name in file.files}


def test_smallest_run_prints_the_table_and_writes_everything(small):
    out, text = small
    for name in ("results.json", "results.npz", "log.jsonl"):
        assert (out / name).stat().st_size > 0
    for name in ("anytime.png", "states.png"):
        assert (out / name).read_bytes().startswith(b"\x89PNG")
    report = (out / "report.txt").read_text()
    assert "cadam-12" in report and "local-search-12" in report
    assert re.search(r"BOHB \(thesis, quoted\) +90.82 ± 0.53 +70.74 ± 1.29", report)
    assert "optimum of this table" in report and "compile" in report
    assert "written: " in text and "compile" not in text


def test_a_run_prints_one_screen(tmp_path, table):
    """Published means stand below measured ones; the best method is named."""
    flags = ["--methods", "cadam,random,evolution", "--hidden", "16,16"]
    flags += ["--seeds", "1-2", "--steps", 500, "--out", tmp_path / "run"]
    code, text, err = call(*flags)
    assert code == 0, err
    lines = text.replace(str(tmp_path), "runs").splitlines()
    assert len(lines) <= 24 and max(map(len, lines)) <= 100
    at = next(i for i, line in enumerate(lines) if line.startswith("cadam"))
    assert lines[at + 1].split()[:3] == ["published", "91.36", "94.11"]
    cells = dict(zip(("method", "rank", "hits"), lines[3].split(), strict=False))
    (best,) = (line for line in lines if line.startswith("best: "))
    assert f"best: {cells['method']}, mean rank {cells['rank']} of 15,625" in best
    code, verbose, err = call(*flags, "--resume", "--verbose")
    assert code == 0, err
    report = (tmp_path / "run" / "report.txt").read_text()
    assert verbose.endswith(text) and report in verbose


def test_a_report_kept_by_a_user_stays(tmp_path, table):
    """As an older version left it: its output was printed, and kept by hand."""
    out = tmp_path / "run"
    flags = [*COLUMNS, "--methods", "random", "--seeds", 1, "--steps", 3, "--out", out]
    assert call(*flags)[0] == 0
    manifest = json.loads((out / "nasjax-run.json").read_text())
    manifest["files"].remove("report.txt")
    (out / "nasjax-run.json").write_text(json.dumps(manifest))
    (out / "report.txt").write_text("mine")
    code, text, _ = call(*flags, "--resume")
    assert code == 0 and "best accuracy [%]" in text
    assert (out / "report.txt").read_text() == "mine"


def test_the_best_searcher_runs_by_default():
    assert nb201.parse([]).methods == [
        "cadam",
        "random",
        "evolution",
        "evolution-64",
        "reinforce",
        "local-search",
        "bayesian-actor-critic",
    ]


def test_every_number_follows_from_the_npz_and_the_table(small, table):
    out, _ = small
    arrays = load(out)
    described = json.loads((out / "results.json").read_text())
    assert arrays["columns"].tolist() == ["cifar10_valid", "cifar100_valid"]
    assert arrays["seeds"].tolist() == [1, 2, 3]
    for method, entry in described["methods"].items():
        index = arrays[f"{method}__arch_index"]
        accuracy = arrays[f"{method}__accuracy"]
        assert index.dtype == np.int32 and index.shape == accuracy.shape == (2, 3, 12)
        for v, column in enumerate(arrays["columns"]):
            values = table.columns[column].values
            np.testing.assert_array_equal(values[index[v]], accuracy[v])
            for s, seed in enumerate(arrays["seeds"]):
                found = entry["columns"][column]["seeds"][str(seed)]
                best = accuracy[v, s].max()
                assert found["best"] == pytest.approx(float(best), abs=0)
                assert found["rank"] == 1 + np.sum(values > best)
                assert found["distinct"] == len(set(index[v, s].tolist()))
    assert set(described) >= {"config", "versions", "git", "device", "columns"}
    column = described["columns"]["cifar10_valid"]
    assert (column["split"], column["epochs"], column["trial"]) == (
        "x-valid",
        200,
        "mean",
    )
    assert len(column["sha256"]) == 64 and column["benchmark_version"]


def test_a_seed_alone_queries_what_it_queries_among_others(small, tmp_path):
    out, _ = small
    one = tmp_path / "one"
    flags = ["--methods", "cadam,evolution", "--steps", 12, "--out", one]
    code, _, err = call(*SMALL, "--seeds", 3, *flags)
    assert code == 0, err
    whole, alone = load(out), load(one)
    for method in ("cadam", "evolution"):
        for what in ("arch_index", "accuracy"):
            name = f"{method}__{what}"
            np.testing.assert_array_equal(alone[name][:, 0], whole[name][:, 2])


def test_killed_and_resumed_is_the_same_in_bits(tmp_path):
    flags = [*SMALL, "--methods", "cadam,random", "--seeds", "1-2", "--steps", 80]
    flags += ["--chunk", 20, "--checkpoint-seconds", 0]
    killed, straight = tmp_path / "killed", tmp_path / "straight"
    process = start(*flags, "--out", killed)
    folder, deadline = killed / "checkpoints" / "cadam", time.monotonic() + 200
    while time.monotonic() < deadline:
        saved = any(path.name.isdigit() for path in folder.glob("*"))
        log = killed / "log.jsonl"
        # The line comes after the checkpoint.
        if saved and log.exists() and log.read_text().endswith("\n"):
            break
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert not (killed / "results.json").exists()
    finish(*flags, "--out", killed, "--resume")
    steps = [json.loads(x)["step"] for x in (killed / "log.jsonl").open()]
    assert steps.count(20) == 2  # once per method: CADAM did not start anew
    finish(*flags, "--out", straight, "--resume")  # an empty folder
    a, b = load(killed), load(straight)
    assert a.keys() == b.keys()
    for name in a:
        np.testing.assert_array_equal(a[name], b[name])
    times = json.loads((killed / "results.json").read_text())["methods"]["cadam"]
    assert times["run_seconds"] > 0 and times["compile_seconds"] > 0


def test_resume_with_another_configuration_names_the_fields(small):
    out, _ = small
    flags = ["--methods", "cadam,random,evolution,evolution-64,reinforce,local-search"]
    flags += ["--seeds", "1-3", "--steps", 12, "--out", out, "--tau", 0.5]
    code, _, err = call(*SMALL, *flags, "--resume")
    assert code == 2 and "configs.cadam.tau: 0.9 then, 0.5 now" in err
    code, _, err = call(*SMALL, *flags)
    assert code == 2 and "--resume" in err and "--overwrite" in err


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--seeds", "5-2"], ["5-2", "backwards"]),
        (["--seeds", "1,1"], ["twice"]),
        (["--seeds", "x"], ["'x'", "1-10"]),
        (["--steps", "0"], ["0", "1 or more"]),
        (["--columns", "cifar10"], ["'cifar10'", "cifar10_valid"]),
        (["--methods", "bohb"], ["'bohb'", "local-search"]),
        (["--preset", "mine"], ["mine", "thesis"]),
        (["--trial", "best"], ["best", "random"]),
        (["--epochs", "100"], ["100", "12"]),
        (["--tau", "1.5"], ["tau", "1.5", "[0, 1]"]),
        (["--actor-lr", "fast"], ["'fast'", "number"]),
        (["--hidden", "128;128"], ["128;128", "128,256,128"]),
        (["--critic-loss", "huber"], ["critic_loss", "huber", "squared"]),
        (["--table", "/nowhere.npz"], ["/nowhere.npz"]),
        (["--protocol", "published", "--methods", "cadam"], ["cadam", "random"]),
        (["--distributed"], ["error: --distributed: "]),
        (["--protocol", "published", "--steps", "5"], ["--steps"]),
    ],
)
def test_bad_values_are_refused_before_any_work(flags, words, tmp_path):
    out = tmp_path / "out"
    code, _, err = call(*flags, "--out", out)
    assert code == 2
    for word in words:
        assert word in err
    assert not out.exists()


def test_one_random_trial_per_query(tmp_path, table):
    flags = ["--methods", "random", "--trial", "random", "--seeds", 1, "--steps", 50]
    code, _, err = call(*COLUMNS, *flags, "--out", tmp_path / "out")
    assert code == 0, err
    assert "single trials NATS v1_0" in (tmp_path / "out" / "report.txt").read_text()
    arrays = load(tmp_path / "out")
    for v, column in enumerate(arrays["columns"]):
        trials = table.columns[column].trials[arrays["random__arch_index"][v, 0]]
        seen = arrays["random__accuracy"][v, 0]
        assert np.all(np.any(trials == seen[:, None], axis=1))


def test_missing_tables_and_trials_are_refused_by_name(tmp_path, table):
    lacking = [n for n, c in table.columns.items() if c.trials is None]
    path = tmp_path / "small.csv"
    rows = [f"{a},{90 - a.count('|none')}" for a in ARCHS]
    path.write_text("arch,cifar10_valid\n" + "\n".join(rows) + "\n")
    flags = ["--table", path, "--columns", "cifar10_valid", "--out", tmp_path / "o"]
    code, _, err = call(*flags, "--trial", "random", "--steps", 5)
    assert code == 2 and "cifar10_valid" in err and "single trials" in err
    code, _, err = call("--axis", "time", *flags, "--steps", 5)
    assert code == 2 and "training time" in err
    assert lacking == [] or "imagenet16_test" in lacking


ARCHS = ["444444", "123123", "000001"]
