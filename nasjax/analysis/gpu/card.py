"""Sizes and rates of a GPU, from XLA's description of a compilation target."""

import dataclasses
import importlib.resources
import re
from collections.abc import Mapping
from pathlib import Path

TARGETS = ("h100",)
# Keys of rate_infos are XLA's PrimitiveType (xla_data.proto). Matrix units do not
# multiply in float32: the rate of that type is that of products rounded to TF32.
_FORMATS = {16: "bf16", 10: "f16", 11: "tf32"}


def description(target: str) -> str:
    """Text of a target's description, an XLA GpuTargetConfigProto.

    Args:
      target: one of TARGETS, whose descriptions are shipped, or the path of a file.

    Raises:
      ValueError: neither a known name nor a file.
    """
    if target in TARGETS:
        folder = importlib.resources.files("nasjax.analysis.gpu")
        return (folder / f"{target}_sxm.txtpb").read_text("utf-8")
    path = Path(target)
    if not path.is_file():
        raise ValueError(
            f"--target {target}: no such file; targets by name: {', '.join(TARGETS)}"
        )
    return path.read_text("utf-8")


@dataclasses.dataclass(frozen=True)
class Card:
    """Sizes of a GPU's memories, and rates at the clock that the description states."""

    name: str
    memory: float  # bytes of device memory
    cache: float  # bytes of the second-level cache
    bandwidth: float  # bytes per second of device memory
    instructions: float  # of threads per second, one per float32 unit and clock
    products: Mapping[str, float]  # operations per second by format; f32 is not rounded

    @classmethod
    def read(cls, text: str) -> "Card":
        """Reads the text of a description; ValueError if a field is missing."""

        def number(field: str) -> float:
            match = re.search(rf"\b{field}:\s*([\d.eE+]+)", text)
            if match is None:
                raise ValueError(f"the target's description has no {field}")
            return float(match.group(1))

        # Two operations per multiply-add; an H100 has half as many float64 units.
        cores = number("core_count")
        scalar = 1e9 * number("clock_rate_ghz") * cores * number("fpus_per_core")
        products = {"f32": 2 * scalar, "f64": scalar}
        _, _, matrix = text.partition("matrix_unit_description")
        for key, clock, units, per_clock in re.findall(
            r"key:\s*(\d+).*?clock_rate_ghz:\s*([\d.]+)"
            r".*?units_per_core:\s*(\d+).*?ops_per_clock:\s*(\d+)",
            matrix,
            re.DOTALL,
        ):
            if int(key) in _FORMATS:
                rate = 2e9 * float(clock) * cores * int(units) * int(per_clock)
                products[_FORMATS[int(key)]] = rate
        name = re.search(r'\bname:\s*"([^"]*)"', text)
        return cls(
            name.group(1) if name else "an unnamed card",
            number("device_memory_size"),
            number("l2_cache_size"),
            number("memory_bandwidth"),
            scalar,
            products,
        )
