"""CADAM and its baselines on a frozen supernet (thesis 4.2.2, 4.2.3, Table 4.4).

    python experiments/search_supernet.py --supernet runs/supernet-darts

searches the supernet of a run of train_supernet.py: every query is the accuracy of one
architecture under the shared weights, by batch statistics, on a fixed subset of the
validation half. Random search and evolution ask as many queries of the same supernet,
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

Measured: the `cpu` preset on the `cpu` NAS-Bench-201 supernet, seeds 1-10, in 490
s on two CPU cores (AMD EPYC): CADAM, random search and evolution end at a true
accuracy of 89.4, 89.1, 89.8 %, no better than one another. On the `cpu` supernets of
DARTS and PC-DARTS, seed 1, in 535 and 417 s; best of CADAM's top 32: 48.8 and 47.1 % by
validation, 47.9 and 45.3 % on test images.
"""

import argparse
import dataclasses
import hashlib
import json
import os
import sys
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from nasjax import search, spaces
from nasjax.agent.history import HistoryState
from nasjax.analysis import candidates, plots, supernet_search
from nasjax.analysis.query_metrics import best_so_far
from nasjax.environments import cached
from nasjax.environments import frozen_supernet as on_supernet
from nasjax.networks.training import ABSENT
from nasjax.runs import (
    cli,
    driven_search,
    files,
    flags,
    methods,
    plugins,
    supernets,
    transfer,
)
from nasjax.runs.configs import Rules, defaults
from nasjax.runs.folder import Folder, open_run
from nasjax.runs.script import refusals, script
from nasjax.searchers.cadam import CadamConfig, cadam, observe, thesis_supernet

METHODS = ("cadam", "random", "evolution", "evolution-64")
USUAL = METHODS[:3]
ORDER_SEED = 0  # of the permutations whose first images are the subsets


class Preset(NamedTuple):
    """What a preset fixes; every value has a flag."""

    cadam: CadamConfig
    steps: int
    subset: int  # validation images per query
    eval_batch: int
    final_images: int  # at the end, of validation and of test; 0: all


PRESETS = {
    "thesis": Preset(thesis_supernet(), 20_000, 5_000, 500, 0),
    "cpu": Preset(
        thesis_supernet().replace(top_k=32, warm_up=300, capacity=500),
        2_000,
        250,
        250,
        5_000,
    ),
    "transfer": Preset(
        thesis_supernet().replace(top_k=100, warm_up=500, reward="relative"),
        1_000,
        5_000,
        500,
        0,
    ),
}
CONFIGS = {name: lambda preset=preset: preset.cadam for name, preset in PRESETS.items()}


def parse(argv: list[str] | None) -> argparse.Namespace:
    """Reads the command line; a bad value ends the program before any work."""
    parser = cli.Parser(__doc__)
    add = parser.add_argument
    add("--supernet", type=Path, required=True, help="folder of a supernet's run")
    add("--data-dir", default=None, help="folder of the data set's official files")
    add("--seeds", type=cli.seeds, default="1-10", help="default 1-10")
    add("--steps", type=cli.at_least(1), default=None, help="queries per search")
    add = parser.add_argument_group("the run").add_argument
    add("--out", type=Path, default=Path("runs/search-supernet"))
    add("--resume", action="store_true", help="continue the run in --out")
    add("--overwrite", action="store_true", help="replace the run in --out")
    add("--checkpoint-seconds", type=cli.at_least(0), default=60)
    add = parser.add_argument_group("images and agent").add_argument
    for name, least, text in (
        ("subset", 1, "validation images per query"),
        ("eval-batch", 1, "images per batch there: part of what is measured"),
        ("final-images", 0, "validation and test images at the end; 0: all"),
    ):
        add(f"--{name}", type=cli.at_least(least), default=None, help=text)
    add("--norm", choices=("batch", "running"), default="batch", help="statistics")
    add("--dtype", choices=("float32", "bfloat16"), help="default: as it was trained")
    add("--init-from", type=Path, metavar="RUN", help="start from that run's agent")
    add("--init-seed", type=cli.at_least(0), help="of its seeds; default: the first")
    flags.add(parser, argv, METHODS, CONFIGS, USUAL)
    args = parser.parse_args(argv)
    args.preset = args.preset or ("transfer" if args.init_from else "thesis")
    for name in Preset._fields[1:]:
        if getattr(args, name) is None:
            setattr(args, name, getattr(PRESETS[args.preset], name))
    args.methods = args.methods or list(USUAL)
    try:
        if args.init_from and "cadam" not in args.methods:
            raise ValueError("--init-from starts cadam, which --methods leaves out")
        configs = flags.configs(args, METHODS, CONFIGS, only_cadams=False)
        args.configs, mine = configs, configs["cadam"]
        # Acc(Env) of the relative reward: found by each seed's own warm-up.
        args.find_env = mine.reward == "relative" and args.config_env_accuracy is None
        for method in args.methods:
            methods.factory(method, configs)(spaces.darts())
        if args.find_env and (mine.exploration != "warm-up" or not mine.warm_up):
            raise ValueError("reward relative needs --env-accuracy, or a --warm-up")
        if args.init_seed is not None and not args.init_from:
            raise ValueError("--init-seed needs --init-from")
    except ValueError as error:
        parser.error(str(error))
    return args


