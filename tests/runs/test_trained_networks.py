"""Evaluations: reading architectures, sizes, tests that count every image."""

import dataclasses
import json

import jax
import numpy as np
import pytest

from nasjax.analysis import evaluation
from nasjax.data import images
from nasjax.networks import families
from nasjax.networks.derived.training import Recipe
from nasjax.networks.examples import Examples
from nasjax.networks.training import ABSENT
from nasjax.runs import configs, devices, image_sets, networks
from nasjax.runs.folder import open_run
from nasjax.runs.network_config import NetworkRun
from nasjax.runs.supernet_config import SupernetRun
from nasjax.runs.training import Trainer
from nasjax.spaces import architectures, genotypes

pytestmark = pytest.mark.usefixtures("quick_compile")

CELL = (
    "|nor_conv_3x3~0|+|nor_conv_1x1~0|avg_pool_3x3~1|+"
    "|skip_connect~0|nor_conv_3x3~1|none~2|"
)
# Few operations: each is compiled for every stage of the network.
FEW = "|nor_conv_3x3~0|+|none~0|avg_pool_3x3~1|+|skip_connect~0|none~1|none~2|"
RUN = NetworkRun(
    genotype=FEW,
    dataset="synthetic",
    cells=1,
    channels=4,
    recipe=Recipe(
        learning_rate=0.05, batch_size=32, epochs=2, auxiliary=0.0, drop_path=0.0
    ),
    padding=1,
    cutout=0,
    train_images=128,
    shrink=4,
    test_batch=300,
)


def changed_run(**changes):
    return configs.replaced(RUN, **changes)


@pytest.fixture(scope="module")
def data():
    return image_sets.whole(RUN, log=lambda _: None)


def test_read_takes_names_texts_files_and_cells(tmp_path):
    darts = architectures.read("DARTS_V2")
    assert darts.family == "darts"
    assert darts.printed == str(genotypes.PUBLISHED["DARTS_V2"])
    as_json = genotypes.to_json(genotypes.PUBLISHED["DARTS_V2"])
    text, cell = tmp_path / "one.txt", tmp_path / "cell.txt"
    text.write_text(json.dumps(as_json))
    cell.write_text(CELL + "\n")
    for source in (darts.printed, as_json, json.dumps(as_json), str(text)):
        np.testing.assert_array_equal(architectures.read(source).arch, darts.arch)
    for source in (CELL, str(cell)):
        architecture = architectures.read(source)
        assert (architecture.family, architecture.printed) == ("nb201", CELL)
        assert architecture.arch.tolist() == [3, 2, 4, 1, 3, 0]


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("NASNet", "is no genotype, no file of one"),
        (CELL.replace("avg_pool", "med_pool"), "unknown operation 'med_pool_3x3'"),
        (CELL.replace("~2", "~1"), "does not list the edges"),
    ],
)
def test_read_names_the_fault(source, text):
    with pytest.raises(ValueError, match=text):
        architectures.read(source)


@pytest.mark.parametrize(
    ("name", "sizes", "wanted"),
    [
        (
            "DARTS_V2",
            {"cells": 20, "channels": 36, "classes": 10},
            {
                "params": 3_349_342,
                "params_with_auxiliary": 3_825_768,
                "macs": 528_359_040,
                "flops": 1_078_172_928,
                "width": [3.5, 2.5],
                "depth": [3, 3],
            },
        ),
        (
            "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+"
            "|skip_connect~0|nor_conv_3x3~1|nor_conv_3x3~2|",
            {"cells": 5, "channels": 16, "classes": 10},
            {
                "params": 1_288_506,
                "params_with_auxiliary": 1_288_506,
                "macs": 184_730_240,
                "flops": None,
                "width": None,
                "depth": None,
            },
        ),
    ],
)
def test_describe(name, sizes, wanted):
    assert families.describe(architectures.read(name), **sizes) == wanted


@pytest.mark.parametrize("family", ["darts", "nb201"])
def test_describe_reads_operations_by_the_space(family):
    """In a space with fewer operations the same number names another operation."""
    whole = architectures.SPACES[family]
    names = whole.operations[::-2]
    part = dataclasses.replace(whole, operations=names)
    arch = np.asarray(part.random(jax.random.key(0)))
    kept = [whole.operations.index(name) for name in names]
    same = np.array([*kept, whole.num_operations], np.uint8)[arch]
    of_part, of_whole = (
        families.describe(
            architectures.from_array(space, cell), cells=2, channels=4, classes=10
        )
        for space, cell in ((part, arch), (whole, same))
    )
    assert of_part == of_whole


