"""Networks: primitives, supernets, networks derived from one architecture."""

# Importing them registers their families.
from nasjax.networks import darts, nb201

__all__ = ["darts", "nb201"]