class Setting(NamedTuple):
    """What all searches share."""

    net: supernets.Pretrained
    source: str  # of the images
    subset: np.ndarray  # int [n], of the validation half
    query: search.Environment  # cached; so are those below
    valid: search.Environment
    test: search.Environment
    networks: transfer.Networks | None  # to start from


def prepare(args: argparse.Namespace) -> tuple[Setting, dict]:
    """Loads supernet and images; also returns what fixes the run's results."""
    net = supernets.load(args.supernet)
    halves = supernets.data(net.settings, args.data_dir)
    shown = supernets.augmentation(net.settings, halves)
    config = dataclasses.replace(net.config, dtype=args.dtype or net.config.dtype)
    most = len(halves.valid_labels)
    if args.subset > most:
        raise ValueError(f"--subset {args.subset}: the validation half has {most}")

    def first(images: np.ndarray, labels: np.ndarray, count: int):
        order = np.random.default_rng(ORDER_SEED).permutation(len(labels))
        chosen = order[: count or len(labels)]
        env = on_supernet(
            config,
            net.params,
            images[chosen],
            labels[chosen],
            mean=shown.mean,
            std=shown.std,
            batch_size=args.eval_batch,
            statistics=net.statistics if args.norm == "running" else None,
        )
        return chosen, cached(env)

    valid, test = halves[2:4], halves[4:6]
    subset, query = first(*valid, args.subset)
    final, on_valid = first(*valid, args.final_images)
    tested, on_test = first(*test, args.final_images)
    networks = None
    if args.init_from:
        networks = transfer.load(args.init_from / "agent.npz", args.init_seed)
        transfer.warm_start(cadam(config.space, args.configs["cadam"]), networks)
    digest = hashlib.sha256()
    for leaf in jax.tree.leaves((net.params, networks)):
        digest.update(np.asarray(leaf).tobytes())

    def whole(count: int) -> int:
        return count // args.eval_batch * args.eval_batch

    fixed = {
        "supernet": {"step": net.step, "epoch": net.epoch, "settings": net.settings},
        "sha256": {"weights": digest.hexdigest(), "images": halves.sha256},
        "images": {
            "query": whole(len(subset)),
            "valid": whole(len(final)),
            "test": whole(len(tested)),
            "batch": args.eval_batch,
            "chosen": f"first of numpy.random.default_rng({ORDER_SEED}).permutation",
        },
        "init_from": args.init_from is not None,  # its networks are in the checksum
        "env_accuracy": "best of each seed's warm-up" if args.find_env else "",
        **{n: getattr(args, n) for n in ("preset", "methods", "seeds", "steps")},
        "plugins": plugins.names(args),
        "norm": args.norm,
        "dtype": config.dtype,
        "configs": {
            name: dataclasses.asdict(c)
            for name, c in args.configs.items()
            if name in args.methods
        },
    }
    rest = (subset, query, on_valid, on_test, networks)
    return Setting(net, halves.source, *rest), fixed


