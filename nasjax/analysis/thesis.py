"""Tables of the thesis (K. G. Mills, 2020) to stand beside results, with costs.

Figures are the printed ones, "published" where the thesis measured them itself and
"quoted" where it repeats another paper's. What a network costs is computed, for every
architecture whose genotype is public.
"""

from collections.abc import Sequence
from typing import NamedTuple

from nasjax.analysis.text import text_table
from nasjax.spaces import costs, darts, genotypes
from nasjax.spaces.genotypes import Genotype

DATASETS = {"cifar10": "CIFAR-10", "cifar100": "CIFAR-100"}
# Of the networks in the tables: 20 cells and C = 36, or 14 and 48 for ImageNet.
CIFAR = {"cells": 20, "channels": 36, "image_size": 32, "stem": "cifar"}
IMAGENET = {"cells": 14, "channels": 48, "image_size": 224, "stem": "imagenet"}
CLASSES = {"cifar10": 10, "cifar100": 100, "imagenet": 1000}
NONE = "–"


class Row(NamedTuple):
    """One architecture of a table, as printed; dashes where nothing is."""

    name: str
    accuracy: str  # in percent; top-1 on ImageNet
    params: str
    flops: str = NONE  # Table 3.1
    top5: str = NONE  # Table 4.3, in percent
    origin: str = "quoted"
    genotype: str = ""  # name in `genotypes.PUBLISHED`, if public


def _rows(text: str, fields: Sequence[str], origin: str) -> list[Row]:
    """Rows of `name | accuracy params ... [@genotype]`, one a line."""
    found = []
    for line in text.strip().splitlines():
        name, figures = (part.strip() for part in line.split("|"))
        figures, _, genotype = figures.partition("@")
        values = dict(zip(fields, figures.split(), strict=True))
        values = {key: value.replace("±", " ± ") for key, value in values.items()}
        found.append(Row(name, **values, origin=origin, genotype=genotype.strip()))
    return found


_3_1 = ("flops", "params", "accuracy")
TABLE_3_1 = {
    "cifar10": [
        *_rows(
            """
            DARTS 1st Order    | 1.022G 3.65M 97.00 @DARTS_V1
            DARTS 2nd Order    | 1.078G 3.83M 97.24 @DARTS_V2
            ENAS               | – 4.60M 97.11
            ProxylessNAS-G     | – 5.70M 97.92
            GDAS               | – 3.40M 97.07
            GDAS (FRC)         | – 2.50M 97.18
            SNAS (Mild Const.) | – 2.90M 97.02
            SNAS (Mod. Const.) | – 2.80M 97.15
            """,
            _3_1,
            "quoted",
        ),
        *_rows(
            """
            RS                 | 1.024G 3.67M 97.16
            DDAS-NL            | 0.876G 3.23M 97.27 @DDAS-NL
            DDAS-G             | 0.839G 3.10M 96.81
            DDAS-4S            | 0.842G 3.07M 96.74
            """,
            _3_1,
            "published",
        ),
    ],
    "cifar100": [
        *_rows(
            """
            DARTS 1st Order    | 1.022G 3.77M 82.37 @DARTS_V1
            DARTS 2nd Order    | 1.078G 3.95M 82.65 @DARTS_V2
            """,
            _3_1,
            "published",  # Trained by the author of the thesis.
        ),
        *_rows(
            """
            GDAS               | – 3.40M 81.62
            GDAS (FRC)         | – 2.50M 81.87
            """,
            _3_1,
            "quoted",
        ),
        *_rows(
            """
            RS                 | 0.920G 3.55M 80.76
            DDAS-NL            | 1.106G 4.04M 81.34
            DDAS-G             | 0.916G 3.47M 80.88
            DDAS-4S            | 0.814G 3.14M 82.00 @DDAS-4S
            """,
            _3_1,
            "published",
        ),
    ],
}

# Spearman's coefficient of validation and test accuracy on the Pareto front.
TABLE_3_2 = {
    "RS": {"cifar10": 0.964, "cifar100": 1.000},
    "DDAS-NL": {"cifar10": 0.881, "cifar100": 0.826},
    "DDAS-G": {"cifar10": 0.886, "cifar100": 0.810},
    "DDAS-4S": {"cifar10": 0.886, "cifar100": 0.600},
}
# Names that searches give the variants.
VARIANTS = {"rs": "RS", "nl": "DDAS-NL", "g": "DDAS-G", "4s": "DDAS-4S"}


