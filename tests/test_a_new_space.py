"""A space of a user's own: one file makes it trainable and searchable."""

import importlib.util
import json
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "experiments"))

import train_supernet

from nasjax import random_search, search
from nasjax.environments.frozen_supernet import frozen_supernet
from nasjax.networks import augment, families, supernet, training
from nasjax.networks.derived import DerivedConfig
from nasjax.networks.derived import training as derived_training
from nasjax.networks.supernet import training as supernet_training
from nasjax.runs import network_config, plugins, supernet_config
from nasjax.spaces import architectures

TOY = """
import functools

import flax.linen as nn
import jax
import numpy as np

from nasjax.networks import families
from nasjax.networks.derived.cells import Cell
from nasjax.networks.derived.layers import Convolution
from nasjax.networks.initializers import uniform
from nasjax.networks.primitives import convolution
from nasjax.networks.supernet import SupernetConfig, cells, operations
from nasjax.spaces import CellSpace, costs

OPERATIONS = ("skip_connect", "nor_conv_1x1")
SPACE = CellSpace("toy", OPERATIONS, edges=((0, 1), (0, 2), (1, 2)))


def plan(config):
    cell = functools.partial(
        cells.Cell, SPACE.edges, OPERATIONS, "toy", config.channels, inputs=1
    )
    return {f"cell{i}": (0, cell()) for i in range(config.cells)}


def init(key, config):
    stem, inner, head = jax.random.split(key, 3)
    C, shape = config.channels, (3, 3, config.image_channels, config.channels)
    params = {"stem": uniform(stem, shape, 9 * config.image_channels)}
    for i, (name, (_, cell)) in enumerate(plan(config).items()):
        key = jax.random.fold_in(inner, i)
        params[name] = {"edges": cells.init(key, cell)}
    return params | {"classifier": operations.classifier(head, C, config.classes)}


def apply(params, choice, images, config, mode, norms):
    x = norms("stem", convolution(images, params["stem"]))
    for name, (row, cell) in plan(config).items():
        edges = params[name]["edges"]
        x = norms.cell(name, cell, mode, edges, (x,), choice[row])[-1]
    return [x]


class Body(nn.Module):
    config: object
    norm: object
    train: bool

    @nn.compact
    def __call__(self, x, drop_path):
        x = self.norm()(Convolution(self.config.channels, 3)(x))
        for _ in range(self.config.cells):
            x = Cell(self.config.edges(), self.norm)((x,), drop_path)[-1]
        return x, None


def cost_table(space, *, cells, channels, **sizes):
    none = np.zeros((3, 3), int)  # edges; the operations and an absent edge
    weights = none.copy()
    weights[:, 1] = cells * channels**2
    edges = costs.Costs(weights, none, none, none, none)
    zero, most = costs.Costs(0, 0, 0, 0, 0), costs.Costs(3 * weights[0, 1], 0, 0, 0, 0)
    return costs.CostTable(zero, edges, most, 0)


families.register(
    families.Family(
        name="toy",
        space=SPACE,
        supernet=families.Supernet(operations.NB201, plan, init, apply),
        variants={
            "toy": families.Variant(
                functools.partial(SupernetConfig, SPACE, "toy"),
                {"parts": 1, "none": False, "stem": "cifar"},
            )
        },
        body=Body,
        halvings=lambda config: 0,
        check=lambda config: None,
        cost_table=cost_table,
    )
)
"""
STRING = "|nor_conv_1x1~0|+|skip_connect~0|nor_conv_1x1~1|"
RECIPE = training.Recipe(batch_size=8, epochs=2)
AUGMENT = augment.AugmentConfig(padding=1)


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    """The module of a user's file, its space registered until the tests end."""
    path = tmp_path_factory.mktemp("user") / "toy.py"
    path.write_text(TOY)
    spec = importlib.util.spec_from_file_location("toy", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    del families.FAMILIES["toy"], architectures.SPACES["toy"]


@pytest.fixture(scope="module")
def config(toy):
    """As a run of train_supernet.py makes it from `--space toy`."""
    run = supernet_config.preset("toy", channels=4, cells=2, image_channels=3)
    assert run == supernet_config.SupernetRun.from_json(run.to_json())
    return run.network


@pytest.fixture(scope="module")
def data():
    images = np.random.default_rng(0).integers(0, 256, (32, 8, 8, 3), np.uint8)
    return jnp.asarray(images), jnp.arange(32) % 10


def test_train_supernet_trains_it_from_a_plugin(tmp_path, capsys, quick_compile):
    """Before any test that registers the same space through the fixture `toy`."""
    path, out = tmp_path / "toy.py", tmp_path / "run"
    path.write_text(TOY)
    argv = [
        "--plugin", str(path), "--space", "toy", "--dataset", "synthetic", "--out",
        str(out), "--channels", "4", "--cells", "1", "--shrink", "4", "--epochs", "1",
        "--train-images", "64", "--batch-size", "32", "--validate", "1",
        "--validate-archs", "2", "--validate-images", "50", "--validate-batch", "50",
        "--no-table",
    ]  # fmt: skip
    try:
        assert train_supernet.main(argv) == 0
        assert train_supernet.main([*argv, "--resume"]) == 0
        with np.load(out / "results.npz") as arrays:
            assert np.isfinite(arrays["batch"]).all()
        saved = json.loads((out / "config.json").read_text())
        assert (saved["space"], saved["plugins"]) == ("toy", ["toy.py"])
        with pytest.raises(SystemExit):
            train_supernet.main([*argv[2:], "--resume"])
        assert "--plugin toy.py: --resume needs it again" in capsys.readouterr().err
        path.write_text(TOY + "# edited")
        with pytest.raises(SystemExit):
            train_supernet.main([*argv, "--resume"])
        assert "toy.py is not the file that the run" in capsys.readouterr().err
    finally:
        plugins.load([])
    assert "toy" not in families.FAMILIES


def test_architectures_are_read_and_described(toy):
    architecture = architectures.read(STRING)
    assert (architecture.family, architecture.printed) == ("toy", STRING)
    assert architecture.arch.tolist() == [1, 0, 1]
    assert architectures.read(architecture.to_json()).family == "toy"
    assert architectures.read([1, 0, 1]).printed == STRING
    sizes = families.describe(architecture, cells=2, channels=4, classes=10)
    assert (sizes["params"], sizes["flops"], sizes["width"]) == (2 * 2 * 16, None, None)


def test_a_supernet_trains_and_is_searched(config, data):
    start = supernet_training.init(jax.random.key(0), config, RECIPE, 8)
    arch = config.space.random(jax.random.key(1))
    args = (jax.random.key(2), start, arch, *data, 0.1)
    options = {"config": config, "recipe": RECIPE, "augment": AUGMENT}
    state, metrics = jax.jit(lambda *args: supernet_training.train(*args, **options))(
        *args
    )
    assert np.isfinite(metrics.loss)
    moved = jax.tree.map(lambda a, b: bool((a != b).any()), state.params, start.params)
    assert moved["stem"] and moved["classifier"]["kernel"]
    paths = [
        supernet.apply(state.params, choice, data[0] / 255, config, mode=mode)[0]
        for mode, choice in (("path", arch), ("dense", config.space.one_hot(arch)))
    ]
    np.testing.assert_allclose(*paths, atol=1e-5)
    env = frozen_supernet(
        config, state.params, *data, mean=None, std=None, batch_size=16
    )
    searcher = random_search(config.space)
    _, trace = jax.jit(lambda key: search.run(key, searcher, env, 4))(jax.random.key(3))
    assert trace.arch.shape == (4, 3) and (trace.arch < 2).all()
    assert ((trace.accuracy >= 0) & (trace.accuracy <= 1)).all()


def test_a_derived_network_trains(toy, data):
    architecture = architectures.read(STRING)
    sizes = {"channels": 4, "cells": 1, "auxiliary": 0.0, "genotype": STRING}
    config = network_config.preset(architecture.family, **sizes).network
    wanted = DerivedConfig(architecture.space, architecture.arch, channels=4, cells=1)
    assert config == wanted
    assert (config.kind, config.halvings) == ("toy", 0)
    recipe = derived_training.Recipe(batch_size=8, epochs=2, auxiliary=0, drop_path=0)
    state = derived_training.init(jax.random.key(0), config, recipe, 8)
    options = {"config": config, "recipe": recipe, "augment": AUGMENT}
    step = jax.jit(
        lambda *args: derived_training.step(*args, steps_per_epoch=4, **options)
    )
    losses = []
    for _ in range(5):
        state, metrics = step(jax.random.key(1), state, *data, jnp.arange(8))
        losses.append(float(metrics.loss))
    assert losses[-1] < losses[0]


def test_names_are_taken_once(toy):
    with pytest.raises(ValueError, match="a space named toy is registered already"):
        families.register(families.FAMILIES["toy"])
