"""Tables of evaluated networks and of searched supernets beside the thesis's."""

from collections.abc import Sequence

from nasjax.analysis import retrained, statistics, thesis
from nasjax.analysis.retrained import Evaluation, Searched
from nasjax.analysis.statistics import mean_std
from nasjax.analysis.text import text_table


def spearman_row(name: str, group: Sequence[Evaluation]) -> list[str]:
    """Table 3.2's coefficient for the FLOPS front of one search."""
    group = [network for network in group if network.on_front]
    values = retrained.arrays(group)
    several = len(group) > 1
    rho = statistics.spearman(values["validation"], values["test"]) if several else 0
    cell = f"{rho:.3f}" if several else thesis.NONE
    return [name, cell, str(len(group)), "measured"]


def slope_row(name: str, group: Sequence[Evaluation]) -> list[str]:
    """Slopes of test accuracy and linear correlations on FLOPS fronts (3.2.2)."""
    group = [network for network in group if network.on_front]
    values, row = retrained.arrays(group), [name]
    for size in ("gflops", "millions"):
        try:
            line = statistics.slope(values[size], values["test"])
            row += [f"{line.slope:.3f}", f"{line.correlation:.3f}"]
        except ValueError:  # Fewer than two different sizes.
            row += [thesis.NONE] * 2
    return [*row, str(len(group)), "measured"]


def row(network: Evaluation, source: str, printed: int) -> list[str]:
    """Name, test accuracy, `printed` blank columns of published figures, costs."""
    blank = [thesis.NONE] * printed
    name = f"{network.name} ({network.network})"
    return [name, mean_std(network.test), *blank, *network.cost.cells(), source]


def detail(network: Evaluation) -> list[str]:
    """Name, accuracies of the last and the best epoch, seeds, folder."""
    best = thesis.NONE if network.best is None else mean_std(network.best)
    name = f"{network.name} on {network.dataset}"
    name += " (chosen by test: a leak)" if network.leaks else ""
    seeds = str(len(network.test))
    return [name, mean_std(network.test), best, seeds, str(network.folder)]


def architecture_tables(evaluations: Sequence[Evaluation]) -> list[str]:
    """Tables 3.1, 4.2 and 4.3, and a table of all evaluated networks."""
    measured: dict[str, list[list[str]]] = {name: [] for name in thesis.TABLES}
    for network, source in retrained.chosen(evaluations):
        if network.table is not None:
            printed = len(thesis.TABLES[network.table].header) - 1
            measured[network.table].append(row(network, source, printed))
    parts = [thesis.architectures(name, rows) for name, rows in measured.items()]
    parts.append(thesis.NOTE)
    if evaluations:
        header = ["evaluated", "last [%]", "best epoch (a leak)", "seeds", "folder"]
        parts.append(text_table(header, [detail(x) for x in evaluations]))
    return parts


def frontier_tables(evaluations: Sequence[Evaluation]) -> list[str]:
    """Table 3.2 and the slopes, for each data set."""
    parts = []
    for dataset, name in thesis.DATASETS.items():
        ranks = [
            [variant, f"{rho[dataset]:.3f}", thesis.NONE, "published"]
            for variant, rho in thesis.TABLE_3_2.items()
        ]
        known = thesis.SLOPES[dataset]
        over = f"> {known.correlation_over}"
        slopes = [["all", f"{known.per_gflops:.2f}", over]]
        slopes[0] += [f"{known.per_million:.3f}", over, thesis.NONE, "published"]
        for (where, network), group in retrained.groups(evaluations).items():
            if where != dataset:
                continue
            slopes.append(slope_row(f"all ({network})", group))
            for (search, seed), part in retrained.searches_of(group).items():
                label = f"{search} seed {seed} ({network})"
                ranks.append(spearman_row(label, part))
                slopes.append(slope_row(label, part))
        header = ["validation and test, FLOPS front", "Spearman", "cells", "source"]
        parts.append(f"Table 3.2, {name}\n{text_table(header, ranks)}")
        header = ["test accuracy, FLOPS front", "%/GFLOPS", "r", "%/million", "r"]
        table = text_table([*header, "cells", "source"], slopes)
        parts.append(f"Slopes (3.2.2), {name}\n{table}")
    return parts


def supernet_table(searches: Sequence[Searched]) -> str:
    """Table 4.4: the candidates of supernet searches."""
    rows = [
        [
            f"{search.prefix}{'Val' if entry['default'] else 'Test'}, "
            f"seed {entry['seed']}",
            f"{100 * entry['validation_accuracy']:.2f}",
            f"{100 * entry['test_accuracy']:.2f}",
            f"{entry['rank']} of {entry['of']}",
            "measured" if entry["default"] else f"measured, {retrained.LEAK}",
        ]
        for search in searches
        for entry in search.candidates
    ]
    return f"Table 4.4, under shared weights\n{thesis.table_4_4(rows)}"
