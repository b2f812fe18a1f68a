"""Scores of a supernet's training, by hand."""

import numpy as np

from nasjax.analysis import supernet_training
from nasjax.runs import supernets


def test_scores_by_hand():
    curves = supernets.no_curves(4, [2, 4], 3)
    curves.batch[:] = [[0.1, 0.2, 0.6], [0.3, 0.2, 0.1]]
    curves.running[:] = [[0.1, 0.2, 0.3], [0.2, 0.1, 0.3]]
    rows = supernet_training.scores(curves, np.array([0.7, 0.8, 0.9]))
    assert [row["epoch"] for row in rows] == [2, 4]
    np.testing.assert_allclose(rows[0]["batch_mean"], 0.3, rtol=1e-6)
    np.testing.assert_allclose(rows[0]["batch_best"], 0.6, rtol=1e-6)
    assert [row["kendall_batch"] for row in rows] == [1, -1]
    np.testing.assert_allclose(rows[1]["kendall_running"], 1 / 3)
    np.testing.assert_allclose(rows[1]["spearman_running"], 0.5)
    assert "one_shot_loss" not in rows[0]
    curves.one_shot[:] = [[0.5, 1.0], [0.25, 2.0]]
    rows = supernet_training.scores(curves)
    assert (rows[1]["one_shot_accuracy"], rows[1]["one_shot_loss"]) == (0.25, 2.0)
    assert "kendall_batch" not in rows[0]
    lines = supernet_training.text(rows).splitlines()
    assert "one shot loss" in lines[0] and lines[-1].split()[-1] == "2.000"
