"""Baseline without a network: logistic regression on the pixels."""

from collections.abc import Sequence

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax

from nasjax.networks import augment


def accuracy(
    train: tuple[chex.Array, chex.Array],
    test: tuple[chex.Array, chex.Array],
    *,
    classes: int,
    mean: Sequence[float],
    std: Sequence[float],
    steps: int = 300,
) -> float:
    """Test accuracy of a multinomial logistic regression on the normalised pixels.

    Adam on all training images at once, its rate falling from 0.01 to 0 by a cosine,
    starting at zero weights: nothing is random. The number of steps is the only
    regularisation.

    Args:
      train: images uint8 [N, H, W, C] and labels int32 [N].
      test: likewise.
      classes: number of classes.
      mean, std: [C], see `augment.normalize`.
      steps: of the optimizer.

    Returns:
      The accuracy, a fraction.
    """

    @jax.jit
    def rows(images):
        return augment.normalize(images, mean, std).reshape(len(images), -1)

    optimizer = optax.adam(optax.cosine_decay_schedule(0.01, steps))

    @jax.jit
    def step(weights, moments, x, labels):
        def loss(weights):
            logits = x @ weights[0] + weights[1]
            errors = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
            return errors.mean()

        updates, moments = optimizer.update(jax.grad(loss)(weights), moments)
        return optax.apply_updates(weights, updates), moments

    x, labels = rows(jnp.asarray(train[0])), jnp.asarray(train[1])
    weights = jnp.zeros((x.shape[1], classes)), jnp.zeros(classes)
    moments = optimizer.init(weights)
    for _ in range(steps):
        weights, moments = step(weights, moments, x, labels)
    logits = rows(jnp.asarray(test[0])) @ weights[0] + weights[1]
    return float(np.mean(np.argmax(logits, -1) == np.asarray(test[1])))
