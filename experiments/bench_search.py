"""Speed of the search loop: lanes, compile and run seconds, GFLOP/s, memory.

    python experiments/bench_search.py

runs CADAM with the thesis's settings on a random table of NAS-Bench-201's size for 1,
10, 60 and 600 lanes, from a replay that is already full, so that every step trains for
C_max = 10 cycles. `--pytorch` runs the same cycle as a plain PyTorch loop in the same
process, one lane after another, if PyTorch is installed (its seconds are one lane's,
scaled). `--inner map,vmap` compares the two ways to run lanes inside a device.
`--method bayesian-actor-critic` times whole searches of 200 queries instead.

Measured on two CPU cores (AMD EPYC, jax 0.10.2): 243 us per cycle
with 1 lane, 138 with 2, 121 with 10, 125 with 60, 111 with 600; the PyTorch loop
1,807 us. `--method bayesian-actor-critic --lanes 1,10,60` on slower cores: 1.6, 3.2 and
3.3 searches per second.

One cycle (batch 8, widths 30-128-256-128-30 and -1) is a critic step and an actor
step: about 9 MFLOP of matrix products and 3.4 MB of Adam traffic.
"""

import argparse
import itertools
import resource
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np

from nasjax import cadam, lanes, search, spaces
from nasjax.analysis.text import text_table
from nasjax.environments.tabular import from_arrays
from nasjax.runs import cli, devices, files, methods
from nasjax.runs.script import script
from nasjax.searchers.cadam_config import CadamConfig

SPACE = spaces.nas_bench_201()


def flop_per_cycle(config: CadamConfig) -> float:
    """Multiply-adds x 2 of the matrix products in one training cycle."""
    D = SPACE.action_size

    def products(size):
        widths = (D, *config.hidden, size)
        return [a * b for a, b in itertools.pairwise(widths)]

    actor, critic = products(D), products(1)
    # Critic step: forward, weight gradients, input gradients but the first layer's.
    critic_step = 3 * sum(critic) - critic[0]
    # Actor step: both forward, the critic's input gradients, the actor's as above.
    actor_step = 3 * sum(actor) - actor[0] + 2 * sum(critic)
    return 2.0 * config.batch_size * (critic_step + actor_step)


def runner_of(searcher: search.Searcher, count: int, steps: int, inner: str):
    """`count` lanes on a random table of the space's size."""
    A = SPACE.size
    ops = np.asarray(SPACE.from_index(jnp.arange(A)))
    values = np.random.default_rng(0).uniform(0.1, 0.9, A).astype(np.float32)
    env = from_arrays(SPACE, ops, [values])
    keys = jax.vmap(jax.random.key)(jnp.arange(count, dtype=jnp.uint32))
    return lanes.Runner(
        lambda params, lane: (searcher, env.replace(params=params)),
        env.params,
        keys,
        np.zeros(count, np.int32),
        steps=steps,
        inner=inner,
    )


def bench(count: int, steps: int, full: int, inner: str, config: CadamConfig) -> dict:
    """`steps` steps of `count` lanes that start at step `full` with a full replay."""
    runner = runner_of(cadam(SPACE, config), count, full + steps, inner)
    state = runner.init()
    replay = state.searcher.replay
    replay = replay._replace(count=jnp.full_like(replay.count, full))
    state = state._replace(searcher=state.searcher._replace(replay=replay))
    state, _ = runner.advance(state, full, steps)  # compiles, and warms the caches
    runner.run_seconds = 0.0
    runner.advance(state, full, steps)
    flop = flop_per_cycle(config) * config.max_cycles * steps * count
    return {
        "compile": runner.compile_seconds,
        "run": runner.run_seconds,
        "us_per_cycle": 1e6
        * runner.run_seconds
        / (count * steps * max(config.max_cycles, 1)),
        "lane_steps": count * steps / runner.run_seconds,
        "gflops": flop / runner.run_seconds / 1e9,
    }


def whole_searches(method: str, args: argparse.Namespace) -> str:
    """Whole searches of `--queries`, by number of lanes; a table of text."""
    rows = []
    for inner, count in itertools.product(args.inner, args.lanes):
        runner = runner_of(
            methods.factory(method, {})(SPACE), count, args.queries, inner
        )
        runner.advance(runner.init(), 0, args.queries)
        runner.run_seconds = 0.0
        runner.advance(runner.init(), 0, args.queries)
        run = runner.run_seconds
        row = [runner.compile_seconds, run, count / run, count * args.queries / run]
        rows.append([f"{count} ({inner})", *(f"{x:.4g}" for x in row)])
        print(f"{count} lanes ({inner}) done", flush=True)
    title = f"{method}, {args.queries} queries; lanes"
    header = [title, "compile s", "run s", "searches/s", "lane-steps/s"]
    return text_table(header, rows)


