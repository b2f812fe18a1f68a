"""Networks as files: the same probabilities after reading, and damaged files."""

import json
import re

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import pytest

import nasjax
from nasjax.data import network_files
from nasjax.networks import derived
from nasjax.networks.derived.classifier import Classifier
from nasjax.runs.image_sets import shrink
from nasjax.spaces import architectures

pytestmark = pytest.mark.usefixtures("quick_compile")

CELL = "|none~0|+|none~0|none~1|+|skip_connect~0|none~1|none~2|"
IMAGES = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 1)).astype(np.uint8)


@pytest.fixture(scope="module")
def classifier():
    """An untrained network for gray images."""
    architecture = architectures.read(CELL)
    config = derived.DerivedConfig(
        architecture.space,
        architecture.arch,
        channels=2,
        cells=1,
        classes=2,
        image_channels=1,
    )
    variables = derived.init(jax.random.key(0), config, 8)
    return Classifier(
        **variables,
        config=config,
        genotype=CELL,
        classes=("cat", "dog"),
        mean=(0.5,),
        std=(0.25,),
        image_size=(8, 8),
    )


@pytest.fixture(scope="module")
def written(classifier, tmp_path_factory):
    path = tmp_path_factory.mktemp("network") / "network.npz"
    network_files.save_network(path, classifier)
    return path


def test_what_is_read_is_what_was_written(classifier, written):
    predict = nasjax.load_network(written)
    assert (predict.classes, predict.genotype) == (("cat", "dog"), CELL)
    assert predict.config == classifier.config
    jax.tree.map(np.testing.assert_array_equal, predict, classifier)
    np.testing.assert_array_equal(predict(IMAGES), classifier(IMAGES))


def test_probabilities_are_the_softmax_of_the_networks_logits(classifier):
    """Of (x / 255 - 0.5) / 0.25, by the running statistics."""
    scaled = jnp.asarray((IMAGES / 255 - 0.5) / 0.25, jnp.float32)
    variables = {"params": classifier.params, "statistics": classifier.statistics}
    logits, _ = derived.Network(classifier.config).apply(variables, scaled, False)
    wanted = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(classifier(IMAGES), wanted, rtol=1e-5)


def test_stablehlo_needs_jax_alone(classifier):
    """For any number of images, and also for GPUs."""
    program = jax.export.deserialize(bytearray(classifier.stablehlo()))
    assert program.platforms == ("cpu", "cuda")
    for images in (IMAGES, IMAGES[:1]):
        np.testing.assert_allclose(
            program.call(images), classifier(images), rtol=1e-5, atol=1e-7
        )


def test_images_of_the_data_sets_size_are_averaged(classifier):
    """Blocks of 2 x 2, as a preset shrinks them."""
    whole = np.random.default_rng(1).integers(0, 256, (3, 16, 16, 1)).astype(np.uint8)
    halved = classifier.replace(shrink=2)
    np.testing.assert_array_equal(halved(whole), halved(shrink(whole, 2)))
    program = jax.export.deserialize(bytearray(halved.stablehlo()))
    np.testing.assert_allclose(program.call(whole), halved(whole), rtol=1e-5)
    with pytest.raises(ValueError, match="allowed: 8 x 8 or 16 x 16"):
        halved(whole[:, :12])


@pytest.mark.parametrize(
    "images, message",
    [
        (IMAGES / 255, "images are float64; allowed: uint8"),
        (IMAGES[0], "[8, 8, 1]"),
        (np.repeat(IMAGES, 3, axis=-1), "3"),
        (IMAGES.repeat(3, 1).repeat(3, 2), "images are 24 x 24; allowed: 8 x 8"),
    ],
)
def test_other_images_are_refused(classifier, images, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        classifier(images)


def damaged(change):
    def write(path, written):
        with np.load(written) as file:
            arrays = {name: file[name] for name in file.files}
        change(arrays)
        np.savez(path, **arrays)

    return write


def header(**changes):
    def change(arrays):
        content = json.loads(str(arrays["header"])) | changes
        kept = {name: x for name, x in content.items() if x is not None}
        arrays["header"] = np.array(json.dumps(kept))

    return damaged(change)


WEIGHT = "params/classifier/kernel"


@pytest.mark.parametrize(
    "write, message",
    [
        (lambda path, _: path.write_bytes(b"no network"), "no exported network"),
        (lambda path, old: path.write_bytes(old.read_bytes()[:-90]), "no exported"),
        (damaged(lambda arrays: arrays.pop("header")), "it has no header"),
        (damaged(lambda arrays: arrays.pop(WEIGHT)), f"absent or unknown: {WEIGHT}"),
        (
            damaged(lambda arrays: arrays.update({WEIGHT: np.zeros((2, 2))})),
            f"{WEIGHT} is float64 [2, 2], not float32 [8, 2]",
        ),
        (header(format="nasjax network 9"), "its format is not 'nasjax network 1'"),
        (header(mean=None), "the header lacks mean"),
        (header(genotype="|new_op~0|"), "new_op"),
    ],
)
def test_a_damaged_file_is_named(written, tmp_path, write, message):
    path = tmp_path / "other.npz"
    write(path, written)
    with pytest.raises(ValueError, match=re.escape(message)) as error:
        nasjax.load_network(path)
    assert str(path) in str(error.value)


def test_an_absent_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no network .*none\.npz"):
        nasjax.load_network(tmp_path / "none.npz")
