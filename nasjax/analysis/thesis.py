"""Tables of the thesis (K. G. Mills, 2020) to compare results with, and costs.

Figures are as printed: "published" if the thesis measured them itself, "quoted" if it
repeats those of another paper. Costs are computed for every architecture whose genotype
is public.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from nasjax.analysis.text import Rows, short, text_table
from nasjax.data.nb201 import COLUMNS
from nasjax.spaces import costs, darts, genotypes
from nasjax.spaces.genotypes import Genotype

DATASETS = {"cifar10": "CIFAR-10", "cifar100": "CIFAR-100"}
CLASSES = {"cifar10": 10, "cifar100": 100, "imagenet": 1000}
NONE = "–"


class Row(NamedTuple):
    """One architecture of a table, as printed; dashes where a figure is missing."""

    name: str
    accuracy: str  # in percent; top-1 on ImageNet
    params: str
    flops: str = NONE  # Table 3.1
    top5: str = NONE  # Table 4.3, in percent
    origin: str = "quoted"
    genotype: str = ""  # name in `genotypes.PUBLISHED`, if public


class Table(NamedTuple):
    """A table of architectures."""

    title: str
    dataset: str  # of `CLASSES`
    header: Mapping[str, str]  # fields of `Row` and their titles
    rows: Sequence[Row]


def _table(title: str, dataset: str, header: Mapping[str, str], text: str) -> Table:
    """Reads rows `name | figure ... [@genotype]`, each below a line with its origin."""
    rows, origin = [], ""
    for line in text.strip().splitlines():
        name, _, figures = (part.strip() for part in line.partition("|"))
        if not figures:
            origin = name.rstrip(":")
            continue
        figures, _, genotype = figures.partition("@")
        values = dict(zip(header, figures.split(), strict=True))
        values = {field: cell.replace("±", " ± ") for field, cell in values.items()}
        rows.append(Row(name, **values, origin=origin, genotype=genotype.strip()))
    return Table(title, dataset, header, rows)


_3_1 = {"accuracy": "test [%]", "params": "params", "flops": "FLOPS"}
_4_3 = {"accuracy": "top-1 [%]", "top5": "top-5 [%]", "params": "params"}
TABLES = {
    "3.1 cifar10": _table(
        "Table 3.1, CIFAR-10",
        "cifar10",
        _3_1,
        """
        quoted:
            DARTS 1st Order    | 97.00 3.65M 1.022G @DARTS_V1
            DARTS 2nd Order    | 97.24 3.83M 1.078G @DARTS_V2
            ENAS               | 97.11 4.60M –
            ProxylessNAS-G     | 97.92 5.70M –
            GDAS               | 97.07 3.40M –
            GDAS (FRC)         | 97.18 2.50M –
            SNAS (Mild Const.) | 97.02 2.90M –
            SNAS (Mod. Const.) | 97.15 2.80M –
        published:
            RS                 | 97.16 3.67M 1.024G
            DDAS-NL            | 97.27 3.23M 0.876G @DDAS-NL
            DDAS-G             | 96.81 3.10M 0.839G
            DDAS-4S            | 96.74 3.07M 0.842G
        """,
    ),
    "3.1 cifar100": _table(  # The author of the thesis trained DARTS here.
        "Table 3.1, CIFAR-100",
        "cifar100",
        _3_1,
        """
        published:
            DARTS 1st Order    | 82.37 3.77M 1.022G @DARTS_V1
            DARTS 2nd Order    | 82.65 3.95M 1.078G @DARTS_V2
        quoted:
            GDAS               | 81.62 3.40M –
            GDAS (FRC)         | 81.87 2.50M –
        published:
            RS                 | 80.76 3.55M 0.920G
            DDAS-NL            | 81.34 4.04M 1.106G
            DDAS-G             | 80.88 3.47M 0.916G
            DDAS-4S            | 82.00 3.14M 0.814G @DDAS-4S
        """,
    ),
    "4.2": _table(
        "Table 4.2, CIFAR-10",
        "cifar10",
        {"accuracy": "test [%]", "params": "params"},
        """
        quoted:
            ENAS         | 97.11 4.6M
            GDAS         | 97.18 2.5M
            AlphaX       | 97.46±0.06 2.8M
            ProxylessNAS | 97.92 5.7M
            DARTS 1st    | 97.00±0.14 3.3M @DARTS_V1
            DARTS 2nd    | 97.24±0.09 3.3M @DARTS_V2
            SNAS         | 97.15±0.02 2.8M
            P-DARTS      | 97.50 3.4M @PDARTS
            PC-DARTS     | 97.43±0.07 3.6M @PC_DARTS_cifar
            PC-SDARTS    | 97.51±0.04 3.5M
            P-SDARTS     | 97.52±0.02 3.4M
            PC-GAEA      | 97.50±0.06 3.7M
        published:
            CADAM        | 97.46±0.09 3.7M
            PC-CADAM     | 97.42±0.08 3.8M
        """,
    ),
    "4.3": _table(
        "Table 4.3, ImageNet",
        "imagenet",
        _4_3,
        """
        quoted:
            DARTS-C10     | 73.3 91.3 4.7M @DARTS_V2
            SNAS-C10      | 72.7 90.8 4.3M
            P-DARTS-C10   | 75.6 92.6 4.9M @PDARTS
            P-DARTS-C100  | 75.3 92.5 5.1M
            PC-DARTS-C10  | 74.9 92.2 5.3M @PC_DARTS_cifar
            PC-DARTS-IN   | 75.8 92.7 5.3M @PC_DARTS_image
            PC-SDARTS-C10 | 75.7 92.6 –
            P-SDARTS-C10  | 75.8 92.8 –
            PC-GAEA-C10   | 75.7 92.7 5.3M
            PC-GAEA-IN    | 76.0 92.7 5.6M
        published:
            CADAM-C10     | 75.0 92.3 5.3M
            PC-CADAM-C10  | 75.5 92.5 5.4M
            PC-CADAM-IN   | 75.1 92.3 5.0M
        """,
    ),
}

# Spearman's coefficient of validation and test accuracy on the Pareto front.
TABLE_3_2 = {
    "RS": {"cifar10": 0.964, "cifar100": 1.000},
    "DDAS-NL": {"cifar10": 0.881, "cifar100": 0.826},
    "DDAS-G": {"cifar10": 0.886, "cifar100": 0.810},
    "DDAS-4S": {"cifar10": 0.886, "cifar100": 0.600},
}
# The thesis's names of variants, by their names in searches.
VARIANTS = {"rs": "RS", "nl": "DDAS-NL", "g": "DDAS-G", "4s": "DDAS-4S"}


class Slopes(NamedTuple):
    """Thesis 3.2.2: test accuracy against size, over all evaluated front cells."""

    per_gflops: float  # percent
    per_million: float  # percent per million parameters
    correlation_over: float  # lower bound of both linear correlations


SLOPES = {
    "cifar10": Slopes(2.86, 2.123, 0.93),
    "cifar100": Slopes(4.03, 3.196, 0.86),
}

# Table 4.1, percent, mean and standard deviation, dashes as printed.
# The methods above CADAM were searched on CIFAR-10 alone (12-epoch accuracy, about 100
# queries) and their winner was reported on all columns; CADAM queried each column.
TABLE_4_1 = {
    "DARTS": "39.77±0.00 54.30±0.00 15.03±0.00 15.61±0.00 16.43±0.00 16.32±0.00",
    "ENAS": "37.51±3.19 53.89±0.58 13.37±2.35 13.96±2.33 15.06±1.95 14.84±2.10",
    "GDAS": "89.89±0.08 93.61±0.09 71.34±0.04 70.70±0.30 41.59±1.33 41.71±0.98",
    "GAEA": "– 94.10±0.29 – 73.43±0.13 – 46.36±0.00",
    "RS": "90.93±0.36 93.70±0.36 70.93±1.09 71.04±1.07 44.45±1.10 44.57±1.25",
    "REA": "91.19±0.31 93.92±0.30 71.81±1.12 71.84±0.99 45.15±0.89 45.54±1.03",
    "REINFORCE": "91.09±0.37 93.85±0.37 71.61±1.12 71.71±1.09 45.05±1.02 45.24±1.18",
    "BOHB": "90.82±0.53 93.61±0.52 70.74±1.29 70.85±1.28 44.26±1.36 44.42±1.49",
    "CADAM-500": "91.36±0.19 94.11±0.16 72.47±0.74 72.69±0.58 46.23±0.28 46.74±0.39",
    "CADAM-1k": "91.47±0.15 94.28±0.08 73.02±0.52 73.09±0.35 46.58±0.08 47.03±0.27",
    "Optimal": "91.61 94.37 73.49 73.51 46.77 47.31",
}

# Validation and test accuracy under shared weights in percent, rank in the top K.
TABLE_4_4 = {
    "CIFAR-10-Val": ("88.90", "91.81", "1"),
    "CIFAR-10-Test": ("87.87", "92.25", "416"),
    "PC-CIFAR-10-Val": ("87.08", "87.78", "1"),
    "PC-CIFAR-10-Test": ("86.52", "88.04", "129"),
    "PC-ImageNet32-120-Val": ("49.71", "45.38", "1"),
    "PC-ImageNet32-120-Test": ("49.43", "46.45", "8"),
}


class Cost(NamedTuple):
    """The size of one network."""

    params: int  # without the auxiliary head
    with_auxiliary: int
    flops: int | None  # None where no rule is known for the space

    def cells(self) -> list[str]:
        """Parameters without and with auxiliary head, and FLOPS, as printed."""
        giga = NONE if self.flops is None else f"{self.flops / 1e9:.4f}G"
        millions = (self.params / 1e6, self.with_auxiliary / 1e6)
        return [*(f"{x:.3f}M" for x in millions), giga]


def cost(genotype: Genotype, dataset: str) -> Cost:
    """Cost of a genotype in the network of the tables for a data set of `CLASSES`.

    The network has 20 cells and C = 36, or 14 and 48 for ImageNet.

    Raises:
      ValueError: another data set.
    """
    if dataset not in CLASSES:
        raise ValueError(f"data set {dataset!r}: allowed are {', '.join(CLASSES)}")
    space, large = darts(none=True), dataset == "imagenet"
    table = costs.darts_network(
        space,
        classes=CLASSES[dataset],
        cells=14 if large else 20,
        channels=48 if large else 36,
        image_size=224 if large else 32,
        stem="imagenet" if large else "cifar",
    )
    arch = genotypes.to_arch(genotype, space)
    params = int(costs.params(table, arch))
    flops = int(costs.flops(table, arch))
    return Cost(params, params + int(table.auxiliary), flops)


NOTE = (
    "* computed from the genotype where it is public: parameters without and with the "
    "auxiliary head, FLOPS"
)


def architectures(name: str, measured: Rows = ()) -> str:
    """Table 3.1, 4.2 or 4.3 with its title.

    Args:
      name: of `TABLES`.
      measured: more rows, of strings for all columns.
    """
    table, rows = TABLES[name], []
    for row in table.rows:
        computed = [NONE] * 3
        if row.genotype:
            known = genotypes.PUBLISHED[row.genotype]
            computed = cost(known, table.dataset).cells()
        figures = [getattr(row, field) for field in table.header]
        rows.append([row.name, *figures, *computed, row.origin])
    # The star is explained by `NOTE`.
    computed = ["params*", "with head*", "FLOPS*"]
    header = ["", *table.header.values(), *computed, "source"]
    return f"{table.title}\n{text_table(header, [*rows, *measured])}"


def row_4_1(name: str, columns: Sequence[str]) -> list[str]:
    """A row of Table 4.1 for some of its columns, `91.36 ± 0.19` each."""
    cells = dict(zip(COLUMNS, TABLE_4_1[name].split(), strict=True))
    return [cells.get(column, NONE).replace("±", " ± ") for column in columns]


def rows_4_1(
    columns: Sequence[str], budgets: Sequence[int], *, others: bool = True
) -> dict[str, list[list[str]]]:
    """Rows of Table 4.1 by the label of the row above them; "" means at the end.

    Args:
      columns: names of columns; unknown ones get dashes.
      budgets: numbers of queries of CADAM, for labels such as `cadam-500`.
      others: whether to add the other methods, at the end.
    """
    rows: dict[str, list[list[str]]] = {}
    for name in TABLE_4_1:
        if not name.startswith("CADAM") and others:
            label = f"{name} (thesis, quoted)"
            rows.setdefault("", []).append([label, *row_4_1(name, columns)])
    for budget in budgets:
        if f"CADAM-{short(budget)}" in TABLE_4_1:
            cells = row_4_1(f"CADAM-{short(budget)}", columns)
            rows[f"cadam-{short(budget)}"] = [["  published", *cells]]
    return rows


def table_4_4(measured: Rows = ()) -> str:
    """Table 4.4: supernets; `measured` as for `architectures`."""
    header = ["", "validation [%]", "test [%]", "rank", "source"]
    rows = [[name, *row, "published"] for name, row in TABLE_4_4.items()]
    return text_table(header, [*rows, *measured])
