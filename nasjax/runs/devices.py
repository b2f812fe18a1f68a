"""Devices of an experiment: every CPU core is one, unless the user says otherwise."""

import os
import time
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec


def join_hosts() -> None:
    """`jax.distributed.initialize()`; call it before JAX starts a backend.

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

    Lanes and data then shard over cores exactly as over GPUs. Nothing is changed if
    `jax_num_cpu_devices` or the host-device-count flag is already set.

    Args:
      threads_inside_operations: False where lanes are many and their matrices small:
        a core then works for one lane only (it would slow convolutions).
    """
    flags = os.environ.get("XLA_FLAGS", "")
    if not threads_inside_operations and "xla_cpu_multi_thread_eigen" not in flags:
        flags = f"{flags} --xla_cpu_multi_thread_eigen=false".strip()
        os.environ["XLA_FLAGS"] = flags
    given = jax.config.jax_num_cpu_devices > 0
    if not given and "xla_force_host_platform_device_count" not in flags:
        jax.config.update("jax_num_cpu_devices", len(os.sched_getaffinity(0)))


def matrix_rate(
    devices: Sequence[jax.Device], dtype: str = "float32", n: int = 2048
) -> float:
    """Operations per second of n-cubed matrix products, one on every device at once.

    2 n^3 operations each; the fastest of ten. What else a benchmark computes can be
    held against it.
    """
    mesh = Mesh(np.array(devices), ("device",))
    one_each = PartitionSpec("device")
    spec = {"mesh": mesh, "in_specs": one_each, "out_specs": one_each}
    product = jax.jit(jax.shard_map(lambda x: (x[0] @ x[0])[None], **spec))
    x = jnp.ones((len(devices), n, n), dtype)
    x = jax.device_put(x, NamedSharding(mesh, one_each))
    jax.block_until_ready(product(x))
    seconds = []
    for _ in range(10):
        clock = time.perf_counter()
        jax.block_until_ready(product(x))
        seconds.append(time.perf_counter() - clock)
    return 2 * len(devices) * n**3 / min(seconds)
