"""shared_tasks.py: queries to the optimum by hand, the files, and what is refused."""

import json

import numpy as np
import pytest
import shared_tasks

from nasjax.analysis import shared_tasks as analysis
from nasjax.runs.table_search import Result

pytestmark = pytest.mark.usefixtures("quick_compile")


def result(accuracy, **metrics):
    accuracy = np.asarray(accuracy, np.float32)
    return Result(np.zeros(accuracy.shape, np.int32), accuracy, {}, {}, 0, 0, metrics)


def test_queries_to_the_optimum():
    """A data set's optimum counts on this data set alone, and so do its queries."""
    optima = np.array([0.5, 0.75])
    alone = result([[[0.25, 0.5, 0.25]], [[0.5, 0.5, 0.5]]])
    firsts = analysis.separate(alone, optima)
    np.testing.assert_array_equal(firsts, [[2], [np.inf]])
    accuracy = [[[0.25, 0.5, 0.75, 0.75], [0.5, 0.25, 0.25, 0.5]]]
    both = result(accuracy, fidelity=np.array([[[0, 1, 0, 1], [1, 0, 1, 0]]]))
    own = analysis.shared(both, optima)
    np.testing.assert_array_equal(own, [[2, 2], [2, np.inf]])
    found = analysis.Searches(
        {"separate": np.array([[3.0, 4], [5, 9]]), "together": own},
        ("a", "b"),
        {"separate": (9, 9), "together": (2, 2)},
    )
    first, second = found.describe()[2:]
    assert (second["search"], second["column"], second["share"]) == (
        "together",
        "b",
        0.5,
    )
    # Over two queries is three: the pairs are (3, 2), (3, 2) and (3, 2), (3, 3).
    assert (first["median"], first["p_value"]) == (2, 0.5)
    assert (second["median"], second["p_value"]) == (np.inf, 1)
    assert "together, b" in found.report()


def test_the_script(tmp_path):
    flags = ["--best-warm-up", "3", "--tasks-warm-up", "3", "--tasks-cycles", "0"]
    small = ["--columns", "cifar10_valid,cifar100_valid", "--queries", "5"]
    out = ["--seeds", "1-2", "--first", "4", "--out", str(tmp_path / "run")]
    assert shared_tasks.main([*small, *flags, *out]) == 0
    results = json.loads((tmp_path / "run" / "results.json").read_text())["results"]
    assert [x["queries"] for x in results] == [5, 5, 5, 5, 4, 5]
    assert {x["search"] for x in results} == {"separate", "together", "transfer"}
    assert (tmp_path / "run" / "shared.png").stat().st_size > 5_000


def test_what_is_refused(capsys):
    for flags, message in (
        (["--columns", "cifar10_valid"], "two or more are needed"),
        (["--tasks-first", "3"], "both schedules are run here"),
    ):
        with pytest.raises(SystemExit):
            shared_tasks.main(flags)
        assert message in capsys.readouterr().err
