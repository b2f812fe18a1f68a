"""The network around DARTS cells: stem, normal and reduction cells, two inputs each.

Source: Liu et al. 2019, Xu et al. 2020; details as in their public code.
"""

import functools
from collections.abc import Mapping
from typing import Any

import chex
import jax
import jax.numpy as jnp

from nasjax.networks.initializers import uniform
from nasjax.networks.primitives import convolution, pointwise
from nasjax.networks.supernet import cells
from nasjax.networks.supernet.config import SupernetConfig
from nasjax.networks.supernet.network import Norms
from nasjax.networks.supernet.operations import classifier, reduce_by_two

NORMAL, REDUCTION = 0, 1


def plan(config: SupernetConfig) -> Mapping[str, tuple[int, cells.Cell]]:
    """The cells by name, in order, each with its row: NORMAL or REDUCTION.

    Reduction cells, at a third and two thirds, halve the image and double C.
    """
    plan, channels = {}, config.channels
    for i in range(config.cells):
        reduction = i in (config.cells // 3, 2 * config.cells // 3)
        channels *= 2 if reduction else 1
        cell = cells.Cell(
            edges=config.space.edges,
            names=config.space.operations,
            kind="darts",
            channels=channels,
            inputs=2,
            stride=2 if reduction else 1,
            parts=config.parts,
            axis_name=config.axis_name,
            pallas=config.pallas,
        )
        plan[f"cell{i}"] = (REDUCTION if reduction else NORMAL, cell)
    return plan


def _halved(config: SupernetConfig) -> list[bool]:
    """Whether each cell's older input is twice as large as the newer one."""
    kinds = [kind == REDUCTION for kind, _ in plan(config).values()]
    return [config.stem == "imagenet", *kinds[:-1]]


def init(key: chex.PRNGKey, config: SupernetConfig) -> Any:
    """See `network.init`."""
    key_stem, key_cells, key_head = jax.random.split(key, 3)
    width = 3 * config.channels
    C = config.image_channels
    shapes = [(C, width)]
    if config.stem == "imagenet":
        shapes = [(C, width // 2), (width // 2, width), (width, width)]
    params: dict[str, Any] = {
        f"stem{i}": {
            "kernel": uniform(jax.random.fold_in(key_stem, i), (3, 3, a, b), 9 * a),
            "scale": jnp.ones(b),
            "bias": jnp.zeros(b),
        }
        for i, (a, b) in enumerate(shapes)
    }
    older = newer = width
    for (name, (_, cell)), halved in zip(
        plan(config).items(), _halved(config), strict=True
    ):
        keys = jax.random.split(jax.random.fold_in(key_cells, len(params)), 3)
        D = cell.channels
        first = (2, older, D // 2) if halved else (older, D)
        params[name] = {
            "older": uniform(keys[0], first, older),
            "newer": uniform(keys[1], (newer, D), newer),
            "edges": cells.init(keys[2], cell),
        }
        older, newer = newer, cell.nodes * D
    return params | {"classifier": classifier(key_head, newer, config.classes)}


def _stem(params, images, config: SupernetConfig, norms: Norms):
    """The inputs of the first cell: from one convolution, or three of stride 2."""
    x, seen = images, []
    for i in range(1 if config.stem == "cifar" else 3):
        name = f"stem{i}"
        weights = jax.tree.map(lambda w: w.astype(images.dtype), params[name])
        x = norms.relu(x) if i else x
        x = convolution(x, weights["kernel"], 1 if config.stem == "cifar" else 2)
        x = norms(name, x) * weights["scale"] + weights["bias"]
        seen.append(x)
    return [seen[-2 if config.stem == "imagenet" else -1]], [seen[-1]]


def _align(features, kernel, norms: Norms):
    """ReLU and 1 x 1 convolution of features as if they were concatenated."""
    kernel = kernel.astype(features[0].dtype)
    each = kernel.reshape(len(features), -1, kernel.shape[-1])
    return sum(pointwise(norms.relu(x), w) for x, w in zip(features, each, strict=True))


def apply(params, choice, images, config: SupernetConfig, mode: str, norms: Norms):
    """The nodes of the last cell; see `network.apply`."""
    older, newer = _stem(params, images, config, norms)
    for (name, (kind, cell)), halved in zip(
        plan(config).items(), _halved(config), strict=True
    ):
        weights = params[name]
        if halved:
            x = jnp.concatenate(older, axis=-1)
            kernel = weights["older"].astype(x.dtype)
            norm = functools.partial(norms, f"{name}.older")
            first = reduce_by_two(kernel, x, norm, norms.relu)
        else:
            first = norms(f"{name}.older", _align(older, weights["older"], norms))
        second = norms(f"{name}.newer", _align(newer, weights["newer"], norms))
        pair = (first, second)
        nodes = norms.cell(name, cell, mode, weights["edges"], pair, choice[kind])
        older, newer = newer, nodes
    return newer
