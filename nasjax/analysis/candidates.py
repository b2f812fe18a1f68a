"""Candidates: the best architectures of a search, rescored to choose one of them."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from nasjax.analysis import queries
from nasjax.analysis.text import text_table
from nasjax.data import nb201
from nasjax.environments.cached import Cache
from nasjax.runs import job, table_search
from nasjax.runs.folder import Folder
from nasjax.search import Environment
from nasjax.spaces import CellSpace, architectures, costs

LEAK = "chosen by test accuracy: a leak"
_TABLES = {"cifar10": "cifar10_valid", "cifar100": "cifar100_valid"}


class Candidates(NamedTuple):
    """The k best architectures of a search, such as its top K."""

    arch: np.ndarray  # uint8 [k, *arch_shape]
    seen: np.ndarray  # float32 [k], accuracy in the search
    valid: np.ndarray  # float32 [k], accuracy on the validation half
    test: np.ndarray  # float32 [k], accuracy on the test images


def best_of(history: Any) -> tuple[np.ndarray, np.ndarray]:
    """Architectures and scores in a top-K history, best first."""
    score = np.asarray(history.score)
    valid = score > -np.inf
    return np.asarray(history.items)[valid], score[valid]


def choose(candidates: Candidates, by: str) -> int:
    """Index of the best candidate `by` "valid" or "test"; the first among ties.

    Source: thesis 4.2.3 and Table 4.4. The thesis chose by test accuracy, which leaks.
    """
    return int(np.argmax(getattr(candidates, by)))


_SCORES = ("accuracy", "loss")


class Rescoring(job.Job):
    """Job that scores architectures one after another by a cached environment."""

    unit = "arch"

    def __init__(self, env: Environment, archs: np.ndarray, name: str, label: str):
        self.name, self.label, self.steps = name, label, len(archs)
        self._env, self._archs = env, archs
        self._key = jax.random.key(0)

    def template(self) -> dict[str, np.ndarray]:
        return {name: np.zeros(self.steps, np.float32) for name in _SCORES}

    start = template

    def unpack(self, step: int, tree: Any) -> dict[str, np.ndarray]:
        carry = job.writable(tree)
        rows = (self._archs, *(carry[name] for name in _SCORES))
        if isinstance(self._env.evaluate, Cache):
            self._env.evaluate.load(*(x[:step] for x in rows))
        return carry

    def pack(self, carry: Any) -> Any:
        return carry

    def end_after(self, step: int) -> int:
        return step + 1

    def advance(self, carry: Any, first: int, last: int) -> Any:
        del last
        env = self._env
        arch = self._archs[first]
        _, outcome = env.evaluate(self._key, env.params, env.state, arch)
        for name in _SCORES:
            carry[name][first] = getattr(outcome, name)
        return carry


def rescore(
    env: Environment,
    archs: np.ndarray,
    folder: Folder | None,
    name: str,
    *,
    resume: bool = False,
    checkpoint_seconds: float = 60.0,
    label: str = "rescoring",
) -> np.ndarray:
    """Scores architectures [A, *arch_shape], with progress; accuracies float32 [A].

    Args:
      env: from `nasjax.environments.cached`.
      archs: the architectures; they may repeat.
      folder: of the run; nothing is written if None.
      name: of the checkpoints, such as `rescore-valid`. A checksum of `archs` is added,
        so that other architectures have other checkpoints.
      resume: whether to continue from the newest checkpoint.
      checkpoint_seconds: least time between checkpoints.
      label: of the progress bar.
    """
    digest = hashlib.sha256(np.ascontiguousarray(archs).tobytes()).hexdigest()[:8]
    task = Rescoring(env, archs, f"{name}-{digest}", label)
    carry = job.run(task, folder, resume=resume, checkpoint_seconds=checkpoint_seconds)
    return carry["accuracy"]


class Truth(NamedTuple):
    """The accuracies in a column of NAS-Bench-201."""

    column: str
    values: np.ndarray  # float32 [A], fractions
    rows: Callable[[np.ndarray], np.ndarray]  # maps architectures to rows of the table

    def of(self, archs: np.ndarray) -> dict[str, np.ndarray]:
        """True accuracies and ranks among all architectures, each [n]."""
        value = self.values[self.rows(archs)]
        ranks = queries.rank(self.values, value)
        return {"true_accuracy": value, "true_rank": ranks}


def truth(space: CellSpace, dataset: str) -> Truth | None:
    """NAS-Bench-201's accuracies for a data set; None if there are none.

    Predictions are never used.
    """
    if space.name != "nas-bench-201" or dataset not in _TABLES:
        return None
    column = _TABLES[dataset]
    try:
        table = nb201.load(columns=(column,), predictor=False)
    except nb201.TableError as error:
        print(f"no true accuracies: {error}")
        return None
    rows = table_search.rows_of(space, table.ops)
    return Truth(column, table.columns[column].values, rows)


def architecture_entry(space: CellSpace, arch: np.ndarray) -> dict[str, Any]:
    """The genotype of an architecture; for DARTS's spaces also its shape and size."""
    architecture = architectures.from_array(space, arch)
    entry = {"printed": architecture.printed, "genotype": architecture.to_json()}
    if space.inputs_per_node is None:
        return entry
    params = int(costs.params(costs.darts_network(space), arch))
    return entry | architecture.shape() | {"parameters_20_cells_36_channels": params}


