"""The baseline of networks: logistic regression on the pixels."""

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

    Adam on all training images at once, its rate 0.01 falling to 0 by a cosine; no
    randomness and no regularisation but the number of steps.

    Args:
      train: uint8 [N, H, W, C] and int32 [N].
      test: the same.
      classes: their number.
      mean, std: [C], see `augment.normalize`.
      steps: of the optimizer.

    Returns:
      A fraction of the test images.
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
