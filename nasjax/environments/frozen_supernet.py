"""A frozen supernet as an environment: accuracy under shared weights."""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import optax

from nasjax.networks import augment
from nasjax.networks.examples import Examples
from nasjax.networks.supernet import network
from nasjax.networks.supernet.config import SupernetConfig
from nasjax.search import Environment, Outcome
from nasjax.spaces import image_sizes


class SupernetParams(NamedTuple):
    """Weights and the images that architectures are scored on."""

    weights: Any  # from `nasjax.networks.supernet.init`
    statistics: Any  # to normalise by; None takes each batch's own
    examples: Examples


def check_batches(images: chex.Array, labels: chex.Array, batch_size: int) -> int:
    """The number of full batches.

    Raises:
      ValueError: there is none, or images and labels differ in number.
    """
    if len(images) != len(labels):
        raise ValueError(f"{len(images)} images with {len(labels)} labels")
    if not 1 <= batch_size <= len(images):
        raise ValueError(f"{len(images)} images hold no full batch of {batch_size}")
    return len(images) // batch_size


# Images that a GPU scores at once; 4,000 in float32 take 6 GB in DARTS's supernet.
MOST_TOGETHER = 4_000


def batches_together(batches: int, batch_size: int) -> int:
    """Number of batches that `score` takes side by side: 1 on CPU, more on a GPU.

    A divisor of `batches`, so that no batch is left over.
    """
    if jax.default_backend() == "cpu":  # its caches hold one batch at best
        return 1
    most = max(MOST_TOGETHER // batch_size, 1)
    return max(n for n in range(1, most + 1) if batches % n == 0)


def score(
    config: SupernetConfig,
    params: Any,
    arch: chex.Array,
    images: chex.Array,
    labels: chex.Array,
    *,
    mean: Sequence[float] | None,
    std: Sequence[float] | None,
    batch_size: int = 500,
    statistics: Any = None,
    together: int | None = None,
) -> Outcome:
    """Accuracy and mean cross-entropy of one architecture; not jitted.

    Batch statistics depend on the batch, so batches are never padded: the images
    after the last full one are left out.

    Args:
      config: static.
      params: from `nasjax.networks.supernet.init`, or trained.
      arch: integers `[*arch_shape]`; or a mask, float `[*arch_shape, O]`, of all
        operations (all ones: the one-shot network). May be traced.
      images: uint8 [n, H, W, image_channels].
      labels: int32 [n].
      mean, std: per channel, of pixels in [0, 1]; static; None only scales.
      batch_size: static; scores depend on it.
      statistics: running ones to normalise by; None takes each batch's own.
      together: batches side by side, a divisor of their number; None: see
        `batches_together`. Sums are rounded in another order.

    Raises:
      ValueError: there is no full batch, or `together` does not divide their number;
        images or labels do not fit the network, see `image_sizes.check_examples`.

    Source: thesis 4.1.3, 4.2.2.
    """
    batches = check_batches(images, labels, batch_size)
    image_sizes.check_examples(images, labels, config)
    whole = jnp.issubdtype(jnp.asarray(arch).dtype, jnp.integer)

    if together is None:
        together = batches_together(batches, batch_size)
    if together < 1 or batches % together:
        raise ValueError(f"together is {together}; allowed: divisors of {batches}")

    def judge(x, y):
        x = augment.normalize(x, mean, std, config.dtype)
        logits, _ = network.apply(
            params,
            arch,
            x,
            config,
            mode="path" if whole else "dense",
            statistics=statistics,
        )
        errors = optax.softmax_cross_entropy_with_integer_labels(logits, y)
        return jnp.sum(jnp.argmax(logits, -1) == y), jnp.mean(errors)

    def add(total, start):
        x, y = (
            jax.lax.dynamic_slice_in_dim(array, start, together * batch_size)
            for array in (images, labels)
        )
        if together == 1:
            correct, error = judge(x, y)
        else:
            several = (
                array.reshape(together, batch_size, *array.shape[1:])
                for array in (x, y)
            )
            correct, error = map(jnp.sum, jax.vmap(judge)(*several))
        return (total[0] + correct, total[1] + error), None

    starts = together * batch_size * jnp.arange(batches // together)
    zero = (jnp.int32(0), jnp.float32(0))
    (correct, error), _ = jax.lax.scan(add, zero, starts)
    return Outcome(
        (correct / (batches * batch_size)).astype(jnp.float32), error / batches
    )


def frozen_supernet(
    config: SupernetConfig,
    params: Any,
    images: chex.Array,
    labels: chex.Array,
    *,
    mean: Sequence[float] | None,
    std: Sequence[float] | None,
    batch_size: int = 500,
    statistics: Any = None,
    metrics: Callable[[chex.Array], Mapping[str, chex.Array]] = lambda arch: {},
) -> Environment:
    """Scores architectures by a frozen supernet, see `score`; without noise.

    Weights and images are the environment's params, shared by all lanes. Lanes under
    `vmap` are scored one after another: batched, `path` would compute every operation.

    Args and errors: as for `score`; `metrics` maps an architecture, uint8
    [*arch_shape], to the metrics of its outcome, and can be traced.
    """
    check_batches(images, labels, batch_size)
    image_sizes.check_examples(images, labels, config)
    mean, std = (None if x is None else tuple(map(float, x)) for x in (mean, std))
    shared = SupernetParams(params, statistics, Examples(images, labels))
    evaluate = _evaluate(config, mean, std, batch_size, metrics)
    return Environment(jax.tree.map(jnp.asarray, shared), (), evaluate)


@functools.cache
def _evaluate(config, mean, std, batch_size, metrics):
    """One function for equal settings, so that equal shapes compile once."""

    @jax.custom_batching.sequential_vmap
    def score_by(shared: SupernetParams, arch):
        return score(
            config,
            shared.weights,
            arch,
            *shared.examples,
            mean=mean,
            std=std,
            batch_size=batch_size,
            statistics=shared.statistics,
        )

    def evaluate(key, shared, state, arch):
        del key
        return state, score_by(shared, arch)._replace(metrics=metrics(arch))

    return evaluate
