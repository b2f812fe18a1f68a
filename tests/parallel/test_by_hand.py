"""`python -m nasjax.parallel`, which a program in any language can call."""

import dataclasses
import functools
import json

import pytest

from nasjax.networks import families
from nasjax.parallel import earlier
from nasjax.parallel import journal as journals
from nasjax.parallel.__main__ import main
from nasjax.runs import methods
from nasjax.spaces import darts, nas_bench_201

pytestmark = pytest.mark.usefixtures("quick_compile")


def test_ask_tell_best(tmp_path, capsys, monkeypatch):
    factory = methods.factory
    # One searcher of a method for all calls, so that it is compiled once.
    searcher = functools.cache(lambda method, space: factory(method, {})(space))
    monkeypatch.setattr(
        methods, "factory", lambda method, _: functools.partial(searcher, method)
    )
    out = ["--out", str(tmp_path / "run")]
    settings = ["--space", "nb201", "--method", "evolution", "--queries", "3"]
    earlier = tmp_path / "earlier.csv"
    earlier.write_text("arch,accuracy\n1 1 1 1 1 1,0.3\n")

    def call(command, *flags):
        status = main([command, *out, *flags])
        return status, capsys.readouterr()

    assert call("tell", "--query", "0", "--accuracy", "1")[0] == 2
    _, printed = call("ask", *settings, "--earlier", str(earlier))
    assert "a new search of 3 queries in" in printed.err
    first = json.loads(printed.out)
    assert first["query"] == 0
    assert len(first["arch"]) == 6
    assert first["genotype"].startswith("|")
    status, printed = call("ask")
    assert printed.err == ""
    second = json.loads(printed.out)
    assert second["query"] == 1
    assert second["arch"] != first["arch"]
    for value in ("93", "nan", "good"):
        with pytest.raises(SystemExit):
            call("tell", "--query", "1", "--accuracy", value)
        assert (
            f"'{value}' is not a fraction; allowed: 0 to 1" in capsys.readouterr().err
        )
    status, printed = call("tell", "--query", "1", "--accuracy", "0.93")
    assert status == 0
    assert json.loads(printed.out)["accuracy"] == 0.93
    status, printed = call("tell", "--query", "1", "--accuracy", "0.93")
    assert status == 2
    assert "told already; pending: 0" in printed.err
    assert call("tell", "--query", "0", "--failed", "no memory")[0] == 0
    json.loads(call("ask")[1].out)
    status, printed = call("ask")
    assert status == 2
    assert "all 3 queries are asked" in printed.err
    assert json.loads(call("ask", "--queries", "4")[1].out)["query"] == 3
    status, printed = call("ask", "--seed", "1")
    assert status == 2
    assert "has --seed 0" in printed.err
    _, printed = call("best")
    assert "2 queries, 1 failed, 1 earlier" in printed.out
    assert "93.00 %" in printed.out
    assert "pending: 2, 3" in printed.out
    assert (tmp_path / "run" / "results.csv").read_text().count("\n") == 5


def test_every_registered_space_is_accepted(tmp_path, capsys, monkeypatch):
    nb201 = families.FAMILIES["nb201"]
    variants = {"toy": nb201.variants["nb201"]}
    toy = dataclasses.replace(nb201, name="toy", variants=variants)
    monkeypatch.setitem(families.FAMILIES, "toy", toy)
    spaces = {
        "nb201": nas_bench_201(),
        "toy": nas_bench_201(),
        "darts": darts(),
        "pc-darts": darts(),
        "darts-none": darts(none=True),
    }
    assert families.variants().keys() | {"darts-none"} == spaces.keys()
    for name, space in spaces.items():
        out = ["--out", str(tmp_path / name)]
        assert main(["ask", *out, "--space", name, "--method", "random"]) == 0
        query = json.loads(capsys.readouterr().out)
        events = journals.read(tmp_path / name / journals.NAME).events
        assert events[0]["space"] == journals.describe(space)
        assert earlier.architecture(space, query["genotype"]).tolist() == query["arch"]
        assert main(["best", *out]) == 0, "the space is read from config.json"
        assert capsys.readouterr().out == "pending: 0\n"
    with pytest.raises(SystemExit):
        main(["ask", *out, "--space", "cifar"])
    assert "choose from" in capsys.readouterr().err
