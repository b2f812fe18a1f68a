"""Figures printed in the thesis (K. G. Mills, 2020), to stand beside measured ones."""

from nasjax.data.nb201 import COLUMNS

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


def row(name: str, columns: list[str]) -> list[str]:
    """A row of Table 4.1 for some of its columns, `91.36 ± 0.19` each."""
    cells = dict(zip(COLUMNS, TABLE_4_1[name].split(), strict=True))
    return [cells.get(column, "–").replace("±", " ± ") for column in columns]
