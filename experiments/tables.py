"""Tables 3.1, 3.2, 4.2, 4.3 and 4.4 of the thesis, with results beside them.

    python experiments/tables.py [FOLDER ...] [--out DIR]

Without a folder: the published rows ("published" where the thesis measured them,
"quoted" where it repeats another paper), with parameters and FLOPS computed for every
architecture whose genotype is public. Folders of evaluate.py add their networks to
Tables 3.1, 4.2 and 4.3, those of search_supernet.py their finalists to Table 4.4; a
folder of such folders gives all that lie in it. Networks of a DDAS frontier
(`evaluate.py --genotypes frontier.json`) also give Table 3.2 and the slopes of test
accuracy against size, both of the networks on FLOPS fronts alone (3.2.1), and, in
`--out`, pictures of all with the test Pareto front of each search (Figs 3.6, 3.7).

Published: DDAS-NL 97.27 % on CIFAR-10 with 3.23M parameters and 0.876 GFLOPS, DDAS-4S
82.00 % on CIFAR-100 with 3.14M and 0.814 (Table 3.1, parameters with the auxiliary
head); CADAM 97.46 ± 0.09 % with 3.7M (Table 4.2, without it), on ImageNet 75.5 / 92.5 %
with 5.4M (Table 4.3). Spearman 0.600 to 1.000 (Table 3.2); 2.86 and 4.03 % per GFLOPS,
2.123 and 3.196 % per million parameters, correlations over 0.93 and 0.86 (3.2.2).
"""

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from nasjax.analysis import pareto, plots, retrained, thesis
from nasjax.analysis.retrained import Evaluation, ResultsError, Searched
from nasjax.analysis.text import text_table
from nasjax.runs import cli
from nasjax.runs.folder import Folder, open_run
from nasjax.runs.script import script

AXES = {"gflops": "GFLOPS", "millions": "parameters with auxiliary head [million]"}


def table_of(one: Evaluation) -> str | None:
    """The table a network belongs to; CADAM's presets go with chapter 4."""
    if one.flops is None:  # Another space: NAS-Bench-201.
        return None
    if one.dataset == "cifar10":
        return "4.2" if "cadam" in one.config["preset"] else "3.1 cifar10"
    return {"cifar100": "3.1 cifar100", "imagenet": "4.3"}.get(one.dataset)


def architectures(evaluations: Sequence[Evaluation]) -> list[str]:
    """Tables 3.1, 4.2, 4.3 and every network by itself."""
    found: dict[str | None, list[tuple[Evaluation, str]]] = {}
    for one, source in retrained.chosen(evaluations):
        found.setdefault(table_of(one), []).append((one, source))

    def rows(table: str, printed: int) -> list[list[str]]:
        return [retrained.row(*pair, printed) for pair in found.get(table, ())]

    parts = []
    for dataset, name in thesis.DATASETS.items():
        more = rows(f"3.1 {dataset}", 2)
        parts.append(f"Table 3.1, {name}\n{thesis.table_3_1(dataset, more)}")
    parts.append(f"Table 4.2, CIFAR-10\n{thesis.table_4_2(rows('4.2', 1))}")
    parts.append(f"Table 4.3, ImageNet\n{thesis.table_4_3(rows('4.3', 2))}")
    parts.append(thesis.NOTE)
    if evaluations:
        header = ["evaluated", "last [%]", "best epoch (a leak)", "seeds", "folder"]
        lines = [retrained.detail(one) for one in evaluations]
        parts.append(text_table(header, lines))
    return parts


