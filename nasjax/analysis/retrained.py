"""Results of evaluated networks and of searched supernets, read from run folders."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from nasjax.analysis import thesis
from nasjax.spaces import genotypes

FILE = "results.json"
LEAK = "by test: a leak"
# Fields of a candidate that Table 4.4 shows.
CANDIDATE = (
    *("seed", "default", "validation_accuracy", "test_accuracy", "rank", "of"),
)
FRONT = "flops"  # Table 3.2 and the slopes are of the FLOPS front (thesis 3.2.1).


class ResultsError(ValueError):
    """A folder has no results, or none for these tables."""


class Evaluation(NamedTuple):
    """One network trained from scratch, with S seeds."""

    folder: Path
    config: Mapping[str, Any]  # dataset, preset, cells, channels, classes, ...
    name: str  # of the architecture
    test: np.ndarray  # float64 [S], accuracy after the last epoch, fractions
    best: np.ndarray | None  # [S], of the best epoch by test accuracy
    cost: thesis.Cost
    frontier: Mapping[str, Any]  # its place in a search; empty for any other network
    leaks: bool = False  # the architecture was chosen by test accuracy

    @property
    def source(self) -> str:
        """Source as tables print it: "measured", with the leak if there is one."""
        return f"measured, {LEAK}" if self.leaks else "measured"

    @property
    def on_front(self) -> bool:
        """Whether it is on its search's FLOPS front; True if a file has no `fronts`."""
        return FRONT in self.frontier.get("fronts", (FRONT,))

    @property
    def dataset(self) -> str:
        """Name of the data set."""
        return self.config["dataset"]

    @property
    def table(self) -> str | None:
        """Its key in `thesis.TABLES`, or None; CADAM's presets belong to chapter 4."""
        if self.cost.flops is None:  # Another space: NAS-Bench-201.
            return None
        if self.dataset == "cifar10":
            return "4.2" if "cadam" in self.config["preset"] else "3.1 cifar10"
        return {"cifar100": "3.1 cifar100", "imagenet": "4.3"}.get(self.dataset)

    @property
    def network(self) -> str:
        """Description of the network; equal where accuracies may be compared."""
        c = self.config
        epochs = f", {c['epochs']} epochs" if "epochs" in c else ""
        return f"{c['preset']}, {c['cells']} cells, C = {c['channels']}{epochs}"


class Searched(NamedTuple):
    """The candidates of CADAM on a supernet."""

    folder: Path
    space: str
    dataset: str
    candidates: Sequence[Mapping[str, Any]]

    @property
    def prefix(self) -> str:
        """Start of its rows in Table 4.4: `CIFAR-10-`, or `PC-CIFAR-10-`."""
        space = {"darts": "", "pc-darts": "PC-"}.get(self.space, f"{self.space}-")
        known = thesis.DATASETS | {"imagenet32-120": "ImageNet32-120"}
        return f"{space}{known.get(self.dataset, self.dataset)}-"


def read(folders: Sequence[Path]) -> tuple[list[Evaluation], list[Searched], list[str]]:
    """Reads all results in these folders and below, each file once.

    Returns:
      Evaluations, searches, and a line for each results file of another kind.

    Raises:
      ResultsError: a folder does not exist or holds nothing for the tables, or a
        results file is damaged; the message names it.
    """
    results: dict[Path, Evaluation | Searched | str] = {}
    for folder in folders:
        if not folder.is_dir():
            raise ResultsError(f"{folder}: no such folder")
        files = sorted(folder.rglob(FILE))
        if not files:
            raise ResultsError(f"{folder}: no {FILE} in it or below")
        here = {path.resolve(): _read(path) for path in files}
        others = [x for x in here.values() if isinstance(x, str)]
        if len(others) == len(here):
            raise ResultsError(
                "; ".join(others) + ". The tables are made of what "
                "experiments/evaluate.py and experiments/search_supernet.py write"
            )
        results |= here
    evaluations = [x for x in results.values() if isinstance(x, Evaluation)]
    searches = [x for x in results.values() if isinstance(x, Searched)]
    return evaluations, searches, [x for x in results.values() if isinstance(x, str)]


