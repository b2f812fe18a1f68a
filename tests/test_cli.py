import argparse

import pytest

from nasjax import cli
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
