"""guided.py: the prior mean from a file, the files of a run, and what is refused."""

import json

import guided
import numpy as np
import pytest

from nasjax.spaces import isomorphism

pytestmark = pytest.mark.usefixtures("quick_compile")


@pytest.fixture
def scores(tmp_path):
    """A score for each class: the number of its last architecture."""
    last = np.unique(isomorphism._last_of_class(guided.SPACE))
    path = tmp_path / "scores.npz"
    ops = np.asarray(guided.SPACE.from_index(last))
    np.savez(path, ops=ops, naswot=last.astype(float))
    return path


def test_the_prior_mean_is_the_normal_score(scores):
    args = guided.parse(["--scores", str(scores), "--slope", "2"])
    mean, _ = guided.prior(args)
    assert len(mean) == 15_625 and mean.max() == mean[-1]
    # Half of all architectures lie below 0, and the scale is the slope.
    np.testing.assert_allclose(np.median(mean), 0, atol=0.01)
    np.testing.assert_allclose(mean.std(), 2, rtol=0.02)


def test_the_script(tmp_path, scores, capsys):
    small = ["--columns", "cifar10_valid", "--queries", "4", "--seeds", "1-2"]
    light = ["--best-warm-up", "2", "--best-actor-proposals", "0", "--best-climb", "0"]
    light += ["--out", str(tmp_path / "run")]
    assert guided.main(["--scores", str(scores), *small, *light]) == 0
    found = json.loads((tmp_path / "run" / "results.json").read_text())
    assert [(x["search"], x["queries"]) for x in found["values"]] == [
        ("without", 4),
        ("naswot", 4),
    ]
    assert [x["p_value"] is None for x in found["optimum"]] == [True, False]
    assert (tmp_path / "run" / "guided.png").stat().st_size > 5_000
    assert "p against" in capsys.readouterr().out
    one = np.load(scores)
    np.savez(scores, ops=one["ops"][1:], naswot=one["naswot"][1:])
    assert guided.main(["--scores", str(scores), *small, *light, "--overwrite"]) == 2
    assert "lacks the scores of" in capsys.readouterr().err
    np.savez(scores, ops=one["ops"])
    assert guided.main(["--scores", str(scores), *small]) == 2
    assert "has no naswot" in capsys.readouterr().err
