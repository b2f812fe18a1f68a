"""Networks: primitives, supernets, networks derived from one architecture."""

# These register their families.
from nasjax.networks import darts, nb201

__all__ = ["darts", "nb201"]
