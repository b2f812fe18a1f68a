"""Memory: what lanes take, by shapes, and what is free for them."""

from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

SHARE = 0.5  # of the free memory: estimates are by shapes, and others need memory, too


def tree_bytes(tree: Any) -> int:
    """Bytes of all arrays, or of arrays of such shapes."""
    leaves = jax.tree.leaves(tree)
    return sum(int(np.prod(x.shape)) * np.dtype(x.dtype).itemsize for x in leaves)


def on_device(state: Any, trace: Any) -> int:
    """Bytes of lanes on devices: the state before and after some steps, their trace.

    Args:
      state, trace: arrays or shapes, of any number of lanes.
    """
    return 2 * tree_bytes(state) + tree_bytes(trace)


def on_host(state: Any, trace: Any) -> int:
    """Bytes of lanes on the host: the trace of all steps, and a copy of the state.

    The copy is there while a checkpoint is written.
    """
    return tree_bytes(state) + tree_bytes(trace)


def free_bytes() -> int:
    """Bytes for lanes per device: half of what is free, the least of all hosts."""
    devices = jax.local_devices()
    if jax.default_backend() == "cpu":
        free = _host_bytes() / len(devices)
    else:
        free = min(map(_device_bytes, devices))
    every = multihost_utils.process_allgather(np.array([free]))
    return int(SHARE * np.min(every))


def _host_bytes() -> float:
    """Available memory of this host; 4 GiB where the system does not tell."""
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            lines = dict(line.split(":", 1) for line in file)
        return 1024.0 * int(lines["MemAvailable"].split()[0])
    except (OSError, KeyError, ValueError):
        return 4.0 * 2**30


def _device_bytes(device: jax.Device) -> float:
    stats = device.memory_stats() or {}
    return stats.get("bytes_limit", 4 * 2**30) - stats.get("bytes_in_use", 0)
