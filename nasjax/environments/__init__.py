"""Environments: what scores an architecture."""

from nasjax.environments.cached import cached
from nasjax.environments.supernet import supernet
from nasjax.environments.tabular import tabular

__all__ = ["cached", "supernet", "tabular"]
