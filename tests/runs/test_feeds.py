"""Networks trained on a data set that stays on disk: learn, resume, count, refuse."""

import json

import evaluate
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_imagenet import encode, prepare

from nasjax.data import imagenet
from nasjax.networks.derived.training import Recipe
from nasjax.networks.training import hits
from nasjax.runs import feeds, networks
from nasjax.runs.devices import mesh_of
from nasjax.runs.folder import open_run
from nasjax.runs.network_config import NetworkRun
from nasjax.runs.training import Trainer

pytestmark = pytest.mark.usefixtures("quick_compile")

CELL = (
    "|nor_conv_3x3~0|+|nor_conv_1x1~0|avg_pool_3x3~1|+"
    "|skip_connect~0|nor_conv_3x3~1|none~2|"
)
RUN = NetworkRun(
    genotype=CELL,
    dataset="imagenet",
    cells=1,
    channels=4,
    recipe=Recipe(
        learning_rate=0.1,
        weight_decay=3e-5,
        batch_size=16,
        epochs=2,
        label_smoothing=0.1,
        auxiliary=0.0,
        drop_path=0.0,
    ),
    test_batch=8,
    image_size=16,
    resize=18,
)
TRAINED, TESTED = 70, 21  # 4 batches of 16; 2 batches of 8 and one of 5
FLAGS = [
    "--genotype=DARTS_V2", "--preset=imagenet", "--image-size=32", "--resize=36",
    "--cells=1", "--channels=4", "--auxiliary=0", "--batch-size=16", "--epochs=12",
    "--test-batch=8", "--learning-rate=0.2", "--devices=1", "--workers=1",
]  # fmt: skip


