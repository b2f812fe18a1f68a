"""Environments: what scores an architecture."""

from nasjax.environments.cached import cached
from nasjax.environments.supernet import supernet
from nasjax.environments.tabular import tabular
from nasjax.environments.trainable_supernet import trainable_supernet

__all__ = ["cached", "supernet", "tabular", "trainable_supernet"]
