"""Devices of an experiment: CPU cores, hosts, meshes, seeds at a time."""

import os
import time
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from nasjax.networks.derived.training import AXIS

SEEDS = "seed"  # the axis of a mesh with a device for each seed


def join_hosts() -> None:
    """Joins the processes of several hosts; call it before JAX starts a backend.

    Raises:
      ValueError: it failed, such as where nothing names the other hosts.
    """
    try:
        jax.distributed.initialize()
    except (ValueError, RuntimeError) as error:
        reason = (str(error).strip() or repr(error)).splitlines()[0]
        raise ValueError(
            f"--distributed: {reason} (on SLURM, Open MPI and Cloud TPU the hosts are "
            "found by JAX; elsewhere set JAX_COORDINATOR_ADDRESS and its like)"
        ) from error


def use_cpu_cores(threads_inside_operations: bool = True) -> None:
    """Makes each CPU core a JAX device; call it before JAX starts a backend.

    Lanes and data are then sharded over cores as over GPUs. Nothing changes if
    `jax_num_cpu_devices` or the host-device-count flag is already set.

    Args:
      threads_inside_operations: False where lanes are many and their matrices small:
        a core then works for one lane only (it would slow convolutions).
    """
    flags = os.environ.get("XLA_FLAGS", "")
    if not threads_inside_operations and "xla_cpu_multi_thread_eigen" not in flags:
        flags = f"{flags} --xla_cpu_multi_thread_eigen=false".strip()
        os.environ["XLA_FLAGS"] = flags
    is_set = jax.config.jax_num_cpu_devices > 0
    if not is_set and "xla_force_host_platform_device_count" not in flags:
        jax.config.update("jax_num_cpu_devices", len(os.sched_getaffinity(0)))


def matrix_rate(
    devices: Sequence[jax.Device], dtype: str = "float32", n: int = 2048
) -> float:
    """Operations per second of n-cubed matrix products, one on every device at once.

    2 n^3 operations each, the fastest of ten runs; benchmarks compare their own rates
    with it.
    """
    mesh = Mesh(np.array(devices), ("device",))
    sharded = PartitionSpec("device")
    product = jax.jit(
        jax.shard_map(
            lambda x: (x[0] @ x[0])[None],
            mesh=mesh,
            in_specs=sharded,
            out_specs=sharded,
        )
    )
    x = jnp.ones((len(devices), n, n), dtype)
    x = jax.device_put(x, NamedSharding(mesh, sharded))
    jax.block_until_ready(product(x))
    seconds = []
    for _ in range(10):
        clock = time.perf_counter()
        jax.block_until_ready(product(x))
        seconds.append(time.perf_counter() - clock)
    return 2 * len(devices) * n**3 / min(seconds)


def mesh_of(devices: Sequence[jax.Device], seeds: Sequence[int]) -> Mesh | None:
    """Mesh for a group of seeds: one device per seed, or data parallel for one seed.

    None for one seed on one device.
    """
    if len(seeds) > 1:
        return Mesh(np.array(devices[: len(seeds)]), (SEEDS,))
    return Mesh(np.array(devices), (AXIS,)) if len(devices) > 1 else None


def data_parallel(mesh: Mesh | None) -> Mesh | None:
    """The mesh if batches are divided over it; None if it has a device per seed."""
    return mesh if mesh is not None and mesh.axis_names == (AXIS,) else None


def layout(
    batch_size: int,
    images: int = 0,
    *,
    seeds: int = 1,
    devices: int | None = None,
    lanes: int | None = None,
    streamed: bool = False,
) -> tuple[int, int]:
    """Number of devices, and of seeds trained at a time.

    Dividing the batches of one seed over CPU cores was measured to be 1.5 times as fast
    as a seed per core with small networks, and as fast with larger ones: a smaller
    share stays in the caches. Below 32 images a share is too small.

    Args:
      batch_size: images per step.
      images: of an epoch, if its smaller last batch is kept, else 0.
      seeds: how many are to be trained.
      devices, lanes: the numbers that the user asked for; None chooses them.
      streamed: whether the data set is; its seeds are trained one after another.

    Raises:
      ValueError: more devices or lanes than there are, several lanes of a streamed data
        set, or not all devices of several hosts.
    """
    present, left = jax.device_count(), images % batch_size
    on_cpu = jax.default_backend() == "cpu"
    count = devices or present
    if count > present:
        raise ValueError(f"--devices {count}, but JAX sees {present}")
    group = lanes or (1 if on_cpu or streamed else min(count, seeds))
    if group > count:
        raise ValueError(f"--lanes {group}, but there are {count} devices")
    if streamed and group > 1:
        raise ValueError(f"--lanes {group}: imagenet trains one seed after another")
    if jax.process_count() > 1 and count != present:
        raise ValueError(f"--devices {count}: several hosts use all {present}")
    if devices is None and group == jax.process_count() == 1:
        least = 32 if on_cpu else 1
        fitting = [n for n in range(1, count + 1) if not (batch_size % n or left % n)]
        count = max(n for n in fitting if n == 1 or batch_size // n >= least)
    return count, group
