"""Predictor of a NAS-Bench-201 cell's accuracies: a small network.

The network computes along the cell itself: nodes hold vectors, `none` and
`skip_connect` do what they mean, and each other operation is a learned map. It stands
in for the benchmark where there is no table; `experiments/fit_predictor.py` measures
its errors.
"""

import math
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp

from nasjax.spaces import nas_bench_201

# The V accuracies that are predicted, by data set and split.
COLUMNS = (
    "cifar10_valid",
    "cifar10_test",
    "cifar100_valid",
    "cifar100_test",
    "imagenet16_valid",
    "imagenet16_test",
)
SPACE = nas_bench_201()
_LEARNED = 3  # nor_conv_1x1, nor_conv_3x3 and avg_pool_3x3, the last operations


class Weights(NamedTuple):
    """Weights of K networks whose predictions are averaged; D and M are widths."""

    source: chex.Array  # [K, D], value of node 0
    expand: chex.Array  # [K, 3, D, M], one map per learned operation
    contract: chex.Array  # [K, 3, M, D]
    layer1: chex.Array  # [K, D, M], the head
    bias1: chex.Array  # [K, M]
    layer2: chex.Array  # [K, M, M]
    bias2: chex.Array  # [K, M]
    layer3: chex.Array  # [K, M, V]
    bias3: chex.Array  # [K, V]


def init(
    key: chex.PRNGKey, members: int = 7, width: int = 32, hidden: int = 64
) -> Weights:
    """Random weights of K = `members` networks with D = `width`, M = `hidden`."""
    keys = jax.random.split(key, 6)
    D, M, V = width, hidden, len(COLUMNS)

    def normal(key, *shape, scale=1.0):
        flat = jax.random.normal(key, (members * math.prod(shape),))
        return scale * flat.reshape(members, *shape)

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


def operations(weights: Weights, node: chex.Array) -> chex.Array:
    """Outputs of all O operations on a node.

    `none` gives zero, `skip_connect` the node itself, the others

        op(x) = gelu(x @ expand) @ contract.

    There are no biases, so op(0) = 0: a node that the input does not reach has no
    effect on later nodes.

    Args:
      weights: one member's, without the axis K; likewise in `head` and `logits`.
      node: float [..., D].

    Returns:
      float [..., O, D].
    """
    wide = jax.nn.gelu(jnp.einsum("...d,kdm->...km", node, weights.expand))
    learned = jnp.einsum("...km,kmd->...kd", wide, weights.contract)
    fixed = jnp.stack([jnp.zeros_like(node), node], axis=-2)
    return jnp.concatenate([fixed, learned], axis=-2)


def head(weights: Weights, node: chex.Array) -> chex.Array:
    """Logits of the V accuracies, from node 3: [..., D] -> [..., V]."""
    x = jax.nn.gelu(node @ weights.layer1 + weights.bias1)
    x = jax.nn.gelu(x @ weights.layer2 + weights.bias2)
    return x @ weights.layer3 + weights.bias3


def logits(weights: Weights, arch: chex.Array) -> chex.Array:
    """A member's logits of the V accuracies of a cell: [6] -> [V].

    Node 0 holds `source`; a later node holds the sum over its in-edges,

        x_j = sum_{i < j} op_{ij}(x_i).
    """
    nodes, outputs = [weights.source], []
    for target in range(1, 4):
        outputs.append(operations(weights, nodes[-1]))
        terms = [
            outputs[source][arch[edge]]
            for edge, (source, end) in enumerate(SPACE.edges)
            if end == target
        ]
        nodes.append(sum(terms))
    return head(weights, nodes[-1])


def apply(weights: Weights, arch: chex.Array) -> chex.Array:
    """Predicted accuracies of a cell; the same for isomorphic cells, up to rounding.

        a_v = 1/K sum_k sigmoid(logits_k(arch)_v)

    Args:
      weights: from `init`, or `nasjax.data.nb201.predictions.weights()`.
      arch: integers [6], the operation of each edge.

    Returns:
      float32 [V], fractions in the order of `COLUMNS`.

    Raises:
      AssertionError: `arch` is of another shape.

    Source: this package; the cell is that of Dong and Yang 2020.
    """
    chex.assert_shape(arch, SPACE.arch_shape)
    members = jax.vmap(logits, in_axes=(0, None))(weights, arch)
    return jnp.mean(jax.nn.sigmoid(members), axis=0)
