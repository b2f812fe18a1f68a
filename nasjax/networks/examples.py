"""Images with their labels."""

from typing import Any, NamedTuple

import chex


class Examples(NamedTuple):
    """N labelled images, of NumPy or JAX."""

    images: chex.Array  # uint8 [N, H, W, C]
    labels: chex.Array  # int32 [N]

    def at(self, rows: Any) -> "Examples":
        """Those of some rows, a slice or indices."""
        return Examples(self.images[rows], self.labels[rows])
