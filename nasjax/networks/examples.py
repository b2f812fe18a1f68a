"""Labelled images."""

from typing import Any, NamedTuple

import chex


class Examples(NamedTuple):
    """N labelled images, as NumPy or JAX arrays."""

    images: chex.Array  # uint8 [N, H, W, C]
    labels: chex.Array  # int32 [N]

    def at(self, rows: Any) -> "Examples":
        """The examples at `rows`, a slice or integers."""
        return Examples(self.images[rows], self.labels[rows])
