"""Training a supernet: learns, resumes to the same bits, divides over devices."""

import contextlib
import io
import json
import shutil
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from nasjax.data import images
from nasjax.networks.examples import Examples
from nasjax.networks.supernet import training as supernet_training
from nasjax.networks.training import ABSENT
from nasjax.runs import configs, image_sets, supernets
from nasjax.runs.folder import open_run
from nasjax.runs.supernet_config import PRESETS

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "experiments" / "train_supernet.py"
SMALL = [
    "--space=nb201", "--dataset=synthetic", "--preset=cpu", "--cells=1",
    "--channels=4", "--shrink=4", "--epochs=3", "--train-images=320",
    "--batch-size=32", "--validate=2", "--validate-archs=3",
    "--validate-images=100", "--validate-batch=50", "--no-table",
]  # fmt: skip


def finish(*flags, status=0):
    """What a run in this process prints."""
    sys.path.insert(0, str(SCRIPT.parent))
    import train_supernet

    text = io.StringIO()
    with contextlib.redirect_stdout(text):
        code = train_supernet.main([*SMALL, *map(str, flags)])
    assert code == status
    return text.getvalue()


@pytest.fixture(scope="module")
def straight(tmp_path_factory, quick_compile):
    out = tmp_path_factory.mktemp("straight")
    return out, finish("--out", out)


def arrays(out):
    with np.load(out / "results.npz") as file:
        return {name: file[name] for name in file.files if name != "seconds"}


def test_a_run_leaves_its_results(straight):
    out, text = straight
    assert "synthetic" in text
    results = json.loads((out / "results.json").read_text())
    assert results["config"]["marks"] == [2, 3]
    assert [mark["epoch"] for mark in results["marks"]] == [2, 3]
    curves = arrays(out)
    assert curves["batch"].shape == (2, 3)
    assert np.isfinite(curves["batch"]).all()
    assert curves["loss"][-1] < curves["loss"][0]
    assert (out / "curves.png").stat().st_size > 1000
    loaded = supernets.load(out)
    assert (loaded.step, loaded.epoch) == (30, 3.0)
    assert loaded.config.channels == 4


def test_a_stopped_run_goes_on_to_the_same_bits(straight, tmp_path, stopped):
    with stopped(2):
        finish("--out", tmp_path, "--checkpoint-seconds", 0, status=143)
    assert not (tmp_path / "results.json").exists()
    assert "no run to resume" not in finish("--out", tmp_path, "--resume")
    before, after = arrays(straight[0]), arrays(tmp_path)
    for name, value in before.items():
        np.testing.assert_array_equal(after[name], value, err_msg=name)
    for a, b in zip(
        jax.tree.leaves(supernets.load(straight[0]).params),
        jax.tree.leaves(supernets.load(tmp_path).params),
        strict=True,
    ):
        np.testing.assert_array_equal(a, b)


def refused(*flags):
    """In this process: what ends before any training."""
    sys.path.insert(0, str(SCRIPT.parent))
    import train_supernet

    sys.path.remove(str(SCRIPT.parent))
    try:
        return train_supernet.main([*SMALL, *map(str, flags)]) == 2
    except SystemExit as error:
        return error.code == 2


def test_another_configuration_is_refused(straight, capsys):
    assert refused("--out", straight[0], "--resume", "--learning-rate=0.1")
    assert "learning_rate: 0.05 then, 0.1 now" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        (["--policy=sampled"], "policy is 'sampled'; allowed: uniform, one-shot"),
        (["--channels=5"], "channels must be a multiple of 2 x parts = 2, got 5"),
        (["--train-images=5000"], "train_images is 5000; the training half has 1000"),
        (["--batch-size=500"], "320 images are too few for a batch of 500"),
        (["--dtype=float16"], "dtype is 'float16'; allowed: float32, bfloat16"),
        (["--preset=ddas"], "--preset ddas is for --space darts, not nb201"),
        (["--none=true"], "none is True; --space nb201 has only False"),
    ],
)
def test_bad_input_names_the_value(flags, text, tmp_path, capsys):
    assert refused("--out", tmp_path, *flags)
    assert text in capsys.readouterr().err
    assert not (tmp_path / "config.json").exists()


def settings(**changed):
    sys.path.insert(0, str(SCRIPT.parent))
    import train_supernet

    _, run = train_supernet.parse(SMALL)
    return configs.replaced(run, **changed)


@pytest.fixture(scope="module")
def odd(quick_compile):
    """A run with batches of 32, 32 and 16 images, its data, a trainer without scans."""
    chosen = settings(train_images=80, drop_last=False)
    halves = image_sets.halves(chosen, log=lambda _: None)
    return chosen, halves, supernets.trainer(chosen, halves, scan=False)


def test_devices_share_a_batch_like_one(odd):
    """6 steps on 1 and 2 devices: the same parameters to 1e-4."""
    chosen, halves, alone = odd
    mesh = jax.sharding.Mesh(jax.devices()[:2], (supernet_training.AXIS,))
    ends = []
    for trainer in (alone, supernets.trainer(chosen, halves, mesh)):
        state = trainer.init()
        for first in (0, 3, 6):
            state, metrics = trainer.advance(state, range(first, first + 2))
            assert metrics.loss.shape == (1, 2)
        ends.append(jax.device_get((state.params, state.statistics)))
    for a, b in zip(*map(jax.tree.leaves, ends), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)


