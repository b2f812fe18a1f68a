"""Benchmark tables from a generator, for compare.py.

    python experiments/made_tables.py --family nk --edges 10 --operations 3 --out nk.npz
    python experiments/compare.py --table nk.npz --seeds 1-20

Families, see `nasjax.environments.functions`: `pairwise` (every operation has a value
of its own and one beside every operation on every other edge, all normal) and `nk`
(each edge adds a uniform number that depends on its operation and those of K others).
Spaces of more than `--rows` architectures are sampled without repetition: their tables
are not complete. Columns `table0`, `table1`, ... are independent draws.

    python experiments/made_tables.py --family penalty --gain a.npz:accuracy \\
        --cost b.npz:latency --weights 0.1,0.3 --out penalty.npz

takes the columns from two tables of the same rows: `gain - weight x cost`, both scaled
to deviation 1 over the table.
"""

import argparse
import itertools
import sys
from pathlib import Path

import numpy as np

from nasjax.data import tables
from nasjax.environments import functions
from nasjax.runs import cli, files
from nasjax.runs.script import script

# The families, each with the flags that change nothing in it.
IDLE = {
    "pairwise": ("neighbours", "gain", "cost", "weights"),
    "nk": ("gain", "cost", "weights"),
    "penalty": ("edges", "operations", "tables", "neighbours", "rows", "seed"),
}


def architectures(rng, edges: int, operations: int, rows: int) -> np.ndarray:
    """uint8 [n, E]: all in lexicographic order, or so many different ones."""
    if operations**edges <= rows:
        return np.array(list(np.ndindex((operations,) * edges)), np.uint8)
    sample = np.zeros((0, edges), np.uint8)
    while len(sample) < rows:
        more = rng.integers(0, operations, (rows, edges), dtype=np.uint8)
        sample = np.unique(np.concatenate([sample, more]), axis=0)
    return sample[np.sort(rng.permutation(len(sample))[:rows])]


# Both sum in the order of their first version, so that a table keeps its bits.


def pairwise(rng, ops: np.ndarray, operations: int) -> np.ndarray:
    """float64 [n]: values of a `functions.Pairwise`."""
    edges = ops.shape[1]
    own, tables = functions.pairwise(rng, edges, operations)
    value = own[np.arange(edges), ops].sum(1)
    pairs = itertools.combinations(range(edges), 2)
    for (e, f), both in zip(pairs, tables, strict=True):
        value += both[ops[:, e], ops[:, f]] * np.sqrt(2 / (edges - 1))
    return value


def nk(rng, ops: np.ndarray, operations: int, K: int) -> np.ndarray:
    """float64 [n]: values of a `functions.Nk`."""
    edges = ops.shape[1]
    value = np.zeros(len(ops))
    for inputs, table in zip(*functions.nk(rng, edges, operations, K), strict=True):
        cube = table.reshape((operations,) * (K + 1))
        value += cube[tuple(ops[:, k] for k in inputs)]
    return value / edges


def drawn(args: argparse.Namespace) -> dict[str, np.ndarray]:
    """The arrays of a table of random values; ValueError if flags do not fit."""
    if args.edges is None or args.operations is None:
        raise ValueError(f"--family {args.family} needs --edges and --operations")
    if args.neighbours >= args.edges:
        raise ValueError(
            f"--neighbours {args.neighbours}: needs more than {args.edges} edges"
        )
    rng = np.random.default_rng(args.seed)
    arrays = {"ops": architectures(rng, args.edges, args.operations, args.rows)}
    for i in range(args.tables):
        if args.family == "nk":
            value = nk(rng, arrays["ops"], args.operations, args.neighbours)
        else:
            value = pairwise(rng, arrays["ops"], args.operations)
        arrays[f"table{i}"] = value
    return arrays


def weights(text: str) -> list[float]:
    """Comma-separated numbers of at least 0."""
    values = [float(part) for part in text.split(",")]
    if not all(0 <= w < np.inf for w in values) or len(set(values)) < len(values):
        raise ValueError(text)
    return values


def column_of(text: str) -> tables.Table:
    """The table of FILE.npz:COLUMN."""
    path, _, name = text.rpartition(":")
    if not path:
        raise ValueError(f"{text!r}: needs FILE.npz:COLUMN")
    return tables.load(path, [name])


def penalty(args: argparse.Namespace) -> dict[str, np.ndarray]:
    """The arrays of gains minus weighted costs; ValueError if flags do not fit."""
    for name in ("gain", "cost"):
        if getattr(args, name) is None:
            raise ValueError(f"--family penalty needs --{name} FILE.npz:COLUMN")
    gain, cost = column_of(args.gain), column_of(args.cost)
    if not np.array_equal(gain.ops, cost.ops):
        raise ValueError(f"{args.gain} and {args.cost} have different rows")
    y, c = (next(iter(t.values.values())) for t in (gain, cost))
    for name, values in (("gain", y), ("cost", c)):
        if not values.std():
            raise ValueError(f"--{name} {getattr(args, name)} is constant")
    named = {f"penalty{w:g}": y / y.std() - w * c / c.std() for w in args.weights}
    return {"ops": gain.ops, "op_names": np.array(gain.space.operations), **named}


@script
def main(argv: list[str] | None = None) -> None:
    """Writes the table."""
    parser = cli.Parser(__doc__)
    add = parser.add_argument
    add("--family", choices=tuple(IDLE), required=True)
    add("--edges", type=cli.at_least(2), help="of pairwise and nk")
    add("--operations", type=cli.at_least(2), help="on each edge")
    add("--tables", type=cli.at_least(1), default=4, help="columns (default 4)")
    add("--neighbours", type=cli.at_least(0), default=2, help="K of nk (default 2)")
    text = "at most so many architectures (default 20000)"
    add("--rows", type=cli.at_least(1), default=20_000, help=text)
    add("--gain", metavar="FILE.npz:COLUMN", help="of penalty: larger is better")
    add("--cost", metavar="FILE.npz:COLUMN", help="of penalty: smaller is better")
    text = "of penalty: a column for each (default 0.1,0.3,1)"
    add("--weights", type=weights, default=[0.1, 0.3, 1.0], help=text)
    add("--seed", type=cli.at_least(0), default=0, help="of the draws (default 0)")
    add("--out", type=Path, required=True, metavar="FILE.npz", help="file to write")
    add("--overwrite", action="store_true", help="replace FILE.npz")
    args = parser.parse_args(argv)
    for name in IDLE[args.family]:
        if getattr(args, name) != parser.get_default(name):
            parser.error(f"--{name} would change nothing with --family {args.family}")
    if args.out.exists() and not args.overwrite:
        parser.error(f"{args.out} exists; --overwrite replaces it")
    args.out.parent.mkdir(parents=True, exist_ok=True)
    with parser.refusals():
        arrays = penalty(args) if args.family == "penalty" else drawn(args)
    files.write_npz(args.out, **arrays)
    columns = [name for name in arrays if name not in tables.RESERVED]
    print(f"{args.out}: {len(arrays['ops']):,} architectures, {len(columns)} columns")


if __name__ == "__main__":
    sys.exit(main())