def test_what_the_table_says_of_a_cell(table, monkeypatch):
    """Row 1462 has the most parameters; never a prediction."""
    cell = architectures.SPACES["nb201"].arch_string(table.ops[1462])
    known = evaluation.benchmark(architectures.read(cell), "cifar100")
    if "cifar100_test" in table.columns:
        column = table.columns["cifar100_test"]
        wanted = ("cifar100_test", column.values[1462], column.version)
        assert tuple(known.values()) == wanted
    else:
        assert known is None
    assert evaluation.benchmark(architectures.read(cell), "synthetic") is None
    assert evaluation.benchmark(architectures.read("DARTS_V2"), "cifar10") is None
    monkeypatch.setenv("NASJAX_DATA", "")
    monkeypatch.setenv("XDG_CACHE_HOME", "/nowhere")
    assert evaluation.benchmark(architectures.read(cell), "cifar10") is None


def test_summary_by_hand():
    nan = float("nan")
    summary = evaluation.summary(np.array([[nan, 0.5, 0.4], [0.3, 0.2, 0.2]]))
    assert summary["last"]["values"] == [0.4, 0.2]
    np.testing.assert_allclose(summary["last"]["mean"], 0.3)
    np.testing.assert_allclose(summary["last"]["deviation"], 0.2 / 2**0.5)
    assert summary["best"]["values"] == [0.5, 0.3]
    assert summary["best"]["epochs"] == [2, 1]
    assert "test images" in summary["best"]["note"]
    assert evaluation.summary(np.array([[0.5]]))["last"]["deviation"] is None


def test_groups():
    assert networks.groups([0, 1, 2, 3, 4], 2) == [[0, 1], [2, 3], [4]]
    assert networks.groups([3], 1) == [[3]]


def test_data_is_the_whole_training_set_shrunk(data):
    whole = images.synthetic()
    assert data.train.images.shape == (128, 8, 8, 3)
    assert data.test.images.shape == (1000, 8, 8, 3)
    block = whole.train.images[5, 4:8, 8:12].mean((0, 1))
    np.testing.assert_array_equal(data.train.images[5, 1, 2], np.round(block))
    every = image_sets.whole(changed_run(train_images=0), log=lambda _: None)
    assert len(every.train.labels) == len(whole.train.labels)
    with pytest.raises(ValueError, match="train_images is 9000; synthetic has 2000"):
        image_sets.whole(changed_run(train_images=9000), log=lambda _: None)


MADE = {}  # compiled once for each number of seeds and devices


def some(data, count, group, number):
    mesh = devices.mesh_of(jax.devices()[:number], group)
    key = len(group), number
    if key not in MADE:
        MADE[key] = networks.trainer(RUN, data, group, mesh)
    trainer = MADE[key].with_seeds(group)
    state, metrics = trainer.advance(trainer.init(), range(count))
    return trainer, state, metrics


def test_every_test_image_counts_once(data):
    """Batches of 300 of 1,000 images, over one device and over two."""
    shares = []
    for number in (1, 2):
        trainer, state, _ = some(data, 1, [0], number)
        # All logits equal but one: the share of that class's images.
        last = state.params["classifier"]
        last["kernel"], last["bias"] = last["kernel"] * 0, last["bias"] * 0
        last["bias"] = last["bias"].at[:, 3].set(1.0)
        shares.append(trainer.test(state)["test"])
    share = np.mean(data.test.labels == 3)
    np.testing.assert_allclose(shares, [[share], [share]], rtol=1e-12)


def test_seeds_over_devices_are_seeds_alone(data):
    """3 steps; and a batch divided over two devices gives the same."""
    _, both, metrics = some(data, 3, [0, 5], 2)
    assert metrics.loss.shape == (2, 3)
    assert np.abs(metrics.loss[0] - metrics.loss[1]).min() > 1e-3
    _, divided, _ = some(data, 3, [5], 2)
    for lane, seed in enumerate([0, 5]):
        _, alone, own = some(data, 3, [seed], 1)
        np.testing.assert_allclose(metrics.loss[lane], own.loss[0], rtol=1e-4)
        others = [jax.tree.map(lambda x, i=lane: x[i], both)]
        if seed == 5:
            others.append(jax.tree.map(lambda x: x[0], divided))
        for other in others:
            for a, b in zip(
                jax.tree.leaves(other), jax.tree.leaves(alone), strict=True
            ):
                np.testing.assert_allclose(a, b[0], rtol=1e-4, atol=1e-4)


