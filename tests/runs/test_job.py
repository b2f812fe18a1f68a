"""The one loop: resumed to the same bits, stopped by signals, disks and NaN."""

import errno
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from nasjax.runs import job
from nasjax.runs.checkpoints import Checkpoints
from nasjax.runs.errors import DivergedError, RunError, StoppedError
from nasjax.runs.folder import open_run
from nasjax.runs.script import refusals, script


class Toy(job.Job):
    """A linear recurrence whose last value depends on every step."""

    def __init__(self, steps=20, chunk=3, on_step=None, marks=()):
        self.steps, self._chunk, self._on_step = steps, chunk, on_step
        self._marks, self.advanced = marks, 0

    def template(self):
        return {"x": np.zeros(2), "curve": np.zeros(self.steps)}

    def start(self):
        return self.template()

    def unpack(self, step, tree):
        return job.writable(tree)

    def pack(self, carry):
        return carry

    def end_after(self, step):
        return min(step + self._chunk - step % self._chunk, self.steps)

    def advance(self, carry, first, last):
        x = carry["x"]
        for t in range(first, last):
            if self._on_step:
                self._on_step(t)
            x = np.sin(3 * x + t) + np.array([0.1, 0.2])
            carry["curve"][t] = x[0]
            self.advanced += 1
        return carry | {"x": x}

    def must_save(self, step):
        return step == self.steps or step in self._marks

    def log(self, carry, step, saved):
        return {"step": step, "x": carry["x"][0]}


def opened(path, **options):
    return open_run(path, "toy", {"a": 1}, **options)


@pytest.fixture(scope="module")
def straight():
    return job.run(Toy())


def test_chunks_checkpoints_and_lines(tmp_path, straight):
    with opened(tmp_path) as folder:
        carry = job.run(Toy(marks=(6, 9)), folder)
    np.testing.assert_array_equal(carry["x"], straight["x"])
    assert Checkpoints(folder.checkpoints).steps() == [9, 20]
    steps = [json.loads(x)["step"] for x in (tmp_path / "log.jsonl").open()]
    assert steps == [3, 6, 9, 12, 15, 18, 20]


@pytest.mark.parametrize("chunk", [3, 4, 7])
def test_stopped_by_a_signal_and_resumed_to_the_same_bits(tmp_path, chunk, straight):
    def on_step(t):
        if t == 7:
            os.kill(os.getpid(), signal.SIGTERM)

    with opened(tmp_path) as folder, pytest.raises(StoppedError) as stopped:
        job.run(Toy(on_step=on_step), folder)
    assert stopped.value.status == 128 + signal.SIGTERM
    text = f"SIGTERM: step 9 of 20 is saved; --out {tmp_path} --resume goes on"
    assert str(stopped.value) == text
    toy = Toy(chunk=chunk)
    with opened(tmp_path, resume=True) as folder:
        carry = job.run(toy, folder, resume=True)
    assert toy.advanced == 11
    for name in ("x", "curve"):
        np.testing.assert_array_equal(carry[name], straight[name])
    done = Toy()
    with opened(tmp_path, resume=True) as folder:
        job.run(done, folder, resume=True)
    assert done.advanced == 0


def test_a_signal_in_the_last_chunk_stops_too(tmp_path):
    """Other jobs may follow."""

    def on_step(t):
        if t == 19:
            os.kill(os.getpid(), signal.SIGTERM)

    with opened(tmp_path) as folder, pytest.raises(StoppedError, match="20 of 20"):
        job.run(Toy(on_step=on_step), folder)
    assert Checkpoints(folder.checkpoints).steps() == [20]


def test_signals_are_given_back_and_a_second_one_ends_at_once(tmp_path):
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)

    def on_step(t):
        if t == 7:
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)

    toy = Toy(on_step=on_step)
    with opened(tmp_path) as folder, pytest.raises(StoppedError) as stopped:
        job.run(toy, folder, checkpoint_seconds=0)
    assert stopped.value.status == 130 and toy.advanced == 7
    assert "step 6 of 20 is saved" in str(stopped.value)
    after = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    assert after == before


def test_what_diverges_is_not_saved(tmp_path):
    def on_step(t):
        if t == 13:
            raise DivergedError("the loss is nan at step 13")

    with opened(tmp_path) as folder, pytest.raises(DivergedError, match="step 13"):
        job.run(Toy(on_step=on_step), folder, checkpoint_seconds=0)
    assert Checkpoints(folder.checkpoints).steps() == [9, 12]


def test_a_full_disk_is_one_line_and_keeps_what_was_saved(tmp_path, monkeypatch):
    save = Checkpoints.save

    def full(self, step, tree):
        if step > 9:
            raise ValueError("orbax") from OSError(errno.ENOSPC, "No space left")
        save(self, step, tree)

    monkeypatch.setattr(Checkpoints, "save", full)
    with opened(tmp_path) as folder, pytest.raises(RunError) as error:
        job.run(Toy(), folder, checkpoint_seconds=0)
    text = str(error.value)
    assert "checkpoints cannot be written" in text and "--resume goes on" in text
    assert "\n" not in text
    monkeypatch.undo()
    toy = Toy()
    with opened(tmp_path, resume=True) as folder:
        job.run(toy, folder, resume=True)
    assert toy.advanced == 11


