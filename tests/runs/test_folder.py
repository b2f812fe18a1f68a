"""A run's folder: what is not the run's own is never removed or replaced."""

import dataclasses
import json
import os
import socket
import subprocess
import sys

import pytest

from nasjax.runs import locks
from nasjax.runs.configs import ConfigMismatchError, Rules, defaults, read_object
from nasjax.runs.folder import MANIFEST, open_run

OUTPUTS = ("results.json", "cells-*.png")


def run(path, config=None, program="nb201", **options):
    """A whole run: opens the folder, writes two files, closes it."""
    config = config or {"seeds": [1, 2], "tau": 0.9}
    with open_run(path, program, config, outputs=OUTPUTS, **options) as folder:
        folder.write_json("results.json", {"accuracy": float("nan")})
        folder.file("cells-4s.png").write_bytes(b"picture")
        folder.log({"step": 1, "best": float("inf")})
        (folder.checkpoints / "10").mkdir(parents=True, exist_ok=True)
    return folder


def test_a_run_marks_its_folder_and_lists_its_files(tmp_path):
    run(tmp_path / "out")
    marker = json.loads((tmp_path / "out" / MANIFEST).read_text())
    assert marker["program"] == "nb201"
    listed = {"config.json", "checkpoints", "log.jsonl", "results.json", "cells-4s.png"}
    assert set(marker["files"]) == listed | {MANIFEST}
    assert json.loads((tmp_path / "out" / "results.json").read_text()) == {
        "accuracy": None
    }
    line = json.loads((tmp_path / "out" / "log.jsonl").read_text())
    assert line == {"step": 1, "best": None}
    assert not (tmp_path / "out" / locks.NAME).exists()


def test_overwrite_removes_what_the_run_wrote_and_nothing_else(tmp_path):
    run(tmp_path)
    mine = {"notes.json": "{}", "data.npz": "x", "me.png": "y", "cells-me.txt": "z"}
    for name, text in mine.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(FileExistsError, match="--overwrite"):
        run(tmp_path)
    with open_run(tmp_path, "nb201", {"a": 1}, outputs=OUTPUTS, overwrite=True):
        left = sorted(p.name for p in tmp_path.iterdir())
    assert left == sorted([*mine, "config.json", MANIFEST, locks.NAME])
    assert {n: (tmp_path / n).read_text() for n in mine} == mine


def test_overwrite_keeps_out_of_other_folders(tmp_path):
    (tmp_path / "config.json").write_text('{"learning_rate": 1}')
    (tmp_path / "weights.npz").write_text("x")
    with pytest.raises(FileExistsError, match="not marked"):
        run(tmp_path, overwrite=True)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["config.json", "weights.npz"]


def test_another_programs_run_is_refused_by_name(tmp_path):
    run(tmp_path, program="train_supernet")
    for options in ({}, {"resume": True}, {"overwrite": True}):
        with pytest.raises(ValueError, match=r"a run of train_supernet, not of nb201"):
            run(tmp_path, **options)


@pytest.mark.parametrize("name", ["results.json", "cells-old.png", "log.jsonl"])
def test_a_foreign_file_of_such_a_name_is_refused(tmp_path, name):
    (tmp_path / name).write_text("mine")
    for options in ({}, {"resume": True}, {"overwrite": True}):
        with pytest.raises(FileExistsError, match=name):
            run(tmp_path, **options)
    assert (tmp_path / name).read_text() == "mine"
    assert [p.name for p in tmp_path.iterdir()] == [name]


def test_a_file_that_appears_meanwhile_is_not_replaced(tmp_path):
    with open_run(tmp_path, "nb201", {}, outputs=OUTPUTS) as folder:
        (tmp_path / "results.json").write_text("mine")
        with pytest.raises(FileExistsError, match="not written by this run"):
            folder.write_json("results.json", {})
    assert (tmp_path / "results.json").read_text() == "mine"


def test_a_manifest_reaches_no_file_outside(tmp_path):
    run(tmp_path / "out")
    outside = tmp_path / "outside.txt"
    outside.write_text("mine")
    marker = read_object(tmp_path / "out" / MANIFEST)
    marker["files"] += ["../outside.txt", str(outside), "."]
    (tmp_path / "out" / MANIFEST).write_text(json.dumps(marker))
    run(tmp_path / "out", overwrite=True)
    assert outside.read_text() == "mine"


def test_what_is_read_is_not_written(tmp_path):
    run(tmp_path / "net", program="train_supernet")
    before = sorted(p.name for p in (tmp_path / "net").rglob("*"))
    inputs = [None, tmp_path / "net"]
    for path in (tmp_path / "net", tmp_path / "net" / ".." / "net"):
        with pytest.raises(ValueError, match="is read"):
            run(path, inputs=inputs, overwrite=True)
    with pytest.raises(ValueError, match="is read"):
        run(tmp_path, inputs=[tmp_path / "results.json"])
    assert sorted(p.name for p in (tmp_path / "net").rglob("*")) == before
    run(tmp_path / "net" / "search", inputs=inputs)  # a folder below is another one


def test_fields_without_a_default_were_never_absent():
    @dataclasses.dataclass
    class Config:
        rate: float
        steps: int = 2

    assert defaults({"own": Config(0.1)}) == {"configs.own.steps": 2}


