"""Kernels, memory traffic and modelled times of a program compiled for a GPU.

    pip install -e '.[cuda]'
    python experiments/compile_for_gpu.py --program supernet-train
    python experiments/compile_for_gpu.py --program cadam --lanes 1000

compiles for a described card (`--target h100`, or a file with XLA's description of
another one) without a card or a driver, and runs nothing. Kernels,
synchronisations, CUDA graphs, conditionals, bytes, operations and memory are counted
from the compiled program; loops whose number of iterations is known only at run time
count their expected number, conditionals their mean branch. Times are a model's
(nasjax/analysis/gpu/model.py): a usual one, and one each for fast and slow launches.

The whole programs take minutes to compile on one core: 5 or more for the supernet's
training, 15 for ddas and derived. `--small` compiles small forms in under a minute,
which launch nearly the same kernels per step on smaller arrays.
"""

import argparse
import dataclasses
import sys
from pathlib import Path
from typing import Any

import jax

from nasjax import compiler
from nasjax.analysis.gpu import card, compiling, hlo, model, programs
from nasjax.analysis.text import text_table
from nasjax.runs import cli, files
from nasjax.runs.folder import open_run
from nasjax.runs.script import refusals, script

# The flags that change the form of each program.
SIZES = {
    "cadam": ("lanes", "steps"),
    "bayesian": ("lanes", "steps"),
    "supernet-train": ("batch", "cells", "channels", "dtype", "pallas"),
    "supernet-eval": ("batch", "batches", "together", "cells", "channels", "dtype"),
    "ddas": ("batch", "batches", "together", "cells", "channels", "dtype"),
    "derived": ("batch", "cells", "channels", "dtype"),
}
HELP = {
    "lanes": "searches side by side",
    "steps": "steps of a search in one program",
    "batch": "images per batch",
    "batches": "batches per score, and of training per step of ddas",
    "together": "batches of a score side by side",
    "cells": "cells of the network",
    "channels": "C of the first cells",
}


def parse(argv: list[str] | None) -> tuple[argparse.Namespace, programs.Sizes]:
    """The flags and the form of the program."""
    parser = cli.Parser(__doc__)
    add = parser.add_argument
    add("--program", choices=tuple(programs.PROGRAMS), required=True)
    add(
        "--target",
        default="h100",
        metavar="NAME|FILE",
        help=f"{', '.join(card.TARGETS)}, or a GpuTargetConfigProto as text",
    )
    add("--small", action="store_true", help="a small form: under a minute")
    for name, text in HELP.items():
        add(f"--{name}", type=cli.at_least(1), help=f"{text} (default: the program's)")
    add("--dtype", choices=("float32", "bfloat16"), help="type of the network's images")
    add(
        "--pallas",
        action="store_const",
        const=True,
        help="separable convolutions by fused kernels (SupernetConfig.pallas)",
    )
    add(
        "--graphs",
        choices=("project", "xla"),
        default="project",
        help="the options that put kernels into CUDA graphs: the project's or XLA's",
    )
    add("--dump", type=Path, help="a folder that keeps what the compiler dumps")
    add("--out", type=Path, help="results (default runs/compile-PROGRAM)")
    add("--overwrite", action="store_true", help="replace the results in --out")
    args = parser.parse_args(argv)
    for name in (*HELP, "dtype", "pallas"):
        if getattr(args, name) is not None and name not in SIZES[args.program]:
            parser.error(f"--{name} would change nothing with --program {args.program}")
    sizes = programs.SMALL if args.small else programs.WHOLE
    flags = {name: getattr(args, name) for name in SIZES[args.program]}
    changed = {name: value for name, value in flags.items() if value is not None}
    args.out = args.out or Path(f"runs/compile-{args.program}")
    return args, dataclasses.replace(sizes[args.program], **changed)


def measure(
    part: programs.Part, mesh: jax.sharding.Mesh, target: card.Card, args: Any
) -> tuple[compiling.Compiled, model.Counts]:
    """Compiles one program and counts it."""
    print(f"compiling {args.program}, {part.name}", flush=True)
    options = (
        compiler.graph_options(mesh.devices.flat[0]) if args.graphs == "project" else {}
    )
    dump = args.dump and args.dump / part.name.replace(" ", "-").replace(",", "")
    compiled = compiling.compile_lowered(part.lower(mesh), options, dump)
    counts = model.count(
        compiled.module, compiled.sequence, target, part.trips, part.branches
    )
    return compiled, counts


