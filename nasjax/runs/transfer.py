"""Trained agents in files, from which a later search can start."""

import functools
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from nasjax.data.locations import read_npz
from nasjax.runs import files
from nasjax.search import Searcher


class Networks(NamedTuple):
    """Parameters of an agent, without its optimizers' moments."""

    actor: Any
    critic: Any


def _flat(agent: Any) -> dict[str, Any]:
    return flatten_dict({"actor": agent.actor, "critic": agent.critic}, sep="/")


def save(
    path: str | os.PathLike[str], seeds: Sequence[int], agents: Sequence[Any]
) -> None:
    """Writes the networks of several agents.

    Args:
      path: an npz.
      seeds: of the searches that trained them.
      agents: states with `actor` and `critic`, all of the same shapes.
    """
    flat = [_flat(agent) for agent in agents]
    stacked = {name: np.stack([np.asarray(x[name]) for x in flat]) for name in flat[0]}
    files.write_npz(Path(path), seeds=np.array(seeds, np.int64), **stacked)


def load(path: str | os.PathLike[str], seed: int | None = None) -> Networks:
    """The networks of one agent in a file of `save`.

    Args:
      path: the npz.
      seed: of the search that trained the agent; the file's first if None.

    Raises:
      ValueError: the file is absent or not valid, or the seed is not in it.
    """
    try:
        arrays = read_npz(Path(path))
        seeds = arrays.pop("seeds").tolist()
    except Exception as error:  # whatever a damaged file makes NumPy raise
        raise ValueError(f"{path} holds no agents: {error!r}") from error
    if seed is not None and seed not in seeds:
        known = ", ".join(map(str, seeds))
        raise ValueError(f"{path} has no agent of seed {seed}; it has {known}")
    row = 0 if seed is None else seeds.index(seed)
    tree = unflatten_dict({name: x[row] for name, x in arrays.items()}, sep="/")
    if set(tree) != set(Networks._fields):
        raise ValueError(f"{path} holds {', '.join(tree)}, not an actor and a critic")
    return Networks(**tree)


def warm_start(searcher: Searcher, networks: Networks) -> Searcher:
    """The same searcher, whose agent starts from `networks` with fresh moments.

    Args:
      searcher: its state has an `agent` with `actor` and `critic`, as CADAM's.
      networks: from `load`.

    Raises:
      ValueError: the networks are of other sizes than the searcher's; all that
        differ are named.

    Source: Mills et al. 2021 (L2NAS), transfer of a trained agent.
    """
    start = functools.partial(searcher.init, steps=1)
    agent = jax.eval_shape(start, jax.random.key(0)).agent
    needed, loaded = (
        {name: list(x.shape) for name, x in _flat(tree).items()}
        for tree in (agent, networks)
    )
    if needed != loaded:
        differing = "; ".join(
            f"{name} is {loaded.get(name, 'absent')}, needed "
            f"{needed.get(name, 'absent')}"
            for name in sorted(needed.keys() | loaded.keys())
            if needed.get(name) != loaded.get(name)
        )
        raise ValueError(
            "the agent is of other sizes (another space, or other hidden layers): "
            + differing
        )

    def init(key, steps):
        state = searcher.init(key, steps)
        actor, critic = jax.tree.map(jax.numpy.asarray, networks)
        agent = state.agent._replace(actor=actor, critic=critic)
        return state._replace(agent=agent)

    return searcher._replace(init=init)
