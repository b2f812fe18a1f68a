"""Training of a supernet in a run folder, with scores of architectures on the way.

    train(supernet_config.preset("nb201", "cpu", dataset="synthetic"), "runs/supernet")

The rows of `scores` stand in results.json as "marks".
"""

import dataclasses
import os
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from nasjax.analysis import candidates, plots, statistics
from nasjax.analysis.text import text_table
from nasjax.data.images import ImageData
from nasjax.networks import supernet
from nasjax.networks.training import ABSENT
from nasjax.runs import devices, image_sets, plugins, supernets
from nasjax.runs.configs import Rules
from nasjax.runs.folder import Folder, open_run
from nasjax.runs.script import refusals, write_results, written
from nasjax.runs.supernet_config import SupernetRun
from nasjax.runs.supernets import Curves
from nasjax.runs.training import Trainer

OUTPUTS = ("results.json", "results.npz", "curves.png")


def train(
    run: SupernetRun,
    out: str | os.PathLike[str],
    *,
    data_dir: str | None = None,
    count: int | None = None,
    table: bool = False,
    loaded: Mapping[str, Any] = plugins.ABSENT,
    resume: bool = False,
    overwrite: bool = False,
    checkpoint_seconds: float = 60.0,
) -> None:
    """Trains a supernet; writes and prints the results of train_supernet.py.

    Args:
      run: see `SupernetRun`.
      out: the results folder.
      data_dir: folder of the data set's official files.
      count: devices that share a batch; None takes one on CPU and all elsewhere.
      table: compare scores with NAS-Bench-201's table, if there is one.
      loaded: see `plugins.record`.
      resume, overwrite: see `open_run`.
      checkpoint_seconds: see `supernets.fit`.

    Raises:
      RefusedError: the data, the devices or the folder do not fit; before any work.
      StoppedError, DivergedError, RunError: see `job.run`.
    """
    with refusals():
        count = count or (1 if jax.default_backend() == "cpu" else jax.device_count())
        if count > jax.device_count():
            raise ValueError(f"--devices {count}, but JAX sees {jax.device_count()}")
        halves = image_sets.halves(run, data_dir)
        run = dataclasses.replace(run, devices=count)
        run = image_sets.with_data(run, halves)
        mesh = devices.mesh_of(jax.devices()[:count], [run.seed])
        trainer = supernets.trainer(run, halves, mesh)
        config = {**run.to_json(), **loaded}
        folder = open_run(
            out,
            "train_supernet",
            config,
            outputs=OUTPUTS,
            rules=Rules(
                free=("image_facts",),  # data_sha256 is enough
                grows=tuple(plugins.ABSENT),
                absent=ABSENT | plugins.ABSENT,
            ),
            inputs=[data_dir, run.dataset if run.own else None],
            resume=resume,
            overwrite=overwrite,
            writes=jax.process_index() == 0,
        )
    options = {"resume": resume, "checkpoint_seconds": checkpoint_seconds}
    with folder:
        _train(run, config, halves, trainer, folder, table, options)


def _train(
    run: SupernetRun,
    described: Mapping[str, Any],
    halves: ImageData,
    trainer: Trainer,
    folder: Folder,
    table: bool,
    options: dict[str, Any],
) -> None:
    config = run.network
    archs = supernets.scored(run, config.space)
    truth = candidates.truth(config.space, run.dataset) if table else None
    true = None if truth is None else truth.of(archs)["true_accuracy"]
    shapes = jax.eval_shape(lambda key: supernet.init(key, config), jax.random.key(0))
    print(
        f"{run.space} supernet, {supernet.count(shapes):,} parameters; "
        f"{halves.source}: {len(halves.train.labels):,} images to train, "
        f"{len(halves.valid.labels):,} to validate, {run.steps_per_epoch} steps an "
        f"epoch on {run.devices} {jax.default_backend()} device(s)",
        flush=True,
    )
    scorer = supernets.scorer(run, halves, archs)
    _, curves = supernets.fit(
        trainer, folder, run.eval_epochs, len(archs), scorer, **options
    )
    if jax.process_index() != 0:
        return
    rows = scores(curves, true)
    print("\n" + text(rows))
    rate = float(trainer.epoch.images / np.median(curves.seconds))
    content = {"data": halves.source, "marks": rows, "images_per_second": rate}
    content["train_seconds"] = float(curves.seconds.sum())
    write_results(folder, described, content)
    arrays = curves._asdict() | {"archs": archs}
    if true is not None:
        arrays["true"] = true
    folder.write_npz("results.npz", **arrays)
    plots.training(folder.file("curves.png"), curves, true)
    print("\n" + written(folder))


def scores(curves: Curves, true: np.ndarray | None = None) -> list[dict[str, Any]]:
    """Accuracies at each scoring; with `true`, also rank correlations.

    Args:
      curves: of a training.
      true: [M], true accuracies of the scored architectures.

    Returns:
      A row for each scoring: `epoch`; mean and best accuracy by batch statistics and by
      running ones; accuracy and loss of the whole network if it was scored; Kendall's
      tau and Spearman's rho of both accuracies with the true ones.
    """
    rows = []
    for i, epoch in enumerate(curves.marks):
        row: dict[str, Any] = {"epoch": int(epoch)}
        by_statistics = {"batch": curves.batch[i], "running": curves.running[i]}
        for name, accuracies in by_statistics.items():
            row[f"{name}_mean"] = float(accuracies.mean())
            row[f"{name}_best"] = float(accuracies.max())
        if not np.isnan(curves.one_shot).all():
            accuracy, loss = curves.one_shot[i].tolist()
            row |= {"one_shot_accuracy": accuracy, "one_shot_loss": loss}
        if true is not None:
            for name, accuracies in by_statistics.items():
                row[f"kendall_{name}"] = statistics.kendall(accuracies, true)
                row[f"spearman_{name}"] = statistics.spearman(accuracies, true)
        rows.append(row)
    return rows


def text(rows: Sequence[Mapping[str, Any]]) -> str:
    """The rows of `scores` as a table."""
    names = list(rows[0])
    cells = [
        [str(row["epoch"]), *(f"{row[name]:.3f}" for name in names[1:])] for row in rows
    ]
    return text_table([name.replace("_", " ") for name in names], cells)
