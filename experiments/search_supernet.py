"""CADAM and its baselines on a frozen supernet (thesis 4.2.2, 4.2.3, Table 4.4).

    python experiments/search_supernet.py --supernet runs/supernet-darts

searches the supernet of a run of train_supernet.py: every query is the accuracy of one
architecture under the shared weights, by batch statistics, on a fixed subset of the
validation half. Random search and evolution have as many queries of the same supernet,
ten seeds each: is the agent better than they are (thesis 1.1)? Scores are remembered
and shared by all searches; a query counts whether it was computed or remembered. Then
CADAM's top K are scored on the whole validation half and on the test images, and the
best by validation is taken; the best by test, the thesis's choice, is shown as the leak
that it is.

The folder `--out` receives results.json, results.npz (every query), genotypes.json,
agent.npz, log.jsonl, anytime.png, state.png (Fig. 4.3) and cells.png (Fig. 4.4). A run
that was killed goes on with `--resume`, on CPU to the same bits.

Presets: `thesis` (20,000 steps, 5,000 images, K = 500, W = 3,000), `cpu` (2,000 steps,
250 images, K = 32, W = 300, replay of 500; at most 5,000 images at the end) and
`transfer` (1,000 steps, K = 100, W = 500, reward relative to the best of the warm-up),
which is what `--init-from RUN` takes: it starts from an earlier run's agent.

Published (Table 4.4, one seed, in percent): validation, test, rank in the top K.

    DARTS, by validation     88.90  91.81    1    by test  87.87  92.25  416
    PC-DARTS, by validation  87.08  87.78    1    by test  86.52  88.04  129

Measured, with the `cpu` preset on `cpu` supernets: experiments/README.md.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np

from nasjax import spaces
from nasjax.analysis import candidates, supernet_search
from nasjax.data.images import NAMES
from nasjax.networks.training import ABSENT
from nasjax.runs import (
    bounds,
    cli,
    driven_search,
    flags,
    frozen,
    image_flags,
    methods,
    plugins,
    transfer,
)
from nasjax.runs.driven_search import SearchRun
from nasjax.runs.folder import Folder
from nasjax.runs.frozen import CONFIGS, ORDER_SEED, PRESETS, Frozen
from nasjax.runs.script import Experiment, refusals, script, write_results, written
from nasjax.search import Searcher, constrained

EXPERIMENT = Experiment(
    "search_supernet",
    outputs=(
        "results.json",
        "results.npz",
        "genotypes.json",
        "agent.npz",
        "env_accuracy.json",
        "valid_scores.npz",
        "test_scores.npz",
        "anytime.png",
        "state.png",
        "cells.png",
    ),
    grows=("seeds", "methods", *plugins.ABSENT, "steps", "configs"),
    absent={
        **plugins.ABSENT,
        **bounds.ABSENT,
        **{f"supernet.settings.{n}": x for n, x in ABSENT.items()},
    },
)
METHODS = ("cadam", "random", "evolution", "evolution-64")
USUAL = METHODS[:3]
Agent = transfer.Networks | None  # to start from
Searches = dict[str, list[SearchRun]]  # by method, one per seed


def parse(argv: list[str] | None) -> argparse.Namespace:
    """Reads the command line; a bad value ends the program before any work."""
    parser = cli.Parser(__doc__)
    add = parser.add_argument
    add("--supernet", type=Path, required=True, help="folder of a supernet's run")
    add("--data-dir", default=None, help="folder of the data set's official files")
    text = "where the supernet's images lie now, if they moved"
    add("--dataset", type=image_flags.dataset(NAMES), help=text)
    add("--seeds", type=cli.seeds, default="1-10", help="default 1-10")
    add("--steps", type=cli.at_least(1), default=None, help="queries per search")
    EXPERIMENT.add_flags(parser, "runs/search-supernet")
    add = parser.add_argument_group("images and agent").add_argument
    add("--subset", type=cli.at_least(1), help="validation images per query")
    text = "images per batch there: part of what is measured"
    add("--eval-batch", type=cli.at_least(1), help=text)
    text = "validation and test images at the end; 0: all"
    add("--final-images", type=cli.at_least(0), help=text)
    add("--norm", choices=("batch", "running"), default="batch", help="statistics")
    add("--dtype", choices=("float32", "bfloat16"), help="default: as it was trained")
    add("--init-from", type=Path, metavar="RUN", help="start from that run's agent")
    add("--init-seed", type=cli.at_least(0), help="of its seeds; default: the first")
    bounds.add(parser, "networks of the published size (DARTS: 20 cells, 36 channels)")
    flags.add(parser, argv, METHODS, CONFIGS, USUAL)
    args = parser.parse_args(argv)
    args.preset = args.preset or ("transfer" if args.init_from else "thesis")
    sizes = ("steps", "subset", "eval_batch", "final_images")
    cli.fill(args, PRESETS[args.preset], sizes)
    args.methods = args.methods or list(USUAL)
    with parser.refusals():
        if args.init_from and "cadam" not in args.methods:
            raise ValueError("--init-from starts cadam, which --methods leaves out")
        args.configs = flags.configs(args, METHODS, CONFIGS, only_cadams=False)
        cadam = args.configs["cadam"]
        # Acc(Env) of the relative reward: the best of each seed's own warm-up.
        args.find_env = cadam.reward == "relative" and args.config_env_accuracy is None
        for method in args.methods:
            methods.factory(method, args.configs)(spaces.darts())
        if args.find_env and (cadam.exploration != "warm-up" or not cadam.warm_up):
            raise ValueError("reward relative needs --env-accuracy, or a --warm-up")
        if args.init_seed is not None and not args.init_from:
            raise ValueError("--init-seed needs --init-from")
    return args


def prepare(args: argparse.Namespace) -> tuple[Frozen, Agent, dict[str, Any]]:
    """The supernet, an agent to start from, and what fixes the run's results."""
    loaded = frozen.load(
        args.supernet,
        args.data_dir,
        dataset=args.dataset,
        subset=args.subset,
        final_images=args.final_images,
        eval_batch=args.eval_batch,
        norm=args.norm,
        dtype=args.dtype,
    )
    net, networks, space = loaded.net, None, loaded.config.space
    args.constraint = bounds.constraint(args, space, bounds.network(space))
    if args.init_from:
        networks = transfer.load(args.init_from / "agent.npz", args.init_seed)
        frozen.start(loaded, args.configs["cadam"], networks)  # or raise
    weights = frozen.checksum(net.params, networks)
    order = f"first of numpy.random.default_rng({ORDER_SEED}).permutation"
    batch, fields = args.eval_batch, ("preset", "methods", "seeds", "steps", "norm")
    config = {
        "supernet": {
            "step": net.step,
            "epoch": net.epoch,
            "settings": net.run.to_json(),
        },
        "sha256": {"weights": weights, "images": loaded.sha256},
        "images": {**loaded.whole_batches(batch), "batch": batch, "chosen": order},
        "init_from": networks is not None,  # its networks are in the checksum
        "env_accuracy": "best of each seed's warm-up" if args.find_env else "",
        **{name: getattr(args, name) for name in fields},
        "dtype": loaded.config.dtype,
        **bounds.record(args),
        **flags.record(args),
    }
    return loaded, networks, config


