"""Every flag of a searcher's settings acts on a method that runs, or is refused."""

import dataclasses
import importlib
import sys
from pathlib import Path

import pytest

from nasjax.runs import cli, flags, methods
from nasjax.runs.cli import flag

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
OTHERS = {
    "schedule": ("together",),
    "exploration": ("warm-up", "epsilon-greedy"),
    "critic_loss": ("squared",),
    "actor_output": ("tanh",),
    "observation": ("share",),
    "stored_action": ("discrete",),
    "update_order": ("actor-first",),
    "mode": ("editor",),
    "reward": ("relative",),
    "noise": ("gaussian", "uniform"),
    "acquisition": ("bound", "both"),
    "pending": ("lowest",),
    "hidden": ("7,7,7",),
    "listed_proposals": ("3,4",),
}
NUMBERS = {"eta": "3", "min_bandwidth": "0.2"}  # 1 and 0.75 are out of range
# What a method must have for a field to matter.
NEEDS = {
    "warm_up": "--exploration warm-up",
    "env_accuracy": "--reward relative",
    **dict.fromkeys(("epsilon_start", "epsilon_stop", "epsilon_steps"), ""),
    **dict.fromkeys(("smoothing", "smoothing_clip"), "--{}critics 2"),
    **dict.fromkeys(
        ("exploit", "similar", "stagnation", "recent", "ou_theta", "ou_sigma", "ou_dt"),
        "--{}bursts true",
    ),
}


def script(name):
    sys.path.insert(0, str(EXPERIMENTS))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(str(EXPERIMENTS))


def another(name, value):
    """A value that is allowed and differs, as text."""
    if isinstance(value, str | tuple):
        return next(text for text in OTHERS[name] if text != value)
    if name in NUMBERS:
        return NUMBERS[name]
    if isinstance(value, bool):
        return str(not value).lower()
    if isinstance(value, int):
        return str(value + 1)
    return "0.75" if value != 0.75 else "0.5"


def read(parse, argv, capsys):
    """The configs, or the line that refuses."""
    try:
        return parse(argv).configs, ""
    except SystemExit as error:
        assert error.code == 2
        return None, capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "offered", "needed"),
    [
        ("nb201", methods.SEARCHERS, []),
        ("compare", methods.ALL, ["--table", "x.npz"]),
        ("fidelities", methods.FIDELITIES, []),
        ("search_supernet", ("cadam", "random", "evolution", "evolution-64"), ["x"]),
    ],
)
def test_every_flag_acts_on_every_method_or_is_refused(name, offered, needed, capsys):
    parse = script(name).parse
    needed = ["--supernet", "x"] if needed == ["x"] else needed
    acted = set()
    for method in offered:
        usual = parse([*needed, "--methods", method]).configs
        for prefix, names in flags.families(offered).items():
            shown = usual[names[0]]
            for field in dataclasses.fields(shown):
                text = another(field.name, getattr(shown, field.name))
                which = flag(prefix, field.name)
                argv = [*needed, "--methods", method, which, text]
                configs, error = read(parse, argv, capsys)
                if configs is None:
                    assert f"{which} " in error and "would change nothing" in error
                    assert (method not in names) == ("leaves out" in error)
                    continue
                assert method in names
                assert configs[method] != usual[method]
                acted.add((prefix, field.name))
    every = {
        (prefix, field.name)
        for prefix, names in flags.families(offered).items()
        for field in dataclasses.fields(methods.METHODS[names[0]].config)
    }
    assert {name for _, name in every - acted} <= set(NEEDS)


@pytest.mark.parametrize("field", sorted(NEEDS))
def test_what_only_acts_beside_another_flag(field):
    parse, prefix = script("nb201").parse, ""
    method, family = "cadam", type(methods.METHODS["cadam"].config)
    if field not in family.__dataclass_fields__:
        method, prefix = "ddas-nl", "ddas-"
    default = getattr(methods.METHODS[method].config, field)
    argv = ["--methods", method, *NEEDS[field].format(prefix).split()]
    text = another(field, default)
    found = parse([*argv, flag(prefix, field), text]).configs[method]
    assert str(getattr(found, field)) == text


@pytest.mark.parametrize(
    ("argv", "method", "changed"),
    [
        (
            "--methods cadam-td3 --tau 0.1 --critic-lr 0.1",
            "cadam-td3",
            {"tau": 0.1, "critic_lr": 0.1, "critics": 2},
        ),
        (
            "--methods evolution,evolution-64 --evolution-population 5",
            "evolution-64",
            {"population": 64, "sample": 16},
        ),
        (
            "--methods evolution,evolution-64 --evolution-population 5",
            "evolution",
            {"population": 5},
        ),
        ("--methods one-bound --best-beta 2", "one-bound", {"beta": 2, "far_beta": 2}),
        (
            "--methods no-actor --best-random-proposals 10",
            "no-actor",
            {"actor_proposals": 0, "random_proposals": 266},
        ),
        (
            "--methods fixed-actor,bayesian-actor-critic --best-actor-lr 0.5",
            "fixed-actor",
            {"actor_lr": 0.0},
        ),
    ],
)
def test_variants_follow_all_but_what_defines_them(argv, method, changed):
    configs = script("compare").parse(["--table", "x.npz", *argv.split()]).configs
    assert {name: getattr(configs[method], name) for name in changed} == changed


