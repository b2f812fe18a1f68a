"""Pictures of results; matplotlib is imported when one is drawn.

Functions that take a `path` write a file there; its suffix chooses the format.
"""

from nasjax.analysis.plots.cells import cell, cell_states, cells, states
from nasjax.analysis.plots.frontier import (
    curves,
    fronts,
    hypervolumes,
    retrained_fronts,
    widths,
)
from nasjax.analysis.plots.objectives import hypervolume_shares, reached_fronts
from nasjax.analysis.plots.search import anytime, regret
from nasjax.analysis.plots.sweeps import effects, heat_maps, scores
from nasjax.analysis.plots.training import evaluation, training

__all__ = [
    "anytime",
    "cell",
    "cell_states",
    "cells",
    "curves",
    "effects",
    "evaluation",
    "fronts",
    "heat_maps",
    "hypervolume_shares",
    "hypervolumes",
    "reached_fronts",
    "regret",
    "retrained_fronts",
    "scores",
    "states",
    "training",
    "widths",
]