def test_a_scan_with_a_smaller_last_batch(odd):
    """It learns what single steps learn; the epoch's mean weighs images alike."""
    chosen, halves, alone = odd
    ends = []
    for trainer in (alone, supernets.trainer(chosen, halves, scan=True)):
        assert trainer.steps_per_epoch == 3
        state, curves = supernets.fit(trainer, None, [1], 1, lambda _: (0.5, 0.5, 0.5))
        other, metrics = trainer.advance(trainer.init(), range(3))
        mean = (metrics.loss * np.array([32, 32, 16])).sum() / 80
        np.testing.assert_allclose(curves.loss[0], mean, rtol=1e-4)
        assert int(other.step) == 3
        ends.append((state.params, curves.loss, curves.accuracy))
    for a, b in zip(*map(jax.tree.leaves, ends), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-3)


def test_presets_that_repeat_a_paper_keep_the_last_batch():
    sys.path.insert(0, str(SCRIPT.parent))
    import train_supernet

    for preset, runs in PRESETS.items():
        flags = ["--space", next(iter(runs)), "--preset", preset]
        _, run = train_supernet.parse(flags)
        assert run.recipe.drop_last == preset.startswith("cpu")
        _, run = train_supernet.parse([*flags, "--drop-last=true"])
        assert run.recipe.drop_last


def test_a_run_of_an_older_version_loads_and_resumes(straight, tmp_path, capsys):
    """Its config.json has no `drop_last`; it dropped."""
    sys.path.insert(0, str(SCRIPT.parent))
    import train_supernet

    out = tmp_path / "old"
    shutil.copytree(straight[0], out)
    config = json.loads((out / "config.json").read_text())
    for name in ABSENT:
        del config[name]
    (out / "config.json").write_text(json.dumps(config))
    assert supernets.load(out).run.recipe.drop_last
    assert train_supernet.main([*SMALL, "--out", str(out), "--resume"]) == 0
    flags = ["--out", str(out), "--resume", "--drop-last=false"]
    assert train_supernet.main([*SMALL, *flags]) == 2
    assert "drop_last: True then, False now" in capsys.readouterr().err


def made_halves(**changed):
    """Images of 33 x 47 pixels and 4 channels; of 4 classes."""
    rng = np.random.default_rng(0)
    parts = []
    for count in (16, 8, 8):
        pixels = rng.integers(0, 256, (count, 33, 47, 4), dtype=np.uint8)
        labels = rng.integers(0, 4, count).astype(np.int32)
        parts.append(Examples(pixels, labels))
    mean, std = (0.5,) * 4, (0.25,) * 4
    made = images.ImageData("made up", *parts, 4, mean, std, "made up", "")
    for name, value in changed.items():
        part, _, field = name.partition("_")
        if field:
            value = getattr(made, part)._replace(**{field: value})
        made = made._replace(**{part: value})
    return made


def test_images_of_33_by_47_and_four_channels(quick_compile, tmp_path):
    chosen = settings(batch_size=8, epochs=1, channels=4)
    chosen = image_sets.with_data(chosen, made_halves())
    trainer = supernets.trainer(chosen, made_halves())
    assert chosen.image_size == (33, 47)
    archs = supernets.scored(chosen, chosen.network.space)
    score = np.zeros(len(archs)), np.zeros(len(archs)), np.zeros(2)
    with open_run(tmp_path, "test", chosen.to_json()) as folder:
        state, curves = supernets.fit(trainer, folder, [1], len(archs), lambda _: score)
    assert np.isfinite(curves.loss).all()
    loaded = supernets.load(tmp_path)
    assert loaded.config == chosen.network
    assert loaded.run == chosen
    assert loaded.params["stem"]["kernel"].shape == (3, 3, 4, 4)
    np.testing.assert_array_equal(
        loaded.params["stem"]["kernel"], state.params["stem"]["kernel"]
    )


@pytest.mark.parametrize(
    "changed, text",
    [
        ({"classes": 3}, "train images: labels are 0 to 3; allowed: 0 to 2"),
        ({"valid_labels": np.full(8, 9)}, "valid images: labels are 9 to 9; allowed"),
        ({"test_images": np.zeros((8, 33, 47, 3), np.uint8)}, "images have 3 channels"),
        ({"mean": (0.5,) * 3, "std": (0.2,) * 3}, "the images have 4 channels"),
        ({"train_images": np.zeros((16, 3, 3, 4), np.uint8)}, "sides of at least 4"),
    ],
)
def test_trainers_refuse_images(changed, text):
    """Before training: labels outside of the classes made losses NaN."""
    with pytest.raises(ValueError, match=text):
        supernets.trainer(settings(), made_halves(**changed))


def test_one_step_trains_one_architecture_only(odd):
    trainer = odd[2]
    before = jax.device_get(trainer.init())
    after, _ = trainer.advance(trainer.init(), range(1))
    after = jax.device_get(after)
    edges = zip(
        before.params["cell0.0"]["edges"], after.params["cell0.0"]["edges"], strict=True
    )
    moved = []
    for old, new in edges:
        for name in ("nor_conv_1x1", "nor_conv_3x3"):
            changed = old[name]["kernel"] != new[name]["kernel"]
            moved.append(changed.reshape(len(changed), -1).any(axis=1))
    moved = np.stack(moved)  # [two operations, 6 edges]
    assert (moved.sum(axis=0) <= 1).all()
    assert not moved.all()
