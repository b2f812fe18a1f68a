"""The state of a training, its metrics, and batches divided over devices.

Shared by supernets and networks trained from scratch.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import chex
import jax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

AXIS = "data"  # of a mesh over which batches are divided


class TrainState(NamedTuple):
    """What training carries; holds no key, so that resuming is exact."""

    params: Any
    optimizer: Any  # momentum, like params
    statistics: Any  # running means and variances
    step: chex.Array  # int32 []


class Metrics(NamedTuple):
    """Of one batch, before the update."""

    loss: chex.Array  # float32 [], mean cross-entropy without an auxiliary head's
    accuracy: chex.Array  # float32 [], a fraction


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
      gradient: its last two arguments are images and labels; means over AXIS are its
        own task.
      mesh: with the axis AXIS.
      shared: the number of arguments before them, which every device has.
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
