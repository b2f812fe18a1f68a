"""experiments/ddas.py on a tiny warmed-up supernet: results, resumed, misused."""

import functools
import json
import signal
from pathlib import Path

import ddas
import in_process
import jax
import numpy as np
import pytest

from nasjax.data import images
from nasjax.networks import augment, supernet, training
from nasjax.networks.supernet import training as supernet_training
from nasjax.runs import image_sets, supernets
from nasjax.runs.errors import StoppedError
from nasjax.runs.supernet_config import SupernetRun
from nasjax.spaces import costs, darts, genotypes

pytestmark = pytest.mark.usefixtures("quick_compile")

CONFIG = supernet.darts(none=True, cells=1, channels=2)
RECIPE = training.Recipe(batch_size=8, epochs=2)
ONE_SHOT = np.array([[0.3, 2.0], [0.2, 2.2]], np.float32)
SMALL = "--preset cpu --steps 24 --explore 8 --batch-size 4 --hidden 8,8"
SMALL = [*SMALL.split(), "--valid-images", "20", "--eval-batch", "10"]


# What stands in for a run of train_supernet.py.


@functools.cache
def load(folder):
    init = jax.jit(lambda key: supernet_training.init(key, CONFIG, RECIPE, 8))
    state = init(jax.random.key(0))
    curves = supernets.no_curves(2, [1, 2], 1)
    if "uniform" not in str(folder):
        curves = curves._replace(one_shot=ONE_SHOT)
    run = SupernetRun(
        dataset="synthetic", none=True, cells=1, channels=2, recipe=RECIPE
    )
    return supernets.Pretrained(
        CONFIG, state.params, state.statistics, run, 10, 2.0, curves, state
    )


def halves(run, data_dir=None):
    """40 images of each half."""
    del run, data_dir
    data = images.synthetic(80, 46, size=8)
    train, valid = data.train.at(slice(40)), data.train.at(slice(40, 80))
    return data._replace(train=train, valid=valid)


def stand_in(monkeypatch):
    config = augment.AugmentConfig(padding=1)
    monkeypatch.setattr(supernets, "load", load)
    monkeypatch.setattr(image_sets, "augmentation", lambda run, halves: config)
    monkeypatch.setattr(image_sets, "halves", halves)


call = functools.partial(in_process.call, "ddas", stand_in=stand_in)


def finish(*arguments):
    code, out, err = call(*arguments)
    assert code == 0, err
    return out


def flags(out, *more):
    """The warm-up's folder only has to look finished."""
    folder = Path(out).parent / "warm"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "results.json").write_text("{}")
    given = ["--warm-up", folder, "--dataset", "synthetic", "--out", out]
    return [*map(str, given), *SMALL, *more]


RUN = ["--variant", "4s,rs", "--seeds", "0-1", "--stagnation", "2", "--exploit", "8"]


@pytest.fixture(scope="module")
def ran(tmp_path_factory, quick_compile):
    out = tmp_path_factory.mktemp("ddas") / "run"
    return out, finish(*flags(out, *RUN))


def arrays(folder):
    with np.load(folder / "results.npz") as file:
        return {name: file[name] for name in file.files}


