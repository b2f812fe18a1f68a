"""One update of a network: its state, gradients, batches divided over devices.

Shared by supernets and networks trained from scratch. If a batch is divided over a
mesh, every device has the gradient, metrics and statistics of the whole batch.
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
    """The state of a training; it holds no key: keys are folded from `step`."""

    params: Any
    optimizer: Any  # of `training.sgd`; its momentum is like params
    statistics: Any  # running means and variances
    step: chex.Array  # int32 [], number of updates so far


class Metrics(NamedTuple):
    """Metrics of one batch, before the update."""

    loss: chex.Array  # float32 [], mean cross-entropy, without the auxiliary head's
    accuracy: chex.Array  # float32 [], a fraction


def start(params: Any, statistics: Any, recipe: training.Recipe) -> TrainState:
    """The state before the first step, with zero momentum."""
    return TrainState(
        params, training.sgd(recipe).init(params), statistics, jnp.int32(0)
    )


def gradient(
    loss: Callable[[Any], Any], params: Any, axis_name: str | None
) -> tuple[Any, Metrics, Any]:
    """Gradient, metrics and statistics of the whole batch, also if devices share it.

    Args:
      loss: `params -> (loss, (metrics, statistics))` of a device's share of the batch,
        but with statistics of the whole batch, as normalisations with `axis_name` give.
      params: of the network.
      axis_name: of the mapped axis over which the batch is spread; None if none is.
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
        be zero, so that only the selected ones count in clipping. None selects all.
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
    """A batch with its rows divided over a mesh; without a mesh, the batch itself."""
    if mesh is None:
        return batch
    rows = NamedSharding(mesh, PartitionSpec(AXIS))
    return jax.lax.with_sharding_constraint(batch, rows)


def over_devices(
    gradient: Callable[..., Any], mesh: Mesh | None, shared: int
) -> Callable[..., Any]:
    """`gradient` of a batch divided over a mesh; without a mesh, `gradient` itself.

    Args:
      gradient: its last two arguments are images and labels; it averages over AXIS
        itself.
      mesh: with the axis AXIS.
      shared: number of the other arguments, which are copied to every device.
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
