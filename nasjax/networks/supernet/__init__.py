"""Weight-sharing supernets as pure functions on stacked weights."""

from nasjax.networks.initializers import count
from nasjax.networks.supernet.config import (
    SupernetConfig,
    darts,
    nas_bench_201,
    pc_darts,
)
from nasjax.networks.supernet.network import (
    apply,
    init,
    initial_statistics,
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
