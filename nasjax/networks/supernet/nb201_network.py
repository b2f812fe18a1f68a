"""The network around NAS-Bench-201 cells: three stages, residual blocks between them.

Source: Dong and Yang 2020, as laid out in their public code.
"""

from collections.abc import Mapping
from typing import Any

import chex
import jax
import jax.numpy as jnp

from nasjax.networks import halving
from nasjax.networks.initializers import uniform
from nasjax.networks.primitives import convolution, pointwise
from nasjax.networks.supernet import cells
from nasjax.networks.supernet.config import SupernetConfig
from nasjax.networks.supernet.network import Norms
from nasjax.networks.supernet.operations import classifier

STAGES = 3


def plan(config: SupernetConfig) -> Mapping[str, tuple[int, cells.Cell]]:
    """The cells by name, in order; all follow row 0, the only one."""
    plan: dict[str, tuple[int, cells.Cell]] = {}
    for stage in range(STAGES):
        cell = cells.Cell(
            edges=config.space.edges,
            names=config.space.operations,
            kind="nb201",
            channels=config.channels * 2**stage,
            inputs=1,
            axis_name=config.axis_name,
        )
        plan |= {f"cell{stage}.{i}": (0, cell) for i in range(config.cells)}
    return plan


def init(key: chex.PRNGKey, config: SupernetConfig) -> Any:
    """See `network.init`."""
    keys = iter(jax.random.split(key, len(plan(config)) + 3 * STAGES + 2))
    C, colours = config.channels, config.image_channels
    params: dict[str, Any] = {
        "stem": {
            "kernel": uniform(next(keys), (3, 3, colours, C), 9 * colours),
            "scale": jnp.ones(C),
            "bias": jnp.zeros(C),
        }
    }
    for stage in range(1, STAGES):
        D = C * 2**stage
        params[f"block{stage}"] = {
            "first": uniform(next(keys), (3, 3, D // 2, D), 9 * D // 2),
            "second": uniform(next(keys), (3, 3, D, D), 9 * D),
            "shortcut": uniform(next(keys), (D // 2, D), D // 2),
        }
    for name, (_, cell) in plan(config).items():
        params[name] = {"edges": cells.init(next(keys), cell)}
    last = C * 2 ** (STAGES - 1)
    return params | {"classifier": classifier(next(keys), last, config.classes)}


def _block(params, name, x, norms: Norms):
    """Residual block of stride 2; its shortcut is an average pool and a 1 x 1."""
    weights = jax.tree.map(lambda w: w.astype(x.dtype), params[name])
    y = norms(f"{name}.first", convolution(norms.relu(x), weights["first"], 2))
    y = norms(f"{name}.second", convolution(norms.relu(y), weights["second"]))
    return y + pointwise(halving.average_pool_2x2(x), weights["shortcut"])


def apply(params, choice, images, config: SupernetConfig, mode: str, norms: Norms):
    """The input of the last pool; see `network.apply`."""
    weights = jax.tree.map(lambda w: w.astype(images.dtype), params["stem"])
    x = norms("stem", convolution(images, weights["kernel"]))
    x = x * weights["scale"] + weights["bias"]
    for name, (place, cell) in plan(config).items():
        stage, i = name.removeprefix("cell").split(".")
        if i == "0" and stage != "0":
            x = _block(params, f"block{stage}", x, norms)
        nodes = norms.cell(name, cell, mode, params[name]["edges"], (x,), choice[place])
        x = nodes[-1]
    return [norms.relu(norms("last", x))]
