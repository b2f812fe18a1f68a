"""Does random search fall behind a learning policy when the space is very large?

    python experiments/large_spaces.py --seeds 1-10

searches generated functions of 10^19, 10^28 and 10^37 architectures, evaluated on the
fly (no table): of each family and size of `--sizes`, in edges x operations, so many
`--functions`. Scores are in deviations above the mean of random architectures, so that
sizes can be compared. Every method has the same number of queries.

Families, see `nasjax.environments.functions`: `pairwise` (each operation has a value,
and one beside each operation on another edge) and `nk` (rugged: what an edge adds
depends on `--neighbours` others).

A run writes results.json, results.npz (the score of every query), report.txt, best.png
and log.jsonl; one that was killed goes on with `--resume`, to the same bits. Bender et
al. 2020 (TuNAS) put the question; the thesis repeats it (5.2). The measured values:
experiments/README.md.
"""

import argparse
import sys
from collections.abc import Sequence

import numpy as np

from nasjax.analysis.large_spaces import Searches
from nasjax.environments import functions
from nasjax.runs import cli, devices, flags, methods, plugins, table_search
from nasjax.runs.folder import Folder
from nasjax.runs.script import (
    Experiment,
    Report,
    refusals,
    script,
    write_results,
    written,
)
from nasjax.searchers.cadam_config import CadamConfig
from nasjax.spaces import table_space

EXPERIMENT = Experiment(
    "large-spaces",
    ("results.json", "results.npz", "report.txt", "best.png"),
    grows=("seeds", "methods", "queries", *plugins.ABSENT, "configs", "sizes"),
    free=("chunk",),
    absent=plugins.ABSENT,
)
FAMILIES = ("pairwise", "nk")
USUAL = ("cadam", "ddas-4s", "reinforce", "evolution", "local-search")
USUAL = (methods.BEST, *USUAL, "random")
MOST_NUMBERS = 10_000_000  # of an nk function
BUDGETS = (100, 200, 500, 1_000)


def size(text: str) -> tuple[int, int]:
    """Edges and operations of `28x10`."""
    edges, _, operations = text.partition("x")
    E, O = int(edges), int(operations)
    if E < 2 or not 2 <= O <= 254:
        raise ValueError(text)
    return E, O


def sizes(text: str) -> list[str]:
    """Such as 20x9,28x10: at least 2 edges of 2 to 254 operations."""
    named = ["{}x{}".format(*size(part)) for part in text.split(",")]
    if len(set(named)) < len(named):
        raise ValueError(text)
    return named


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Reads the command line; a bad value ends the program before any work."""
    parser = cli.Parser(__doc__)
    add = parser.add_argument
    text = "edges x operations (default 20x9,28x10,37x10)"
    add("--sizes", type=sizes, default="20x9,28x10,37x10", help=text)
    text = "of functions (default: both)"
    add("--families", type=cli.names(FAMILIES), default=list(FAMILIES), help=text)
    add("--functions", type=cli.at_least(1), default=4, help="of each size (4)")
    add("--neighbours", type=cli.at_least(0), default=2, help="K of nk (2)")
    add("--seed", type=cli.at_least(0), default=0, help="of the functions (0)")
    add("--queries", type=cli.at_least(2), default=500, help="per search (500)")
    add("--seeds", type=cli.seeds, default="1-10", help="default 1-10")
    table_search.add_flags(parser, EXPERIMENT)
    flags.add(parser, argv, methods.SEARCHERS, usual=USUAL)
    args = parser.parse_args(argv)
    args.methods = args.methods or list(USUAL)
    few = min(size(text)[0] for text in args.sizes)
    if args.neighbours >= few:
        parser.error(f"--neighbours {args.neighbours}: a space has {few} edges")
    for text in args.sizes if "nk" in args.families else ():
        E, O = size(text)
        if (count := E * O ** (args.neighbours + 1)) > MOST_NUMBERS:
            parser.error(
                f"--neighbours {args.neighbours}: a function of {text} has {count:,} "
                f"numbers; allowed: {MOST_NUMBERS:,}"
            )
    with parser.refusals():
        args.configs = flags.configs(args, methods.SEARCHERS)
    if args.config_reward not in (None, "scaled"):
        parser.error(f"--reward {args.config_reward}: here, scores are scaled")
    for name, config in args.configs.items():
        if isinstance(config, CadamConfig):  # a score here is no fraction
            args.configs[name] = config.replace(reward="scaled")
    for name in args.methods:
        with parser.refusals():
            methods.factory(name, args.configs)(table_space(few, ("a", "b")))
    return args


def problem(args, family: str, shape: str) -> table_search.Study:
    """The searches of the functions of one family and size."""
    E, O = size(shape)
    space = table_space(E, [f"op{i}" for i in range(O)], f"{family} {shape}")
    rng = np.random.default_rng([args.seed, E, O, FAMILIES.index(family)])
    more = (args.neighbours,) if family == "nk" else ()
    draw = getattr(functions, family)
    drawn = [draw(rng, E, O, *more) for _ in range(args.functions)]
    env = functions.generated(space, drawn, seed=args.seed)
    names = [f"{family}-{shape}-{i}" for i in range(args.functions)]

    def rows(arch):  # there is no table
        return np.full(arch.shape[:-1], -1, np.int32)

    return table_search.Study(space, env, rows, names, args.seeds, args.queries)


def search(args, folder: Folder, report: Report) -> dict:
    """The scores [V, S, T] of every query, by problem and method."""
    found: dict = {}
    for family in args.families:
        for shape in args.sizes:
            study, name = problem(args, family, shape), f"{family} {shape}"
            made = {
                f"{method}-{family}-{shape}": methods.factory(method, args.configs)
                for method in args.methods
            }
            print(f"{name}: {study.space.size:.1e} architectures", flush=True)
            results = table_search.run(study, made, args, folder, report)
            found[name] = {
                method: result.accuracy
                for method, result in zip(args.methods, results.values(), strict=True)
            }
    return found


@script
def main(argv: Sequence[str] | None = None) -> None:
    """Runs the experiment."""
    devices.use_cpu_cores(threads_inside_operations=False)
    args = parse(argv)
    cli.say_seeds(args.seeds)
    report = Report(args.verbose)
    with refusals():
        fixed = ("sizes", "families", "functions", "neighbours", "seed", "queries")
        config = {name: getattr(args, name) for name in (*fixed, "seeds", "methods")}
        config |= {"preset": args.preset, "inner": args.inner, **flags.record(args)}
        folder = EXPERIMENT.open(args, config, [], args.configs)
    with folder:
        scores = search(args, folder, report)
        budgets = sorted({*(n for n in BUDGETS if n < args.queries), args.queries})
        searches = Searches.of(scores, budgets)
        searches.draw(folder.file("best.png"))
        arrays = {
            f"{method} {name}": x
            for name, methods_of in scores.items()
            for method, x in methods_of.items()
        }
        folder.write_npz("results.npz", **arrays)
        write_results(folder, config, {"results": searches.describe()})
        text = searches.report()
        report.add("\n" + text)
        report.write(folder)
        print(text)
        print(written(folder))


if __name__ == "__main__":
    sys.exit(main())
