"""Checkpoints: named leaves, damaged ones passed over, nothing ever deleted."""

from typing import NamedTuple

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest

from nasjax.runs.checkpoints import CheckpointError, Checkpoints, MismatchError


class State(NamedTuple):
    weights: np.ndarray
    count: np.ndarray


def tree(value):
    state = State(np.full((3, 2), value), np.int32(value))
    return {"state": state, "empty": (), "curve": np.full(2, value)}


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "checkpoints"


def saved(folder, *steps):
    checkpoints = Checkpoints(folder)
    for step in steps:
        checkpoints.save(step, tree(float(step)))
    checkpoints.close()


def content(folder):
    """Every file below with its bytes and its time."""
    files = [p for p in sorted(folder.rglob("*")) if p.is_file()]
    return {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in files}


def tear(folder):
    data = [p for p in folder.rglob("*") if p.is_file() and "/d/" in str(p)]
    assert data
    for path in data:
        path.write_bytes(path.read_bytes()[:10])


def test_newest_of_the_last_two(folder):
    assert Checkpoints(folder).restore(tree(0.0)) is None
    assert not folder.exists()  # looking makes no folder
    saved(folder, 10, 20, 30)
    step, found = Checkpoints(folder).restore(tree(0.0))
    assert step == 30 and isinstance(found["state"], State)
    assert jax.tree.all(jax.tree.map(np.array_equal, found, tree(30.0)))
    assert Checkpoints(folder).steps() == [20, 30]


def test_leaves_are_named_by_their_paths(folder):
    saved(folder, 5)
    reader = ocp.CheckpointManager(
        folder, item_handlers=ocp.StandardCheckpointHandler()
    )
    names = reader.item_metadata(5).tree
    reader.close()
    assert sorted(names) == ["curve", "format", "state/count", "state/weights"]


def test_a_damaged_last_checkpoint_falls_back(folder, capsys):
    saved(folder, 10, 20)
    tear(folder / "20")
    before = content(folder)
    again = Checkpoints(folder)
    step, found = again.restore(tree(0.0))
    assert step == 10 and found["state"].count == 10
    assert "passed over" in capsys.readouterr().out
    assert content(folder) == before  # reading writes nothing
    again.save(20, tree(21.0))
    assert again.restore(tree(0.0))[1]["state"].count == 21
    again.close()
    torn = [path for path in before if "/20/" in str(path)]
    moved = [folder / "damaged-20" / p.relative_to(folder / "20") for p in torn]
    assert [p.read_bytes() for p in moved] == [before[p][0] for p in torn]


def test_nothing_readable_is_an_error_that_deletes_nothing(folder):
    saved(folder, 10, 20)
    tear(folder)
    before = content(folder)
    with pytest.raises(CheckpointError, match="none of the checkpoints can be read"):
        Checkpoints(folder).restore(tree(0.0))
    assert content(folder) == before


@pytest.mark.parametrize(
    ("template", "words"),
    [
        (tree(0.0) | {"more": np.zeros(1)}, ["lacks more"]),
        ({"state": tree(0.0)["state"]}, ["has beside curve"]),
        (tree(0.0) | {"curve": np.zeros(3)}, ["curve is float64[2], not float64[3]"]),
        (tree(0.0) | {"curve": np.zeros(2, np.int32)}, ["not int32[2]"]),
    ],
)
def test_what_does_not_fit_is_named_and_stays(folder, template, words):
    saved(folder, 10, 20)
    before = content(folder)
    with pytest.raises(MismatchError) as error:
        Checkpoints(folder).restore(template)
    for word in (*words, str(folder / "20"), "left as it is"):
        assert word in str(error.value)
    assert content(folder) == before


def test_running_out_of_memory_deletes_nothing(folder, monkeypatch):
    saved(folder, 10)

    def fail(*_, **__):
        raise MemoryError("no memory")

    monkeypatch.setattr(ocp.CheckpointManager, "restore", fail)
    with pytest.raises(MemoryError):
        Checkpoints(folder).restore(tree(0.0))
    monkeypatch.undo()
    assert Checkpoints(folder).restore(tree(0.0))[0] == 10


def test_the_first_template_that_fits(folder):
    saved(folder, 10)
    larger = tree(0.0) | {"curve": np.zeros(7)}
    step, found = Checkpoints(folder).restore(larger, tree(0.0))
    assert step == 10 and found["curve"].shape == (2,)
    with pytest.raises(MismatchError, match=r"float64\[7\]"):
        Checkpoints(folder).restore(larger, tree(0.0) | {"curve": np.zeros(5)})


def test_a_newer_format_asks_for_a_newer_version(folder):
    checkpoints = Checkpoints(folder)
    checkpoints.save(1, {"x": np.zeros(2)})
    checkpoints.close()
    from nasjax.runs import checkpoints as module

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "FORMAT", 1)
        with pytest.raises(MismatchError, match="newer nasjax"):
            Checkpoints(folder).restore({"x": np.zeros(2)})


class Before(NamedTuple):
    walk: np.ndarray
    weights: np.ndarray


class Now(NamedTuple):
    ou_noise: np.ndarray
    weights: np.ndarray


def test_leaves_under_their_earlier_names(folder):
    checkpoints = Checkpoints(folder)
    checkpoints.save(1, {"state": Before(np.arange(3.0), np.ones(2))})
    checkpoints.close()
    before = content(folder)
    template = {"state": Now(np.zeros(3), np.zeros(2))}
    step, restored = Checkpoints(folder).restore(template)
    assert step == 1 and isinstance(restored["state"], Now)
    assert restored["state"].ou_noise.tolist() == [0, 1, 2]
    assert content(folder) == before
    with pytest.raises(MismatchError, match="walk is float64"):
        Checkpoints(folder).restore({"state": Now(np.zeros(4), np.zeros(2))})


def test_all_renamed_fields_of_searchers_are_known():
    """Every entry of the map is a field that some searcher saves."""
    from nasjax import searchers, spaces
    from nasjax.runs.checkpoints import EARLIER_NAMES, named_leaves

    space, parts = spaces.nas_bench_201(), set()
    for make in ("ddas", "local_search", "bayesian_actor_critic"):
        searcher = getattr(searchers, make)(space)
        shapes = jax.eval_shape(lambda key: searcher.init(key, 8), jax.random.key(0))  # noqa: B023
        parts |= {part for name in named_leaves(shapes) for part in name.split("/")}
    assert parts >= EARLIER_NAMES.keys()
    assert not parts & set(EARLIER_NAMES.values())
