"""Trainers of networks from scratch, made from a configuration and its data."""

import dataclasses
import functools
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from nasjax.data import imagenet
from nasjax.data.images import ImageData
from nasjax.networks import augment, color
from nasjax.networks.derived import training as derived_training
from nasjax.networks.training import epoch_of, hits
from nasjax.runs import devices, feeds, image_sets, training
from nasjax.runs.network_config import NetworkRun
from nasjax.spaces import image_sizes

Data = ImageData | feeds.Source


def data(
    run: NetworkRun,
    data_dir: str | None = None,
    log: Callable[[str], None] = print,
) -> Data:
    """The data set of a run: in memory, see `image_sets.whole`, or opened on disk."""
    if run.streamed:
        return feeds.open_source(data_dir=data_dir)
    return image_sets.whole(run, data_dir, log)


def with_data(run: NetworkRun, data: Data) -> NetworkRun:
    """The run with what follows from its data.

    Raises:
      ValueError: the network does not fit the images or labels, naming which; fewer
        images than a batch takes.
    """
    if isinstance(data, feeds.Source):
        trained, size, channels = len(data.train.source), run.image_size, 3
    else:
        channels = data.train.images.shape[-1]
        trained, size = len(data.train.labels), image_sizes.size_of(data.train.images)
    network = dataclasses.replace(
        run.network, classes=data.classes, image_channels=channels
    )
    if not isinstance(data, feeds.Source):
        image_sets.check(data, network)
    return dataclasses.replace(
        run,
        classes=data.classes,
        data_sha256=data.sha256,
        image_size=size,
        image_channels=channels,
        steps_per_epoch=epoch_of(trained, run.recipe).steps,
    )


def augmentation(run: NetworkRun, data: ImageData) -> augment.AugmentConfig:
    """The augmentation of training images."""
    return augment.AugmentConfig(
        padding=run.padding, cutout=run.cutout, mean=data.mean, std=data.std
    )


def trainer(
    run: NetworkRun,
    data: Data,
    seeds: Sequence[int],
    mesh: Mesh | None = None,
    *,
    scan: bool | None = None,
    workers: int = 0,
) -> training.Trainer:
    """The trainer of a network; errors as `with_data` and `training.Trainer`.

    Args:
      run: see `NetworkRun`.
      data: in memory, or on disk.
      seeds: trained together; one for a data set on disk.
      mesh: from `devices.mesh_of`; None for one seed on one device.
      scan: see `training.Trainer`.
      workers: threads that decode images on disk; 0 is one for each core.
    """
    run = with_data(run, data)
    options = {"recipe": run.recipe, "steps_per_epoch": run.steps_per_epoch}
    options["mesh"] = divided = devices.data_parallel(mesh)
    options["config"] = config = run.network
    if divided is not None:
        options["config"] = dataclasses.replace(config, axis_name=derived_training.AXIS)
    if isinstance(data, feeds.Source):
        if len(seeds) != 1:
            raise ValueError(f"seeds {list(seeds)}: one at a time is trained here")
        feed: feeds.Feed = feeds.Streamed(
            data,
            run.recipe,
            image_size=image_sizes.sides(run.image_size)[0],
            resize=run.resize,
            test_batch=run.test_batch,
            workers=workers,
        )
        step, score = _streamed(config, options)
        scores: tuple[str, ...] = ("test", "top5")
    else:
        feed = feeds.InMemory(data.train, run.recipe, data.test, run.test_batch)
        step, score = _in_memory(config, augmentation(run, data), options)
        scores = ("test",)
    model = training.Model(init_of(run), step, score, scores)
    return training.Trainer(model, run.recipe, feed, seeds, mesh, scan)


def _in_memory(config, augmentation, options):
    """`step` and `score` of a `training.Model` for `feeds.InMemory`."""
    step = functools.partial(derived_training.step, augment=augmentation, **options)

    def score(state, images, labels, counted):
        test = {"config": config, "augment": augmentation, "mesh": options["mesh"]}
        right = derived_training.correct(state, images, labels, counted, **test)
        return right[None]

    return step, score


def _streamed(config, options):
    """`step` and `score` of a `training.Model` for `feeds.Streamed`."""
    colors = color.ColorConfig(mean=imagenet.MEAN, std=imagenet.STD)
    plain = augment.AugmentConfig(mean=imagenet.MEAN, std=imagenet.STD)

    def step(key, state, images, labels):
        colour, drop = jax.random.split(jax.random.fold_in(key, state.step))
        batch = color.augment(colour, images, colors, config.dtype)
        return derived_training.learn(drop, state, batch, labels, **options)

    def score(state, images, labels):
        test = {"config": config, "augment": plain, "mesh": options["mesh"]}
        logits = derived_training.predict(state, images, **test)
        return jnp.stack([hits(logits, labels, top) for top in (1, 5)])

    return step, score


def init_of(run: NetworkRun) -> Callable[[jax.Array], derived_training.TrainState]:
    """`key -> state` before the first step."""
    return functools.partial(
        derived_training.init,
        config=run.network,
        recipe=run.recipe,
        image_size=run.image_size,
    )


def groups(seeds: Sequence[int], lanes: int) -> list[list[int]]:
    """The seeds that are trained together, at most `lanes` at a time."""
    return [list(seeds[i : i + lanes]) for i in range(0, len(seeds), lanes)]


def trainers(
    run: NetworkRun, data: Data, workers: int = 0
) -> dict[int, training.Trainer]:
    """A trainer for each size of the groups that a run's seeds are trained in.

    Args:
      run: its `seeds`, `lanes` and `devices` count, too.
      data, workers: see `trainer`, also for errors.
    """
    made = {}
    for seeds in {len(seeds): seeds for seeds in groups(run.seeds, run.lanes)}.values():
        mesh = devices.mesh_of(jax.devices()[: run.devices], seeds)
        made[len(seeds)] = trainer(run, data, seeds, mesh, workers=workers)
    return made
