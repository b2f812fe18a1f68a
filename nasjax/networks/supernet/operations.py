"""Operations on edges of a supernet: pure init/apply pairs.

`init(key, edges, channels, stride)` makes the weights of an operation on `edges` edges
of a cell, stacked along the first axis; `apply(weights, x, stride, norm)` computes one
edge from a row of them. x is [B, H, W, C]; the channels C stay, a stride of 2 halves
the image. Normalisations have no learnt scale or shift.

Source: Liu et al. 2019 and Dong and Yang 2020, as laid out in their public code.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp

from nasjax.networks import halving, primitives
from nasjax.networks.initializers import uniform
from nasjax.networks.primitives import depthwise, pointwise

Weights = Mapping[str, chex.Array]


def normalize(
    x: chex.Array, statistics: chex.Array | None, axis_name: str | None
) -> tuple[chex.Array, chex.Array]:
    """Normalises by given statistics [2, C] or the batch's own; also returns those."""
    if statistics is None:
        return primitives.batch_norm(x, axis_name)
    return primitives.normalize(x, statistics), statistics


class Norm:
    """The normalisations of one operation in turn; keeps the statistics used.

    An operation normalises at most twice. An instance serves one trace of it.

    Args:
      fixed: float32 [2, 2, C], statistics to normalise by; None takes the batch's own.
      axis_name: see `primitives.batch_norm`.
      fused: whether separable convolutions are `pallas_separable`'s, which normalise by
        the batch's statistics.
      watch: a function of the input of each ReLU; `watched` is the sum of its results.
    """

    def __init__(
        self,
        fixed: chex.Array | None = None,
        axis_name: str | None = None,
        fused: bool = False,
        watch: Callable[[chex.Array], Any] | None = None,
    ):
        self._fixed, self._axis_name = fixed, axis_name
        self._watch, self.watched = watch, 0.0
        self._used: list[chex.Array] = []
        self.fused = fused and fixed is None

    def _next_fixed(self) -> chex.Array | None:
        return None if self._fixed is None else self._fixed[len(self._used)]

    def __call__(self, x: chex.Array) -> chex.Array:
        x, used = normalize(x, self._next_fixed(), self._axis_name)
        self._used.append(used)
        return x

    def relu(self, x: chex.Array) -> chex.Array:
        """A ReLU of the operation."""
        if self._watch is not None:
            self.watched += self._watch(x)
        return jax.nn.relu(x)

    def last(self, x: chex.Array) -> chex.Array:
        """The batch that an operation returns, normalised."""
        return self(x)

    def separable(self, x, depth, point, dilation: int, stride: int) -> chex.Array:
        """Separable convolutions, normalised; arguments as `pallas_separable`'s."""
        from nasjax.networks import pallas_separable

        static = dilation, stride, self._axis_name
        x, used = pallas_separable.separable(x, depth, point, *static)
        self._used += list(used)
        return x

    def statistics(self, channels: int) -> chex.Array:
        """Statistics used, float32 [2, 2, C]; of an unused normalisation 0 and 1."""
        none = jnp.stack([jnp.zeros(channels), jnp.ones(channels)])
        return jnp.stack([*self._used, none, none][:2])


