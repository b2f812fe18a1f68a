"""Searches of generated functions: the best so far, and the gap to random search."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from nasjax.analysis import statistics
from nasjax.analysis.plots import style
from nasjax.analysis.queries import best_so_far
from nasjax.analysis.text import paired_table, short, text_table

REFERENCE = "random"


class Searches(NamedTuple):
    """Best so far [V, S, T] of each method, by problem (family and size).

    Scores are deviations above the mean of random architectures.
    """

    best: Mapping[str, Mapping[str, np.ndarray]]
    budgets: tuple[int, ...]

    @classmethod
    def of(cls, accuracy, budgets) -> "Searches":
        """From the scores of every query, in the same form."""
        best = {
            problem: {name: best_so_far(x) for name, x in methods.items()}
            for problem, methods in accuracy.items()
        }
        return cls(best, tuple(budgets))

    def after(self, problem: str, method: str, queries: int) -> np.ndarray:
        """[V, S]: the best of so many queries."""
        return self.best[problem][method][..., queries - 1]

    def describe(self) -> dict[str, Any]:
        """For results.json."""
        return {
            problem: {
                name: {
                    str(n): statistics.describe(self.after(problem, name, n)).to_json()
                    for n in self.budgets
                }
                for name in methods
            }
            for problem, methods in self.best.items()
        }

    def report(self) -> str:
        """A table per budget, and the comparisons with random search at the last."""
        problems = list(self.best)
        names = list(self.best[problems[0]])
        parts = []
        for n in self.budgets:
            rows = [
                [name]
                + [
                    statistics.mean_std(self.after(problem, name, n), 1.0)
                    for problem in problems
                ]
                for name in names
            ]
            parts.append(text_table([f"best of {short(n)}", *problems], rows))
        if REFERENCE in names and len(names) > 1:
            parts.append(self._comparisons(problems, names))
        return "\n\n".join(parts)

    def _comparisons(self, problems, names) -> str:
        rows = []
        for name in names:
            for problem in problems:
                if name == REFERENCE:
                    continue
                # Seeds of all functions are searches of their own.
                a, b = (
                    self.after(problem, x, self.budgets[-1]).ravel()
                    for x in (name, REFERENCE)
                )
                rows.append(((name, problem), statistics.paired(a, b)))
        header = (f"minus {REFERENCE}, {short(self.budgets[-1])} queries", "problem")
        return paired_table(header, rows, "deviations")

    def draw(self, path: Path) -> None:
        """A panel per problem: the mean of the best so far with its 95% band."""
        figure, axes = style.panels(len(self.best), (4.6, 3.4))
        for axis, (problem, methods) in zip(axes, self.best.items(), strict=True):
            for color, (name, y) in enumerate(methods.items()):
                y = y.reshape(-1, y.shape[-1])
                x = np.arange(1, y.shape[-1] + 1)
                style.mean_of_seeds(axis, x, y, name, color=f"C{color}")
            axis.set_xscale("log")
            style.label(axis, problem, "queries", "best [deviations above the mean]")
        axes[0].legend(fontsize=7, loc="upper left")
        style.save(figure, path)
