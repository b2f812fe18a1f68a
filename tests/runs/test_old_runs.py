"""Runs that version 0.1.0 left, checkpoints of format 1: they load and go on.

data/old_runs.tar.xz holds one run of each kind in its smallest form, with its results,
all but the newest-but-one checkpoint (of trainings the last one) removed.
"""

import json
import sys
import tarfile
from pathlib import Path

import jax
import numpy as np
import pytest

from nasjax import search, searchers
from nasjax.environments import cached
from nasjax.environments.trainable_supernet import trainable_supernet
from nasjax.networks import augment, supernet, training
from nasjax.networks.examples import Examples
from nasjax.networks.supernet import training as supernet_training
from nasjax.runs import networks, supernets
from nasjax.runs.checkpoints import Checkpoints
from nasjax.runs.driven_search import Queries
from nasjax.searchers.cadam_config import thesis_supernet
from nasjax.searchers.ddas import four_stage

pytestmark = pytest.mark.usefixtures("quick_compile")
HERE = Path(__file__)
# Sums of absolute weights, as that version loaded them.
SUPERNET, NETWORK = 517.8535519606594, 306.45637222087163
EXPERIMENTS = HERE.parents[2] / "experiments"


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    with tarfile.open(HERE.parent / "data" / "old_runs.tar.xz") as archive:
        archive.extractall(folder, filter="data")
    return folder


def arrays(folder):
    with np.load(folder / "results.npz") as file:
        return {name: file[name] for name in file.files}


def test_searches_of_a_table_go_on_to_the_same_bits(runs):
    """From query 10 of 12, of CADAM, evolution and the Bayesian actor-critic.

    The last keeps its queries and asks others after them: it now climbs, and knows
    isomorphic cells.
    """
    sys.path.insert(0, str(EXPERIMENTS))
    import nb201

    out = runs / "nb201"
    wanted = arrays(out)
    (out / "results.npz").unlink()
    flags = "--hidden 8,8 --columns cifar10_valid --seeds 1-2 --steps 12 --warm-up 4 "
    flags += "--batch-size 4 --best-hidden 4 --best-warm-up 3 --chunk 4 "
    flags += "--methods cadam,evolution,bayesian-actor-critic"
    assert nb201.main([*flags.split(), "--out", str(out), "--resume"]) == 0
    again = arrays(out)
    assert again.keys() == wanted.keys()
    for name, value in wanted.items():
        if name.startswith("bayesian"):
            np.testing.assert_array_equal(again[name][..., :10], value[..., :10])
        elif value.dtype == np.float32 and "accuracy" not in name:
            np.testing.assert_allclose(again[name], value, atol=2e-3, err_msg=name)
        else:
            np.testing.assert_array_equal(again[name], value, err_msg=name)


def test_a_supernet_loads(runs):
    net = supernets.load(runs / "supernet")
    assert (net.step, net.epoch) == (30, 3.0)
    wanted = arrays(runs / "supernet")
    for name in ("loss", "batch", "running"):
        np.testing.assert_array_equal(getattr(net.curves, name), wanted[name])
    assert norm(net.params) == pytest.approx(SUPERNET, rel=1e-12)


def test_a_network_loads(runs):
    network = networks.load(runs / "evaluate", 3)
    assert (network.step, network.epoch) == (30, 3.0)
    assert norm(network.params) == pytest.approx(NETWORK, rel=1e-12)


def norm(tree):
    """Sum of absolute values."""
    leaves = jax.tree.leaves(tree)
    return sum(float(np.abs(np.asarray(x, np.float64)).sum()) for x in leaves)


def test_a_search_of_a_supernet_loads(runs):
    net = supernets.load(runs / "supernet")
    space, wanted = net.config.space, arrays(runs / "search")
    config = thesis_supernet().replace(hidden=(8, 8), warm_up=5, top_k=4, batch_size=4)
    config = config.replace(capacity=500)
    env = cached(search.Environment((), (), lambda *_: None))
    task = Queries(searchers.cadam(space, config), env, 12, "cadam/seed1")
    checkpoints = Checkpoints(runs / "search" / "checkpoints" / "cadam" / "seed1")
    step, tree = checkpoints.restore(*task.templates(checkpoints))
    assert step == 11
    for name in ("arch", "accuracy"):
        saved = getattr(tree["trace"], name)[:11]
        np.testing.assert_array_equal(saved, wanted[f"cadam__{name}"][0, :11])
    carry = task.unpack(step, tree)
    assert len(env.evaluate) == len(np.unique(wanted["cadam__arch"][0, :11], axis=0))
    assert task.best == wanted["cadam__accuracy"][0, :11].max()
    assert int(carry["state"].searcher.replay.count) == 11


def test_a_ddas_search_loads_with_its_supernet(runs):
    """As the experiment makes it: the same searcher, the same trainable supernet."""
    wanted = arrays(runs / "ddas")
    config = json.loads((runs / "ddas" / "config.json").read_text())
    settings = config["warm_up"]
    net = supernet.darts(none=True, cells=1, channels=2)
    recipe = training.Recipe(batch_size=settings["batch_size"], epochs=1)
    state = jax.eval_shape(
        lambda key: supernet_training.init(key, net, recipe, settings["image_size"]),
        jax.random.key(0),
    )
    zeros = jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), state)
    size = settings["image_size"]
    images = np.zeros((64, size, size, 3), np.uint8)
    examples = Examples(images, np.zeros(64, np.int32))
    env = trainable_supernet(
        net,
        zeros,
        examples,
        examples.at(slice(20)),
        recipe=recipe,
        augment=augment.AugmentConfig(),
        batches=2,
        eval_batch=10,
    )
    chosen = four_stage().replace(explore=4, exploit=4, batch_size=4, hidden=(8, 8))
    task = Queries(searchers.ddas(net.space, chosen), env, 16, "4s/seed2")
    checkpoints = Checkpoints(runs / "ddas" / "checkpoints" / "4s" / "seed2")
    step, tree = checkpoints.restore(*task.templates(checkpoints))
    assert step == 15
    for name in ("arch", "accuracy", "loss"):
        saved = getattr(tree["trace"], name)[:15]
        np.testing.assert_array_equal(saved, wanted[f"4s__{name}"][0, :15])
    moved = jax.tree.leaves(tree["state"].environment)
    assert any(np.abs(x).sum() > 0 for x in moved)