def cadam_of(args, folder: Folder, setting: Setting, seed: int) -> search.Searcher:
    """CADAM with the seed's Acc(Env), from the agent of another run if one is given.

    Acc(Env) is needed before the first reward. The warm-up does not depend on rewards:
    it is asked beforehand, and the search then remembers it.
    """
    config, path = args.configs["cadam"], args.out / "env_accuracy.json"
    if args.find_env:
        known = json.loads(path.read_text()) if path.exists() else {}
        if str(seed) not in known:
            print(f"seed {seed}: {config.warm_up} random queries to find Acc(Env)")
            quiet = cadam(setting.net.config.space, config.replace(max_cycles=0))
            steps = min(config.warm_up, args.steps)
            _, trace = search.drive(jax.random.key(seed), quiet, setting.query, steps)
            known[str(seed)] = float(trace.accuracy.max())
            folder.write_json(path.name, known)
        config = config.replace(env_accuracy=known[str(seed)])
    searcher = cadam(setting.net.config.space, config)
    if setting.networks is None:
        return searcher
    return transfer.warm_start(searcher, setting.networks)


def run(
    args: argparse.Namespace, folder: Folder, setting: Setting
) -> dict[str, list[driven_search.Driven]]:
    """All searches, one after another."""
    before = folder.before["steps"] if folder.before else None
    found: dict[str, list[driven_search.Driven]] = {}
    count = len(args.methods) * len(args.seeds)
    for method in args.methods:
        searcher = methods.factory(method, args.configs)(setting.net.config.space)
        for seed in args.seeds:
            if method == "cadam" and (args.find_env or setting.networks):
                searcher = cadam_of(args, folder, setting, seed)
            place = f"({sum(map(len, found.values())) + 1}/{count})"
            one = driven_search.run(
                jax.random.key(seed),
                searcher,
                setting.query,
                args.steps,
                folder,
                f"{method}/seed{seed}",
                steps_before=before,
                resume=args.resume,
                checkpoint_seconds=args.checkpoint_seconds,
                label=f"{method} seed {seed} {place}",
            )
            found.setdefault(method, []).append(one)
    return found


def score(args: argparse.Namespace, folder: Folder, setting: Setting, found: dict):
    """CADAM's top K and every search's winner, on validation half and test images.

    Returns:
      A list over CADAM's seeds, and arrays over seeds for each method.
    """
    won = supernet_search.winners(found)
    lists = [candidates.held(one.state.history) for one in found.get("cadam", ())]
    tops, lists = len(lists), [*lists, *won.values()]
    archs = np.concatenate([arch for arch, _ in lists])
    cut = np.cumsum([len(arch) for arch, _ in lists])[:-1]
    rows = [candidates.Finalists(*pair, None, None) for pair in lists]
    for name, env in (("valid", setting.valid), ("test", setting.test)):
        again = candidates.rescore(
            env,
            archs,
            folder,
            f"rescore-{name}",
            resume=args.resume,
            checkpoint_seconds=args.checkpoint_seconds,
            label=f"the best again, {name}",
        )
        parts = np.split(again, cut)
        rows = [x._replace(**{name: y}) for x, y in zip(rows, parts, strict=True)]
    return rows[:tops], dict(zip(won, rows[tops:], strict=True))


def state_of(space: spaces.CellSpace, one: driven_search.Driven) -> np.ndarray:
    """The mean of the top K at the end, [*arch_shape, O]."""
    state = observe(space, HistoryState(*one.state.history))
    return np.asarray(state).reshape(space.alpha_shape)


