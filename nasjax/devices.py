"""Devices of an experiment: every CPU core is one, unless the user says otherwise."""

import os

import jax


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
