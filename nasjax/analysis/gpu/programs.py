"""Programs of the project that are compiled and counted, in whole and small sizes."""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from nasjax import lanes, search, searchers, spaces
from nasjax.analysis.gpu import compiling
from nasjax.environments.frozen_supernet import score
from nasjax.environments.tabular import from_arrays
from nasjax.environments.trainable_supernet import Evaluate, Split
from nasjax.networks import derived, supernet, training
from nasjax.networks.augment import AugmentConfig
from nasjax.networks.derived import training as derived_training
from nasjax.networks.examples import Examples
from nasjax.networks.supernet import darts_network
from nasjax.networks.supernet import training as supernet_training
from nasjax.searchers.ddas import VARIANTS
from nasjax.spaces import genotypes

# Means and deviations of the pixels; any constants give the same program.
PIXELS: dict[str, Any] = {"mean": (0.5,) * 3, "std": (0.25,) * 3}
# Steps of CADAM before those that are counted: its replay then holds enough experiences
# for the most training cycles a step.
FULL_REPLAY = 900


@dataclasses.dataclass(frozen=True)
class Sizes:
    """Sizes of a program's arrays and loops."""

    lanes: int = 60  # searches side by side
    steps: int = 50  # of a search, in one program
    batch: int = 250  # images per training step and per batch of a score
    batches: int = 1  # per score; for DDAS, training batches per step of the search
    together: int = 1  # batches of a score side by side, as a GPU takes them
    images: int = 25_000  # in each half of the data
    side: int = 32  # pixels of an image
    cells: int = 8  # of the network
    channels: int = 16  # of the network's first cells
    dtype: str = "bfloat16"  # of the network's activations
    pallas: bool = False  # see `SupernetConfig`


@dataclasses.dataclass(frozen=True)
class Part:
    """One compiled program."""

    name: str
    lower: Callable[[Mesh], jax.stages.Lowered]  # for the device of a mesh
    counted: tuple[str, float]  # unit of the counts, and its number in a run
    rated: tuple[str, float]  # unit of the rate, such as images; likewise
    calls: float = 0.0  # runs in the whole experiment; 0 where nothing is summed up
    # Expected iterations of loops, and how likely branches are; see `model.count`.
    trips: Sequence[float] = ()
    branches: Mapping[int, Sequence[float]] = dataclasses.field(default_factory=dict)


def _lowered(function, *arguments, donated=()):
    """A function that lowers `function` of these shapes for a mesh."""

    def lower(mesh: Mesh) -> jax.stages.Lowered:
        placed = compiling.shapes(arguments, mesh)
        # Pallas lowers for the card that the abstract mesh names.
        with jax.sharding.use_abstract_mesh(mesh.abstract_mesh):
            return jax.jit(function, donate_argnums=donated).lower(*placed)

    return lower


def _key():
    return jax.eval_shape(lambda: jax.random.key(0))


def _images(sizes):
    images = jax.ShapeDtypeStruct((sizes.images, sizes.side, sizes.side, 3), jnp.uint8)
    return Examples(images, jax.ShapeDtypeStruct((sizes.images,), jnp.int32))


def _augment(cutout=0):
    return AugmentConfig(**PIXELS, cutout=cutout)


def _search(searcher, sizes, first, mesh):
    """A chunk of searches with `first + sizes.steps` steps on NAS-Bench-201's table."""
    space = spaces.nas_bench_201()
    operations = np.asarray(space.from_index(jnp.arange(space.size)))
    env = from_arrays(space, operations, [np.zeros(space.size, np.float32)])
    runner = lanes.Runner(
        lambda params, lane: (searcher, dataclasses.replace(env, params=params)),
        env.params,
        jax.vmap(jax.random.key)(jnp.arange(sizes.lanes, dtype=jnp.uint32)),
        np.zeros(sizes.lanes, np.int32),
        steps=first + sizes.steps,
        mesh=mesh,
        inner="vmap",
        shapes_only=True,
    )
    return runner.lower(sizes.steps)


