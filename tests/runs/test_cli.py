import argparse

import pytest

from nasjax.data.nb201.__main__ import main
from nasjax.runs import candidate_config, cli, network_config, supernet_config
from nasjax.searchers.cadam_config import CadamConfig


def test_seeds():
    assert cli.seeds("3") == [3]
    assert cli.seeds("1-4") == [1, 2, 3, 4]
    assert cli.seeds("1,4,7") == [1, 4, 7]
    assert cli.seeds("1-3, 8") == [1, 2, 3, 8]


@pytest.mark.parametrize("text", ["", "1-", "-3", "a", "4-2", "1,1", "1-3,2", "1e3"])
def test_bad_seeds(text):
    with pytest.raises(argparse.ArgumentTypeError):
        cli.seeds(text)


def test_seeds_have_a_limit():
    with pytest.raises(argparse.ArgumentTypeError, match="4294967296"):
        cli.seeds("4294967296")
    with pytest.raises(argparse.ArgumentTypeError, match="more than"):
        cli.seeds("1-9999999")


def test_names_keep_their_order_and_refuse_strangers():
    read = cli.names(("a", "b", "c"))
    assert read("c,a") == ["c", "a"]
    for text in ("d", "a,a", ""):
        with pytest.raises(argparse.ArgumentTypeError):
            read(text)


def test_a_flag_for_every_field():
    parser = argparse.ArgumentParser()
    cli.add_config_flags(parser, CadamConfig(), "", "CADAM")
    given = "--tau 0.5 --actor-lr 1e-3 --hidden 8,9 --top-k 3 --critic-loss squared"
    args = parser.parse_args(given.split())
    config = cli.config_from_flags(args, CadamConfig(), "")
    assert config == CadamConfig(
        tau=0.5, actor_lr=1e-3, hidden=(8, 9), top_k=3, critic_loss="squared"
    )
    options = " ".join(parser.format_help().split())
    for name in CadamConfig.__dataclass_fields__:
        assert "--" + name.replace("_", "-") in options
    assert "quantile level of the check loss" in options


def test_numbers():
    assert cli.numbers(1)("1,10") == [1, 10]
    with pytest.raises(argparse.ArgumentTypeError, match="1 or more"):
        cli.numbers(1)("1,0")


DOC = """Does a thing.

    python thing.py --table FILE

Explains it at length.
"""


def parser():
    made = cli.Parser(DOC, prog="thing.py")
    made.add_argument("--table", required=True, metavar="FILE")
    made.add_argument("--steps", type=int)
    either = made.add_mutually_exclusive_group(required=True)
    either.add_argument("--one", metavar="X")
    either.add_argument("--many", metavar="Y")
    return made


def test_a_usage_error_is_one_line(capsys):
    with pytest.raises(SystemExit) as caught:
        parser().parse_args(["--steps", "x"])
    assert caught.value.code == 2
    out, err = capsys.readouterr()
    reason = "argument --steps: invalid int value: 'x'"
    assert (out, err) == ("", f"thing.py: error: {reason}\nsee --help\n")


def test_help_begins_with_what_must_be_given():
    text = parser().format_help()
    usage = "usage: thing.py [options] (--one X | --many Y) --table FILE\n\n"
    assert text.startswith(f"{usage}Does a thing.\n\n    python thing.py")
    assert text.index("--steps") < text.index("Explains it at length.")


def test_commands_have_short_errors_too(capsys):
    assert main(["show", "/nowhere.npz"]) == 1
    capsys.readouterr()
    with pytest.raises(SystemExit):
        main(["import", "x"])
    lines = capsys.readouterr().err.splitlines()
    assert lines[-1].startswith("python -m nasjax.data.nb201 import: error: ")
    assert len(lines) <= 4


@pytest.mark.parametrize(
    ("seeds", "said"),
    [
        ([20], "1 seed: 20 (1-20 would be 20 seeds)\n"),
        ([1], ""),
        ([0], ""),
        ([1, 2], ""),
    ],
)
def test_one_seed_that_may_be_a_count(seeds, said, capsys):
    cli.say_seeds(seeds)
    assert capsys.readouterr().out == said


@pytest.mark.parametrize(
    "module, arguments",
    [
        (network_config, ("darts",)),
        (supernet_config, ("darts",)),
        (candidate_config, ("nb201",)),
    ],
)
def test_a_preset_that_does_not_exist_is_named(module, arguments):
    with pytest.raises(ValueError, match=r"preset is 'cpuu'; allowed: .*cpu"):
        module.preset(*arguments, "cpuu")
