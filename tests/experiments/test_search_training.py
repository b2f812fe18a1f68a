"""Searches that train: a search that was stopped goes on, bad flags are refused."""

import json
import os
import signal

import in_process
import jax
import numpy as np
import pytest

from nasjax.parallel import journal as journals
from nasjax.runs import candidate_config, candidate_training

SMALL = [
    "--space=nb201", "--dataset=synthetic", "--preset=cpu", "--channels=4",
    "--shrink=4", "--padding=1", "--epochs=1", "--train-images=64",
    "--valid-images=64", "--batch-size=32", "--candidate-epochs=1",
    "--candidate-images=64", "--methods=random,evolution", "--queries=2",
    "--seeds=1", "--candidates=1",
]  # fmt: skip


def test_a_stopped_search_goes_on(tmp_path, quick_compile):
    train, trained = candidate_training.train, []

    def interrupted(patch):
        def counting(run, arch, data_dir):
            trained.append(arch.tobytes())
            if len(trained) == 1:
                os.kill(os.getpid(), signal.SIGTERM)
            return train(run, arch, data_dir)

        patch.setattr(candidate_training, "train", counting)

    def call(*more):
        return in_process.call(
            "search_training", *SMALL, "--out", tmp_path, *more, stand_in=interrupted
        )

    stopped = call()
    assert stopped.code == 128 + signal.SIGTERM, stopped.err
    done = call("--resume")
    assert done.code == 0, done.err
    assert len(trained) == len(set(trained))  # the cache outlives the kill
    for method in ("random", "evolution"):
        events = journals.read(tmp_path / method / "seed-1" / journals.NAME).events
        told = [event["query"] for event in events if event["event"] == "told"]
        assert sorted(told) == [0, 1]
    results = json.loads((tmp_path / "results.json").read_text())
    assert results["trainings"] == len(trained)
    (candidate,) = results["candidates"]["random"]
    assert 0 <= candidate["test_accuracy"] <= 1 and candidate["params"] > 0
    assert candidate["genotype"] in (tmp_path / "results.txt").read_text()
    assert (tmp_path / "searches.png").exists()


def test_trainings_of_two_lengths(tmp_path):
    """Hyperband of 1 and 2 epochs: 2 short and 1 long, then 2 long: 8 epochs.

    Random search trains for 2 epochs: after four of its trainings the budget is spent.
    """

    def stand_in(patch):
        def scored(run, arch, data_dir):
            return run.epochs / 10 + int(np.sum(arch)) / 1000

        patch.setattr(candidate_training, "train", scored)

    flags = [x for x in SMALL if not x.startswith(("--epochs", "--methods"))]
    flags += ["--methods=hyperband,random", "--fidelities=1,2", "--budget=8"]
    done = in_process.call(
        *("search_training", *flags, "--queries=6", "--candidates=0"),
        *("--out", tmp_path),
        stand_in=stand_in,
    )
    assert done.code == 0, done.err
    for method, levels in (("hyperband", [0, 0, 1, 1, 1]), ("random", [1] * 4)):
        events = journals.read(tmp_path / method / "seed-1" / journals.NAME).events
        told = [event for event in events if event["event"] == "told"]
        assert [event["metrics"]["fidelity"] for event in told] == levels
        for event, level in zip(told, levels, strict=True):
            assert event["metrics"]["cost"] == level + 1
            assert event["accuracy"] // 0.1 == level + 1
    results = json.loads((tmp_path / "results.json").read_text())
    curve = results["best_so_far"]["hyperband"][0]
    assert curve[5] == curve[4]  # of six queries five fit the budget
    assert curve[:2] == [None, None] and curve[2] >= 0.2  # short ones do not count
    long = {*map(str, (tmp_path / "cache").glob("*.json"))}
    assert results["trainings"] == len(long)
    assert list((tmp_path / "cache" / "epochs-1").glob("*.json"))


def test_isomorphic_cells_are_trained_once(space):
    run = candidate_config.preset("nb201", "cpu")
    zero = space.parse_arch_string("|none~0|+|none~0|none~1|+|none~0|none~1|none~2|")
    idle = space.parse_arch_string(
        "|none~0|+|none~0|nor_conv_3x3~1|+|none~0|nor_conv_1x1~1|none~2|"
    )
    first, second = (candidate_training.canonical(run, x) for x in (zero, idle))
    assert (first == second).all()
    assert first.shape == space.arch_shape


def test_two_processes_may_write_the_same_architecture(tmp_path, monkeypatch):
    monkeypatch.setattr(candidate_training, "train", lambda *_: 0.5)
    run = candidate_config.CandidateRun("darts")
    arch = run.searched.random(jax.random.key(0))
    path = candidate_training._cached(str(tmp_path), np.asarray(arch))
    others = path.with_name(f"{path.name}.tmp")  # that another process is writing
    others.write_text("half")
    assert candidate_training.Evaluate(run, str(tmp_path))(arch) == 0.5
    assert others.read_text() == "half"
    assert [x for _, x in candidate_training.remembered(tmp_path)] == [0.5]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--methods=nothing"], "nothing"),
        (["--epochs=0"], "epochs must be at least 1"),
        (["--devices=0,1"], "--workers"),
        (["--devices=0,1", "--workers=2", "--scheduler=tcp://h:1"], "no --scheduler"),
        (["--scheduler=nowhere://h"], "unknown address scheme"),
        (["--space=imagenet"], "imagenet"),
        (["--train-images=9000"], "train_images is 9000"),
        (["--methods=bohb"], "bohb chooses a fidelity for each query"),
        (["--fidelities=3,1"], "costs of levels (3.0, 1.0)"),
        (["--fidelities=2,3"], "--epochs is the last of --fidelities, 3"),
        (["--budget=3"], "--budget needs --fidelities"),
    ],
)
def test_bad_flags_are_refused_before_anything_is_written(flags, message, tmp_path):
    done = in_process.call("search_training", *SMALL, *flags, "--out", tmp_path)
    assert done.code == 2
    assert message in done.err
    assert not list(tmp_path.iterdir())
