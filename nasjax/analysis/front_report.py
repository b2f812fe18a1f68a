"""Tables, a screen and pictures of searches with several objectives."""

import numpy as np

from nasjax.analysis import plots, statistics
from nasjax.analysis.fronts import SHARES, Fronts
from nasjax.analysis.text import paired_table, short, text_table
from nasjax.runs.folder import Folder
from nasjax.runs.script import Report, wrapped
from nasjax.runs.table_objectives import Task

BASELINE = "nsga2"  # that the others are compared with, in pairs
PANELS = 12


def share_table(fronts: Fronts) -> str:
    """Hypervolume after some queries, and queries to shares of it, by task."""
    rows = []
    for v, task in enumerate(fronts.tasks.tasks):
        for method in fronts.results:
            share = fronts.share[method][v]
            cells = [f"{100 * share[:, n - 1].mean():.2f}" for n in fronts.budgets]
            rows.append([task.name, method, *cells, *_queries(fronts, method, v)])
    means = [f"% after {short(n)}" for n in fronts.budgets]
    to = [f"to {100 * x:g} %" for x in SHARES]
    to += ["to the optimum"] if fronts.tasks.bounds else []
    header = ["hypervolume", "method", *means, *to]
    legend = (
        "\nmean over seeds in percent of the exact front's; median queries to a "
        "share of it, with\nthe searches that reached it"
    )
    return text_table(header, rows) + legend


def _queries(fronts: Fronts, method: str, v: int) -> list[str]:
    firsts = [fronts.queries_to(method, share)[v] for share in SHARES]
    if fronts.tasks.bounds:
        firsts.append(fronts.queries_to_optimum(method)[v])
    return [_median(x) for x in firsts]


def comparison(fronts: Fronts) -> str:
    """Hypervolume of each method minus the baseline's, paired over seeds."""
    rows = []
    for name in fronts.results:
        for v, task in enumerate(fronts.tasks.tasks if name != BASELINE else ()):
            for n in fronts.budgets:
                a, b = (100 * fronts.share[x][v, :, n - 1] for x in (name, BASELINE))
                pair = statistics.paired(a, b)
                rows.append(([f"{name} - {BASELINE}", task.name, str(n)], pair))
    return paired_table(["paired over seeds", "task", "queries"], rows)


def text(fronts: Fronts) -> str:
    """The summary and the long tables."""
    parts = [screen(fronts), share_table(fronts)]
    if BASELINE in fronts.results and len(fronts.results) > 1 and len(fronts.seeds) > 1:
        parts.append(comparison(fronts))
    return "\n\n".join(parts)


def screen(fronts: Fronts) -> str:
    """One row for each method: medians over the tasks."""
    rows = []
    for method in fronts.results:
        share = fronts.share[method].mean(axis=1)
        cells = [f"{100 * np.median(share[:, n - 1]):.2f}" for n in fronts.budgets]
        firsts = [fronts.queries_to(method, x) for x in SHARES]
        firsts += [fronts.queries_to_optimum(method)] if fronts.tasks.bounds else []
        rows.append([method, *cells, *(_over_tasks(x) for x in firsts)])
    to = [f"to {100 * x:g} %" for x in SHARES]
    to += ["to the optimum"] if fronts.tasks.bounds else []
    header = ["method", *(f"% after {short(n)}" for n in fronts.budgets), *to]
    count = len(fronts.tasks.tasks)
    lines = [text_table(header, rows)]
    lines.append(
        f"hypervolume, medians over {count} task{'s' * (count > 1)}: percent of "
        "the exact front's; queries (share of searches)"
    )
    if BASELINE in fronts.results and len(fronts.seeds) > 1:
        lines += [_ahead(fronts, x) for x in fronts.results if x != BASELINE]
    return "\n".join([lines[0], *map(wrapped, lines[1:])])


def _ahead(fronts: Fronts, method: str) -> str:
    """On how many tasks a method is ahead of the baseline from a budget on."""
    from_ = min(fronts.budgets)
    gap = fronts.share[method] - fronts.share[BASELINE]
    mean = gap.mean(axis=1)[:, from_ - 1 :]
    pairs = [
        statistics.paired(gap[v, :, n - 1], np.zeros(len(fronts.seeds)))
        for v in range(len(gap))
        for n in fronts.budgets
    ]
    significant = sum(p.p_value < 0.05 and p.low > 0 for p in pairs)
    return (
        f"{method} ahead of {BASELINE} in the mean at every budget from {from_} on: "
        f"{(mean > 0).all(axis=1).sum()} of {len(gap)} tasks; p < 0.05 in "
        f"{significant} of {len(pairs)} tasks x budgets"
    )


def draw(fronts: Fronts, folder: Folder) -> None:
    """Hypervolume against queries; and the fronts, if there are two objectives.

    Of many tasks every second, third, ... is drawn, at most PANELS.
    """
    goals, count = fronts.tasks.objectives, len(fronts.tasks.tasks)
    shown = range(0, count, -(-count // PANELS))
    names = [fronts.tasks.tasks[v].name for v in shown]
    shares = {name: x[list(shown)] for name, x in fronts.share.items()}
    plots.hypervolume_shares(folder.file("hypervolume.png"), shares, names)
    if len(goals) == 2:
        panels = [_panel(fronts, v, fronts.tasks.tasks[v]) for v in shown]
        axes = [goal.name for goal in goals]
        plots.reached_fronts(folder.file("fronts.png"), panels, names, axes)


def _panel(fronts: Fronts, v: int, task: Task) -> tuple[np.ndarray, np.ndarray, dict]:
    signs = np.array([x.sign for x in fronts.tasks.objectives])
    values = signs * task.value
    reached = {
        name: [values[fronts.front_of(name, v, s)] for s in range(len(fronts.seeds))]
        for name in fronts.results
    }
    return values, values[fronts.exact[v]], reached


def _median(first: np.ndarray) -> str:
    """Median queries and the searches that arrived: `34 (49/50)`."""
    median = np.quantile(first, 0.5, method="higher")
    shown = f"{median:.0f}" if np.isfinite(median) else "never"
    return f"{shown} ({np.isfinite(first).sum()}/{len(first)})"


def _over_tasks(first: np.ndarray) -> str:
    """The median over tasks of the median over seeds, and the share that arrived."""
    each = np.quantile(first, 0.5, axis=1, method="higher")
    median = np.quantile(each, 0.5, method="higher")
    shown = f"{median:.0f}" if np.isfinite(median) else "never"
    return f"{shown} ({100 * np.isfinite(first).mean():.0f} %)"


def write(fronts: Fronts, folder: Folder, report: Report) -> None:
    """results.npz, report.txt and the pictures; prints the screen."""
    folder.write_npz("results.npz", **fronts.arrays())
    draw(fronts, folder)
    report.add("\n" + text(fronts))
    report.write(folder)
    print(screen(fronts))