def choices(
    space: CellSpace,
    seeds: Sequence[int],
    tops: Sequence[Candidates],
    true: Truth | None = None,
) -> list[dict[str, Any]]:
    """Each seed's best by validation, the default, and by test accuracy, a leak.

    Returns:
      The content of genotypes.json: two entries per seed, the default first.
    """
    out = []
    for seed, top in zip(seeds, tops, strict=True):
        for by in ("valid", "test"):
            i = choose(top, by)
            entry = {
                "seed": seed,
                "chosen_by": "validation" if by == "valid" else LEAK,
                "default": by == "valid",
                "validation_accuracy": float(top.valid[i]),
                "test_accuracy": float(top.test[i]),
                "rank": int(queries.rank(top.valid, top.valid[i])),
                "of": len(top.valid),
                "accuracy_in_search": float(top.seen[i]),
            }
            if true is not None:
                known = true.of(top.arch[i : i + 1])
                entry |= {name: x.item() for name, x in known.items()}
            out.append(entry | architecture_entry(space, top.arch[i]))
    return out


def padded(tops: Sequence[Candidates], top_k: int) -> dict[str, np.ndarray]:
    """For results.npz: the top K of S seeds, [S, K, ...]; NaN if there are fewer."""
    out = {}
    for name in Candidates._fields:
        rows = [getattr(top, name) for top in tops]
        fill = 0 if name == "arch" else np.nan
        shape = (len(rows), top_k, *rows[0].shape[1:])
        array = np.full(shape, fill, rows[0].dtype)
        for row, values in zip(array, rows, strict=True):
            row[: len(values)] = values
        out[f"cadam__top_{name}"] = array
    return out


def table(chosen: Sequence[Mapping[str, Any]]) -> str:
    """A table of the chosen architectures like Table 4.4, and the default genotypes."""
    rows = []
    for entry in chosen:
        row = [
            f"seed {entry['seed']}, {entry['chosen_by']}",
            f"{100 * entry['validation_accuracy']:.2f}",
            f"{100 * entry['test_accuracy']:.2f}",
            f"{entry['rank']} of {entry['of']}",
        ]
        if "true_rank" in entry:
            row.append(f"{100 * entry['true_accuracy']:.2f}")
            row.append(str(entry["true_rank"]))
        rows.append(row)
    header = ["best of CADAM's top K", "validation [%]", "test [%]", "rank"]
    header += ["true [%]", "true rank"] if "true_rank" in chosen[0] else []
    lines = [f"seed {x['seed']}: {x['printed']}" for x in chosen if x["default"]]
    return "\n".join([text_table(header, rows), "", *lines])