def stripes(count, seed):
    """Label 0: rows of one brightness; label 1: columns. Mirroring keeps them."""
    rng = np.random.default_rng(seed)
    for i in range(count):
        wave = 60 * np.sign(np.sin(np.arange(40) / 1.5 + rng.uniform(0, 7)))
        image = 128 + (wave if i % 2 else wave[:, None]) + np.zeros((40, 40))
        image = image[..., None] + rng.integers(-20, 20, (40, 40, 3))
        image = encode(image.astype(np.uint8))
        yield {"image": image, "label": i % 2, "file_name": f"n{i:08}.JPEG"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    where = tmp_path_factory.mktemp("tfds")
    splits = {"train": stripes(TRAINED, 0), "validation": stripes(TESTED, 1)}
    prepare(where, {name: list(rows) for name, rows in splits.items()})
    return where


@pytest.fixture(scope="module")
def source(folder):
    return feeds.open_source(data_dir=folder)


MADE = {}  # compiled once for each number of devices


def streamer(source, seed=0, devices=1):
    if devices not in MADE:
        mesh = mesh_of(jax.devices()[:devices], [seed])
        trainer = networks.trainer(RUN, source, [seed], mesh, workers=1)
        MADE[devices] = trainer
    return MADE[devices].with_seeds([seed])


def same(mine, theirs):
    for a, b in zip(*map(jax.tree.leaves, (mine, theirs)), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_source_says_what_it_is(source, folder):
    assert (len(source.train.source), len(source.test.source)) == (TRAINED, TESTED)
    assert source.classes == 1000
    assert source.source == f"imagenet2012 in {folder}"
    assert source.sha256 == feeds.open_source(data_dir=folder).sha256


@pytest.mark.parametrize(
    ("labels", "wanted"),
    [
        ([1, 0, 3], [3, 3, 3, 3]),
        ([3, 1, 1], [0, 2, 3, 3]),  # places 2, 2 and 3: of equals the first comes first
        ([2, 3, 0], [0, 1, 3, 3]),
        ([-1, 2, -1], [0, 0, 0, 1]),
    ],
)
def test_hits_by_hand(labels, wanted):
    logits = jnp.array([[0.0, 3, 1, 2], [5, 5, 0, 1], [1, 0, 0, 9]])
    counts = [int(hits(logits, jnp.array(labels), n)) for n in (1, 2, 3, 4)]
    assert counts == wanted
    assert int(hits(logits, jnp.array(labels), 5)) == wanted[3]


@pytest.mark.parametrize("devices", [1, 2])
def test_every_image_counts_once(source, devices):
    """Classes in one order for all images: 1 the fifth, 0 none of the first five."""
    trainer = streamer(source, devices=devices)
    state = trainer.init()
    last = state.params["classifier"]
    last["kernel"], last["bias"] = last["kernel"] * 0, last["bias"] * 0
    for place, label in enumerate((7, 6, 9, 5, 1)):
        last["bias"] = last["bias"].at[:, label].set(5.0 - place / 2)
    assert trainer.feed.tested == TESTED == 21
    shares = trainer.test(state)
    np.testing.assert_allclose(shares["test"], [0], atol=0)
    np.testing.assert_allclose(shares["top5"], [10 / 21], rtol=1e-12)  # labels 1
    last["bias"] = last["bias"].at[:, 0].set(9.0)
    shares = trainer.test(state)
    np.testing.assert_allclose(shares["test"], [11 / 21], rtol=1e-12)  # labels 0
    np.testing.assert_allclose(shares["top5"], [11 / 21], rtol=1e-12)  # 1 is the sixth


def test_two_devices_are_one(source):
    runs = []
    for devices in (1, 2):
        trainer = streamer(source, 3, devices)
        state, metrics = trainer.advance(trainer.init(), range(3))
        assert metrics.loss.shape == (1, 3)
        runs.append(jax.device_get((state, metrics)))
    for a, b in zip(*map(jax.tree.leaves, runs), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)


def test_a_killed_run_goes_on_to_the_same_bits(source, tmp_path, monkeypatch):
    """Stopped before step 6, in the second epoch."""
    trainer, advance = streamer(source, 5), Trainer.advance
    state, curves = networks.fit(trainer, None, chunk=2)
    assert trainer.feed.rate > 0 and f"{trainer.feed.rate:.0f}" in trainer.feed.note

    def stops(self, state, steps):
        if steps.stop > 6:
            raise KeyboardInterrupt
        return advance(self, state, steps)

    options = {"chunk": 2, "checkpoint_seconds": 0}
    with open_run(tmp_path, "evaluate", {}) as folder:
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(Trainer, "advance", stops)
            networks.fit(trainer, folder, **options)
        after = networks.fit(streamer(source, 5), folder, resume=True, **options)
    same(after[0], state)
    same(after[1]._replace(seconds=0), curves._replace(seconds=0))
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").open()]
    assert [line["epoch"] for line in lines] == [1, 2]


def test_a_step_has_its_batch_wherever_training_is_entered(source):
    feed = streamer(source).feed
    pipeline = imagenet.Pipeline(batch_size=16, size=16, resize=18, seed=5)
    straight = [*imagenet.training(source.train, pipeline, 0)]
    straight += imagenet.training(source.train, pipeline, 1)
    for step in (0, 1, 2, 3, 4, 6, 7, 1, 5):
        ((_, batch),) = feed.batches([5], range(step, step + 1), scan=False)
        same(batch, straight[step])


def test_a_run_leaves_its_results(folder, tmp_path, capsys):
    out = tmp_path / "run"
    flags = [*FLAGS, f"--data-dir={folder}", f"--out={out}", "--test-every=6"]
    assert evaluate.main(flags) == 0
    text = capsys.readouterr().out
    assert "70 images to train, 21 to test, 4 steps an epoch" in text
    assert "from the pipeline alone" in text and "top-5 accuracy" in text
    results = json.loads((out / "results.json").read_text())
    assert results["pipeline_images_per_second"] > 0
    first, fifth = (
        results[name]["last"] for name in ("test_accuracy", "top5_accuracy")
    )
    assert 0.5 < first["mean"] <= fifth["mean"] <= 1
    config = results["config"]
    assert (config["image_size"], config["resize"]) == (32, 36)
    assert (config["label_smoothing"], config["schedule"]) == (0.1, "linear")
    with np.load(out / "results.npz") as file:
        loss, test, top5 = (file[name] for name in ("loss", "test", "top5"))
    assert loss[0, -1] < loss[0, 0] - 1
    tested = np.flatnonzero(np.isfinite(test[0])).tolist()
    assert tested == np.flatnonzero(np.isfinite(top5[0])).tolist() == [5, 11]
    assert (top5[0, tested] >= test[0, tested]).all()
    assert (out / "curves.png").stat().st_size > 1000
    loaded = networks.load(out)
    assert (loaded.step, loaded.epoch) == (48, 12.0)
    assert evaluate.main([*flags, "--resume"]) == 0
    again = json.loads((out / "results.json").read_text())
    assert again["top5_accuracy"] == results["top5_accuracy"]


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        (["--batch-size=15", "--devices=2"], "15 cannot be divided over 2 devices"),
        (["--batch-size=71"], "70 images are too few for a batch of 71"),
        (["--lanes=2", "--devices=2"], "--lanes 2: imagenet trains one seed after"),
        (["--resize=31"], "size 32: allowed is 1 to resize 31"),
        (["--linear-baseline"], "--linear-baseline: not with --dataset imagenet"),
        (["--cutout=4"], "--cutout: not with --dataset imagenet"),
        (["--preset=cpu", "--dataset=imagenet"], "--preset cpu is for data sets in"),
        (["--classes=10"], "--classes 10: the data has 1000"),
        (["--auxiliary=0.4"], "the auxiliary head needs 7 to 8 pixels"),
    ],
)
def test_refusals_come_before_any_work(folder, flags, text, tmp_path, capsys):
    out = tmp_path / "run"
    flags = [*FLAGS, f"--data-dir={folder}", f"--out={out}", *flags]
    assert evaluate.main(flags) == 2
    assert text in capsys.readouterr().err
    assert not out.exists()


def test_a_data_set_that_is_not_prepared(tmp_path, capsys):
    out = tmp_path / "run"
    assert evaluate.main([*FLAGS, f"--data-dir={tmp_path}", f"--out={out}"]) == 2
    assert "tfds build imagenet2012" in capsys.readouterr().err
    assert not out.exists()
