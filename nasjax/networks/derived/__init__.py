"""Derived networks: one architecture with weights of its own, trained from scratch."""

from nasjax.networks.derived.config import DerivedConfig, darts, nas_bench_201
from nasjax.networks.derived.network import Network, count, init

__all__ = ["DerivedConfig", "Network", "count", "darts", "init", "nas_bench_201"]
