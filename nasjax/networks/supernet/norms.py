"""Normalisation of a whole network: names of places, statistics used there."""

from collections.abc import Mapping
from typing import Any

import chex

from nasjax.networks import primitives
from nasjax.networks.supernet import cells, dense, path


class Norms:
    """Normalises at named places and notes the statistics. Lives for one trace."""

    def __init__(self, axis_name: str | None, given: Mapping[str, Any] | None):
        self._axis_name, self.given = axis_name, given
        self.used: dict[str, Any] = {}

    def __call__(self, name: str, x: chex.Array) -> chex.Array:
        if self.given is None:
            x, self.used[name] = primitives.batch_norm(x, self._axis_name)
        else:
            self.used[name] = self.given[name]
            x = primitives.normalize(x, self.given[name])
        return x

    def cell(
        self, name: str, cell: cells.Cell, mode: str, weights, inputs, choice
    ) -> list[chex.Array]:
        """The cell's nodes, by `path` of an architecture or `dense` of a mask."""
        compute = {"path": path.path, "dense": dense.dense}[mode]
        given = None if self.given is None else self.given[name]
        nodes, self.used[name] = compute(cell, weights, inputs, choice, given)
        return list(nodes)
