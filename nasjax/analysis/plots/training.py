"""Pictures of trainings: curves of supernets and of derived networks."""

from pathlib import Path

import numpy as np

from nasjax.analysis import statistics
from nasjax.analysis.plots.style import label, panels, save


def training(path: Path, curves, true: np.ndarray | None = None) -> None:
    """A supernet's training: loss, accuracy of architectures, rank correlation.

    Args:
      curves: `nasjax.runs.supernets.Curves`.
      true: [M], true accuracies of the scored architectures as fractions, for the last
        two panels; None leaves these out.
    """
    figure, axes = panels(2 if true is None else 4, (4.6, 3.4))
    epochs = np.arange(1, len(curves.loss) + 1)
    axes[0].plot(epochs, curves.loss, label="cross-entropy")
    axes[0].plot(epochs, curves.accuracy, label="accuracy")
    label(axes[0], "training batches", "epoch", legend="best")
    kinds = {"batch": curves.batch, "running": curves.running}
    for color, (name, scores) in enumerate(kinds.items()):
        low, middle, high = 100 * np.quantile(scores, (0, 0.5, 1), axis=1)
        style = {"color": f"C{color}"}
        axes[1].plot(curves.marks, middle, marker=".", label=name, **style)
        axes[1].fill_between(curves.marks, low, high, alpha=0.2, lw=0, **style)
        if true is not None:
            taus = [statistics.kendall(row, true) for row in scores]
            axes[2].plot(curves.marks, taus, marker=".", label=name, **style)
    label(axes[1], "validation accuracy of architectures [%]", "epoch")
    axes[1].legend(fontsize=8, title="statistics; median, range", title_fontsize=8)
    if true is not None:
        axes[2].axhline(0, color="black", lw=0.6)
        label(axes[2], "Kendall's tau with the true table", "epoch", legend="best")
        axes[3].plot(100 * true, 100 * curves.batch[-1], ".", ms=3)
        title = "scores after the last epoch [%]"
        label(axes[3], title, "true validation accuracy [%]")
    save(figure, path)


def evaluation(
    path: Path,
    loss: np.ndarray,
    accuracy: np.ndarray,
    test: np.ndarray,
    baseline: float | None = None,
) -> None:
    """Loss and accuracy of derived networks in training: each seed, and the mean.

    Args:
      loss, accuracy: of training batches, [S, epochs]; accuracies are fractions.
      test: accuracy on test images [S, epochs], NaN where not tested.
      baseline: test accuracy of a linear classifier, a fraction, drawn as a line; None
        if not known.
    """
    figure, axes = panels(2, (4.6, 3.4))
    tested = np.isfinite(test).all(axis=0)
    epochs = np.arange(1, loss.shape[1] + 1)
    for axis, name, x, y in (
        (axes[0], None, epochs, loss),
        (axes[1], "training batches", epochs, 100 * accuracy),
        (axes[1], "test images", epochs[tested], 100 * test[:, tested]),
    ):
        marker = "." if len(x) < 30 else ""
        (line,) = axis.plot(x, y.mean(axis=0), marker=marker, label=name)
        for row in y if len(y) > 1 else ():
            axis.plot(x, row, color=line.get_color(), alpha=0.3, lw=0.6)
    if baseline is not None:
        text = "logistic regression on the pixels, test"
        axes[1].axhline(100 * baseline, color="black", lw=0.8, ls=":", label=text)
    label(axes[0], "cross-entropy of training batches", "epoch")
    label(axes[1], "accuracy [%]", "epoch", legend="best")
    save(figure, path)
