"""`--max-params` and `--max-macs`."""

import argparse

import numpy as np
import pytest

from nasjax import costs, nas_bench_201
from nasjax.data import nb201
from nasjax.runs import bounds
from nasjax.spaces import darts

pytestmark = pytest.mark.usefixtures("quick_compile")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("250000", 250_000),
        ("1.0M", 1_000_000),
        ("300k", 300_000),
        ("1e6", 1_000_000),
        ("2G", 2_000_000_000),
        (".5k", 500),
    ],
)
def test_numbers(text, value):
    assert bounds.number(text) == value


@pytest.mark.parametrize("text", ["", "M", "one", "0", "-1k", "nan", "inf", "1.0Q"])
def test_other_texts(text):
    with pytest.raises(argparse.ArgumentTypeError, match="allowed: such as 250000"):
        bounds.number(text)


def parsed(**limits):
    return argparse.Namespace(**{**bounds.ABSENT, **limits})


def test_rows_and_the_line():
    ops, space = nb201.official_ops(), nas_bench_201()
    args = parsed(max_params=360_000, max_macs=40_000_000)
    rows = bounds.rows(args, space, ops)
    params, macs = (f(costs.nb201_network(), ops) for f in (costs.params, costs.macs))
    wanted = (params <= 360_000) & (macs <= 40_000_000)
    np.testing.assert_array_equal(rows, np.flatnonzero(wanted))
    meets = bounds.constraint(args, space, bounds.network(space))
    text = bounds.described(space, meets)
    assert text == f"within the bounds: {len(rows):,} of 15,625 architectures"
    assert bounds.record(args) == {"max_params": 360_000, "max_macs": 40_000_000}
    meets = bounds.constraint(args, darts(), costs.darts_network(darts(), channels=8))
    assert bounds.described(darts(), meets).endswith("% of random architectures")
    assert bounds.rows(parsed(), space, ops) is None
    assert bounds.record(parsed()) == {}
