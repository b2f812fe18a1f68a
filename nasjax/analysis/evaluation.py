"""Results of networks trained from scratch, beside NAS-Bench-201's table."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from nasjax.analysis import retrained, statistics
from nasjax.data import nb201
from nasjax.networks import families
from nasjax.runs import files
from nasjax.runs.network_config import NetworkRun
from nasjax.runs.networks import Curves
from nasjax.spaces import architectures
from nasjax.spaces.architectures import Architecture


def benchmark(architecture: Architecture, dataset: str) -> dict[str, Any] | None:
    """NAS-Bench-201's test accuracy of a cell after 200 epochs, a fraction.

    None for other spaces and data sets, and if there is no table.
    """
    name = f"{dataset}_test"
    if architecture.family != "nb201" or name not in nb201.COLUMNS:
        return None
    try:
        table = nb201.load(columns=[name], predictor=False, log=lambda line: None)
    except nb201.TableError:
        return None
    (row,) = np.flatnonzero((table.ops == architecture.arch).all(axis=1))
    column = table.columns[name]
    accuracy = float(column.values[row])
    return {"column": name, "accuracy": accuracy, "version": column.version}


def summary(test: np.ndarray) -> dict[str, Any]:
    """Accuracies of the last and of the best epoch over seeds, for results.json.

    Args:
      test: float [S, epochs], fractions, NaN where not tested (never the last epoch).
    """

    def entry(values):
        return {**statistics.describe(values).to_json(), "values": values.tolist()}

    # Shares of at most 50,000 images, stored as float32; six digits recover them.
    test = np.asarray(test, np.float64).round(6)
    note = "the epoch is chosen on test images, which leaks: compare `last`"
    best = entry(np.nanmax(test, axis=1))
    best |= {"epochs": (np.nanargmax(test, axis=1) + 1).tolist(), "note": note}
    return {"last": entry(test[:, -1]), "best": best}


def results(
    run: NetworkRun, parts: Sequence[Curves], source: str, images: int
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The content of results.json and results.npz.

    Args:
      run: with the fields that its data set fixes.
      parts: curves of each group of seeds that was trained together.
      source: of the data.
      images: number of training images per epoch and seed.
    """
    names = ["loss", "accuracy", "test", *(["top5"] if run.streamed else [])]
    arrays = {
        name: np.concatenate([getattr(part, name) for part in parts]) for name in names
    }
    seconds = arrays["seconds"] = np.stack([part.seconds for part in parts])
    architecture = architectures.read(run.genotype)
    rate = images * len(parts[0].loss) / np.median(seconds[0])
    content = {
        "config": run.to_json(),
        **files.provenance(),
        "data": source,
        "dataset": run.dataset,
        "genotype": architecture.to_json(),
        "printed": architecture.printed,
        **families.describe(architecture, **run.sizes),
        "test_accuracy": summary(arrays["test"]),
        "images_per_second": float(rate),
        "train_seconds": float(seconds.sum()),
    }
    if run.streamed:
        content["top5_accuracy"] = {"last": summary(arrays["top5"])["last"]}
    if known := benchmark(architecture, run.dataset):
        content["benchmark"] = known
    return content, arrays


def text(content: Mapping[str, Any]) -> str:
    """The results of one network (the content of results.json) as lines of text."""
    lines = []
    if retrained.chosen_by_test(content.get("entry", {})):
        lines.append(f"the architecture was chosen {retrained.LEAK}")
    last, best = (content["test_accuracy"][name]["values"] for name in ("last", "best"))
    lines += [
        f"test accuracy, last epoch: {statistics.mean_std(last)} %",
        f"test accuracy, best epoch: {statistics.mean_std(best)} % (chosen on test "
        "images: a leak)",
    ]
    if top5 := content.get("top5_accuracy"):
        top = statistics.mean_std(top5["last"]["values"])
        lines.append(f"top-5 accuracy, last epoch: {top} %")
    if rate := content.get("pipeline_images_per_second"):
        lines.append(
            f"images/s: {content['images_per_second']:.0f} in training, {rate:.0f} "
            "from the pipeline alone"
        )
    if known := content.get("benchmark"):
        lines.append(
            f"NAS-Bench-201 ({known['version']}) has {100 * known['accuracy']:.2f} % "
            "after 200 epochs"
        )
    if (baseline := content.get("linear_baseline")) is not None:
        lines.append(f"logistic regression on the same pixels: {100 * baseline:.2f} %")
    return "\n".join(lines)


def agreement(contents: Sequence[Mapping[str, Any]]) -> str:
    """Rank correlation of retrained cells with NAS-Bench-201's table, as a line.

    Empty with fewer than three cells that the table knows.
    """
    known = [content for content in contents if "benchmark" in content]
    if len(known) < 3:
        return ""
    measured = np.array([content["test_accuracy"]["last"]["mean"] for content in known])
    table = np.array([content["benchmark"]["accuracy"] for content in known])
    tau, rho = (f(measured, table) for f in (statistics.kendall, statistics.spearman))
    return (
        f"{len(known)} cells, test accuracy against NAS-Bench-201's: Kendall "
        f"{tau:.3f}, Spearman {rho:.3f}"
    )


def frontier_row(
    entry: Mapping[str, Any], folder: str, content: Mapping[str, Any]
) -> dict[str, Any]:
    """An architecture's object in frontier.json, with the results of its training."""
    fields = ("params", "flops", "macs", "test_accuracy", "benchmark")
    results = {name: content[name] for name in fields if name in content}
    return {**entry, "folder": folder} | results
