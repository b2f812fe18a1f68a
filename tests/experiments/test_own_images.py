"""All scripts that train on images, on 37 classes of gray ones with a broken file."""

import functools
import json
import shutil

import in_process
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from test_a_new_space import STRING, TOY

from nasjax.environments.trainable_supernet import Evaluate
from nasjax.networks.supernet import training
from nasjax.networks.train_state import Metrics
from nasjax.runs import network_config, plugins, supernet_config, supernets
from nasjax.runs.training import Trainer
from nasjax.search import Outcome

pytestmark = pytest.mark.usefixtures("quick_compile")

CLASSES = 37
BROKEN = "class-05/2.png"
CELL = "|nor_conv_1x1~0|+|none~0|none~1|+|none~0|none~1|skip_connect~2|"
TOY_SMALL = ["--image-size=8", "--padding=1", "--epochs=1", "--batch-size=32"]
TOY_SMALL += ["--channels=2", "--cells=1", "--drop-last=true"]
SMALL = ["--preset=cpu", *TOY_SMALL]
SUPERNET = ["--validate=1", "--validate-archs=2", "--validate-batch=20"]
SUPERNET += ["--no-table"]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A folder with the set, with a cache and no other data."""
    root, rng = tmp_path_factory.mktemp("own"), np.random.default_rng(0)
    for i in range(CLASSES):
        (root / "set" / f"class-{i:02d}").mkdir(parents=True)
        for j in range(5):
            pixels = rng.integers(0, 256, (28, 28), dtype=np.uint8)
            path = root / "set" / f"class-{i:02d}" / f"{j}.png"
            Image.fromarray(pixels).save(path)
    (root / "set" / BROKEN).write_bytes(b"\x89PNG broken")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(root / "cache"))
        patch.delenv("NASJAX_DATA", raising=False)
        yield root


def own(world, *more):
    return ["--dataset", world / "set", "--corrupt=skip", *more]


def finish(name, *arguments, **options):
    done = in_process.call(name, *arguments, **options)
    assert done.code == 0, done.err
    return done.out


def refused(name, *arguments, **options):
    done = in_process.call(name, *arguments, **options)
    assert done.code == 2, (done.out, done.err)
    return done.err


def checked(settings, world, size=8):
    """The record of the set in a config.json."""
    facts = settings["image_facts"]
    assert facts["skipped"] == [BROKEN] and len(facts["classes"]) == CLASSES
    assert facts["counts"]["test"] == [1] * CLASSES
    assert facts["counts"]["train"] == [4] * 5 + [3] + [4] * 31
    assert facts["imbalance"] == 4 / 3
    assert len(facts["files_sha256"]) == len(settings["data_sha256"]) == 64
    training = settings.get("training", settings)
    assert training["dataset"] == str(world / "set")
    assert (training["corrupt"], training["image_size"]) == ("skip", size)
    assert training["classes"] == CLASSES


def read(path):
    return json.loads(path.read_text())


@pytest.fixture(scope="module")
def toy_file(world):
    path = world / "toy.py"
    path.write_text(TOY)
    return path


@pytest.fixture
def toy(toy_file):
    """Flags of a space whose networks compile quickly; it is loaded."""
    plugins.load([toy_file])
    yield ["--plugin", toy_file]
    plugins.load([])


@pytest.fixture(scope="module")
def supernet(world, toy_file, quick_compile):
    out = world / "supernet"
    flags = ["--plugin", toy_file, *TOY_SMALL, *SUPERNET, "--space=toy", "--out", out]
    text = finish("train_supernet", *own(world, *flags))
    plugins.load([])
    return out, text


def test_train_supernet(world, toy, supernet):
    out, text = supernet
    assert "37 classes, 37 test, 147 train; 3 to 4 training images of a class" in text
    assert f"skipped 1 of 185 images are damaged: {BROKEN}" in text
    assert "74 images to train, 73 to validate" in text
    checked(read(out / "config.json"), world)
    checked(read(out / "results.json")["config"], world)
    net = supernets.load(out)
    assert net.config.classes == CLASSES and net.run.image_size == 8
    np.testing.assert_allclose(net.run.image_facts["imbalance"], 4 / 3)


def test_a_set_that_grew_does_not_go_on(world, toy, supernet, tmp_path):
    """More classes than the network has, other images than a search's supernet saw."""
    grown = tmp_path / "grown"
    shutil.copytree(world / "set", grown)
    shutil.copytree(grown / "class-00", grown / "class-37")
    out, base = tmp_path / "net", ["--corrupt=skip", "--dataset"]
    shutil.copytree(supernet[0], out)
    config = read(out / "config.json")
    (out / "config.json").write_text(json.dumps(config | {"dataset": str(grown)}))
    flags = [*toy, *TOY_SMALL, *SUPERNET, "--space=toy", "--out", out, "--resume"]
    error = refused("train_supernet", *base, grown, *flags)
    assert "classes: 37 then, 38 now" in error and "image_facts" not in error
    search = [*toy, "--supernet", supernet[0], "--dataset"]
    error = refused("search_supernet", *search, grown, "--out", tmp_path / "search")
    assert "holds other images than the run was trained on" in error
    error = refused("search_supernet", *search, "cifar10", "--out", tmp_path / "search")
    assert f"was trained on {world / 'set'}, not cifar10" in error


