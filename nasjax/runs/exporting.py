"""Trained networks of a run as files that classify images."""

import dataclasses
import functools
import importlib.util
import io
import shutil
from collections.abc import Sequence

import jax
from flax import traverse_util

from nasjax.data import imagenet, network_files
from nasjax.data.images import ImageData
from nasjax.data.locations import write_file
from nasjax.networks import derived
from nasjax.networks.derived.classifier import Classifier
from nasjax.runs import image_sets, networks
from nasjax.runs.folder import Folder
from nasjax.runs.image_sets import Data
from nasjax.spaces import image_sizes

FILES = ("network-*.npz", "network-*.stablehlo")


def classifier(trained: networks.Trained, data: Data) -> Classifier:
    """A trained network with the normalisation and classes of its data.

    The auxiliary head is for training only, and left out.
    """
    run = trained.run
    config = dataclasses.replace(trained.config, auxiliary=False, axis_name=None)
    size = image_sizes.sides(run.image_size)
    shapes = jax.eval_shape(
        lambda key: derived.init(key, config, size), jax.random.key(0)
    )

    def kept(name):
        names = traverse_util.flatten_dict(shapes[name])
        flat = traverse_util.flatten_dict(getattr(trained, name))
        return traverse_util.unflatten_dict({path: flat[path] for path in names})

    names = tuple(map(str, range(data.classes)))
    mean: tuple[float, ...] = imagenet.MEAN
    std: tuple[float, ...] = imagenet.STD
    if isinstance(data, ImageData):
        scale = image_sets.augmentation(run, data)
        assert scale.mean is not None and scale.std is not None
        mean, std = scale.mean, scale.std
        names = tuple(map(str, data.facts.get("classes", names)))
    return Classifier(
        kept("params"),
        kept("statistics"),
        config=config,
        genotype=run.genotype,
        classes=names,
        mean=tuple(map(float, mean)),
        std=tuple(map(float, std)),
        image_size=(size[0], size[1]),
        shrink=run.shrink,
    )


def claim(folder: Folder, seeds: Sequence[int]) -> None:
    """FileExistsError if a file that `write` would write is not the run's."""
    for seed in seeds:
        for pattern in FILES:
            folder.file(pattern.replace("*", str(seed)))


def write(folder: Folder, data: Data, seeds: Sequence[int]) -> None:
    """Writes `network-SEED.npz` and `network-SEED.stablehlo` of a finished run.

    The latter needs the extra `export`; without it a line says so. Every process calls
    it, the first one writes.
    """
    writes = jax.process_index() == 0
    portable = importlib.util.find_spec("flatbuffers") is not None
    if writes and not portable:
        print("no network-SEED.stablehlo: it needs `pip install 'nasjax[export]'`")
    for seed in seeds:
        network = classifier(networks.load(folder.path, seed), data)
        if not writes:
            continue
        name = f"network-{seed}"
        path = folder.file(f"{name}.npz")
        network_files.save_network(path, network)
        print(f"exported: {path}", flush=True)
        if portable:
            program = io.BytesIO(network.stablehlo())
            path = folder.file(f"{name}.stablehlo")
            write_file(path, functools.partial(shutil.copyfileobj, program))
            print(f"exported: {path}", flush=True)
