"""Two processes run a job of searches, then one of training; their clocks differ.

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

ROOT = Path(__file__).parents[2]
IMAGES = "--dataset synthetic --preset cpu --channels 2 --shrink 8 --epochs 2 "
IMAGES += "--train-images 64 --batch-size 16"
JOBS = {
    "sweep": "--methods reinforce --set learning-rate=0.01,0.1 --lanes 3 "
    "--columns cifar10_valid --seeds 1-2 --steps 12 --chunk 4",
    "nb201": "--hidden 4,4 --columns cifar10_valid --seeds 1-2 --steps 12 --chunk 4 "
    "--batch-size 4 --methods cadam",
    "train_supernet": f"{IMAGES} --space nb201 --cells 1 --validate 1 "
    "--validate-archs 1 --validate-images 20 --validate-batch 20 --no-table "
    "--devices 2",
}
CODE = """
import json, sys, jax
out, address, process, jobs = sys.argv[1:]
jax.config.update("jax_disable_most_optimizations", True)
jax.config.update("jax_num_cpu_devices", 1)
jax.distributed.initialize(address, 2, int(process))
sys.path.insert(0, {experiments!r})
every = "0" if process == "0" else "100000"
for script, flags in json.loads(jobs).items():
    flags = [*flags.split(), "--out", out + "/" + script]
    status = __import__(script).main([*flags, "--checkpoint-seconds", every])
    assert status == 0, (script, status)
""".format(experiments=str(ROOT / "experiments"))


def address():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{free.getsockname()[1]}"


def start(out, where, process):
    environment = {
        **os.environ,
        "PYTHONPATH": f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}",
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": "",
    }
    arguments = [str(out), where, str(process), json.dumps(JOBS)]
    return subprocess.Popen(
        [sys.executable, "-c", CODE, *arguments],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_nobody_waits_alone(tmp_path):
    where = address()
    workers = [start(tmp_path, where, process) for process in range(2)]
    try:
        printed = [worker.communicate(timeout=300) for worker in workers]
    finally:
        for worker in workers:
            worker.kill()
    for worker, (_, err) in zip(workers, printed, strict=True):
        assert worker.returncode == 0, err[-3000:]
    for script in JOBS:
        out = tmp_path / script
        assert f"written: {out}" in printed[0][0]
        assert json.loads((out / "results.json").read_text())["config"]
        (results,) = (p for p in out.glob("*.npz") if p.stem in ("results", "sweep"))
        with np.load(results) as file:
            names = {"accuracy", "loss", "cadam__accuracy", "best_accuracy"} & set(file)
            assert names and all(np.isfinite(file[n]).all() for n in names)
    assert "written" not in printed[1][0]
