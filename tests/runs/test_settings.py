"""Settings of sweeps: values as text, designs, programs, refusals."""

import jax
import numpy as np
import pytest

import nasjax
from nasjax.runs import setting_flags
from nasjax.runs.settings import Setting, factory, grid, settings, traced_values


@pytest.mark.parametrize(
    ("described", "default", "values"),
    [
        ("0.5:0.99:6", 0.9, [0.5, 0.598, 0.696, 0.794, 0.892, 0.99]),
        ("log:1e-9:1e-4:6", 1e-8, [1e-9, 1e-8, 1e-7, 1e-6, 1e-5, 1e-4]),
        ("16:64:4", 64, [16, 32, 48, 64]),
        ("1e-8, 1e-7", 1e-8, [1e-8, 1e-7]),
        ("128x256x128,64", (1,), [(128, 256, 128), (64,)]),
        ("check,squared", "check", ["check", "squared"]),
        ("true,false", True, [True, False]),
    ],
)
def test_values_by_hand(described, default, values):
    read = setting_flags.read_values(described, default)
    assert read == values
    assert [type(x) for x in read] == [type(x) for x in values]


def names(found):
    return [setting.name for setting in found]


def test_designs_by_hand():
    values = {"tau": [0.5, 0.9, 0.7], "top_k": [64, 8]}
    assert names(settings("cadam", values)) == [
        "cadam tau=0.5",
        "cadam tau=0.5 top-k=8",
        "cadam",
        "cadam top-k=8",
        "cadam tau=0.7",
        "cadam tau=0.7 top-k=8",
    ]
    one = settings("cadam", values, design="one-at-a-time")
    assert names(one) == ["cadam", "cadam tau=0.5", "cadam tau=0.7", "cadam top-k=8"]
    base = nasjax.CadamConfig(tau=0.7)
    one = settings("cadam", {"top_k": [8]}, base, "one-at-a-time")
    assert names(one) == ["cadam tau=0.7", "cadam tau=0.7 top-k=8"]
    assert names(settings("random", {})) == ["random"]


def test_values_without_effect_make_no_settings():
    """tau is of the check loss alone."""
    tried = grid("cadam", tau=[0.5, 0.7], critic_loss=["check", "squared"])
    assert names(tried) == [
        "cadam tau=0.5",
        "cadam critic-loss=squared",
        "cadam tau=0.7",
    ]


def test_traced_fields_share_a_program():
    """2 x 3 settings; the widths fix shapes, the quantile does not."""
    tried = grid("cadam", tau=[0.25, 0.5, 0.75], hidden=[(8,), (8, 8)])
    assert len(tried) == 6
    programs = {}
    for setting in tried:
        programs.setdefault(setting.program, []).append(setting)
    assert [len(x) for x in programs.values()] == [3, 3]
    for alike in programs.values():
        (config,) = traced_values(alike)
        np.testing.assert_array_equal(config.tau, np.float32([0.25, 0.5, 0.75]))
        assert config.hidden == alike[0].config.hidden
        assert config.epsilon_steps.dtype == np.int32
        space = nasjax.table_space(2, ("a", "b"))
        lane = jax.tree.map(lambda x: x[0], config)
        assert factory(alike[0])(space, lane).space == space
    assert traced_values([Setting("random", None)]) == ()


@pytest.mark.parametrize(
    ("sets", "methods", "says"),
    [
        (["tau=0.5,1.5"], "cadam", r"cadam: tau must lie in \[0, 1\], got 1.5"),
        (["top-k=0"], "cadam", "cadam: top_k must be at least 1, got 0"),
        (["reward=log"], "cadam", "cadam: reward is 'log'; allowed: power, relative"),
        (["hidden=8x0"], "cadam", "cadam: hidden must list widths of at least 1"),
        (["tau=high"], "cadam", "--set tau=high: cadam: 'high' is not valid"),
        (["tau=0.5:0.9"], "cadam", "allowed: low:high:count, log:low:high:count"),
        (["tau=0.5:0.9:1"], "cadam", "needs a count of at least 2"),
        (["actor-lr=log:0:1:3"], "cadam", "needs ends above 0"),
        (["reward=0:1:3"], "cadam", "is a range, and the field is no number"),
        (["top-k=1:2:3"], "cadam", "'1.5' is not valid; allowed: a whole number"),
        (["tua=0.5"], "cadam", "cadam: tua is unknown; allowed: actor-lr, critic-lr"),
        (["tau=0.5", "tau=0.6"], "cadam", "tau is set twice"),
        (["tau"], "cadam", "write NAME="),
        (["tau=0.5"], "cadam random", "several methods run; write METHOD.tau"),
        (["ddas.tau=0.5"], "cadam random", "'ddas' does not run"),
        (["random.tau=1"], "cadam random", "tau is unknown; allowed: none"),
        (["critics=1"], "cadam-td3", "cadam-td3: critics is fixed"),
        (["warm-up=5"], "cadam", "cadam: warm-up 5 would change nothing"),
    ],
)
def test_refusals_name_the_field_and_the_method(sets, methods, says):
    methods = methods.split()
    with pytest.raises(ValueError, match=says):
        for name, values in setting_flags.read_sets(sets, methods).items():
            settings(name, values)


def test_a_whole_number_stays_one():
    """It would be searched as 87."""
    with pytest.raises(ValueError, match=r"cadam: epsilon-steps 87\.5 must be a whole"):
        grid("cadam", epsilon_steps=[87.5, 175])


def test_a_setting_by_name():
    tried = [*grid("cadam", tau=[0.5, 0.9]), *settings("random", {})]
    assert setting_flags.named("cadam tau=5e-1", tried) == tried[0]
    assert setting_flags.named("cadam", tried) == tried[1]
    assert setting_flags.named("random", tried) == tried[2]
    assert setting_flags.named("tau=0.5", tried[:2]) == tried[0]
    with pytest.raises(ValueError, match=r"none of the settings: cadam tau=0.5, cadam"):
        setting_flags.named("tau=0.6", tried[:2])
