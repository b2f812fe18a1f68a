"""Every other experiment runs in its smallest form."""

import os
import subprocess
import sys
from pathlib import Path

EXPERIMENTS = Path(__file__).parents[2] / "experiments"


def call(name, *arguments):
    done = subprocess.run(
        [sys.executable, str(EXPERIMENTS / name), *map(str, arguments)],
        env={**os.environ, "XLA_FLAGS": ""},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_bench_search():
    text = call("bench_search.py", "--lanes", "1,3", "--steps", 2, "--full", 10)
    assert "3 (auto)" in text and "GFLOP/s" in text
    assert "one cycle 8.95 MFLOP" in text


def test_bench_search_refuses():
    command = [sys.executable, str(EXPERIMENTS / "bench_search.py"), "--lanes", "0"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "1 or more" in done.stderr
