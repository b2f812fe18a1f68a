"""Searches in Python, one after another, that share what they evaluate; resumable.

`nasjax.study` does the same for lanes of one jitted computation.
"""

import json
import time
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from tqdm import tqdm

from nasjax import search
from nasjax.checkpoint import Checkpoints
from nasjax.environments.cached import Cache
from nasjax.search import Environment, Outcome, Searcher, SearchState, Trace


class Driven(NamedTuple):
    """What one search asked, T steps, and where it ended."""

    trace: Trace  # of NumPy arrays [T, ...]
    state: Any  # the searcher's last, of NumPy arrays
    seconds: float  # with those before a resume


def templates(
    searcher: Searcher, env: Environment, steps: int
) -> tuple[SearchState, Trace]:
    """Shapes of the search's state, and a trace of zeros."""

    def one(key):
        keys = jax.random.split(key, 3)
        state = search.init(keys[0], searcher, env, steps)
        asked, arch = searcher.ask(keys[1], state.searcher, jnp.int32(0))
        nothing = Outcome(jnp.float32(0), jnp.float32(0))
        _, info = searcher.tell(keys[2], asked, jnp.int32(0), arch, nothing)
        return state, Trace(arch, *nothing, dict(info))

    state, row = jax.eval_shape(one, jax.random.key(0))
    return state, jax.tree.map(lambda x: np.zeros((steps, *x.shape), x.dtype), row)


def run(
    key: Any,
    searcher: Searcher,
    env: Environment,
    steps: int,
    out: Path,
    name: str,
    *,
    resume: bool = False,
    checkpoint_seconds: float = 60.0,
    label: str = "",
) -> Driven:
    """One search, with progress and checkpoints.

    Args:
      key: of the search.
      searcher, steps: as for `search.drive`.
      env: with a state, which is saved too; or without noise, from
        `nasjax.environments.cached`, which learns the scores of a resumed trace.
      out: folder of the run; checkpoints go to `checkpoints/name`, and one line per
        checkpoint to log.jsonl.
      name: of the search, such as `cadam/seed3`.
      resume: go on from the newest checkpoint, to the same bits if the environment
        gives them.
      checkpoint_seconds: least time between checkpoints; the last step has its own.
      label: of the progress bar.

    Returns:
      See `Driven`.
    """
    shapes, trace = templates(searcher, env, steps)
    checkpoints = Checkpoints(Path(out) / "checkpoints" / name)
    first, state, before = 0, None, np.zeros(1)
    if resume and (found := checkpoints.restore((shapes, trace, before))):
        first, (state, *rest) = found
        trace, before = jax.tree.map(np.array, tuple(rest))
        if isinstance(env.evaluate, Cache):
            env.evaluate.load(*(x[:first] for x in trace[:3]))
    started = saved = time.monotonic()
    bar = tqdm(total=steps, initial=first, desc=label or name, unit="query")
    best = np.max(trace.accuracy[:first], initial=0.0)

    def seconds() -> float:
        return float(before[0]) + time.monotonic() - started

    def on_step(done: int, state: SearchState, row: Trace) -> None:
        nonlocal saved, best
        for whole, part in zip(
            jax.tree.leaves(trace), jax.tree.leaves(row), strict=True
        ):
            whole[done - 1] = part
        best = max(best, trace.accuracy[done - 1])
        bar.update()
        bar.set_postfix_str(f"best {best:.4f}", refresh=False)
        if done == steps or time.monotonic() - saved >= checkpoint_seconds:
            checkpoints.save(done, (state, trace, np.array([seconds()])))
            _log(Path(out), name, done, trace, seconds())
            saved = time.monotonic()

    if state is not None:
        state = jax.tree.map(jnp.asarray, state)
    if first < steps:
        state, _ = search.drive(key, searcher, env, steps, state, first, on_step)
    bar.close()
    checkpoints.close()
    last = jax.tree.map(np.asarray, state.searcher)
    return Driven(trace, last, seconds() if first < steps else float(before[0]))


def _log(out: Path, name: str, done: int, trace: Trace, seconds: float) -> None:
    recent = slice(max(done - 100, 0), done)
    line = {
        "search": name,
        "step": done,
        "steps": len(trace.accuracy),
        "best": float(trace.accuracy[:done].max()),
        "distinct": len(np.unique(trace.arch[:done], axis=0)),
        "seconds": seconds,
        **{n: float(np.mean(x[recent])) for n, x in trace.info.items()},
    }
    with (out / "log.jsonl").open("a") as file:
        file.write(json.dumps(line) + "\n")