def test_search_supernet(world, toy, supernet, tmp_path):
    """Of a supernet whose images moved meanwhile."""
    shutil.copytree(world / "set", tmp_path / "moved")
    flags = ["--preset=cpu", "--subset=20", "--eval-batch=10", "--final-images=20"]
    flags += ["--methods=random", "--steps=4", "--seeds=1"]
    flags += ["--dataset", tmp_path / "moved", "--out", tmp_path / "search"]
    text = finish("search_supernet", *toy, "--supernet", supernet[0], *flags)
    assert "20 images per query" in text.replace("\n", " ")
    results = read(tmp_path / "search" / "results.json")
    checked(results["config"]["supernet"]["settings"], world)
    assert results["data"] == str(tmp_path / "moved")


def test_ddas(world, supernet, tmp_path):
    """A DARTS supernet takes long to compile: this one is zeros, and never runs."""
    settings = read(supernet[0] / "config.json")
    names = (
        "dataset",
        "image_size",
        "corrupt",
        "data_sha256",
        "image_facts",
        "classes",
    )
    run = supernet_config.preset(
        "darts", "cpu-ddas", cells=1, channels=2, **{n: settings[n] for n in names}
    )
    init = functools.partial(
        training.init, config=run.network, recipe=run.recipe, image_size=8
    )
    shapes = jax.eval_shape(init, jax.random.key(0))
    state = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)
    curves = supernets.no_curves(1, [1], 1)
    curves = curves._replace(one_shot=np.array([[0.1, 3.0]], np.float32))
    network = run.network, state.params, state.statistics
    net = supernets.Pretrained(*network, run, 2, 1.0, curves, state)

    def evaluate(self, key, params, state, arch):
        assert self.config.classes == CLASSES
        assert len(params.train.labels) == 74 and len(params.valid.labels) == 73
        return state, Outcome(jnp.float32(0.1), jnp.float32(3.0))

    def stand_in(patch):
        patch.setattr(supernets, "load", lambda folder: net)
        patch.setattr(Evaluate, "__call__", evaluate)

    (tmp_path / "warm").mkdir()
    (tmp_path / "warm" / "results.json").touch()  # finished
    flags = ["--preset=cpu", "--variant=rs", "--warm-up", tmp_path / "warm"]
    flags += ["--steps=3", "--batches=1", "--eval-batch=20", "--out", tmp_path / "ddas"]
    wrong = own(world, "--image-size=9", *flags)
    error = refused("ddas", *wrong, stand_in=stand_in)
    assert "was trained with image_size 8, not 9" in error
    finish("ddas", *own(world, *flags), stand_in=stand_in)
    results = read(tmp_path / "ddas" / "results.json")
    checked(results["config"]["warm_up"], world)
    assert results["config"]["valid_images"] == 0  # the whole half


