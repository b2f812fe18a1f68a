"""Results of evaluated networks and of searched supernets, read back from folders."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from nasjax.analysis import statistics, thesis
from nasjax.analysis.statistics import mean_std
from nasjax.spaces import genotypes

FILE = "results.json"
LEAK = "by test: a leak"
FRONT = "flops"  # Table 3.2 and the slopes are of the FLOPS front (thesis 3.2.1).


class ResultsError(ValueError):
    """A folder holds no results, or others than these tables are made of."""


class Evaluation(NamedTuple):
    """One network trained from scratch, with S seeds."""

    folder: Path
    config: Mapping[str, Any]  # dataset, preset, cells, channels, classes, ...
    name: str  # of the architecture
    test: np.ndarray  # float64 [S], accuracy after the last epoch, fractions
    best: np.ndarray | None  # [S], of the best epoch by test accuracy
    params: int
    with_auxiliary: int
    flops: int | None
    frontier: Mapping[str, Any] | None  # where the search found it
    leaks: bool = False  # the architecture was chosen by test accuracy

    @property
    def source(self) -> str:
        """As tables name it: "measured", with the leak if there is one."""
        return f"measured, {LEAK}" if self.leaks else "measured"

    @property
    def on_front(self) -> bool:
        """On the FLOPS front of its search; files that tell no front have only it."""
        return FRONT in (self.frontier or {}).get("fronts", (FRONT,))

    @property
    def dataset(self) -> str:
        return self.config["dataset"]

    @property
    def network(self) -> str:
        """What has to be the same for accuracies to be compared."""
        c = self.config
        epochs = f", {c['epochs']} epochs" if "epochs" in c else ""
        return f"{c['preset']}, {c['cells']} cells, C = {c['channels']}{epochs}"


class Searched(NamedTuple):
    """The finalists of CADAM on a supernet."""

    folder: Path
    space: str
    dataset: str
    finalists: Sequence[Mapping[str, Any]]


def read(folders: Sequence[Path]) -> tuple[list[Evaluation], list[Searched], list[str]]:
    """Everything in these folders and below, each file once.

    Returns:
      Evaluations, searches, and a line for each results file of another kind that lies
      below a given folder.

    Raises:
      ResultsError: a given folder is none or holds nothing for the tables, or a results
        file is damaged; the message names it.
    """
    found: dict[Path, Evaluation | Searched] = {}
    skipped: dict[Path, str] = {}
    for folder in folders:
        if not folder.is_dir():
            raise ResultsError(f"{folder}: no such folder")
        files = sorted(folder.rglob(FILE))
        if not files:
            raise ResultsError(f"{folder}: no {FILE} in it or below")
        useful, others = False, []
        for path in files:
            one = _read(path)
            if isinstance(one, str):
                others.append(f"{path.parent}: {one}")
                skipped[path.resolve()] = others[-1]
            else:
                useful, found[path.resolve()] = True, one
        if not useful:
            raise ResultsError(
                "; ".join(others) + ". The tables are made of what "
                "experiments/evaluate.py and experiments/search_supernet.py write"
            )
    values = list(found.values())
    evaluations = [x for x in values if isinstance(x, Evaluation)]
    searches = [x for x in values if isinstance(x, Searched)]
    return evaluations, searches, list(skipped.values())


def _read(path: Path) -> Evaluation | Searched | str:
    """What a file holds; of another kind, a sentence that says so."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ResultsError(f"{path}: cannot be read ({error})") from error
    keys = content.keys() if isinstance(content, dict) else ()
    try:
        if {"test_accuracy", "params"} <= set(keys):
            return _evaluation(path.parent, content)
        if "finalists" in keys:
            settings = content["config"]["supernet"]["settings"]
            names = settings["space"], settings["dataset"]
            for entry in content["finalists"]:
                finalist_row("", entry)
            return Searched(path.parent, *names, content["finalists"])
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise ResultsError(f"{path}: not as expected ({error!r})") from error
    shown = ", ".join(list(keys)[:6]) or "no fields"
    return f"results of another kind, with {shown}"


def _evaluation(folder: Path, content: Mapping[str, Any]) -> Evaluation:
    config, accuracy = content["config"], content["test_accuracy"]
    for field in ("dataset", "preset", "cells", "channels"):
        _ = config[field]
    frontier = content.get("frontier") or content.get("entry") or {}
    leaks = chosen_by_test(frontier)
    there = {"variant", "seed", "step", "validation_accuracy"} <= frontier.keys()
    if there:
        name = f"{variant(frontier)} seed {frontier['seed']} step {frontier['step']}"
    else:
        frontier, name = None, _name(content, folder)
    best = accuracy["best"]["values"] if accuracy.get("best") else None
    return Evaluation(
        folder,
        config,
        name,
        np.array(accuracy["last"]["values"], np.float64),
        None if best is None else np.array(best, np.float64),
        int(content["params"]),
        int(content["params_with_auxiliary"]),
        None if content.get("flops") is None else int(content["flops"]),
        frontier,
        leaks,
    )


def chosen_by_test(entry: Mapping[str, Any]) -> bool:
    """Whether an entry of genotypes.json was chosen by its test accuracy."""
    return "test" in str(entry.get("chosen_by", ""))


