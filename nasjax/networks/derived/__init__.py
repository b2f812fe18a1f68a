"""Derived networks: one architecture with weights of its own, trained from scratch."""

from nasjax.networks.derived.config import DerivedConfig, darts, nas_bench_201
from nasjax.networks.derived.network import Network, init
from nasjax.networks.initializers import count

__all__ = ["DerivedConfig", "Network", "count", "darts", "init", "nas_bench_201"]