def cadam(sizes: Sizes) -> list[Part]:
    """A chunk of CADAM with the thesis's settings, when it trains most often."""
    config = searchers.CadamConfig()
    searcher = searchers.cadam(spaces.nas_bench_201(), config)
    lower = functools.partial(_search, searcher, sizes, FULL_REPLAY)
    cycles = ("cycle", sizes.steps * config.max_cycles)
    steps = ("lane-steps", sizes.steps * sizes.lanes)
    calls = 1_000 / sizes.steps
    return [Part("1,000 steps", lower, cycles, steps, calls, [config.max_cycles])]


def bayesian(sizes: Sizes) -> list[Part]:
    """Whole searches of the Bayesian actor-critic."""
    config = searchers.BayesianActorCriticConfig()
    searcher = searchers.bayesian_actor_critic(spaces.nas_bench_201(), config)
    lower = functools.partial(_search, searcher, sizes, 0)
    counted, rated = ("step", sizes.steps), ("searches", sizes.lanes)
    # It trains only from the last step of the warm-up on.
    trained = max(sizes.steps - config.warm_up + 1, 0)
    trips = 2 * [config.cycles * trained / sizes.steps]  # mean of critic and actor
    return [Part(f"{sizes.steps} queries", lower, counted, rated, 1, trips)]


def _supernet(sizes, none=False):
    shape = {"cells": sizes.cells, "channels": sizes.channels}
    options = {"dtype": sizes.dtype, "pallas": sizes.pallas}
    return supernet.darts(none=none, **options, **shape)


def loop_trips(config: supernet.SupernetConfig) -> list[float]:
    """Mean trips of each loop of a forward pass of random architectures, in order.

    A loop computes the edges that hold another operation than `none`.
    """
    keys = jax.random.split(jax.random.key(0), 4_096)
    archs = np.asarray(jax.vmap(config.space.random)(keys))
    archs = archs.reshape(len(keys), config.space.cells, -1)
    names = config.space.operations
    idle = [len(names), *(i for i, name in enumerate(names) if name == "none")]
    computed = ~np.isin(archs, idle)
    return [
        float(computed[:, place, list(group.edges)].sum(-1).mean())
        for place, cell in darts_network.plan(config).values()
        for group in cell.groups
    ]


def _branches(config):
    """Probabilities of operations: `none` is never computed, the others are equal."""
    chances = np.array([name != "none" for name in config.space.operations], float)
    return {len(chances): (chances / chances.sum()).tolist()}


def _state(module, config, recipe, sizes):
    """Shapes of a network's state before its first training step."""
    options = {"config": config, "recipe": recipe, "image_size": sizes.side}
    return jax.eval_shape(functools.partial(module.init, **options), _key())


