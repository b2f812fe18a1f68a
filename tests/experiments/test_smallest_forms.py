"""Every other experiment runs in its smallest form."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from nasjax.data import nb201
from nasjax.networks import predictor

# What is timed is not looked at here.
QUICK_COMPILE = {"JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}
EXPERIMENTS = Path(__file__).parents[2] / "experiments"


def call(name, *arguments):
    done = subprocess.run(
        [sys.executable, str(EXPERIMENTS / name), *map(str, arguments)],
        env={**os.environ, **QUICK_COMPILE, "XLA_FLAGS": ""},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_bench_search():
    text = call("bench_search.py", "--lanes", "3", "--steps", 2, "--full", 10)
    assert "3 (auto)" in text and "GFLOP/s" in text
    assert "one cycle 8.95 MFLOP" in text


def test_bench_search_of_whole_searches():
    flags = ["--method", "bayesian-actor-critic", "--queries", 12]
    text = call("bench_search.py", "--lanes", "2", *flags)
    assert "12 queries" in text and "searches/s" in text


def test_bench_search_refuses(capsys):
    sys.path.insert(0, str(EXPERIMENTS))
    import bench_search

    sys.path.remove(str(EXPERIMENTS))
    for argv, text in (
        ("--lanes 0", "1 or more"),
        ("--queries 9", "--queries would change nothing with --method cadam"),
        ("--method random --full 9", "--full would change nothing with --method rand"),
    ):
        with pytest.raises(SystemExit):
            bench_search.main(argv.split())
        assert text in capsys.readouterr().err


def test_bench_evaluate():
    cell = "|nor_conv_3x3~0|+|none~0|none~1|+|none~0|none~1|skip_connect~2|"
    flags = ["--steps", 2, "--rounds", 1, "--channels", 4, "--batch-size", 8]
    text = call("bench_evaluate.py", "--genotype", cell, "--preset", "cpu", *flags)
    assert "16 x 16 pixels, batch 8" in text and "of the matrix rate" in text
    assert len([line for line in text.splitlines() if "%" in line]) == 2


def test_fit_predictor(tmp_path, table):
    path, out = tmp_path / "table.npz", tmp_path / "weights.npz"
    names = list(predictor.COLUMNS)
    columns = table.columns
    # Without test columns the validation ones stand in: only the form matters here.
    values = [columns.get(n, columns[n.replace("test", "valid")]).values for n in names]
    percent = {
        n: 100 * v.astype(np.float64) for n, v in zip(names, values, strict=True)
    }
    np.savez(path, ops=table.ops, op_names=np.array(nb201.OP_NAMES), **percent)
    text = call("fit_predictor.py", "--table", path, "--epochs", 1, "--out", out)
    assert "rows of 647 classes held out" in text and "imagenet16_test" in text
    assert 10_000 < out.stat().st_size < 300_000