def test_everything_is_written_and_printed(ran):
    out, text = ran
    pictures = (
        "curves front-flops front-parameters widths hypervolume cells-4s cells-rs"
    )
    for name in pictures.split():
        assert (out / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    assert "4s - rs" in text and "Acc(OS) 30.00 %" in text
    described = json.loads((out / "results.json").read_text())
    assert described["config"]["one_shot"]["accuracy"] == pytest.approx(0.3)
    assert described["config"]["one_shot"]["loss"] == pytest.approx(2.2)
    assert set(described["variants"]["4s"]) == {"0", "1"}
    used = described["config"]["configs"]["4s"]  # not the -1 of the defaults
    assert used["os_accuracy"] == pytest.approx(0.3)
    assert used["os_loss"] == pytest.approx(2.2)


def test_rewards_are_those_of_the_equation(ran):
    """Acc(OS) is the best one-shot accuracy, the first loss that of its last state."""
    found = arrays(ran[0])
    accuracy, loss = found["4s__accuracy"], found["4s__loss"]
    last = np.concatenate([np.full((2, 1), 2.2), loss[:, :-1]], axis=1)
    wanted = 0.5 * (accuracy - 0.3) + 0.5 * (last - loss)
    np.testing.assert_allclose(found["4s__reward"], wanted, atol=1e-5)


def test_the_frontier_is_of_the_queries(ran):
    """Each entry can be read back, costs what it says, and nothing dominates it."""
    out, _ = ran
    found, space = arrays(out), darts(none=True)
    table = costs.darts_network(space, cells=6, channels=16)
    entries = json.loads((out / "frontier.json").read_text())
    assert {entry["variant"] for entry in entries} == {"4s", "rs"}
    for entry in entries:
        arch = genotypes.to_arch(genotypes.parse(entry["genotype"]), space)
        s, t = entry["seed"], entry["step"]
        name = entry["variant"]
        np.testing.assert_array_equal(found[f"{name}__arch"][s, t], arch)
        assert entry["flops"] == costs.flops(table, arch)
        assert entry["parameters"] == costs.params(table, arch)
        assert entry["validation_accuracy"] == found[f"{name}__accuracy"][s, t]
        for axis in entry["fronts"]:
            cheaper = found[f"{name}__{axis}"][s] <= entry[axis]
            best = found[f"{name}__accuracy"][s][cheaper].max()
            assert best == np.float32(entry["validation_accuracy"])


def test_hypervolume_grows(ran):
    found = arrays(ran[0])
    for name in ("4s", "rs"):
        for axis in ("flops", "parameters"):
            share = found[f"{name}__hypervolume_{axis}"]
            assert share.shape == (2, 24) and np.all(np.diff(share) >= -1e-7)
            assert share[:, -1].min() > 0 and share.max() < 1


def test_a_stopped_run_goes_on_to_the_same_bits(ran, tmp_path, stopped):
    """Stopped in the second search; the supernet's weights come back with it."""
    out = tmp_path / "run"
    with stopped(31):
        code, _, err = call(*flags(out, *RUN, "--checkpoint-seconds", "0"))
    assert code == 143 and "4s/seed1: step 7 of 24 is saved" in err
    assert not (out / "results.json").exists()
    finish(*flags(out, *RUN, "--resume"))
    again, straight = arrays(out), arrays(ran[0])
    assert set(again) == set(straight)
    for name in straight:
        np.testing.assert_array_equal(again[name], straight[name], err_msg=name)


def test_terms_of_the_reward_can_be_left_out(tmp_path):
    """As Fig. 3.2; while they explore, all three ask and train the same."""
    more = ["--variant", "nl", "--ablate", "none,loss,accuracy", "--seeds", "3"]
    text = finish(*flags(tmp_path / "run", *more))
    assert "nl-no-loss" in text and "nl-no-accuracy" in text
    found = arrays(tmp_path / "run")
    rewards = [found[f"nl{x}__reward"] for x in ("", "-no-loss", "-no-accuracy")]
    both, no_loss, no_accuracy = (row[:, :8] for row in rewards)
    np.testing.assert_allclose(both, no_loss + no_accuracy, atol=1e-6)


@pytest.mark.parametrize(
    "more, text",
    [
        (["--variant", "ddas"], "'ddas' is unknown; allowed: nl, g, 4s, td3, rs"),
        (["--gamma", "1.0"], "gamma must lie in"),
        (["--valid-images", "41"], "the validation half has 40"),
        (["--batches", "6"], "batches is 6; the training half has 1..5"),
        (["--dataset", "cifar10"], "was trained on synthetic, not cifar10"),
        (["--learning-rate", "-1"], "must not be negative: -1.0"),
    ],
)
def test_it_refuses(tmp_path, more, text):
    code, _, err = call(*flags(tmp_path / "run"), *more)
    assert code == 2 and text in err
    assert not (tmp_path / "run").exists()


def test_given_values_of_the_one_shot_network_win(tmp_path, monkeypatch):
    """Over the warm-up's; the searches get them and the files record them."""
    stand_in(monkeypatch)
    args = ddas.parse(flags(tmp_path / "run", "--os-accuracy", "0.9"))
    setting, config = ddas.prepare(args)
    assert setting.one_shot == pytest.approx((0.9, 2.2))
    assert config["one_shot"] == pytest.approx({"accuracy": 0.9, "loss": 2.2})
    (used,) = ddas.used(args, setting).values()
    assert (used.os_accuracy, used.os_loss) == pytest.approx((0.9, 2.2))


def test_it_needs_a_one_shot_supernet(tmp_path):
    folder = tmp_path / "uniform"
    folder.mkdir()
    (folder / "results.json").write_text("{}")
    code, _, err = call(*flags(tmp_path / "run"), "--warm-up", folder)
    assert code == 2 and "--policy one-shot" in err


def test_a_stopped_warm_up_tells_how_to_go_on(tmp_path, monkeypatch):
    """Its own flags are those of train_supernet.py, which would mislead here."""
    resumed = []

    def stopped(run, out, *, data_dir, resume):
        out.mkdir(exist_ok=True)
        resumed.append(resume)
        raise StoppedError(signal.SIGTERM, f"saved; --out {out} --resume goes on")

    monkeypatch.setattr(ddas.supernet_training, "train", stopped)
    command = ["--warm-up", tmp_path / "warm", "--dataset", "synthetic", *SMALL]
    for _ in range(2):
        code, _, err = call(*command, "--out", tmp_path / "run")
        assert code == 128 + signal.SIGTERM
        line = "SIGTERM: the same command goes on with the warm-up"
        assert err.splitlines()[-1] == line
    assert resumed == [False, True]
