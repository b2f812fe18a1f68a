"""Compilation for a described GPU on a machine without one, and XLA's dump of it.

The CUDA plugin's compiler needs neither a card nor a driver. Its autotuning needs both
and is off, so the tiles of matrix products are the compiler's defaults.
"""

import dataclasses
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from nasjax.analysis.gpu import thunks
from nasjax.analysis.gpu.hlo import Module

AXIS = "lane"  # the mesh axis of `nasjax.lanes`
# Nothing is tuned, as that would run kernels, and one core compiles.
OPTIONS = {"xla_gpu_autotune_level": 0, "xla_gpu_force_compilation_parallelism": 1}


class NoCompilerError(ValueError):
    """JAX's compiler for CUDA is not installed."""


@dataclasses.dataclass(frozen=True)
class Compiled:
    """A compiled program, parsed from the compiler's dump, and its memory."""

    module: Module  # optimised HLO
    sequence: list[thunks.Thunk]  # its launches
    temporary: int  # bytes of memory beside arguments and results
    arguments: int  # bytes
    results: int  # bytes; those in the place of donated arguments count as both
    seconds: float  # of compilation


def mesh(description: str) -> Mesh:
    """Mesh of one described GPU, which can compile but not run.

    Args:
      description: text, see `card.description`.

    Raises:
      NoCompilerError: the CUDA plugin is not installed.
      ValueError: the compiler refuses the description.
    """
    from jax.experimental import topologies

    try:
        topology = topologies.get_topology_desc(
            platform="cuda", target_config=description, topology="1x1x1"
        )
    except NotImplementedError as error:
        raise NoCompilerError(
            "JAX has no compiler for CUDA here: pip install -e '.[cuda]'"
        ) from error
    except jax.errors.JaxRuntimeError as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"the target's description: {reason}") from error
    return Mesh(np.array(topology.devices[:1]), (AXIS,))


def shapes(tree: Any, mesh: Mesh) -> Any:
    """Shapes and types of a pytree's arrays, placed on the mesh's device."""
    place = NamedSharding(mesh, PartitionSpec())
    return jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=place), tree
    )


def compile_lowered(
    lowered: jax.stages.Lowered,
    options: Mapping[str, Any] | None = None,
    dump: Path | None = None,
) -> Compiled:
    """Compiles a program and reads the compiler's dump.

    Args:
      lowered: for the device of a `mesh`.
      options: of the compiler, besides OPTIONS.
      dump: a folder that keeps the dump, of this program only; None deletes the dump.

    Raises:
      ValueError: the compiler dumped no program, since it took one from a cache or this
        version dumps in another form.
    """
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary if dump is None else dump).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        flags = {**OPTIONS, **(options or {}), "xla_dump_to": str(folder)}
        cached = jax.config.jax_enable_compilation_cache
        jax.config.update("jax_enable_compilation_cache", False)
        clock = time.perf_counter()
        try:
            compiled = lowered.compile(flags)
        finally:
            jax.config.update("jax_enable_compilation_cache", cached)
        seconds = time.perf_counter() - clock
        module, sequence = read(folder)
    memory: Any = compiled.memory_analysis()
    return Compiled(
        module,
        sequence,
        memory.temp_size_in_bytes,
        memory.argument_size_in_bytes,
        memory.output_size_in_bytes,
        seconds,
    )


def read(folder: Path) -> tuple[Module, list[thunks.Thunk]]:
    """The largest program of a dump: its HLO and its thunks.

    Raises:
      ValueError: there is none, or one of its files is missing.
    """
    programs = folder.glob("*gpu_after_optimizations.txt")
    largest = max(programs, key=lambda path: path.stat().st_size, default=None)
    if largest is None:
        raise ValueError(f"{folder} holds no optimised program for a GPU")
    stem = largest.name.split(".sm_")[0]
    before = folder / f"{stem}.thunk_sequence.txt"
    # The passes that make graphs write nothing where they changed nothing.
    after = folder / f"{stem}.thunk_sequence_after_thunk_passes.txt"
    sequence = after if after.exists() else before
    metadata = folder / f"{stem}.thunk_metadata.txt"
    for path in (sequence, metadata):
        if not path.exists():
            raise ValueError(f"the compiler wrote no {path.name}: another version?")
    return Module(largest.read_text()), thunks.parse(
        sequence.read_text(), metadata.read_text()
    )