def _training_step(module, config, recipe, sizes, **options):
    step = functools.partial(
        module.step,
        config=config,
        recipe=recipe,
        augment=_augment(cutout=sizes.side // 2),
        steps_per_epoch=sizes.images // sizes.batch,
        **options,
    )
    state = _state(module, config, recipe, sizes)
    index = jax.ShapeDtypeStruct((sizes.batch,), jnp.int32)
    return _lowered(step, _key(), state, *_images(sizes), index, donated=1)


def supernet_train(sizes: Sizes) -> list[Part]:
    """One step of path training on DARTS's supernet."""
    config = _supernet(sizes)
    forward = loop_trips(config)
    trips = [*forward, *reversed(forward)]
    recipe = training.Recipe(batch_size=sizes.batch)
    lower = _training_step(supernet_training, config, recipe, sizes, policy="uniform")
    images = ("images", sizes.batch)
    return [Part("step", lower, ("step", 1), images, 0, trips, _branches(config))]


def supernet_eval(sizes: Sizes) -> list[Part]:
    """The score of one architecture over `sizes.batches` batches."""
    config = _supernet(sizes)
    params = jax.eval_shape(lambda key: supernet.init(key, config), _key())
    count = sizes.batch * sizes.batches
    images, labels = _images(dataclasses.replace(sizes, images=count))
    arch = jax.ShapeDtypeStruct(config.space.arch_shape, jnp.uint8)
    judge = functools.partial(
        score, config, **PIXELS, batch_size=sizes.batch, together=sizes.together
    )
    lower = _lowered(judge, params, arch, images, labels)
    counted, rated = ("batch", sizes.batches), ("images", count)
    trips = loop_trips(config)
    return [Part("score", lower, counted, rated, 0, trips, _branches(config))]


def ddas(sizes: Sizes) -> list[Part]:
    """A step of DDAS, and one of the one-shot warm-up before it."""
    config = _supernet(sizes, none=True)
    recipe = training.Recipe(batch_size=sizes.batch, learning_rate=1e-3)
    evaluate = Evaluate(
        *(config, recipe, _augment(), sizes.batches, min(500, sizes.images)),
        scan=True,
        together=sizes.together,
    )
    shared = Split(_images(sizes), _images(sizes))
    state = _state(supernet_training, config, recipe, sizes)
    searcher = searchers.ddas(config.space, VARIANTS["4s"]())
    steps, epochs = 1_500, 75  # thesis 3.2.1

    def start(key, images, state):
        env = search.Environment(images, state, evaluate)
        return search.init(key, searcher, env, steps)

    def step(key, images, state, first):
        env = search.Environment(images, state.environment, evaluate)
        return search.advance(key, searcher, env, state, first, 1)

    begun = jax.eval_shape(start, _key(), shared, state)
    first = jax.ShapeDtypeStruct((), jnp.int32)
    lower = _lowered(step, _key(), shared, begun, first, donated=2)
    forward, branches = loop_trips(config), _branches(config)
    trips = [*forward, *reversed(forward), *forward]
    counted = ("step", 1)
    recipe = training.Recipe(batch_size=sizes.batch)
    warm_up = _training_step(
        supernet_training, config, recipe, sizes, policy="one-shot"
    )
    rounds = epochs * (sizes.images // sizes.batch)
    return [
        Part("search step", lower, counted, ("steps", 1), steps, trips, branches),
        Part("warm-up step", warm_up, counted, ("images", sizes.batch), rounds),
    ]


def derived_train(sizes: Sizes) -> list[Part]:
    """A training step of the network that second-order DARTS published."""
    arch = genotypes.to_arch(genotypes.load("DARTS_V2"), spaces.darts(none=True))
    config = derived.darts(
        arch.tolist(),
        channels=sizes.channels,
        cells=sizes.cells,
        auxiliary=sizes.side == 32,
        dtype=sizes.dtype,
    )
    recipe = derived_training.Recipe(batch_size=sizes.batch)
    lower = _training_step(derived_training, config, recipe, sizes)
    return [Part("step", lower, ("step", 1), ("images", sizes.batch))]


PROGRAMS: Mapping[str, Callable[[Sizes], list[Part]]] = {
    "cadam": cadam,
    "bayesian": bayesian,
    "supernet-train": supernet_train,
    "supernet-eval": supernet_eval,
    "ddas": ddas,
    "derived": derived_train,
}

# Sizes of the whole programs, as the thesis's experiments run them, and of small ones,
# which compile in under a minute.
WHOLE: Mapping[str, Sizes] = {
    "cadam": Sizes(),
    "bayesian": Sizes(steps=200),
    "supernet-train": Sizes(),
    "supernet-eval": Sizes(batches=20, together=10),
    "ddas": Sizes(batch=64, batches=25, together=5, cells=6, dtype="float32"),
    "derived": Sizes(batch=96, images=50_000, cells=20, channels=36),
}
_TINY = Sizes(batch=8, batches=2, images=32, side=8, cells=3, channels=4)
SMALL: Mapping[str, Sizes] = {
    "cadam": Sizes(lanes=4, steps=4),
    "bayesian": Sizes(lanes=4, steps=24),
    "supernet-train": _TINY,
    "supernet-eval": dataclasses.replace(_TINY, together=2),
    "ddas": dataclasses.replace(_TINY, dtype="float32"),
    "derived": _TINY,
}
