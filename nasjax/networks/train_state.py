"""One update: the state of a training, gradients, batches divided over devices.

Shared by supernets and networks trained from scratch. A batch divided over a mesh has
the gradient, metrics and statistics of the whole batch on every device.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from nasjax.networks import training

AXIS = "data"  # of a mesh over which batches are divided


class TrainState(NamedTuple):
    """The state of a training; it holds no key, so that resuming is exact."""

    params: Any
    optimizer: Any  # momentum, like params
    statistics: Any  # running means and variances
    step: chex.Array  # int32 []


class Metrics(NamedTuple):
    """Metrics of one batch, before the update."""

    loss: chex.Array  # float32 [], mean cross-entropy without an auxiliary head's
    accuracy: chex.Array  # float32 [], a fraction


def start(params: Any, statistics: Any, recipe: training.Recipe) -> TrainState:
    """The state before the first step: no momentum."""
    return TrainState(
        params, training.sgd(recipe).init(params), statistics, jnp.int32(0)
    )


def gradient(
    loss: Callable[[Any], Any], params: Any, axis_name: str | None
) -> tuple[Any, Metrics, Any]:
    """Gradient, metrics and statistics; of the whole batch, if devices share it.

    Args:
      loss: `params -> (loss, (metrics, statistics))` of a device's share of the batch.
      params: of the network.
      axis_name: of the mapped axis over which the batch is spread.
    """
    grads, (metrics, statistics) = jax.grad(loss, has_aux=True)(params)
    if axis_name is not None:
        grads, metrics = jax.lax.pmean((grads, metrics), axis_name)
    return grads, metrics, statistics


def update(
    state: TrainState,
    gradients: Any,
    statistics: Any,
    learning_rate: chex.Numeric,
    recipe: training.Recipe,
    selected: Any = None,
) -> TrainState:
    """The next state, by a step of `training.sgd`.

    Args:
      state: before the step.
      gradients: like the parameters.
      statistics: of the next state.
      learning_rate: [].
      recipe: static.
      selected: bool arrays that broadcast against the parameters; weights that are not
        selected keep their value and their momentum, bit by bit. Their gradients must
        be zero, so that clipping sees the selected ones only.
    """
    optimizer = training.sgd(recipe)
    updates, new = optimizer.update(gradients, state.optimizer, state.params)
    params = jax.tree.map(lambda p, u: p - learning_rate * u, state.params, updates)
    if selected is not None:

        def keep(new, old):
            return jax.tree.map(jnp.where, selected, new, old)

        *others, momentum = new
        trace = keep(momentum.trace, state.optimizer[-1].trace)
        new = (*others, momentum._replace(trace=trace))
        params = keep(params, state.params)
    return TrainState(params, new, statistics, state.step + 1)


def divide(batch: chex.Array, mesh: Mesh | None) -> chex.Array:
    """Divides the rows of a batch over a mesh; without one it stays as it is."""
    if mesh is None:
        return batch
    rows = NamedSharding(mesh, PartitionSpec(AXIS))
    return jax.lax.with_sharding_constraint(batch, rows)


def over_devices(
    gradient: Callable[..., Any], mesh: Mesh | None, shared: int
) -> Callable[..., Any]:
    """`gradient` of a batch divided over a mesh; without one, `gradient` itself.

    Args:
      gradient: its last two arguments are images and labels; it takes means over AXIS
        itself.
      mesh: with the axis AXIS.
      shared: the number of arguments before them, copied to every device.
    """
    if mesh is None:
        return gradient
    whole, split = PartitionSpec(), PartitionSpec(AXIS)
    # check_vma would sum gradients over devices a second time.
    return jax.shard_map(
        gradient,
        mesh=mesh,
        in_specs=(*[whole] * shared, split, split),
        out_specs=whole,
        check_vma=False,
    )