@pytest.fixture(scope="module")
def odd(data):
    """Two epochs of batches of 48, 48 and 32 images: step by step, and in scans."""
    train, test = data.train, data.test.at(slice(100))
    small = data._replace(
        train=train._replace(images=train.images[:, ::2, ::2]),
        test=test._replace(images=test.images[:, ::2, ::2]),
    )
    cell = "|nor_conv_1x1~0|+|none~0|none~1|+|skip_connect~0|none~1|none~2|"
    changed = {"genotype": cell, "batch_size": 48, "drop_last": False}
    runs = {}
    for scan in (False, True):
        trainer = networks.trainer(changed_run(**changed), small, [0], scan=scan)
        runs[scan] = trainer, *networks.fit(trainer, None)
    return runs


def test_a_scan_with_a_smaller_last_batch(odd):
    """It learns what single steps learn; the epoch's mean weighs images alike."""
    ends = []
    for trainer, state, curves in odd.values():
        assert trainer.steps_per_epoch == 3
        _, metrics = trainer.advance(trainer.init(), range(0, 3))
        assert metrics.loss.shape == (1, 3)
        mean = (metrics.loss[0] * np.array([48, 48, 32])).sum() / 128
        np.testing.assert_allclose(curves.loss[0, 0], mean, rtol=1e-5)
        ends.append((state, metrics, curves._replace(seconds=0)))
    for a, b in zip(*map(jax.tree.leaves, ends), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("scan", [False, True])
def test_resuming_anywhere_gives_the_same_bits(odd, scan, tmp_path, monkeypatch):
    trainer, state, curves = odd[scan]
    advance = Trainer.advance
    for at in (2, 3, 5):  # before and after the smaller batch

        def stops(self, state, steps, at=at):
            if steps.start == at:
                raise InterruptedError
            return advance(self, state, steps)

        with open_run(tmp_path / str(at), "test", {}) as folder:
            with monkeypatch.context() as patch, pytest.raises(InterruptedError):
                patch.setattr(Trainer, "advance", stops)
                networks.fit(trainer, folder, checkpoint_seconds=0)
            other, again = networks.fit(trainer, folder, resume=True)
        same = (state, curves._replace(seconds=0)), (other, again._replace(seconds=0))
        for a, b in zip(*map(jax.tree.leaves, same), strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("changed", "number", "text"),
    [
        ({"batch_size": 48, "drop_last": False}, 3, "last batch, of 32 images"),
        ({"batch_size": 500}, 1, "128 images are too few for a batch of 500"),
        ({"batch_size": 31}, 2, "batch of 31 cannot be divided over 2 devices"),
        ({"auxiliary": 0.4}, 1, "no auxiliary head"),
        ({"genotype": "DARTS_V2", "auxiliary": 0.4}, 1, "auxiliary head needs 8"),
        ({"genotype": "DARTS_V2", "channels": 5}, 1, "channels must be even, got 5"),
    ],
)
def test_trainers_refuse(data, changed, number, text):
    mesh = devices.mesh_of(jax.devices()[:number], [0])
    with pytest.raises(ValueError, match=text):
        networks.trainer(changed_run(**changed), data, [0], mesh)


def grey(count=40, seed=0, channels=1):
    """Made-up images of 33 x 47 pixels."""
    rng = np.random.default_rng(seed)
    shape = (count, 33, 47, channels)
    pixels = rng.integers(0, 256, shape, dtype=np.uint8)
    return Examples(pixels, rng.integers(0, 10, count).astype(np.int32))


def images_of(**changed):
    parts = grey(), grey(0), grey(20, 1)
    made = images.ImageData("grey", *parts, 10, (0.5,), (0.25,), "made up", "")
    return made._replace(**changed)


def test_grey_images_of_33_by_47(tmp_path):
    """Trained, tested, saved and loaded."""
    changed = {"epochs": 1, "batch_size": 20, "train_images": 0, "shrink": 1}
    run = image_sets.with_data(changed_run(**changed), images_of())
    run = dataclasses.replace(run, seeds=(0,), lanes=1)
    trainer = networks.trainer(run, images_of(), [0])
    assert (run.image_size, run.image_channels) == ((33, 47), 1)
    with open_run(tmp_path / "run", "test", run.to_json()) as folder:
        state, curves = networks.fit(trainer, folder)
    assert np.isfinite(curves.loss).all()
    assert round(float(curves.test[0, 0]) * 20, 3) in range(21)
    loaded = networks.load(tmp_path / "run")
    assert loaded.params["body"]["stem"]["kernel"].shape == (3, 3, 1, 4)
    for a, b in zip(*map(jax.tree.leaves, (loaded.params, state.params)), strict=True):
        np.testing.assert_array_equal(a, b[0])
    cell = architectures.read(FEW)
    assert loaded.run == run
    shown = families.describe(cell, **run.sizes)
    assert shown["params"] == sum(x.size for x in jax.tree.leaves(loaded.params))


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        ({"train": grey(channels=4), "valid": grey(0, channels=4)},
         "test images: images have 1 channels; the network has image_channels=4"),
        ({"test": grey(20, 1)._replace(labels=np.full(20, 10, np.int32))},
         "test images: labels are 10"),
        ({"train": grey()._replace(labels=np.full(40, -1, np.int32))},
         "labels are -1 to -1; allowed"),
        ({"mean": (0.5,) * 3, "std": (0.2,) * 3}, "the images have 1 channels"),
        ({"classes": 0}, "classes must be at least 1, got 0"),
    ],
)  # fmt: skip
def test_trainers_refuse_images(changed, text):
    """Before training: labels outside of the classes made losses NaN."""
    with pytest.raises(ValueError, match=text):
        networks.trainer(RUN, images_of(**changed), [0])