class Slopes(NamedTuple):
    """Thesis 3.2.2: test accuracy against size, over all evaluated front cells."""

    per_gflops: float  # percent
    per_million: float  # percent per million parameters
    correlation_over: float  # both linear correlations are above


SLOPES = {
    "cifar10": Slopes(2.86, 2.123, 0.93),
    "cifar100": Slopes(4.03, 3.196, 0.86),
}

TABLE_4_2 = [
    *_rows(
        """
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
        """,
        ("accuracy", "params"),
        "quoted",
    ),
    *_rows(
        """
        CADAM        | 97.46±0.09 3.7M
        PC-CADAM     | 97.42±0.08 3.8M
        """,
        ("accuracy", "params"),
        "published",
    ),
]

TABLE_4_3 = [
    *_rows(
        """
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
        """,
        ("accuracy", "top5", "params"),
        "quoted",
    ),
    *_rows(
        """
        CADAM-C10     | 75.0 92.3 5.3M
        PC-CADAM-C10  | 75.5 92.5 5.4M
        PC-CADAM-IN   | 75.1 92.3 5.0M
        """,
        ("accuracy", "top5", "params"),
        "published",
    ),
]

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
    """What one network costs."""

    params: int  # without the auxiliary head
    with_auxiliary: int
    flops: int


def cost(genotype: Genotype, dataset: str) -> Cost:
    """Of a genotype in the network of the tables for a data set of `CLASSES`.

    Raises:
      ValueError: another data set.
    """
    if dataset not in CLASSES:
        raise ValueError(f"data set {dataset!r}: allowed are {', '.join(CLASSES)}")
    space = darts(none=True)
    network = IMAGENET if dataset == "imagenet" else CIFAR
    table = costs.darts_network(space, classes=CLASSES[dataset], **network)
    arch = genotypes.to_arch(genotype, space)
    params = int(costs.params(table, arch))
    total = params + int(table.auxiliary)
    return Cost(params, total, int(costs.flops(table, arch)))


def costs_of(row: Row, dataset: str) -> list[str]:
    """Parameters without and with the head, and FLOPS, computed; or dashes."""
    if not row.genotype:
        return [NONE] * 3
    found = cost(genotypes.PUBLISHED[row.genotype], dataset)
    return shown(*found)


def shown(params: int, with_auxiliary: int, flops: int | None) -> list[str]:
    """Costs as tables print them."""
    giga = NONE if flops is None else f"{flops / 1e9:.4f}G"
    return [f"{params / 1e6:.3f}M", f"{with_auxiliary / 1e6:.3f}M", giga]


def table_3_1(dataset: str, measured: Sequence[Sequence[str]] = ()) -> str:
    """Table 3.1's part for one data set.

    Args:
      dataset: of `DATASETS`.
      measured: more rows, of strings for all columns.
    """
    header = ["", "test [%]", "params", "FLOPS", *_COMPUTED, "source"]
    rows = [
        [r.name, r.accuracy, r.params, r.flops, *costs_of(r, dataset), r.origin]
        for r in TABLE_3_1[dataset]
    ]
    return text_table(header, [*rows, *measured])


_COMPUTED = ("params*", "with head*", "FLOPS*")  # The star is explained by `NOTE`.
NOTE = (
    "* computed from the genotype where it is public: parameters without and with the "
    "auxiliary head, FLOPS"
)


def table_4_2(measured: Sequence[Sequence[str]] = ()) -> str:
    """Table 4.2: CIFAR-10; arguments as `table_3_1`."""
    header = ["", "test [%]", "params", *_COMPUTED, "source"]
    rows = [
        [r.name, r.accuracy, r.params, *costs_of(r, "cifar10"), r.origin]
        for r in TABLE_4_2
    ]
    return text_table(header, [*rows, *measured])


def table_4_3(measured: Sequence[Sequence[str]] = ()) -> str:
    """Table 4.3: ImageNet; arguments as `table_3_1`."""
    header = ["", "top-1 [%]", "top-5 [%]", "params", *_COMPUTED, "source"]
    rows = [
        [r.name, r.accuracy, r.top5, r.params, *costs_of(r, "imagenet"), r.origin]
        for r in TABLE_4_3
    ]
    return text_table(header, [*rows, *measured])


def table_4_4(measured: Sequence[Sequence[str]] = ()) -> str:
    """Table 4.4: supernets; arguments as `table_3_1`."""
    header = ["", "validation [%]", "test [%]", "rank", "source"]
    rows = [[name, *row, "published"] for name, row in TABLE_4_4.items()]
    return text_table(header, [*rows, *measured])
