"""The accuracy of a NAS-Bench-201 cell, predicted by a small network.

The network computes along the cell itself: nodes hold vectors, and each operation
that is not fixed by its meaning is a learned map. Where no table can be had it stands
in for the benchmark; `experiments/fit_predictor.py` says how far to trust it.
"""

from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp

from nasjax.search import Environment, Outcome
from nasjax.spaces import CellSpace, nas_bench_201

COLUMNS = (
    "cifar10_valid",
    "cifar10_test",
    "cifar100_valid",
    "cifar100_test",
    "imagenet16_valid",
    "imagenet16_test",
)
_SPACE = nas_bench_201()
_LEARNED = 3  # nor_conv_1x1, nor_conv_3x3 and avg_pool_3x3, last of the operations.


class Weights(NamedTuple):
    """An ensemble of K networks; every leaf has a leading axis K."""

    source: chex.Array  # [K, D], what node 0 holds
    expand: chex.Array  # [K, 3, D, M], one map per learned operation
    contract: chex.Array  # [K, 3, M, D]
    layer1: chex.Array  # [K, D, M], the head
    bias1: chex.Array  # [K, M]
    layer2: chex.Array  # [K, M, M]
    bias2: chex.Array  # [K, M]
    layer3: chex.Array  # [K, M, V]
    bias3: chex.Array  # [K, V]


class PredictorState(NamedTuple):
    """Which column this lane is scored by."""

    column: chex.Array  # int32 []


def init(
    key: chex.PRNGKey,
    members: int = 7,
    width: int = 32,
    hidden: int = 64,
) -> Weights:
    """Random weights of `members` networks: D = `width`, M = `hidden`."""
    keys = jax.random.split(key, 6)
    D, M, V = width, hidden, len(COLUMNS)

    def normal(key, *shape, scale=1.0):
        return scale * jax.random.normal(key, (members, *shape))

    return Weights(
        source=normal(keys[0], D),
        expand=normal(keys[1], _LEARNED, D, M, scale=D**-0.5),
        contract=normal(keys[2], _LEARNED, M, D, scale=M**-0.5),
        layer1=normal(keys[3], D, M, scale=D**-0.5),
        bias1=jnp.zeros((members, M)),
        layer2=normal(keys[4], M, M, scale=M**-0.5),
        bias2=jnp.zeros((members, M)),
        layer3=normal(keys[5], M, V, scale=0.1 * M**-0.5),
        bias3=jnp.zeros((members, V)),
    )


def operations(weights: Weights, state: chex.Array) -> chex.Array:
    """What each operation makes of a node, [D] -> [O, D], by one member's weights.

    `none` gives zero, `skip_connect` the node itself, any other one
    `gelu(state @ expand) @ contract`. Nothing is added, so zero stays zero: a node
    that the input does not reach feeds nothing on, as in the benchmark.
    """
    wide = jax.nn.gelu(jnp.einsum("d,kdm->km", state, weights.expand))
    learned = jnp.einsum("km,kmd->kd", wide, weights.contract)
    return jnp.concatenate([jnp.zeros_like(state)[None], state[None], learned])


def head(weights: Weights, state: chex.Array) -> chex.Array:
    """Reads the logits of the V accuracies off node 3, [..., D] -> [..., V]."""
    x = jax.nn.gelu(state @ weights.layer1 + weights.bias1)
    x = jax.nn.gelu(x @ weights.layer2 + weights.bias2)
    return x @ weights.layer3 + weights.bias3


def logits(weights: Weights, arch: chex.Array) -> chex.Array:
    """float [V]: one member's logits of the accuracies; see `apply`."""
    chex.assert_shape(arch, _SPACE.arch_shape)
    node, outputs = weights.source, []
    for target in range(1, 4):
        outputs.append(operations(weights, node))
        node = sum(
            outputs[source][arch[edge]]
            for edge, (source, end) in enumerate(_SPACE.edges)
            if end == target
        )
    return head(weights, node)
