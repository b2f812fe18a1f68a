"""Environments: what scores an architecture."""

from nasjax.environments.tabular import tabular

__all__ = ["tabular"]
