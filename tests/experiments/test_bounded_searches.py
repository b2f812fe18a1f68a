"""`--max-params` and `--max-macs` in the scripts that search."""

import importlib
import json

import in_process
import jax
import numpy as np
import pytest

from nasjax import costs
from nasjax.data import nb201

pytestmark = pytest.mark.usefixtures("quick_compile")

OPS = np.array(list(np.ndindex(3, 3, 3, 3)), np.uint8)
RNG = np.random.default_rng(0)
SMALL = ["--seeds", "1-3", "--chunk", "4", "--best-hidden", "8", "--best-warm-up", "4"]
METHODS = ["--methods", "bayesian-actor-critic,random,local-search"]


def arrays(folder):
    with np.load(folder / "results.npz") as file:
        return {name: file[name] for name in file.files}


def test_nb201_queries_and_reports_what_is_within(tmp_path):
    out = tmp_path / "run"
    column = "cifar100_valid"
    flags = ["--steps", 12, "--columns", column, "--out", out, *SMALL, *METHODS]
    bound = ["--max-params", "0.2M", "--max-macs", "30M"]
    done = in_process.call("nb201", *flags, *bound)
    assert done.code == 0, done.err
    params, macs = (
        cost(costs.nb201_network(), nb201.official_ops())
        for cost in (costs.params, costs.macs)
    )
    within = (params <= 200_000) & (macs <= 30_000_000)
    line = f"within the bounds: {within.sum():,} of 15,625 architectures"
    assert line in done.out and line in (out / "report.txt").read_text()
    assert f" of {within.sum():,} after 12 queries" in done.out
    for name, index in arrays(out).items():
        if name.endswith("arch_index"):
            assert index.min() >= 0 and within[index].all()
    described = json.loads((out / "results.json").read_text())
    assert described["config"]["max_params"] == 200_000
    values = nb201.load(columns=[column]).columns[column].values
    best = np.where(within, values, -1).argmax()
    assert described["columns"][column]["optimum_index"] == best
    assert described["columns"][column]["optimum"] == values[best]
    done = in_process.call("nb201", *flags, "--resume")
    assert done.code == 2 and "max_params: 200000 then, None now" in done.err


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--max-params", "73k"], "73,000 parameters: the smallest has 73,306"),
        (["--max-macs", "1k"], "1,000 multiply-adds: the smallest has 7,783,040"),
        (["--max-params", "1.0Q"], "'1.0Q' is no number of at least 1; allowed"),
        (["--protocol", "published", "--max-params", "1M"], "fixes --max-params"),
    ],
)
def test_bounds_that_nb201_refuses(tmp_path, flags, message):
    done = in_process.call("nb201", *flags, "--out", tmp_path / "run")
    assert done.code == 2 and message in done.err
    assert not (tmp_path / "run").exists()


def test_compare_takes_the_costs_from_the_file(tmp_path):
    """Of a whole table and of one that lacks rows; without bounds they do not count."""
    size = 1000 * OPS.sum(1) + 500
    for name, rows in (("whole", np.arange(81)), ("part", RNG.permutation(81)[:50])):
        table, out = tmp_path / f"{name}.npz", tmp_path / name
        cost = RNG.normal(200, 40, 81)[rows]
        np.savez(table, ops=OPS[rows], cost=cost, params=size[rows], odd=cost)
        flags = ["--table", table, "--columns", "cost", "--goal", "min", *SMALL]
        flags += [*METHODS, "--queries", "12", "--out", out]
        done = in_process.call("compare", *flags, "--max-params", "3.5k")
        assert done.code == 0, done.err
        within = size[rows] <= 3500
        line = f"within the bounds: {within.sum()} of {len(rows)} architectures"
        assert line in (out / "report.txt").read_text()
        described = json.loads((out / "results.json").read_text())
        assert described["optimum"]["cost"] == cost[within].min()
        for key, index in arrays(out).items():
            if key.endswith("arch_index"):
                assert within[index].all()
        done = in_process.call("compare", *flags, "--resume", "--max-params", "4k")
        assert done.code == 2 and "max_params: 3500 then, 4000 now" in done.err
    for bound, message in (
        (["--max-params", "400"], "400: no row is within the bounds; the smallest has"),
        (["--max-macs", "1M"], "so it needs a column 'macs' of costs"),
    ):
        done = in_process.call("compare", *flags, *bound, "--overwrite")
        assert done.code == 2 and message in done.err


def test_search_training_bounds_the_networks_trained_longer(capsys):
    script = importlib.import_module("search_training")
    flags = ["--space", "darts", "--preset", "cpu"]
    args, run = script.parse(flags)
    assert args.constraint is None
    space = run.searched
    keys = jax.random.split(jax.random.key(0), 50)
    archs = np.asarray(jax.vmap(space.random)(keys))
    sizes = costs.darts_network(space, cells=3, channels=8, image_size=16)
    median = int(np.median(costs.params(sizes, archs)))
    args, _ = script.parse([*flags, "--max-params", str(median)])
    wanted = costs.params(sizes, archs) <= median
    np.testing.assert_array_equal(args.constraint.feasible(archs), wanted)
    with pytest.raises(SystemExit):
        script.parse([*flags, "--max-params", "10"])
    assert "no architecture of darts has at most 10 parameters" in (
        capsys.readouterr().err
    )