def pytorch_cycle(config: CadamConfig, cycles: int = 500) -> dict[int, float]:
    """Seconds per training cycle of a plain PyTorch loop, by number of threads.

    One thread, and as many as PyTorch takes by itself; empty without PyTorch.
    """
    try:
        import torch
        from torch import nn
    except ImportError:
        return {}
    D = SPACE.action_size

    def mlp(size, last):
        layers, width = [], D
        for hidden in config.hidden:
            layers += [nn.Linear(width, hidden), nn.ReLU()]
            width = hidden
        return nn.Sequential(*layers, nn.Linear(width, size), last)

    actor, critic = mlp(D, nn.Sigmoid()), mlp(1, nn.Identity())
    betas = (config.beta1, config.beta2)
    actor_opt = torch.optim.Adam(actor.parameters(), config.actor_lr, betas)
    critic_opt = torch.optim.Adam(critic.parameters(), config.critic_lr, betas)
    replay = [torch.rand(1000, D), torch.rand(1000, D), 100 * torch.rand(1000)]

    def cycle():
        at = torch.randint(0, 1000, (config.batch_size,))
        state, action, reward = (x[at] for x in replay)
        error = reward - critic(action)[:, 0]
        loss = torch.mean(error * (config.tau - (error < 0).float()))
        critic_opt.zero_grad()
        loss.backward()
        critic_opt.step()
        loss = -critic(actor(state)).mean()
        actor_opt.zero_grad()
        loss.backward()
        actor_opt.step()

    seconds = {}
    for threads in sorted({torch.get_num_threads(), 1}):
        torch.set_num_threads(threads)
        for _ in range(50):
            cycle()
        clock = time.perf_counter()
        for _ in range(cycles):
            cycle()
        seconds[threads] = (time.perf_counter() - clock) / cycles
    return seconds


@script
def main(argv: list[str] | None = None) -> int:
    """Runs the benchmark; returns the exit status."""
    parser = cli.Parser(__doc__)
    numbers = cli.numbers(1)
    add = parser.add_argument
    positive, several = cli.at_least(1), cli.at_least(2)
    add("--lanes", type=numbers, default="1,10,60,600", help="numbers (1,10,60,600)")
    add("--steps", type=several, default=100, help="steps that are timed (100)")
    text = "experiences in the replay at the start (900)"
    add("--full", type=positive, default=900, help=text)
    text = "map, vmap, auto or several, comma-separated (auto)"
    add("--inner", type=cli.names(("map", "vmap", "auto")), default="auto", help=text)
    choices = ("cadam", *(m for m in methods.ALL if m != "cadam"))
    text = "cadam: steps of training; any other: whole searches (default cadam)"
    add("--method", choices=choices, default="cadam", help=text)
    add("--queries", type=several, default=200, help="of a whole search (200)")
    add("--pytorch", action="store_true", help="also time a plain PyTorch loop")
    args = parser.parse_args(argv)
    idle = ("queries",) if args.method == "cadam" else ("steps", "full", "pytorch")
    for name in idle:
        if getattr(args, name) != parser.get_default(name):
            parser.error(f"--{name} would change nothing with --method {args.method}")
    devices.use_cpu_cores(threads_inside_operations=False)
    config = CadamConfig()
    device = files.provenance()["device"]
    rate = devices.matrix_rate(jax.devices(), n=1024) / 1e9
    print(
        f"{device['count']} x {device['kind']} ({device['platform']}), jax "
        f"{jax.__version__}; matrix rate {rate:.0f} GFLOP/s; one cycle "
        f"{flop_per_cycle(config) / 1e6:.2f} MFLOP"
    )
    if args.method != "cadam":
        print(whole_searches(args.method, args))
        return 0
    loops = pytorch_cycle(config) if args.pytorch else {}
    if args.pytorch and not loops:
        print("PyTorch is not installed: no ratio")
    for threads, seconds in loops.items():
        print(
            f"PyTorch loop, one lane, {threads} threads: {1e6 * seconds:.0f} us per "
            f"cycle; 60 lanes x 9,570 cycles one after another, scaled: "
            f"{60 * 9570 * seconds:.0f} s"
        )
    torch_seconds = min(loops.values(), default=float("nan"))
    rows = []
    for inner in args.inner:
        for count in args.lanes:
            r = bench(count, args.steps, args.full, inner, config)
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            rows.append(
                [
                    f"{count} ({inner})",
                    f"{r['compile']:.1f}",
                    f"{r['run']:.2f}",
                    f"{r['us_per_cycle']:.0f}",
                    f"{r['lane_steps']:.0f}",
                    f"{r['gflops']:.1f}",
                    f"{100 * r['gflops'] / rate:.0f}%",
                    f"{peak:.0f}",
                    f"{1e6 * torch_seconds / r['us_per_cycle']:.1f}x" if loops else "",
                ]
            )
            print(f"{count} lanes ({inner}) done", flush=True)
    header = [
        "lanes",
        "compile s",
        "run s",
        "us/cycle",
        "lane-steps/s",
        "GFLOP/s",
        "of matrix rate",
        "peak MB so far",
        "PyTorch ratio",
    ]
    print(text_table(header, rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