def draw(args, folder, space: spaces.CellSpace, found: dict, tops: list) -> None:
    """anytime.png and, of CADAM's first seed, state.png and cells.png."""
    best = {
        method: best_so_far(np.stack([x.trace.accuracy for x in rows]))[None]
        for method, rows in found.items()
    }
    title = f"{args.supernet.name}: accuracy on {args.subset:,} validation images"
    plots.anytime(folder.file("anytime.png"), best, [title], None)
    if not tops:
        return
    who = f"CADAM on {args.supernet.name}, seed {args.seeds[0]}"
    plots.cell_states(
        folder.file("state.png"),
        space,
        state_of(space, found["cadam"][0]),
        f"{who}: mean of the best {len(tops[0].seen)} after {args.steps:,} queries",
    )
    taken = candidates.choose(tops[0], "valid")
    title = f"{who}: validation {100 * taken.valid:.2f}%, test {100 * taken.test:.2f}%"
    plots.cells(folder.file("cells.png"), space, taken.arch, title)


def write(args, folder, setting: Setting, config: dict, found: dict) -> None:
    """Scores the best again; writes and prints everything."""
    space = setting.net.config.space
    tops, won = score(args, folder, setting, found)
    true = candidates.truth(space, setting.net.settings["dataset"])
    chosen = candidates.choices(space, args.seeds, tops, true)
    counts, computed = supernet_search.distinct(found)
    pairs = supernet_search.paired(won)
    draw(args, folder, space, found, tops)
    arrays = {"seeds": np.array(args.seeds, np.int64), "subset": setting.subset}
    arrays |= supernet_search.arrays(found, counts)
    if tops:
        states = [state_of(space, one) for one in found["cadam"]]
        arrays["cadam__state"] = np.stack(states)
        arrays |= candidates.padded(tops, args.configs["cadam"].top_k)
        agents = [one.state.agent for one in found["cadam"]]
        transfer.save(folder.file("agent.npz"), args.seeds, agents)
        folder.write_json("genotypes.json", chosen)
    folder.write_npz("results.npz", **arrays)
    queries = len(args.seeds) * len(args.methods) * args.steps
    cache = {"queries": queries, "computed": computed, "hits": queries - computed}
    content = {"config": config, **files.provenance(), "supernet": str(args.supernet)}
    content |= {
        "data": setting.source,
        "init_from": args.init_from and [str(args.init_from), args.init_seed],
    }
    content |= {"cache": cache, "paired_points": pairs, "finalists": chosen}
    content["methods"] = supernet_search.describe(found, won, args.seeds, counts, true)
    folder.write_json("results.json", content)
    print("\n" + supernet_search.text(won, counts, true, pairs))
    if chosen:
        print("\n" + candidates.text(chosen))
    print(f"\n{queries:,} queries: {computed:,} computed, the others remembered")
    print(f"written: {args.out}{os.sep} {folder.names()}")


OUTPUTS = (
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
)
OLDER = {f"supernet.settings.{name}": value for name, value in ABSENT.items()}
OLDER |= {"plugins": []}
RULES = Rules(grows=("seeds", "methods", "plugins", "steps", "configs"))


@script
def main(argv: list[str] | None = None) -> None:
    """Runs the experiment."""
    args = parse(argv)
    cli.say_seeds(args.seeds)
    with refusals():
        setting, config = prepare(args)
        folder = open_run(
            args.out,
            "search_supernet",
            config,
            outputs=OUTPUTS,
            inputs=[args.supernet, args.init_from, args.data_dir],
            resume=args.resume,
            overwrite=args.overwrite,
            rules=RULES._replace(absent=defaults(args.configs) | OLDER),
        )
    images = config["images"]
    print(
        f"{args.supernet}: {setting.net.step:,} steps (epoch {setting.net.epoch:.1f}); "
        f"{images['query']:,} images per query, at the end {images['valid']:,} for "
        f"validation and {images['test']:,} for test",
        flush=True,
    )
    with folder:
        write(args, folder, setting, config, run(args, folder, setting))


if __name__ == "__main__":
    sys.exit(main())
