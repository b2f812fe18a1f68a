"""Scores of untrained networks against accuracies of a table."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import scipy.stats

from nasjax.analysis import statistics
from nasjax.analysis.plots import style
from nasjax.analysis.text import text_table

TOP = (1, 10, 50, 100)  # architectures that are trained, best score first
SAMPLE, DRAWS = 1000, 500  # random architectures, of which the best score is taken
# Spearman's correlation over all architectures, Abdelfattah et al. 2021, Table 2.
PUBLISHED = {
    "synflow": {"cifar10": 0.74, "cifar100": 0.76, "imagenet16": 0.75},
    "jacobian_covariance": {"cifar10": 0.73, "cifar100": 0.71, "imagenet16": 0.71},
}
# Accuracy in percent of the best score of 1,000 random architectures, three trials of
# the benchmark at random; Mellor et al. 2021, Table 2.
PUBLISHED_SEARCH = {
    "naswot": {
        "cifar10_valid": 89.69,
        "cifar10_test": 92.96,
        "cifar100_valid": 69.86,
        "cifar100_test": 69.98,
        "imagenet16_valid": 43.95,
        "imagenet16_test": 44.44,
    }
}


class Scores(NamedTuple):
    """Scores of all A architectures of a table, and its accuracies."""

    scores: Mapping[str, np.ndarray]  # by name, [A]; larger is better, -inf is worst
    values: Mapping[str, np.ndarray]  # by column, fractions [A]

    def describe(self) -> list[dict[str, Any]]:
        """An entry for each score and column, for results.json.

        `best` is the best accuracy among the highest 1, 10, 50 and 100 scores, equal
        ones in random order; `sampled` the mean accuracy of the highest score of 1,000
        random architectures.
        """
        random = np.random.default_rng(0)
        order = random.permutation(len(next(iter(self.values.values()))))
        count = min(SAMPLE, len(order))
        samples = np.stack(
            [random.choice(len(order), count, replace=False) for _ in range(DRAWS)]
        )
        entries = []
        for name, score in self.scores.items():
            rank = scipy.stats.rankdata(score)  # has no infinities
            ranking = order[np.argsort(-rank[order], kind="stable")]
            chosen = samples[np.arange(DRAWS), rank[samples].argmax(1)]
            for column, value in self.values.items():
                best = np.maximum.accumulate(value[ranking])
                published = PUBLISHED.get(name, {}).get(column.rpartition("_")[0])
                entries.append(
                    {
                        "score": name,
                        "column": column,
                        "spearman": statistics.spearman(rank, value),
                        "kendall": statistics.kendall(rank, value),
                        "published_spearman": published,
                        "best": {n: float(best[:n][-1]) for n in TOP},
                        "rank_of_optimum": int(value[ranking].argmax()) + 1,
                        "sampled": float(value[chosen].mean()),
                        "published_sampled": PUBLISHED_SEARCH.get(name, {}).get(column),
                    }
                )
        return entries

    def report(self) -> str:
        """Tables of correlations and of searches by a score alone."""
        entries = {(x["score"], x["column"]): x for x in self.describe()}
        columns, parts = list(self.values), []

        def table(title, cell):
            rows = [
                [name, *(cell(entries[name, column]) for column in columns)]
                for name in self.scores
            ]
            header = [title, *(column.replace("_", "\n") for column in columns)]
            parts.append(text_table(header, rows))

        def beside(x, name, form):
            known = x[f"published_{name}"]
            scale = 100 if name == "sampled" else 1
            text = form.format(scale * x[name])
            return text if known is None else f"{text} ({form.format(known)})"

        table("Spearman", lambda x: beside(x, "spearman", "{:.2f}"))
        table("Kendall", lambda x: f"{x['kendall']:.2f}")
        for n in TOP:
            table(f"best of top {n} [%]", lambda x, n=n: f"{100 * x['best'][n]:.2f}")
        table("rank of the optimum", lambda x: str(x["rank_of_optimum"]))
        table(f"top of {SAMPLE} random [%]", lambda x: beside(x, "sampled", "{:.2f}"))
        parts.append(
            "in brackets: Abdelfattah et al. 2021, Table 2; Mellor et al. 2021, Table 2"
        )
        return "\n\n".join(parts)

    def draw(self, path: Path, column: str) -> None:
        """Accuracy in a column against the rank of each score."""
        figure, axes = style.panels(len(self.scores), (3.6, 2.8))
        value = 100 * self.values[column]
        for axis, (name, score) in zip(axes, self.scores.items(), strict=True):
            axis.plot(scipy.stats.rankdata(score), value, ",", alpha=0.5)
            rho = statistics.spearman(scipy.stats.rankdata(score), value)
            style.label(
                axis, f"{name}: {rho:.2f}", "rank of the score", f"{column} [%]"
            )
        style.save(figure, path)