def test_a_full_disk_at_the_log(tmp_path):
    if not Path("/dev/full").exists():
        pytest.skip("needs /dev/full")
    with opened(tmp_path) as folder:
        folder.claim(["log.jsonl"])
        (tmp_path / "log.jsonl").symlink_to("/dev/full")
        with pytest.raises(RunError, match=r"log\.jsonl cannot be written: No space"):
            job.run(Toy(), folder)


def test_the_first_chunk_says_that_it_compiles(capfd):
    job.run(Toy(on_step=lambda t: time.sleep(0.02)))
    err = capfd.readouterr().err
    assert "compiling ..." in err
    assert "compiling" not in err.rsplit("\r", 1)[-1]


# A script's frame: exit statuses and one line each.


@script
def main(argv):
    with refusals():
        if argv[0] == "value":
            raise ValueError("tau is 2; allowed: 0 to 1")
    if argv[0] == "stop":
        os.kill(os.getpid(), signal.SIGTERM)
    if argv[0] == "interrupt":
        raise KeyboardInterrupt
    if argv[0] == "diverged":
        raise DivergedError("the loss is nan")
    if argv[0] == "full":
        raise OSError(errno.ENOSPC, "No space left on device", "results.npz")
    if argv[0] == "fault":
        raise ValueError("a fault of the program")
    print("± done")


@pytest.mark.parametrize(
    ("word", "status", "line"),
    [
        ("fine", 0, ""),
        ("value", 2, "error: tau is 2; allowed: 0 to 1"),
        ("stop", 143, "SIGTERM: --resume goes on"),
        ("interrupt", 130, "SIGINT: --resume goes on"),
        ("diverged", 1, "error: the loss is nan"),
        ("full", 1, "error: results.npz cannot be written: No space left on device"),
    ],
)
def test_exit_statuses(word, status, line, capsys):
    assert main([word]) == status
    err = capsys.readouterr().err
    assert err.startswith(line) and len(err.splitlines()) == bool(line)


def test_a_fault_keeps_its_traceback():
    with pytest.raises(ValueError, match="a fault of the program"):
        main(["fault"])


def test_the_compilers_remarks_are_kept_out(monkeypatch, capsys):
    for before, after in (("1", "3"), ("0", "0")):  # 1 is JAX's own, 0 a user's
        monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", before)
        main(["fine"])
        assert os.environ["TF_CPP_MIN_LOG_LEVEL"] == after


ROOT = Path(__file__).parents[2]


def python(code, *arguments, **environment):
    paths = [str(ROOT), str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(paths),
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": "",
        **environment,
    }
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_an_ascii_terminal_ends_nothing():
    code = "import test_job, sys; sys.exit(test_job.main(['fine']))"
    process = python(code, PYTHONIOENCODING="ascii")
    out, err = process.communicate(timeout=100)
    assert (process.returncode, out) == (0, "\\xb1 done\n"), err


def test_a_platform_that_is_not_there_is_refused_in_one_line():
    code = """
import jax, sys
from nasjax.runs.script import script
@script
def main(argv):
    jax.numpy.zeros(1)
sys.exit(main())
"""
    process = python(code, JAX_PLATFORMS="cuda")
    _, err = process.communicate(timeout=100)
    assert process.returncode == 2
    last = err.splitlines()[-1]
    assert last.startswith("error: JAX_PLATFORMS=cuda: ") and "Traceback" not in err


KILLED = """
import sys, time, test_job
from nasjax.runs import job
with test_job.opened(sys.argv[1]) as folder:
    toy = test_job.Toy(on_step=lambda t: time.sleep(0.05))
    job.run(toy, folder, checkpoint_seconds=0)
"""


def test_killed_and_resumed_is_the_same_in_bits(tmp_path, straight):
    process = python(KILLED, tmp_path)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not (tmp_path / "log.jsonl").exists():
        time.sleep(0.01)
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    toy = Toy()
    with opened(tmp_path, resume=True) as folder:
        carry = job.run(toy, folder, resume=True)
    assert 0 < toy.advanced < 20
    for name in ("x", "curve"):
        np.testing.assert_array_equal(carry[name], straight[name])


TWO = """
import sys, jax
out, address, process = sys.argv[1], sys.argv[2], int(sys.argv[3])
jax.distributed.initialize(address, 2, process)
import os, signal, time, test_job
from nasjax.runs import job
from nasjax.runs.errors import StoppedError
# Only the first host's clock calls for checkpoints, only the second one is signalled.
def on_step(t):
    if t == 13 and process == 1:
        os.kill(os.getpid(), signal.SIGTERM)
folder = test_job.opened(out, writes=process == 0)
try:
    toy = test_job.Toy(on_step=on_step)
    job.run(toy, folder, checkpoint_seconds=0 if process == 0 else 1e9)
except StoppedError as error:
    print("stopped", error.status, toy.advanced, flush=True)
folder.release()
"""


def free_address():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{one.getsockname()[1]}"


def test_two_processes_agree_on_when_to_save_and_to_stop(tmp_path):
    address = free_address()
    workers = [python(TWO, tmp_path, address, i) for i in range(2)]
    try:
        results = [worker.communicate(timeout=100) for worker in workers]
    finally:
        for worker in workers:
            worker.kill()
    for worker, (out, err) in zip(workers, results, strict=True):
        assert worker.returncode == 0, err[-2000:]
        assert "stopped 143 15" in out
    assert Checkpoints(tmp_path / "checkpoints").steps() == [12, 15]
