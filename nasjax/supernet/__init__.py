"""Weight-sharing supernets as pure functions on stacked weights."""

from nasjax.supernet.network import (
    SupernetConfig,
    apply,
    count,
    darts,
    init,
    initial_statistics,
    nas_bench_201,
    pc_darts,
    selected,
    update_statistics,
)

__all__ = [
    "SupernetConfig",
    "apply",
    "count",
    "darts",
    "init",
    "initial_statistics",
    "nas_bench_201",
    "pc_darts",
    "selected",
    "update_statistics",
]