def _name(content: Mapping[str, Any], folder: Path) -> str:
    """A published genotype's name; of any other architecture, its folder's."""
    try:
        genotype = genotypes.parse(content["genotype"])
    except (KeyError, TypeError, ValueError):
        return folder.name
    cells = tuple(map(_pairs, (genotype.normal, genotype.reduce)))
    for name, known in genotypes.PUBLISHED.items():
        if cells == tuple(map(_pairs, (known.normal, known.reduce))):
            return name
    return folder.name


def _pairs(cell: genotypes.Pairs) -> list[tuple]:
    """The two pairs of a node have no order."""
    return [tuple(sorted(cell[i : i + 2])) for i in range(0, len(cell), 2)]


def variant(frontier: Mapping[str, Any]) -> str:
    """The thesis's name of a variant, or the search's own."""
    return thesis.VARIANTS.get(frontier["variant"], frontier["variant"])


def groups(
    evaluations: Sequence[Evaluation],
) -> dict[tuple[str, str], list[Evaluation]]:
    """Frontier architectures by data set and network: what may be compared."""
    found: dict[tuple[str, str], list[Evaluation]] = {}
    for one in evaluations:
        if one.frontier is not None and one.flops is not None:
            found.setdefault((one.dataset, one.network), []).append(one)
    return found


def searches_of(group: Sequence[Evaluation]) -> dict[tuple[str, int], list[Evaluation]]:
    """A group's networks by variant and seed of the search.

    Validation accuracies of two searches come from two supernets: ranks are compared
    within one search only.
    """
    found: dict[tuple[str, int], list[Evaluation]] = {}
    for one in group:
        key = variant(one.frontier), one.frontier["seed"]
        found.setdefault(key, []).append(one)
    return dict(sorted(found.items()))


def arrays(group: Sequence[Evaluation]) -> dict[str, np.ndarray]:
    """Per network, float64 [A]: validation and test in percent, sizes.

    `gflops`, and `millions` of parameters with the auxiliary head, as the thesis counts
    them in chapter 3.
    """
    return {
        "validation": np.array(
            [100 * one.frontier["validation_accuracy"] for one in group]
        ),
        "test": np.array([100 * one.test.mean() for one in group]),
        "gflops": np.array([one.flops / 1e9 for one in group]),
        "millions": np.array([one.with_auxiliary / 1e6 for one in group]),
    }


def spearman_row(name: str, group: Sequence[Evaluation]) -> list[str]:
    """Table 3.2's coefficient for the FLOPS front of one search."""
    group = [one for one in group if one.on_front]
    values = arrays(group)
    rho = statistics.spearman(values["validation"], values["test"])
    shown = f"{rho:.3f}" if len(group) > 1 else thesis.NONE
    return [name, shown, str(len(group)), "measured"]


def slope_row(name: str, group: Sequence[Evaluation]) -> list[str]:
    """Slopes of test accuracy and linear correlations on FLOPS fronts (3.2.2)."""
    group = [one for one in group if one.on_front]
    values, row = arrays(group), [name]
    for size in ("gflops", "millions"):
        try:
            line = statistics.slope(values[size], values["test"])
            row += [f"{line.slope:.3f}", f"{line.correlation:.3f}"]
        except ValueError:  # Fewer than two different sizes.
            row += [thesis.NONE] * 2
    return [*row, str(len(group)), "measured"]


def row(one: Evaluation, source: str, printed: int) -> list[str]:
    """Name, test accuracy, `printed` columns that only published rows fill, costs."""
    costs = thesis.shown(one.params, one.with_auxiliary, one.flops)
    blank = [thesis.NONE] * printed
    return [f"{one.name} ({one.network})", mean_std(one.test), *blank, *costs, source]


def detail(one: Evaluation) -> list[str]:
    """Name, accuracies of the last and the best epoch, seeds, folder."""
    best = thesis.NONE if one.best is None else mean_std(one.best)
    name = f"{one.name} on {one.dataset}"
    name += " (chosen by test: a leak)" if one.leaks else ""
    return [name, mean_std(one.test), best, str(len(one.test)), str(one.folder)]


def chosen(evaluations: Sequence[Evaluation]) -> list[tuple[Evaluation, str]]:
    """The networks that stand in a table of architectures, each with its source.

    All that are from no frontier; of each search, the best by validation and, where
    that is another one, by test, which leaks.
    """
    found = [(one, one.source) for one in evaluations if one.frontier is None]
    for group in groups(evaluations).values():
        for networks in searches_of(group).values():
            values = arrays(networks)
            by_valid, by_test = (
                int(values[by].argmax()) for by in ("validation", "test")
            )
            found.append((networks[by_valid], "measured, by validation"))
            if by_test != by_valid:
                found.append((networks[by_test], f"measured, {LEAK}"))
    return found


def finalist_row(name: str, entry: Mapping[str, Any]) -> list[str]:
    """A row of Table 4.4."""
    return [
        f"{name}{'Val' if entry['default'] else 'Test'}, seed {entry['seed']}",
        f"{100 * entry['validation_accuracy']:.2f}",
        f"{100 * entry['test_accuracy']:.2f}",
        f"{entry['rank']} of {entry['of']}",
        "measured" if entry["default"] else f"measured, {LEAK}",
    ]


def supernet(one: Searched) -> str:
    """As Table 4.4 begins its rows: `CIFAR-10-`, or `PC-CIFAR-10-` for PC-DARTS."""
    prefix = {"darts": "", "pc-darts": "PC-"}.get(one.space, f"{one.space}-")
    known = thesis.DATASETS | {"imagenet32-120": "ImageNet32-120"}
    return f"{prefix}{known.get(one.dataset, one.dataset)}-"