def search(args, folder: Folder, loaded: Frozen, networks: Agent) -> Searches:
    """All searches, one after another."""
    space, configs = loaded.config.space, args.configs
    made = {name: methods.factory(name, configs)(space) for name in args.methods}

    def searcher_of(method: str, seed: int) -> Searcher:
        searcher = made[method] if method != "cadam" else cadam_of(seed)
        if args.constraint is None:
            return searcher
        return constrained(searcher, args.constraint)

    def cadam_of(seed: int) -> Searcher:
        config = configs["cadam"]
        if args.find_env:
            best = frozen.env_accuracy(
                loaded, config, args.steps, seed, folder, args.constraint
            )
            config = config.replace(env_accuracy=best)
        return frozen.start(loaded, config, networks)

    return driven_search.run(made, searcher_of, loaded.query.env, args, folder)


def write(args, folder: Folder, loaded: Frozen, config, searches: Searches) -> None:
    """Scores the best again; writes and prints everything."""

    def rescore(half: str, archs: np.ndarray) -> np.ndarray:
        return candidates.rescore(
            getattr(loaded, half).env,
            archs,
            folder,
            f"rescore-{half}",
            resume=args.resume,
            checkpoint_seconds=args.checkpoint_seconds,
            label=f"the best again, {half}",
        )

    space, dataset = loaded.config.space, loaded.net.run.dataset
    report = supernet_search.report(space, dataset, searches, args.seeds, rescore)
    report.draw(folder, args.supernet.name, args.subset)
    if report.tops:
        agents = [run.state.agent for run in searches["cadam"]]
        transfer.save(folder.file("agent.npz"), args.seeds, agents)
        folder.write_json("genotypes.json", report.chosen)
    arrays = report.arrays(args.configs["cadam"].top_k)
    folder.write_npz("results.npz", subset=loaded.query.images, **arrays)
    origin = args.init_from and [str(args.init_from), args.init_seed]
    content = {"supernet": str(args.supernet), "data": loaded.source}
    content |= {"init_from": origin, **report.describe()}
    write_results(folder, config, content)
    print("\n" + report.text())
    print(written(folder))


@script
def main(argv: list[str] | None = None) -> None:
    """Runs the experiment."""
    args = parse(argv)
    cli.say_seeds(args.seeds)
    with refusals():
        loaded, networks, config = prepare(args)
        inputs = [args.supernet, args.init_from, *image_flags.inputs(args)]
        folder = EXPERIMENT.open(args, config, inputs, args.configs)
    if args.constraint is not None:
        print(bounds.described(loaded.config.space, args.constraint))
    images, net = config["images"], loaded.net
    print(
        f"{args.supernet}: {net.step:,} steps (epoch {net.epoch:.1f}); "
        f"{images['query']:,} images per query, at the end {images['valid']:,} for "
        f"validation and {images['test']:,} for test",
        flush=True,
    )
    with folder:
        searches = search(args, folder, loaded, networks)
        write(args, folder, loaded, config, searches)


if __name__ == "__main__":
    sys.exit(main())
