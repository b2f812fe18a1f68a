"""Seconds that `nasjax.parallel` adds to a query.

    python experiments/bench_parallel.py

runs random search with 32 threads whose evaluations take no time, with a journal on the
disk. The same queries asked and told beside as many pending ones, without the engine,
are subtracted. Then the Bayesian actor-critic is told 300 queries of DARTS or
NAS-Bench-201 one after another, and the last asks and tells are timed.
"""

import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import jax
import numpy as np

from nasjax import parallel, spaces
from nasjax.parallel.queries import Queries
from nasjax.runs import cli, methods
from nasjax.runs.script import script

SPACES = {"nb201": spaces.nas_bench_201, "darts": spaces.darts}
LAST = 50  # queries that are timed


def worthless(arch: np.ndarray) -> float:
    """An evaluation that takes no time."""
    return float(arch.sum() % 7) / 7


def engine(queries: int, workers: int) -> tuple[float, float]:
    """Seconds per query of random search, and those of its ask and tell alone."""
    searcher = methods.factory("random", {})(spaces.darts())
    alone(searcher, 2 * workers, workers)  # compiles
    with tempfile.TemporaryDirectory() as out, ThreadPoolExecutor(workers) as pool:
        options = {"executor": pool, "pending": workers, "progress": False}
        start = time.perf_counter()
        parallel.search(
            jax.random.key(0), searcher, worthless, queries=queries, out=out, **options
        )
        whole = (time.perf_counter() - start) / queries
    return whole, float(np.mean(alone(searcher, queries, workers)[-queries // 2 :]))


def alone(searcher, queries: int, pending: int) -> np.ndarray:
    """Seconds [queries] of an ask and a tell, beside `pending` queries."""
    state = Queries(jax.random.key(0), searcher, searcher.space)
    state.begin(queries)
    seconds = []
    for _ in range(queries):
        start = time.perf_counter()
        state.ask()
        if len(state.pending) >= pending:
            first = next(iter(state.pending.values()))
            state.tell(first.number, worthless(first.arch), None)
        seconds.append(time.perf_counter() - start)
    return np.array(seconds)


@script
def main(argv: Sequence[str] | None = None) -> None:
    """Prints the milliseconds."""
    parser = cli.Parser(__doc__)
    add = parser.add_argument
    add("--queries", type=cli.at_least(4), default=2_000, help="of the engine (2000)")
    add("--workers", type=cli.at_least(1), default=32, help="threads (32)")
    add("--observations", type=cli.at_least(2), default=300, help="of the searcher")
    args = parser.parse_args(argv)
    whole, own = engine(args.queries, args.workers)
    print(
        f"random search, {args.workers} threads, {args.queries} queries: "
        f"{1e3 * whole:.2f} ms per query, of which ask and tell {1e3 * own:.2f} ms, "
        f"the engine {1e3 * (whole - own):.2f} ms",
        flush=True,
    )
    for name, space in SPACES.items():
        searcher = methods.factory(methods.BEST, {})(space())
        seconds = np.median(alone(searcher, args.observations, 1)[-LAST:])
        print(
            f"{methods.BEST}, {name}, {args.observations} observations: ask and tell "
            f"{1e3 * seconds:.1f} ms",
            flush=True,
        )


if __name__ == "__main__":
    sys.exit(main())