class LateNorm(Norm):
    """Leaves the last normalisation of an operation to its caller.

    It can then share a pass over the images with what follows, such as an addition.
    """

    deferred = False

    def last(self, x: chex.Array) -> chex.Array:
        """`x` as it is; `affine` says how to normalise it."""
        fixed, self.deferred = self._next_fixed(), True
        if fixed is None:
            fixed = primitives.batch_statistics(x, self._axis_name)
        self._used.append(fixed)
        return x

    def separable(self, x, depth, point, dilation: int, stride: int) -> chex.Array:
        """Separable convolutions, the last one not normalised."""
        from nasjax.networks import pallas_separable

        static = dilation, stride, self._axis_name
        outputs, used, _ = pallas_separable.unnormalized(x, depth, point, *static)
        self._used += used
        self.deferred = True
        return outputs[-1]

    def affine(self, channels: int, parts: int) -> chex.Array:
        """float32 [2, channels] for `primitives.apply_affine`, shuffled as `partially`.

        Mean 0 and scale 1 where nothing is left to normalise.
        """
        out = jnp.stack([jnp.zeros(channels), jnp.ones(channels)])
        if self.deferred:
            out = out.at[:, : channels // parts].set(primitives.affine(self._used[-1]))
        return shuffle(out, parts)


class Operation(NamedTuple):
    """An operation that edges can have.

    `apply` normalises by `norm(x)`, and by `norm.last(x)` what it returns; its ReLUs
    are `norm.relu(x)`.
    """

    init: Callable[..., Weights]  # (key, edges, channels, stride)
    apply: Callable[..., chex.Array]  # (weights, x, stride, norm)


def reduce_by_two(
    weights: chex.Array,
    x: chex.Array,
    norm: Callable[[chex.Array], chex.Array],
    relu: Callable[[chex.Array], chex.Array] = jax.nn.relu,
) -> chex.Array:
    """Factorized reduce: ReLU, two 1 x 1 convolutions of stride 2, norm.

    The second convolution reads one pixel further down and right. Odd sides are rounded
    up; see `halving.odd_pixels`.

    Args:
      weights: [2, C, D / 2].
      x: [B, H, W, C].
      norm: normalises [B, ceil(H / 2), ceil(W / 2), D], the result.
      relu: the ReLU.
    """
    x = relu(x)
    first = pointwise(x[:, ::2, ::2], weights[0])
    second = pointwise(halving.odd_pixels(x), weights[1])
    return norm(jnp.concatenate([first, second], axis=-1))


def _nothing(key, edges, channels, stride):
    return {}


def _none(weights, x, stride, norm):
    return jnp.zeros_like(x[:, ::stride, ::stride])


def _max_pool(weights, x, stride, norm):
    return norm.last(primitives.max_pool(x, stride))


def _average_pool(weights, x, stride, norm):
    return norm.last(primitives.average_pool(x, stride))


def _skip_init(key, edges, channels, stride):
    if stride == 1:
        return {}
    shape = (edges, 2, channels, channels // 2)
    return {"reduce": uniform(key, shape, channels)}


def _skip(weights, x, stride, norm):
    if stride == 1:
        return x
    return reduce_by_two(weights["reduce"], x, norm.last, norm.relu)


def _convolutions(size: int, dilation: int, times: int) -> Operation:
    """ReLU, depthwise, 1 x 1, norm, `times` times; only the first has the stride."""

    def init(key, edges, channels, stride):
        key_depth, key_point = jax.random.split(key)
        depth = (edges, times, size, size, channels)
        point = (edges, times, channels, channels)
        return {
            "depthwise": uniform(key_depth, depth, size * size),
            "pointwise": uniform(key_point, point, channels),
        }

    def apply(weights, x, stride, norm):
        if norm.fused:
            kernels = weights["depthwise"], weights["pointwise"]
            return norm.separable(x, *kernels, dilation, stride)
        for i in range(times):
            x = norm.relu(x)
            kernel = weights["depthwise"][i]
            x = depthwise(x, kernel, dilation, stride if i == 0 else 1)
            x = pointwise(x, weights["pointwise"][i])
            x = norm.last(x) if i == times - 1 else norm(x)
        return x

    return Operation(init, apply)


def _convolution(size: int) -> Operation:
    """ReLU, dense convolution, norm; stride 1 only."""

    def init(key, edges, channels, stride):
        shape = (edges, size, size, channels, channels)
        return {"kernel": uniform(key, shape, size * size * channels)}

    def apply(weights, x, stride, norm):
        kernel = weights["kernel"]
        x = norm.relu(x)
        if size == 1:
            return norm.last(pointwise(x, kernel[0, 0]))
        return norm.last(primitives.convolution(x, kernel))

    return Operation(init, apply)


def _plain_average_pool(weights, x, stride, norm):
    return primitives.average_pool(x, stride)


DARTS: Mapping[str, Operation] = {
    "none": Operation(_nothing, _none),
    "max_pool_3x3": Operation(_nothing, _max_pool),
    "avg_pool_3x3": Operation(_nothing, _average_pool),
    "skip_connect": Operation(_skip_init, _skip),
    "sep_conv_3x3": _convolutions(3, 1, 2),
    "sep_conv_5x5": _convolutions(5, 1, 2),
    "dil_conv_3x3": _convolutions(3, 2, 1),
    "dil_conv_5x5": _convolutions(5, 2, 1),
}
NB201: Mapping[str, Operation] = {
    "none": Operation(_nothing, _none),
    "skip_connect": Operation(_nothing, _skip),
    "nor_conv_1x1": _convolution(1),
    "nor_conv_3x3": _convolution(3),
    "avg_pool_3x3": Operation(_nothing, _plain_average_pool),
}


def shuffle(x: chex.Array, groups: int) -> chex.Array:
    """Channel shuffle of [..., C]: channel g (C / groups) + j moves to j groups + g."""
    parts = x.reshape(*x.shape[:-1], groups, x.shape[-1] // groups)
    return jnp.swapaxes(parts, -1, -2).reshape(x.shape)


def partially(
    apply: Callable[[chex.Array], chex.Array], x: chex.Array, parts: int, stride: int
) -> chex.Array:
    """An operation on the first C / parts channels; the others stay as they are.

    With stride 2 the others go through a 2 x 2 max pool. Then the channels are
    shuffled, unless parts is 1.

    Source: Xu et al. 2020 (PC-DARTS).
    """
    if parts == 1:
        return apply(x)
    some = x.shape[-1] // parts
    rest = x[..., some:]
    if stride == 2:
        rest = halving.max_pool_2x2(rest)
    return shuffle(jnp.concatenate([apply(x[..., :some]), rest], axis=-1), parts)


def classifier(key: chex.PRNGKey, inputs: int, classes: int) -> Weights:
    """Random weights of the last layer: kernel [inputs, classes] and bias [classes]."""
    key_kernel, key_bias = jax.random.split(key)
    return {
        "kernel": uniform(key_kernel, (inputs, classes), inputs),
        "bias": uniform(key_bias, (classes,), inputs),
    }
