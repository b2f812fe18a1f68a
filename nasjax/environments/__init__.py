"""Environments: each scores architectures."""

from nasjax.environments.cached import cached
from nasjax.environments.fidelities import multi_fidelity
from nasjax.environments.frozen_supernet import frozen_supernet
from nasjax.environments.functions import generated
from nasjax.environments.tabular import tabular
from nasjax.environments.trainable_supernet import trainable_supernet

__all__ = [
    "cached",
    "frozen_supernet",
    "generated",
    "multi_fidelity",
    "tabular",
    "trainable_supernet",
]
