"""Two processes through a job of searches and one of training, with clocks that differ.

Only the first process's clock calls for checkpoints in between. A job that asks each
host's own clock would enter a collective alone and hang.
"""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
IMAGES = "--dataset synthetic --preset cpu --channels 2 --shrink 8 --epochs 2 "
IMAGES += "--train-images 64 --batch-size 16"
JOBS = {
    "nb201": "--hidden 4,4 --columns cifar10_valid --seeds 1-2 --steps 12 --chunk 4 "
    "--batch-size 4 --methods cadam",
    "train_supernet": f"{IMAGES} --space nb201 --cells 1 --validate 1 "
    "--validate-archs 1 --validate-images 20 --validate-batch 20 --no-table "
    "--devices 2",
}
CODE = """
import sys, jax
script, out, address, process, *flags = sys.argv[1:]
jax.config.update("jax_disable_most_optimizations", True)
jax.config.update("jax_num_cpu_devices", 1)
jax.distributed.initialize(address, 2, int(process))
sys.path.insert(0, {experiments!r})
main = __import__(script).main
every = "0" if process == "0" else "100000"
sys.exit(main([*flags, "--out", out, "--checkpoint-seconds", every]))
""".format(experiments=str(ROOT / "experiments"))


def address():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{one.getsockname()[1]}"


def start(script, out, process, where, flags):
    environment = {
        **os.environ,
        "PYTHONPATH": f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}",
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": "",
    }
    command = [sys.executable, "-c", CODE, script, str(out), where, str(process)]
    return subprocess.Popen(
        [*command, *flags],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("script", JOBS)
def test_nobody_waits_alone(script, tmp_path):
    out, where = tmp_path / "run", address()
    flags = JOBS[script].split()
    workers = [start(script, out, i, where, flags) for i in range(2)]
    try:
        results = [worker.communicate(timeout=200) for worker in workers]
    finally:
        for worker in workers:
            worker.kill()
    for worker, (_, err) in zip(workers, results, strict=True):
        assert worker.returncode == 0, err[-3000:]
    assert "written" in results[0][0] and "written" not in results[1][0]
    assert json.loads((out / "results.json").read_text())["config"]
    with np.load(out / "results.npz") as file:
        names = {"accuracy", "loss", "cadam__accuracy"} & set(file)
        assert names and all(np.isfinite(file[n]).all() for n in names)
