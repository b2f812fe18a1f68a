"""Trains a weight-sharing supernet (thesis 3.1.2, 4.1.3, 4.2.2).

    python experiments/train_supernet.py --space nb201 --preset cpu --dataset cifar10
    python experiments/train_supernet.py --space darts --dataset cifar10

trains one uniformly drawn architecture per batch (`--policy uniform`) or the whole
network at once (`--policy one-shot`) on half of the training images, scores fixed
random architectures on the other half as training goes on, and writes config.json,
checkpoints, log.jsonl, results.json, results.npz and curves.png into `--out`. A run
that was killed goes on with `--resume`, on CPU to the same bits. `--plugin FILE.py`
adds a space of your own to `--space`.

Presets: `cadam`, `pc-cadam` and `imagenet32` (4.4.2), `ddas` (3.4.1: one-shot warm-up
of 6 cells), `nb201` (Dong and Yang's supernet of random sampling), and for two cores
`cpu` and `cpu-ddas`, small ones. Every field has a flag of its own. With `--policy
one-shot` the whole network is scored too.

On NAS-Bench-201 the scores are compared with the true table: Kendall's tau and
Spearman's rho, by batch statistics and by running ones. The `cpu` preset gave 0.19,
0.37, 0.44, 0.53, 0.43 after 20, 40, 60, 80, 100 epochs by batch statistics, 0.29, 0.34,
0.28, 0.34, 0.40 by running ones, in 1,110 s on two CPU cores (AMD EPYC); DARTS and
PC-DARTS took 776 and 378 s, mean accuracy of 30 architectures 43.8 and 41.7 %.
"""

import argparse
import sys
from pathlib import Path

from nasjax.analysis import supernet_training
from nasjax.data.images import NAMES
from nasjax.networks import families
from nasjax.runs import cli, devices, image_flags, plugins
from nasjax.runs.script import Experiment, refusals, script
from nasjax.runs.supernet_config import PRESETS, USUAL, SupernetRun, preset

EXPERIMENT = Experiment("train_supernet", supernet_training.OUTPUTS)


def parse(argv: list[str] | None) -> tuple[argparse.Namespace, SupernetRun]:
    """The command line, and the run that it describes."""
    parser = cli.Parser(__doc__)
    add_to_run = EXPERIMENT.add_flags(parser)
    plugins.add(parser, argv)
    add = parser.add_argument
    add("--space", choices=tuple(families.variants()), default="darts")
    image_flags.add(parser, NAMES, text="cifar10, or the preset's")
    text = "default: " + ", ".join(
        f"{name} for {space}" for space, name in USUAL.items()
    )
    add("--preset", choices=tuple(PRESETS), default=None, help=text)
    add = add_to_run
    text = "divide batches over so many devices"
    add("--devices", type=cli.at_least(1), default=None, help=text)
    add("--distributed", action="store_true", help="call jax.distributed.initialize()")
    add("--no-table", action="store_true", help="do not look for the true table")
    image_flags.add_own(parser, split_seed=False)  # it is a setting
    default, title = PRESETS["cadam"]["darts"], "settings (defaults: those of cadam)"
    cli.add_config_flags(parser, default, "", title)
    args = parser.parse_args(argv)
    args.out = args.out or Path(f"runs/supernet-{args.space}")
    changes = cli.changes(args, default, "") | image_flags.changes(args)
    try:
        image_flags.inputs(args)  # or raise
        return args, preset(args.space, args.preset, **changes)
    except ValueError as error:
        parser.error(str(error))


@script
def main(argv: list[str] | None = None) -> None:
    """Runs the experiment."""
    args, run = parse(argv)
    if args.distributed:
        with refusals():
            devices.join_hosts()
    supernet_training.train(
        run,
        args.out,
        data_dir=args.data_dir,
        count=args.devices,
        table=not args.no_table,
        loaded=plugins.record(args),
        resume=args.resume,
        overwrite=args.overwrite,
        checkpoint_seconds=args.checkpoint_seconds,
    )


if __name__ == "__main__":
    sys.exit(main())
