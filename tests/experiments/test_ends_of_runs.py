"""How a script ends before its time: signals, NaN, full disks, folders in use."""

import errno
import json
import os
import signal
import sys
from pathlib import Path

import numpy as np
import pytest

from nasjax.runs import job, locks, supernets
from nasjax.runs.checkpoints import Checkpoints
from nasjax.runs.training import Trainer

sys.path.insert(0, str(Path(__file__).parents[2] / "experiments"))
import search_supernet
import train_supernet

pytestmark = pytest.mark.usefixtures("quick_compile")

SMALL = [
    "--space=nb201", "--dataset=synthetic", "--preset=cpu", "--cells=1",
    "--channels=2", "--shrink=8", "--epochs=2", "--train-images=160",
    "--batch-size=32", "--validate=1", "--validate-archs=2",
    "--validate-images=20", "--validate-batch=20", "--no-table",
]  # fmt: skip


def run(out, *flags):
    return train_supernet.main([*SMALL, "--out", str(out), *flags])


@pytest.fixture(scope="module")
def straight(tmp_path_factory, quick_compile):
    out = tmp_path_factory.mktemp("straight")
    assert run(out) == 0
    return out


def arrays(out):
    with np.load(out / "results.npz") as file:
        return {name: file[name] for name in file.files if name != "seconds"}


def after_chunk(monkeypatch, number, act):
    """Calls `act` in the given chunk, while it is being computed."""
    done, count = job.Loop.done, iter(range(1, 10**6))

    def counting(self, step, carry):
        if next(count) == number:
            act()
        done(self, step, carry)

    monkeypatch.setattr(job.Loop, "done", counting)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_and_tells_how_to_go_on(
    straight, tmp_path, monkeypatch, capsys, number
):
    after_chunk(monkeypatch, 1, lambda: os.kill(os.getpid(), number))
    assert run(tmp_path) == 128 + number
    err = capsys.readouterr().err
    line = f"step 5 of 10 is saved; --out {tmp_path} --resume goes on"
    assert err.splitlines()[-1] == f"{number.name}: {line}"
    assert not (tmp_path / "results.json").exists()
    assert not (tmp_path / locks.NAME).exists()
    monkeypatch.undo()
    assert run(tmp_path, "--resume") == 0
    for name, value in arrays(straight).items():
        np.testing.assert_array_equal(arrays(tmp_path)[name], value, err_msg=name)


def test_a_loss_that_is_not_finite_stops_at_its_step(
    straight, tmp_path, monkeypatch, capsys
):
    advance = Trainer.advance

    def diverging(self, state, steps):
        state, metrics = advance(self, state, steps)
        if int(state.step) > 5:
            metrics.loss[:, 2] = np.nan
        return state, metrics

    monkeypatch.setattr(Trainer, "advance", diverging)
    assert run(tmp_path, "--checkpoint-seconds=0") == 1
    err = capsys.readouterr().err.splitlines()[-1]
    assert err.startswith("error: the loss is nan at step 7 (epoch 2): the training di")
    assert Checkpoints(tmp_path / "checkpoints").steps() == [5]
    for line in (tmp_path / "log.jsonl").open():
        json.loads(line, parse_constant=pytest.fail)
    assert supernets.load(tmp_path).step == 5
    assert not (tmp_path / "results.json").exists()


def test_a_learning_rate_far_too_high_is_no_success(tmp_path, capsys):
    assert run(tmp_path, "--learning-rate=1e20") == 1
    assert "training diverged" in capsys.readouterr().err
    assert Checkpoints(tmp_path / "checkpoints").steps() == []


def test_a_full_disk_is_one_line(tmp_path, monkeypatch, capsys):
    def full(self, step, tree):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Checkpoints, "save", full)
    assert run(tmp_path) == 1
    err = capsys.readouterr().err.splitlines()[-1]
    assert err.startswith(f"error: {tmp_path}/checkpoints cannot be written: No space")
    assert "--resume goes on" in err


def test_a_second_process_is_refused(straight, capsys):
    held = locks.acquire(straight)
    assert run(straight, "--resume") == 2
    assert f"in use by process {os.getpid()}" in capsys.readouterr().err
    held.release()


def test_a_supernet_that_is_read_is_not_overwritten(straight, capsys):
    def content():
        files = [p for p in sorted(straight.rglob("*")) if p.is_file()]
        return {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in files}

    before = content()
    flags = ["--supernet", straight, "--out", straight, "--overwrite", "--subset=16"]
    flags += ["--eval-batch=8", "--preset=cpu"]
    assert search_supernet.main([*map(str, flags)]) == 2
    assert "is read, so --out" in capsys.readouterr().err
    assert content() == before


def test_a_supernet_of_another_structure_stays(straight, monkeypatch):
    """As newer code would ask for it: one leaf more."""
    init = supernets.supernet_training.init

    def larger(*args, **kwargs):
        state = init(*args, **kwargs)
        return state._replace(params={**state.params, "new": np.zeros(3)})

    monkeypatch.setattr(supernets.supernet_training, "init", larger)
    steps = Checkpoints(straight / "checkpoints").steps()
    with pytest.raises(ValueError, match=r"lacks state/params/new.*left as it is"):
        supernets.load(straight)
    assert Checkpoints(straight / "checkpoints").steps() == steps


@pytest.mark.parametrize("text", ["[]", "null", ""])
def test_a_config_of_another_kind_is_refused(straight, tmp_path, text, capsys):
    (tmp_path / "config.json").write_text(text)
    assert run(tmp_path, "--resume") == 2
    assert "config.json" in capsys.readouterr().err
    with pytest.raises(ValueError, match=r"config\.json"):
        supernets.load(tmp_path)
