"""Kills workers and the main process of a search at random, and looks what is lost.

    python tests/faults.py --rounds 20

A round is a search of 200 evaluations of random length on 4 processes. It must end with
every query told once, and the journal, replayed without any kill, must give the same
architectures and the score that each of them has. The last line sums up all rounds; the
exit status is 1 if one of them failed.
"""

import argparse
import collections
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import jax
import own_evaluations

import nasjax
from nasjax import parallel
from nasjax.parallel import journal as journals
from nasjax.parallel.queries import Queries

SPACE = nasjax.table_space(4, tuple("abcdef"))
SEARCHER = nasjax.evolution(SPACE)


def go(out, queries, workers):
    """The search; run again, it goes on."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["nasjax.parallel.worker", "own_evaluations"])
    with ProcessPoolExecutor(workers, context) as pool:
        parallel.search(
            jax.random.key(0),
            SEARCHER,
            own_evaluations.random_length,
            queries=queries,
            executor=pool,
            out=out,
            resume=True,
            retries=20,  # of which kills use up one each
            progress=False,
        )


def children(pid):
    """Processes that a process started, by /proc."""
    try:
        names = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return []
    return [int(name) for name in names]


def evaluating(pid):
    """The processes below `pid` that evaluate: those that its fork server made."""
    return [leaf for child in children(pid) for leaf in children(child)]


def end(pid):
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


def round_of_kills(out, queries, workers, seed, kinds=None):
    """Runs and kills until the search ends; how many of each kind were killed.

    `kinds` says what is killed, one after another; drawn for ever if None.
    """
    draw = random.Random(seed)
    if kinds is None:
        kinds = iter(lambda: draw.choice(("worker", "worker", "main")), None)
    kind = next(kinds)
    killed = collections.Counter()
    command = [sys.executable, __file__, "--child", str(out)]
    command += ["--queries", str(queries), "--workers", str(workers)]
    while True:
        process = subprocess.Popen(command)
        try:
            while process.poll() is None:
                time.sleep(draw.uniform(0.1, 0.8))
                pids = evaluating(process.pid)
                if kind and pids:
                    pid = process.pid if kind == "main" else draw.choice(pids)
                    killed[kind] += end(pid)
                    kind = next(kinds, None)
        finally:
            if process.poll() is None:
                process.kill()
        if process.wait() == 0:
            return killed
        assert process.returncode == -signal.SIGKILL, process.returncode


def verify(out, queries):
    """AssertionError unless all is there, once, and as without kills."""
    events = journals.read(Path(out) / journals.NAME).events
    for name in ("asked", "told"):
        numbers = [event["query"] for event in events if event["event"] == name]
        assert sorted(numbers) == list(range(queries)), name
    state = Queries(jax.random.key(0), SEARCHER, SPACE)
    state.replay(events)
    assert state.diverged is None
    for row in state.rows:
        assert row.accuracy == own_evaluations.score(row.arch), row


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        go(args.child, args.queries, args.workers)
        return 0
    killed, failed = collections.Counter(), []
    for seed in range(args.rounds):
        with tempfile.TemporaryDirectory() as out:
            began = time.monotonic()
            kills = round_of_kills(out, args.queries, args.workers, seed)
            killed += kills
            try:
                verify(out, args.queries)
                outcome = f"{args.queries} queries, each once, results as without kills"
            except AssertionError as error:
                outcome = f"FAILED: {error!r}"
                failed.append(seed)
            seconds = time.monotonic() - began
            print(
                f"round {seed}: {outcome}; killed {kills['worker']} workers and "
                f"{kills['main']} main processes; {seconds:.0f} s",
                flush=True,
            )
    print(
        f"{args.rounds} rounds of {args.queries} queries on {args.workers} workers: "
        f"killed {killed['worker']} workers and {killed['main']} main processes; "
        f"{args.rounds - len(failed)} rounds told every query once with the results of "
        f"a search without kills; failed: {', '.join(map(str, failed)) or 'none'}"
    )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
