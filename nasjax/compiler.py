"""Options of XLA's compiler for the project's programs, by device.

They only affect speed. An option that this version of the compiler does not know is
left out, and so is one that the user sets in XLA_FLAGS.
"""

import functools
import os
from collections.abc import Mapping
from typing import Any

import jax
from jax.sharding import SingleDeviceSharding

# In-place updates, and the full width of vector registers. Without them a cycle of
# CADAM takes 3% longer (jax 0.12.0.1, median of 30 pairs; quartiles 2% and 5%).
CPU = {
    "xla_cpu_copy_insertion_use_region_analysis": True,
    "xla_cpu_prefer_vector_width": 512,
}
# XLA's default list of operations for CUDA graphs, plus loops and convolutions: outside
# a graph, a loop of unknown length makes the host wait for the device each time. With
# a driver older than CUDA 12.3, XLA itself leaves out loops and conditionals.
CUDA = {
    "xla_gpu_enable_command_buffer": "FUSION,CUBLAS,CUBLASLT,CUDNN,CUSTOM_CALL,"
    "DYNAMIC_SLICE_FUSION,CONDITIONAL,WHILE,CONVOLUTION"
}


def graph_options(device: jax.Device) -> dict[str, Any]:
    """Options that run whole programs as CUDA graphs; empty for other devices.

    Pass them as `compiler_options` of `jax.jit` or to `Lowered.compile`.
    """
    version = str(getattr(device.client, "platform_version", ""))
    if device.platform not in ("gpu", "cuda") or "rocm" in version.lower():
        return {}
    return known(CUDA, device)


def lane_options(device: jax.Device) -> dict[str, Any]:
    """Options for programs of many searches: `CPU` on a CPU, else `graph_options`."""
    return known(CPU, device) if device.platform == "cpu" else graph_options(device)


def known(options: Mapping[str, Any], device: jax.Device) -> dict[str, Any]:
    """The options that the device's compiler supports and the user did not set.

    Args:
      options: values by the names of XLA's flags.
      device: of this process, or described by `jax.experimental.topologies`, which can
        only compile.
    """
    flags = os.environ.get("XLA_FLAGS", "")
    return {
        name: value
        for name, value in options.items()
        if name not in flags and _is_known(name, value, device)
    }


@functools.cache
def _is_known(name: str, value: Any, device: jax.Device) -> bool:
    """Whether an identity function compiles with the option."""
    scalar = jax.ShapeDtypeStruct((), "float32", sharding=SingleDeviceSharding(device))
    try:
        jax.jit(lambda x: x).lower(scalar).compile({name: value})
    except jax.errors.JaxRuntimeError:
        return False
    return True