@pytest.mark.parametrize(
    ("name", "argv", "text"),
    [
        (
            "nb201",
            "--evolution-population 5 --methods evolution-64",
            "--evolution-population 5 would change nothing: it is 64 in evolution-64",
        ),
        (
            "nb201",
            "--reinforce-momentum 0.5 --methods cadam",
            "it is of reinforce, which --methods leaves out",
        ),
        ("nb201", "--preset td3 --methods random", "--preset td3 would change nothing"),
        ("ddas", "--ablate loss --loss-weight 0.5", "it is 0.0 in nl-no-loss"),
        ("ddas", "--ablate loss --os-loss 2", "--os-loss 2.0 would change nothing"),
        ("ddas", "--variant rs --ablate loss", "--variant rs has no reward"),
        ("ddas", "--variant rs --gamma 0.5", "which --variant leaves out"),
        ("ddas", "--variant nl --recent 9", "nl has bursts False"),
        ("ddas", "--variant nl --exploit 9", "nl has bursts False"),
        ("nb201", "--critic-loss squared --tau 0.5", "cadam has critic_loss squared"),
        (
            "nb201",
            "--methods bayesian-actor-critic --best-far-beta 2 --best-acquisition "
            "improvement",
            "bayesian-actor-critic has acquisition improvement",
        ),
        ("ddas", "--os-accuracy -0.5", "allowed is at least 0"),
    ],
)
def test_a_flag_without_effect_is_refused(name, argv, text, capsys):
    configs, error = read(script(name).parse, argv.split(), capsys)
    assert configs is None and text in error
    assert error.count("\n") == 2 and error.endswith("\nsee --help\n")


def test_methods_that_keep_their_own_value_are_named(capsys):
    """Where other chosen methods follow a flag."""
    methods = ["--methods", "evolution,evolution-64"]
    script("nb201").parse([*methods, "--evolution-population", "5"])
    assert capsys.readouterr().err == (
        "--evolution-population 5 does not change all methods: it is 64 in "
        "evolution-64\n"
    )
    variants = ["--variant", "nl,4s", "--ablate", "none,loss"]
    script("ddas").parse([*variants, "--recent", "9"])
    found = capsys.readouterr().err
    assert "nl has bursts False; nl-no-loss has bursts False\n" in found
    script("nb201").parse(["--methods", "cadam,cadam-td3", "--tau", "0.5"])
    assert capsys.readouterr().err == ""


def test_a_run_that_was_started_with_an_idle_flag_goes_on():
    """Older versions took it, and it stands in their config.json."""
    parse = script("nb201").parse
    args = parse(["--methods", "cadam", "--warm-up", "4", "--resume"])
    assert args.configs["cadam"].warm_up == 4


def test_every_flag_of_ddas_acts_or_is_refused(capsys):
    parse, acted = script("ddas").parse, set()
    default = methods.METHODS["ddas-nl"].config
    for variant in ("nl", "g", "4s", "td3", "rs"):
        for term in ("none", "loss", "accuracy"):
            argv = ["--variant", variant, "--ablate", term]
            usual, _ = read(parse, argv, capsys)
            for field in dataclasses.fields(default):
                value = getattr(default, field.name)
                more = [flag("", field.name), another(field.name, value)]
                configs, error = read(parse, [*argv, *more], capsys)
                if configs is None:
                    assert "would change nothing" in error
                    continue
                ((key, config),) = configs.items()
                value = getattr(config, field.name)
                assert cli.reader(value)(more[1]) == value
                if field.name not in ("noise", "bursts", "critics", "actor_delay"):
                    assert value != getattr(usual[key], field.name)
                acted.add(field.name)
    assert acted == {field.name for field in dataclasses.fields(default)}


def test_the_small_preset_learns_late_from_its_own_last_steps():
    """Phase 4 sees what phases 3 and 4 asked, as 500 of 500 + 500 in the thesis."""
    module = script("ddas")
    for preset in module.PRESETS.values():
        assert preset.recent == preset.exploit
        assert preset.recent == preset.steps - preset.explore - preset.exploit
    args = module.parse(["--preset", "cpu", "--variant", "4s"])
    assert args.configs["4s"].recent == 200


def test_methods_without_configs_have_their_own():
    """The benchmark of searchers takes what the names say."""
    for name in ("evolution-64", "cadam-td3", "no-actor"):
        made = methods.factory(name, {})
        method = methods.METHODS[name]
        assert made.keywords["config"] == method.finish(method.config)
    with pytest.raises(ValueError, match="'tpe' is unknown; allowed: cadam, "):
        methods.factory("tpe", {})
    with pytest.raises(ValueError, match="bohb chooses a fidelity for each query"):
        methods.factory("bohb", {})


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("nb201", "--seeds --steps --columns --methods --preset --out --resume"),
        ("compare", "--table --columns --goal --queries --methods --out --resume"),
        ("search_supernet", "--supernet --seeds --steps --methods --out --resume"),
        ("ddas", "--variant --dataset --data-dir --seeds --preset --out --resume"),
        ("evaluate", "--genotype --genotypes --dataset --preset --out --resume"),
        ("train_supernet", "--space --dataset --preset --out --resume"),
    ],
)
def test_the_first_screen_of_help_has_the_main_flags(name, wanted, capsys, monkeypatch):
    """24 lines of 80 columns, from the first flag on."""
    monkeypatch.setenv("COLUMNS", "80")
    module = script(name)
    parse = module.parse if hasattr(module, "parse") else module.parser().parse_args
    with pytest.raises(SystemExit) as stop:
        parse(["--help"])
    assert stop.value.code == 0
    lines = capsys.readouterr().out.split("\noptions:\n")[1].splitlines()[:24]
    shown = [line.split()[0].rstrip(",") for line in lines if line.startswith("  -")]
    assert set(wanted.split()) <= set(shown)