def test_resume_compares_configurations(tmp_path):
    run(tmp_path)
    run(tmp_path, {"seeds": (1, 2), "tau": 0.9}, resume=True)
    with pytest.raises(ConfigMismatchError, match=r"tau: 0.9 then, 0.8 now"):
        run(tmp_path, {"seeds": [1, 2], "tau": 0.8}, resume=True)
    with pytest.raises(ConfigMismatchError, match=r"seeds: \[1, 2\] then, \[1\] now"):
        run(tmp_path, {"seeds": [1], "tau": 0.9}, resume=True)


def test_fields_that_came_later_are_filled_in(tmp_path):
    """On both sides: a new run may read what an older version wrote, and carry it."""
    rules = Rules(absent={"net.drop_last": True, "cadam.tau": 0.9})
    old, new = {"net": {"epochs": 5}}, {"net": {"epochs": 5, "drop_last": True}}
    for number, (then, now) in enumerate([(old, new), (old, old), (new, old)]):
        run(tmp_path / str(number), then, rules=rules)
        run(tmp_path / str(number), now, rules=rules, resume=True)
    changed = {"net": {"epochs": 5, "drop_last": False}}
    with pytest.raises(ConfigMismatchError, match=r"drop_last: True then, False now"):
        run(tmp_path / "0", changed, rules=rules, resume=True)


def test_a_run_may_grow(tmp_path):
    rules = Rules(free=("chunk",), grows=("seeds", "steps", "configs"), absent={"k": 3})
    old = {"seeds": [1], "steps": 5, "configs": {"a": {"x": 1}}, "chunk": 9}
    new = {"seeds": [2, 1], "steps": 7, "configs": {"b": {}, "a": {"x": 1}}, "k": 3}
    run(tmp_path, old)
    run(tmp_path, new, resume=True, rules=rules)
    assert read_object(tmp_path / "config.json") == new
    for name, value in {"seeds": [1], "steps": 6, "configs": {"a": {"x": 1}}}.items():
        with pytest.raises(ConfigMismatchError, match=f"{name}.*not take away"):
            run(tmp_path, new | {name: value}, resume=True, rules=rules)
    later = new["configs"] | {"a": {"x": 1, "y": 2}}
    rules = rules._replace(absent={"k": 3, "configs.a.y": 2, "configs.c.y": 2})
    run(tmp_path, new | {"configs": later}, resume=True, rules=rules)
    with pytest.raises(ConfigMismatchError, match="k: 3 then, 4 now"):
        run(tmp_path, new | {"k": 4}, resume=True, rules=rules)


@pytest.mark.parametrize("text", ["[]", "null", "", "{", '"text"'])
def test_a_config_of_another_kind_is_named(tmp_path, text):
    run(tmp_path)
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(ValueError, match=r"config\.json"):
        run(tmp_path, resume=True)
    assert (tmp_path / "config.json").read_text() == text


def test_a_run_of_an_older_version_is_adopted(tmp_path):
    """Older versions left no manifest; resuming knows which files were theirs."""
    run(tmp_path)
    (tmp_path / MANIFEST).unlink()
    (tmp_path / "mine.npz").write_text("x")
    run(tmp_path, resume=True)
    assert "mine.npz" not in read_object(tmp_path / MANIFEST)["files"]
    run(tmp_path, overwrite=True)
    assert (tmp_path / "mine.npz").read_text() == "x"


def test_a_name_that_the_encoding_lacks_is_refused(tmp_path):
    with pytest.raises(ValueError, match="PYTHONUTF8=1"):
        run(tmp_path / "\udcc3\udca9")  # how an ASCII terminal passes é on
    run(tmp_path / "é")


def test_a_refusal_leaves_no_folder(tmp_path):
    out = tmp_path / "out"
    with pytest.raises(ValueError, match="is read"):
        run(out, inputs=[out])
    assert not out.exists()
    (tmp_path / "file").write_text("")
    with pytest.raises(FileExistsError, match="is a file"):
        run(tmp_path / "file")


HOLD = """
import sys, time
from nasjax.runs.folder import open_run
folder = open_run(sys.argv[1], "nb201", {"a": 1}, resume=True)
print("held", flush=True)
time.sleep(60)
"""


def test_one_process_at_a_time(tmp_path, capsys):
    other = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert "no run to resume" in other.stdout.readline()
    assert other.stdout.readline() == "held\n"
    holder = f"process {other.pid} on {socket.gethostname()}"
    with pytest.raises(locks.LockedError, match=holder):
        open_run(tmp_path, "nb201", {"a": 1}, resume=True)
    other.kill()
    other.wait()
    open_run(tmp_path, "nb201", {"a": 1}, resume=True).release()
    assert f"taken over, {holder} is gone" in capsys.readouterr().err
    open_run(tmp_path, "nb201", {"a": 1}, resume=True).release()
    assert "taken over" not in capsys.readouterr().err


def test_locks_of_other_hosts_and_files_of_others_stay(tmp_path):
    (tmp_path / locks.NAME).write_text('{"host": "elsewhere", "pid": 7}')
    with pytest.raises(locks.LockedError, match=r"process 7 on elsewhere.*remove"):
        locks.acquire(tmp_path)
    (tmp_path / locks.NAME).write_text("my own notes")
    with pytest.raises(locks.LockedError, match="no lock file of nasjax"):
        locks.acquire(tmp_path)
    assert (tmp_path / locks.NAME).read_text() == "my own notes"


def test_other_hosts_write_nothing(tmp_path):
    folder = open_run(tmp_path / "out", "nb201", {}, writes=False)
    folder.write_json("results.json", {})
    folder.log({"a": 1})
    folder.release()
    assert os.listdir(tmp_path) == []
