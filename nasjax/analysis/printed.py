"""How likely a printed table is under the settings of a sweep.

A table prints, for each column and number of queries, the mean m and the deviation d of
n seeds. If they come from the normal distribution of a setting, whose S seeds have the
mean x and the deviation s,

    d^2 / s^2 ~ F(n - 1, S - 1),
    (m - x) / sqrt(p^2 (1 / n + 1 / S)) ~ t(n + S - 2) given d,

with the pooled p^2 = ((n - 1) d^2 + (S - 1) s^2) / (n + S - 2): the predictive density
of (m, d) with the usual prior. For many seeds it is that of m ~ N(x, s^2 / n) and of
d = s chi(n - 1) / sqrt(n - 1); for few it allows for the errors of x and s. The
log-likelihood is the sum of both log-densities over all entries. It takes entries for
independent, although those of one column come from the same searches, and seeds for
normal, although no best exceeds the table's.

Source: Gelman et al. 2013, Bayesian Data Analysis, chapter 3.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
import scipy.stats

from nasjax.analysis import thesis
from nasjax.analysis.sweeps import Results
from nasjax.analysis.text import text_table

ROUNDING = 0.01**2 / 12  # variance of rounding to the two decimals printed
RESAMPLES = 1000


@dataclasses.dataclass(frozen=True)
class Printed:
    """A table in percent: V columns, B numbers of queries."""

    budgets: tuple[int, ...]
    mean: np.ndarray  # [V, B]
    deviation: np.ndarray  # [V, B]
    seeds: int


def table_4_1(columns: Sequence[str]) -> Printed:
    """CADAM's rows of the thesis's Table 4.1: ten seeds, 500 and 1,000 queries."""
    rows = [thesis.row_4_1(name, columns) for name in ("CADAM-500", "CADAM-1k")]
    cells = [[cell.split(" ± ") for cell in row] for row in rows]
    mean, deviation = np.array(cells, float).transpose(2, 1, 0)
    return Printed((500, 1000), mean, deviation, 10)


TABLES = {"table4.1": table_4_1}


def log_densities(printed: Printed, values: np.ndarray) -> np.ndarray:
    """Log-densities of each entry's mean and deviation, float64 [2, ..., V, B].

    Args:
      printed: the table.
      values: of settings' seeds, percent [..., V, S, B], at least two seeds.
    """
    n, count, d = printed.seeds, values.shape[-2], printed.deviation
    variance = values.var(axis=-2, ddof=1) + ROUNDING
    freedom = n + count - 2
    pooled = ((n - 1) * d**2 + (count - 1) * variance) / freedom
    error = np.sqrt(pooled * (1 / n + 1 / count))
    mean = scipy.stats.t.logpdf(printed.mean, freedom, values.mean(axis=-2), error)
    ratio = scipy.stats.f.logpdf(d**2 / variance, n - 1, count - 1)
    return np.array([mean, ratio + np.log(2 * d / variance)])


def standardised(printed: Printed, values: np.ndarray) -> np.ndarray:
    """Ours minus printed in standard errors, over all columns together, [..., B].

    z = sum over V columns of (x - m) / sqrt(d^2 / n + s^2 / S), divided by sqrt(V).
    """
    ours = values.var(axis=-2, ddof=1) / values.shape[-2]
    error = np.sqrt(printed.deviation**2 / printed.seeds + ours)
    z = (values.mean(axis=-2) - printed.mean) / error
    return z.sum(axis=-2) / np.sqrt(z.shape[-2])


@dataclasses.dataclass(frozen=True)
class Scores:
    """N settings against a printed table, in the order of the sweep."""

    names: Sequence[str]
    budgets: Sequence[int]
    score: np.ndarray  # [N], log-likelihood
    interval: np.ndarray  # [N, 2], 95%, by resampling seeds
    best_share: np.ndarray  # [N], of resamples in which the setting scores highest
    z: np.ndarray  # [N, B], see `standardised`

    @property
    def order(self) -> np.ndarray:
        """Indices of the settings, the likeliest first."""
        return np.argsort(-self.score, kind="stable")

    def report(self) -> str:
        """The settings, the likeliest first."""
        header = ["setting", "log-\nlikelihood", "95% interval", "share\nbest"]
        header += [f"z after\n{budget:,}" for budget in self.budgets]
        rows = [
            [
                self.names[n],
                f"{self.score[n]:.2f}",
                "[{:.2f}, {:.2f}]".format(*self.interval[n]),
                f"{self.best_share[n]:.2f}",
                *(f"{z:+.2f}" for z in self.z[n]),
            ]
            for n in self.order
        ]
        return text_table(header, rows)

    def to_json(self) -> dict[str, dict[str, object]]:
        """By setting, for results files."""
        return {
            self.names[n]: {
                "log_likelihood": self.score[n],
                "interval": self.interval[n],
                "best_share": self.best_share[n],
                "z": dict(zip(map(str, self.budgets), self.z[n], strict=True)),
            }
            for n in self.order
        }


def scores(results: Results, printed: Printed, resamples: int = RESAMPLES) -> Scores:
    """Scores every setting of a sweep.

    Intervals resample the seeds (fixed seed), the same ones for all settings, columns
    and numbers of queries.

    Args:
      results: has the printed budgets; at least two seeds.
      printed: of the results' columns, in their order.
      resamples: number of them.

    Raises:
      ValueError: a budget is missing, there is a single seed, or a query failed.
    """
    lacking = [b for b in printed.budgets if b not in results.budgets]
    if lacking or len(results.seeds) < 2:
        raise ValueError(
            f"the printed table needs results after {printed.budgets} queries of at "
            f"least 2 seeds, got {list(results.budgets)} and {len(results.seeds)}"
        )
    at = [list(results.budgets).index(budget) for budget in printed.budgets]
    values = 100 * results.best[..., at]  # [N, V, S, B]
    if not np.isfinite(values).all():
        raise ValueError("searches without a score cannot be compared")

    def score(drawn: np.ndarray) -> np.ndarray:
        return log_densities(printed, values[:, :, drawn]).sum(axis=(0, 2, 3))

    S, generator = len(results.seeds), np.random.default_rng(0)
    draws = (generator.integers(0, S, S) for _ in range(resamples))
    # A resample of one seed alone has no deviation.
    varied = (x for x in draws if len(set(x.tolist())) > 1)
    sampled = np.array([score(drawn) for drawn in varied])
    best = np.bincount(sampled.argmax(axis=1), minlength=len(values))
    return Scores(
        results.names,
        printed.budgets,
        score(np.arange(S)),
        np.quantile(sampled, (0.025, 0.975), axis=0).T,
        best / len(sampled),
        standardised(printed, values),
    )
