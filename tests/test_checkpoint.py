import json
from typing import NamedTuple

import jax
import numpy as np
import pytest

from nasjax.checkpoint import (
    Checkpoints,
    ConfigMismatchError,
    check_config,
    open_run,
)


class State(NamedTuple):
    weights: np.ndarray
    count: np.ndarray


def tree(value):
    return {"state": State(np.full((3, 2), value), np.int32(value)), "empty": ()}


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "checkpoints"


def test_newest_of_the_last_two(folder):
    checkpoints = Checkpoints(folder)
    assert checkpoints.restore(tree(0.0)) is None
    for step in (10, 20, 30):
        checkpoints.save(step, tree(float(step)))
    step, found = checkpoints.restore(tree(0.0))
    assert step == 30 and isinstance(found["state"], State)
    assert jax.tree.all(jax.tree.map(np.array_equal, found, tree(30.0)))
    kept = sorted(p.name for p in folder.iterdir() if p.name.isdigit())
    assert kept == ["20", "30"]
    checkpoints.close()


def test_a_damaged_last_checkpoint_falls_back(folder, capsys):
    checkpoints = Checkpoints(folder)
    for step in (10, 20):
        checkpoints.save(step, tree(float(step)))
    checkpoints.close()
    data = [p for p in (folder / "20").rglob("*") if p.is_file() and "/d/" in str(p)]
    assert data
    for path in data:
        path.write_bytes(path.read_bytes()[:10])
    again = Checkpoints(folder)
    step, found = again.restore(tree(0.0))
    assert step == 10 and found["state"].count == 10
    assert "passed over" in capsys.readouterr().out
    again.save(20, tree(20.0))  # the damaged step can be written again
    assert again.restore(tree(0.0))[0] == 20
    again.close()


def test_another_shape_is_an_error(folder):
    checkpoints = Checkpoints(folder)
    checkpoints.save(5, {"x": np.zeros(3)})
    with pytest.raises(ValueError, match=r"\[3\].*\[4\]"):
        checkpoints.restore({"x": np.zeros(4)})
    checkpoints.close()


def test_config_is_written_once_and_compared(tmp_path):
    path = tmp_path / "config.json"
    check_config(path, {"tau": 0.9, "seeds": [1, 2]}, resume=True)
    assert json.loads(path.read_text()) == {"tau": 0.9, "seeds": [1, 2]}
    check_config(path, {"tau": 0.9, "seeds": (1, 2)}, resume=True)
    with pytest.raises(ConfigMismatchError, match=r"tau: 0.9 then, 0.8 now"):
        check_config(path, {"tau": 0.8, "seeds": [1, 2]}, resume=True)


def test_a_run_is_not_overwritten_unasked(tmp_path):
    open_run(tmp_path, {"a": 1}, resume=False)
    with pytest.raises(FileExistsError, match="--overwrite"):
        open_run(tmp_path, {"a": 1}, resume=False)
    open_run(tmp_path, {"a": 2}, resume=False, overwrite=True)
    assert json.loads((tmp_path / "config.json").read_text()) == {"a": 2}