def test_search_training(world, toy, tmp_path):
    training = [x for x in TOY_SMALL if not x.startswith("--drop-last")]
    flags = [*toy, *training, "--space=toy", "--methods=random", "--queries=1"]
    flags += ["--seeds=1", "--candidates=1", "--candidate-epochs=1", "--out", tmp_path]

    def advance(self, state, steps):  # nothing learns: other tests compile enough
        zeros = np.zeros((1, len(steps)), np.float32)
        return state, Metrics(zeros, zeros)

    def stand_in(patch):
        patch.setattr(Trainer, "advance", advance)
        patch.setattr(Trainer, "test", lambda self, _: {self.model.scores[0]: 0.5})

    finish("search_training", *own(world, *flags), stand_in=stand_in)
    checked(read(tmp_path / "config.json"), world)
    results = read(tmp_path / "results.json")
    checked(results["config"], world)
    (candidate,) = results["candidates"]["random"]
    assert candidate["test_accuracy"] == 0.5


def test_evaluate(world, toy, tmp_path):
    flags = ["--genotype", STRING, *TOY_SMALL, "--cutout=0", "--out", tmp_path]
    text = finish("evaluate", *own(world, *flags))
    assert "147 images to train, 37 to test" in text
    checked(read(tmp_path / "config.json"), world)
    checked(read(tmp_path / "results.json")["config"], world)
    error = refused("evaluate", *own(world, *flags, "--resume", "--split-seed=1"))
    assert "data_sha256" in error and "split_seed: None then, 1 now" in error


@pytest.mark.parametrize(
    ("name", "flags", "message"),
    [
        ("train_supernet", [], r"1 of 185 images are damaged: class-05/2.png"),
        ("train_supernet", ["--corrupt=skip", "--image-size=7"], "at least 8"),
        ("train_supernet", ["--corrupt=skip", "--shrink=2"], "--shrink 2: not with"),
        ("train_supernet", ["--corrupt=skip", "--batch-size=80", "--drop-last=false"],
         "too few for a batch of 80"),
        ("train_supernet", ["--data-dir=/"], "--data-dir /: not with --dataset"),
        ("evaluate", ["--genotype", CELL, "--resize=9"], "--resize: not with"),
        ("evaluate", ["--genotype", CELL, "--describe"], "needs --classes"),
    ],
)  # fmt: skip
def test_refused_before_any_work(world, tmp_path, name, flags, message):
    flags = ["--dataset", world / "set", *flags, "--out", tmp_path / "run"]
    assert message in refused(name, *flags)
    assert not (tmp_path / "run").exists()


def test_a_run_is_not_written_among_the_classes(world):
    out = world / "set" / "run"
    flags = own(world, "--batch-size=20", "--out", out)
    assert "lies in --dataset" in refused("train_supernet", *flags)
    assert not out.exists()


@pytest.mark.parametrize(
    ("name", "flags", "message"),
    [
        ("train_supernet", ["--dataset=cifar"], "'cifar' does not exist; allowed: cif"),
        ("evaluate", ["--genotype", CELL, "--dataset=/no/set"],
         "/no/set: no such file or folder"),
        ("ddas", ["--dataset=tfds:"], "'tfds:' does not exist; allowed: cifar10, "),
        ("evaluate", ["--genotype", CELL, "--dataset", __file__], "neither a f"),
        ("train_supernet", ["--image-size=9"], "--image-size: not with --dataset cif"),
        ("ddas", ["--corrupt=skip"], "--corrupt: not with --dataset cifar10"),
        ("search_training", ["--split-seed=1"], "--split-seed: not with --dataset cif"),
        ("evaluate", ["--genotype", CELL, "--corrupt=skip", "--split-seed=1"],
         "--corrupt, --split-seed: not with --dataset cifar10"),
    ],
)  # fmt: skip
def test_flags_that_do_not_fit(tmp_path, name, flags, message):
    assert message in refused(name, *flags, "--out", tmp_path / "run")


def test_an_npz_is_described(tmp_path):
    """Described before it is read."""
    rng = np.random.default_rng(1)
    images = rng.integers(0, 256, (40, 28, 28), dtype=np.uint8)
    np.savez(tmp_path / "set.npz", images=images, labels=np.arange(40) % 4)
    flags = ["--genotype", CELL, *SMALL, "--describe", "--classes=4"]
    described = json.loads(
        finish("evaluate", "--dataset", tmp_path / "set.npz", *flags)
    )
    run = network_config.preset("nb201", "cpu", genotype=CELL, channels=2)
    assert described["params"] < 10_000 and run.shrink == 2