def _read(path: Path) -> Evaluation | Searched | str:
    """The results in a file, or a line on results of another kind."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ResultsError(f"{path}: cannot be read ({error})") from error
    keys = content.keys() if isinstance(content, dict) else ()
    try:
        if {"test_accuracy", "params"} <= set(keys):
            return _evaluation(path.parent, content)
        if "finalists" in keys:
            trained = content["config"]["supernet"]["settings"]
            for entry in content["finalists"]:
                _ = [entry[field] for field in CANDIDATE]
            names = trained["space"], trained["dataset"]
            return Searched(path.parent, *names, content["finalists"])
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise ResultsError(f"{path}: not as expected ({error!r})") from error
    fields = ", ".join(list(keys)[:6]) or "no fields"
    return f"{path.parent}: results of another kind, with {fields}"


def _evaluation(folder: Path, content: Mapping[str, Any]) -> Evaluation:
    config, accuracy = content["config"], content["test_accuracy"]
    flops = content.get("flops")
    for field in ("dataset", "preset", "cells", "channels"):
        _ = config[field]
    frontier = content.get("frontier") or content.get("entry") or {}
    leaks = chosen_by_test(frontier)
    if {"variant", "seed", "step", "validation_accuracy"} <= frontier.keys():
        name = f"{variant(frontier)} seed {frontier['seed']} step {frontier['step']}"
    else:
        frontier, name = {}, _name(content, folder)
    best = accuracy["best"]["values"] if accuracy.get("best") else None
    return Evaluation(
        folder,
        config,
        name,
        np.array(accuracy["last"]["values"], np.float64),
        None if best is None else np.array(best, np.float64),
        thesis.Cost(
            int(content["params"]),
            int(content["params_with_auxiliary"]),
            None if flops is None else int(flops),
        ),
        frontier,
        leaks,
    )


def chosen_by_test(entry: Mapping[str, Any]) -> bool:
    """Whether an entry of genotypes.json was chosen by its test accuracy."""
    return "test" in str(entry.get("chosen_by", ""))


def _name(content: Mapping[str, Any], folder: Path) -> str:
    """The name of a published genotype; else the name of the folder."""
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
    """The cell with the two pairs of each node sorted: they have no order."""
    return [tuple(sorted(cell[i : i + 2])) for i in range(0, len(cell), 2)]


def variant(frontier: Mapping[str, Any]) -> str:
    """The thesis's name of a variant, or the search's own."""
    return thesis.VARIANTS.get(frontier["variant"], frontier["variant"])


def groups(
    evaluations: Sequence[Evaluation],
) -> dict[tuple[str, str], list[Evaluation]]:
    """Frontier architectures by data set and network; each group is comparable."""
    by_network: dict[tuple[str, str], list[Evaluation]] = {}
    for network in evaluations:
        if network.frontier and network.cost.flops is not None:
            key = network.dataset, network.network
            by_network.setdefault(key, []).append(network)
    return by_network


def searches_of(group: Sequence[Evaluation]) -> dict[tuple[str, int], list[Evaluation]]:
    """The networks of a group by variant and seed of the search.

    Validation accuracies of two searches come from two supernets, so ranks are only
    compared within one search.
    """
    by_search: dict[tuple[str, int], list[Evaluation]] = {}
    for network in group:
        key = variant(network.frontier), network.frontier["seed"]
        by_search.setdefault(key, []).append(network)
    return dict(sorted(by_search.items()))


def arrays(group: Sequence[Evaluation]) -> dict[str, np.ndarray]:
    """Per network, float64 [A]: validation and test in percent, sizes.

    `gflops`, and `millions` of parameters with the auxiliary head, as the thesis counts
    them in chapter 3.
    """
    valid = np.array([x.frontier["validation_accuracy"] for x in group])
    return {
        "validation": 100 * valid,
        "test": np.array([100 * x.test.mean() for x in group]),
        "gflops": np.array([x.cost.flops or 0 for x in group]) / 1e9,
        "millions": np.array([x.cost.with_auxiliary for x in group]) / 1e6,
    }


def chosen(evaluations: Sequence[Evaluation]) -> list[tuple[Evaluation, str]]:
    """Networks for tables of architectures, each with its source.

    All networks that are not of a frontier; of each search, the best by validation and,
    if it is another network, the best by test accuracy, which leaks.
    """
    rows = [(x, x.source) for x in evaluations if not x.frontier]
    for group in groups(evaluations).values():
        for networks in searches_of(group).values():
            values = arrays(networks)
            best, leaking = (int(values[by].argmax()) for by in ("validation", "test"))
            rows.append((networks[best], "measured, by validation"))
            if leaking != best:
                rows.append((networks[leaking], f"measured, {LEAK}"))
    return rows
