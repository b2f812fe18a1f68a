"""Tables 3.1, 3.2, 4.2, 4.3 and 4.4 of the thesis, with results beside them.

    python experiments/tables.py [FOLDER ...] [--out DIR]

Without a folder: the published rows ("published" where the thesis measured them,
"quoted" where it repeats another paper), with parameters and FLOPS computed for every
architecture whose genotype is public. Folders of evaluate.py add their networks to
Tables 3.1, 4.2 and 4.3, those of search_supernet.py their finalists to Table 4.4; a
folder of such folders gives all of them. Networks of a DDAS frontier
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

from nasjax.analysis import plots, retrained, retrained_tables, thesis
from nasjax.runs import cli
from nasjax.runs.folder import Folder, open_run
from nasjax.runs.script import refusals, script


@script
def main(argv: list[str] | None = None) -> None:
    """Prints the tables."""
    parser = cli.Parser(__doc__)
    text = "results of evaluate.py or search_supernet.py, or a folder of such"
    parser.add_argument("folders", nargs="*", type=Path, metavar="FOLDER", help=text)
    text = "folder of the pictures (default runs/tables); replaced by each run"
    parser.add_argument("--out", type=Path, default=Path("runs/tables"), help=text)
    args = parser.parse_args(argv)
    with refusals():
        evaluations, searches, skipped = retrained.read(args.folders)
        pictures = ("front-*.png",)
        folder = open_run(args.out, "tables", {}, outputs=pictures, overwrite=True)
    with folder:
        parts = [
            *retrained_tables.architecture_tables(evaluations),
            *retrained_tables.frontier_tables(evaluations),
            retrained_tables.supernet_table(searches),
        ]
        print("\n\n".join(parts))
        for line in skipped:
            print(f"left out: {line}", file=sys.stderr)
        draw(folder, evaluations)


def draw(folder: Folder, evaluations: Sequence[retrained.Evaluation]) -> None:
    """A picture of the fronts for each data set and network."""
    counts: dict[str, int] = {}
    for (dataset, network), group in retrained.groups(evaluations).items():
        counts[dataset] = counts.get(dataset, 0) + 1
        number = "" if counts[dataset] == 1 else f"-{counts[dataset]}"
        path = folder.file(f"front-{dataset}{number}.png")
        name = thesis.DATASETS.get(dataset, dataset)
        plots.retrained_fronts(path, group, f"{name}, evaluated front: {network}")
        print(f"written: {path}")


if __name__ == "__main__":
    sys.exit(main())