def describe(
    part: programs.Part, compiled: compiling.Compiled, counts: model.Counts
) -> dict[str, Any]:
    """The part's entry in results.json."""
    return {
        "part": part.name,
        "counted": part.counted,
        "rated": part.rated,
        "calls": part.calls,
        "compile_seconds": compiled.seconds,
        "temporary_bytes": compiled.temporary,
        "argument_bytes": compiled.arguments,
        "result_bytes": compiled.results,
        "float32_products_as_tf32": len(hlo.reduced_products(compiled.module)),
        **dataclasses.asdict(counts),
    }


def lines(results: dict[str, Any]) -> list[str]:
    """The report of a part."""
    (counted, number), (unit, rated) = results["counted"], results["rated"]
    header = ["", "per run", f"per {counted}"]
    rows = []
    for label, key, scale, form in (
        ("kernels", "kernels", 1, ",.1f"),
        ("synchronisations with the host", "syncs", 1, ",.1f"),
        ("CUDA graphs launched", "graphs", 1, ",.1f"),
        ("conditionals and loops in graphs", "conditionals", 1, ",.1f"),
        ("GB read and written", "bytes", 1e9, ",.4g"),
        ("GFLOP", "flops", 1e9, ",.4g"),
    ):
        value = results[key] / scale
        rows.append([label, format(value, form), format(value / number, form)])
    seconds = results["seconds"]
    usual, fast, slow = (seconds[case] for case in ("usual", "fast", "slow"))
    rates = (rated / s for s in (usual, slow, fast))
    bound = results["bound"]
    text = [
        text_table(header, rows),
        f"temporary memory {results['temporary_bytes'] / 1e6:,.0f} MB; compiled in "
        f"{results['compile_seconds']:.0f} s; {results['float32_products_as_tf32']} "
        "float32 products may run as TF32",
        "kernels: "
        + ", ".join(f"{n:,.0f} {kind}" for kind, n in results["by_kind"].items()),
        f"modelled: {1e3 * usual:,.3g} ms a run ({1e3 * fast:,.3g} to "
        f"{1e3 * slow:,.3g}), {unit} per second "
        + "{:,.0f} ({:,.0f} to {:,.0f})".format(*rates),
        "bound by "
        + ", ".join(f"{reason} {share:.0%}" for reason, share in bound.items()),
    ]
    if results["calls"]:
        total = (results["calls"] * s for s in (usual, fast, slow))
        text.append(
            f"{results['calls']:,.0f} runs: "
            + "{:,.3g} s ({:,.3g} to {:,.3g})".format(*total)
        )
    if results["open_loops"]:
        text.append(
            f"{len(results['open_loops'])} loops of unknown length, counted once: "
            + ", ".join(results["open_loops"][:5])
        )
    text.append("longest kernels:")
    for op_name, kind, times, share in results["hottest"][:5]:
        text.append(f"  {share:5.1%}  {times:8,.0f} x {kind}: {op_name[-70:]}")
    return text


def total(parts: list[dict[str, Any]]) -> str:
    """The time of all parts together, as a line."""
    sums = {
        case: sum(part["calls"] * part["seconds"][case] for part in parts)
        for case in model.CASES
    }
    return (
        f"altogether {sums['usual'] / 60:,.3g} min modelled ({sums['fast'] / 60:,.3g} "
        f"to {sums['slow'] / 60:,.3g})"
    )


@script
def main(argv: list[str] | None = None) -> int:
    """Compiles, counts, writes results.json and report.txt; returns the status."""
    args, sizes = parse(argv)
    # The plugin must not look for a card; only its compiler is used.
    jax.config.update("jax_platforms", "cpu")
    with refusals():
        description = card.description(args.target)
        target, mesh = card.Card.read(description), compiling.mesh(description)
        config = {n: getattr(args, n) for n in ("program", "target", "small", "graphs")}
        config |= {"sizes": dataclasses.asdict(sizes)}
        out = open_run(
            args.out,
            "compile_for_gpu",
            config,
            outputs=("results.json", "report.txt"),
            inputs=[args.target if Path(args.target).exists() else None],
            overwrite=args.overwrite,
        )
    title = f"nothing ran: counted and modelled for {target.name}, not measured"
    print(title, flush=True)
    with out:
        report, parts = [title], []
        for part in programs.PROGRAMS[args.program](sizes):
            result = describe(part, *measure(part, mesh, target, args))
            parts.append(result)
            text = [f"\n{args.program}, {part.name}", *lines(result)]
            print("\n".join(text), flush=True)
            report += text
        if sum(part["calls"] > 0 for part in parts) > 1:
            report.append("\n" + total(parts))
            print(report[-1])
        content = {**config, **files.provenance(), "ran": False, "parts": parts}
        out.write_json("results.json", content)
        out.write_text("report.txt", "\n".join(report) + "\n")
        print(f"\n{out.path}: {out.names()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