def frontiers(evaluations: Sequence[Evaluation]) -> list[str]:
    """Table 3.2 and the slopes, for each data set."""
    groups, parts = retrained.groups(evaluations), []
    for dataset, name in thesis.DATASETS.items():
        ranks = [
            [variant, f"{rho[dataset]:.3f}", thesis.NONE, "published"]
            for variant, rho in thesis.TABLE_3_2.items()
        ]
        known = thesis.SLOPES[dataset]
        over = f"> {known.correlation_over}"
        slopes = [["all", f"{known.per_gflops:.2f}", over]]
        slopes[0] += [f"{known.per_million:.3f}", over, thesis.NONE, "published"]
        for (where, network), group in groups.items():
            if where != dataset:
                continue
            slopes.append(retrained.slope_row(f"all ({network})", group))
            for (variant, seed), part in retrained.searches_of(group).items():
                label = f"{variant} seed {seed} ({network})"
                ranks.append(retrained.spearman_row(label, part))
                slopes.append(retrained.slope_row(label, part))
        header = ["validation and test, FLOPS front", "Spearman", "cells", "source"]
        parts.append(f"Table 3.2, {name}\n{text_table(header, ranks)}")
        header = ["test accuracy, FLOPS front", "%/GFLOPS", "r", "%/million", "r"]
        header += ["cells", "source"]
        parts.append(f"Slopes (3.2.2), {name}\n{text_table(header, slopes)}")
    return parts


def supernets(searches: Sequence[Searched]) -> str:
    """Table 4.4."""
    rows = [
        retrained.finalist_row(retrained.supernet(one), entry)
        for one in searches
        for entry in one.finalists
    ]
    return f"Table 4.4, under shared weights\n{thesis.table_4_4(rows)}"


def picture(path: Path, group: Sequence[Evaluation], title: str) -> None:
    """Test accuracy against FLOPS and parameters, with fronts (Figs 3.6, 3.7)."""
    figure, axes = plots.panels(2, (5.5, 4.2))
    for color, (search, part) in enumerate(retrained.searches_of(group).items()):
        values = retrained.arrays(part)
        for axis, (size, label) in zip(axes, AXES.items(), strict=True):
            x, y = values[size], values["test"]
            on_front = np.flatnonzero(np.asarray(pareto.front(x, y)))
            on_front = on_front[np.argsort(x[on_front])]
            axis.plot(x, y, "o", ms=3, alpha=0.4, color=f"C{color}")
            name = f"{search[0]}, seed {search[1]}"
            style = {"where": "post", "color": f"C{color}", "label": name}
            axis.step(x[on_front], y[on_front], marker="o", ms=4, lw=1.2, **style)
            axis.set_xlabel(label)
            axis.set_ylabel("test accuracy [%]")
            axis.legend(fontsize=8, loc="lower right")
    figure.suptitle(title, fontsize=10)
    figure.savefig(path, dpi=100)
    plots.pyplot().close(figure)


@script
def main(argv: list[str] | None = None) -> int:
    """Prints the tables; returns the exit status."""
    parser = cli.Parser(__doc__)
    parser.add_argument("folders", nargs="*", type=Path, metavar="FOLDER")
    parser.add_argument("--out", type=Path, default=Path("runs/tables"))
    args = parser.parse_args(argv)
    try:
        evaluations, searches, skipped = retrained.read(args.folders)
    except ResultsError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    try:
        folder = open_run(
            args.out, "tables", {}, outputs=("front-*.png",), overwrite=True
        )
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    with folder:
        write(folder, evaluations, searches, skipped)
    return 0


def write(folder: Folder, evaluations, searches, skipped: Sequence[str]) -> None:
    """Prints the tables and draws the fronts."""
    parts = [*architectures(evaluations), *frontiers(evaluations), supernets(searches)]
    print("\n\n".join(parts))
    for line in skipped:
        print(f"left out: {line}", file=sys.stderr)
    counts: dict[str, int] = {}
    for (dataset, network), group in retrained.groups(evaluations).items():
        counts[dataset] = counts.get(dataset, 0) + 1
        number = "" if counts[dataset] == 1 else f"-{counts[dataset]}"
        path = folder.file(f"front-{dataset}{number}.png")
        known = thesis.DATASETS.get(dataset, dataset)
        picture(path, group, f"{known}, evaluated front: {network}")
        print(f"written: {path}")


if __name__ == "__main__":
    sys.exit(main())