def test_constants_of_cifar10_on_cifar100(monkeypatch):
    """As the code of PC-DARTS, which has no others."""
    made = images.synthetic(200, 100)
    monkeypatch.setattr(images, "load", lambda *args, **options: made)
    run = changed_run(dataset="cifar100", train_images=50)
    assert image_sets.whole(run).mean == made.mean
    run = dataclasses.replace(run, constants="cifar10")
    facts = images.PUBLISHED["cifar10"]
    mine = image_sets.augmentation(run, image_sets.whole(run))
    assert (mine.mean, mine.std) == (facts.mean, facts.std)
    other = SupernetRun(
        dataset="cifar100", constants="cifar10", train_images=50, shrink=4
    )
    theirs = image_sets.augmentation(other, image_sets.halves(other))
    assert (theirs.mean, theirs.std) == (facts.mean, facts.std)
    for wrong, text in (
        ({"constants": "mine"}, "constants is 'mine'; allowed: own, cifar10"),
        ({"dataset": "synthetic"}, "constants cifar10: not with --dataset synthetic"),
    ):
        for either in (run, other):
            with pytest.raises(ValueError, match=text):
                dataclasses.replace(either, **wrong)


def test_load_needs_a_run(tmp_path):
    with pytest.raises(FileNotFoundError, match="holds no network"):
        networks.load(tmp_path)
    run = dataclasses.replace(
        RUN, seeds=(1, 2), lanes=1, classes=10, image_size=8, steps_per_epoch=4
    )
    (tmp_path / "config.json").write_text(json.dumps(run.to_json()))
    with pytest.raises(ValueError, match=r"seed 4 is not in .*: it has \[1, 2\]"):
        networks.load(tmp_path, 4)
    with pytest.raises(FileNotFoundError, match="seeds-2 holds no checkpoint"):
        networks.load(tmp_path, 2)
    content = run.to_json()
    del content["channels"]
    (tmp_path / "config.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"config\.json is of no network: .* channels"):
        networks.load(tmp_path)


@pytest.mark.parametrize("run", [RUN, SupernetRun(), SupernetRun(space="nb201")])
def test_runs_are_json_and_back(run):
    """A field that is not known yet is left out; older versions lacked three."""
    content = json.loads(json.dumps(run.to_json()))
    assert type(run).from_json(content) == dataclasses.replace(run, image_channels=3)
    assert not {"classes", "image_channels", "resize"} & content.keys()
    old = type(run).from_json({k: v for k, v in content.items() if k not in ABSENT})
    assert old.recipe.drop_last and old.constants == "own"
