"""experiments/tables.py: published rows, computed costs, results beside them."""

import functools
import json
from pathlib import Path

import in_process
import numpy as np
import pytest

from nasjax.analysis import candidates, plots, retrained, retrained_tables, thesis
from nasjax.analysis.retrained import ResultsError
from nasjax.spaces import genotypes

ROOT = Path(__file__).parents[2]
SEARCHED = ROOT / "experiments" / "results" / "search-nb201"


call = functools.partial(in_process.call, "tables")


def line(text, start):
    """The rest of the one line that begins with `start`, with single spaces."""
    lines = (" ".join(x.split()) + " " for x in text.splitlines())
    (rest,) = (x for x in lines if x.startswith(f"{start} "))
    return rest[len(start) :].strip()


def block(text, title):
    """The part of the output under a title."""
    (part,) = (x for x in text.split("\n\n") if x.startswith(title))
    return part


def write(folder, content):
    folder.mkdir(parents=True)
    (folder / "results.json").write_text(json.dumps(content))
    return folder


def evaluation(genotype="DARTS_V2", values=(0.97, 0.974), entry=None, **config):
    """Results as evaluate.py writes them."""
    known = genotypes.PUBLISHED[genotype]
    config = {"dataset": "cifar10", "preset": "ddas", "cells": 20} | config
    accuracy = {"mean": 0.0, "deviation": 0.0, "values": list(values)}
    best = accuracy | {"values": [x + 0.001 for x in values], "note": "a leak"}
    content = {
        "config": {"channels": 36, "classes": 10} | config,
        "genotype": genotypes.to_json(known),
        "printed": str(known),
        "params": 3_349_342,
        "params_with_auxiliary": 3_825_768,
        "macs": 528_359_040,
        "flops": 1_078_201_728,
        "test_accuracy": {"last": accuracy, "best": best},
    }
    return content if entry is None else content | {"frontier": entry}


def point(variant, step, valid, test, gflops, millions, **more):
    """One network of a frontier, at sizes of its own."""
    where = {"variant": variant, "seed": 2, "step": step, "flops": 1, "parameters": 1}
    content = evaluation(
        values=[test], entry=where | {"validation_accuracy": valid}, cells=10, **more
    )
    content["flops"] = round(gflops * 1e9)
    return content | {"params_with_auxiliary": round(millions * 1e6)}


@pytest.fixture(scope="module")
def alone():
    code, out, err = call()
    assert (code, err) == (0, "")
    return out


def test_published_rows_as_printed(alone):
    first = block(alone, "Table 3.1, CIFAR-10\n")
    assert line(first, "DDAS-G") == "96.81 3.10M 0.839G – – – published"
    assert line(first, "ENAS") == "97.11 4.60M – – – – quoted"
    hundred = block(alone, "Table 3.1, CIFAR-100\n")
    assert line(hundred, "RS") == "80.76 3.55M 0.920G – – – published"
    second = block(alone, "Table 4.2")
    assert line(second, "CADAM") == "97.46 ± 0.09 3.7M – – – published"
    third = block(alone, "Table 4.3")
    assert line(third, "PC-CADAM-IN") == "75.1 92.3 5.0M – – – published"
    ranks = block(alone, "Table 3.2, CIFAR-100\n")
    assert line(ranks, "DDAS-4S") == "0.600 – published"
    slopes = block(alone, "Slopes (3.2.2), CIFAR-10\n")
    assert line(slopes, "all") == "2.86 > 0.93 2.123 > 0.93 – published"
    last = block(alone, "Table 4.4")
    assert line(last, "PC-ImageNet32-120-Test") == "49.43 46.45 8 published"


def test_all_rows_are_there():
    """As many as the thesis prints."""
    counts = [len(table.rows) for table in thesis.TABLES.values()]
    assert counts == [12, 8, 14, 13]
    others = (thesis.TABLE_3_2, thesis.TABLE_4_1, thesis.TABLE_4_4)
    assert [*map(len, others)] == [4, 11, 6]


def test_computed_costs_are_the_printed_ones():
    """Within the last printed digit, wherever a genotype is public.

    Table 3.1 counts the auxiliary head, chapter 4 does not. Of DARTS's first order the
    quoted 3.3M is not the 3.17M of its public genotype.
    """
    checked = 0
    for name, table in thesis.TABLES.items():
        for row in table.rows:
            if not row.genotype or row.name == "DARTS 1st":
                continue
            cost = thesis.cost(genotypes.PUBLISHED[row.genotype], table.dataset)
            if name.startswith("3.1"):
                assert f"{cost.with_auxiliary / 1e6:.2f}M" == row.params, row
                assert abs(cost.flops / 1e9 - float(row.flops[:-1])) < 0.001, row
            else:
                assert abs(cost.params / 1e6 - float(row.params[:-1])) < 0.051, row
            checked += 1
    assert checked == 13


def test_costs_of_public_sources(alone):
    printed = line(block(alone, "Table 3.1, CIFAR-10\n"), "DARTS 2nd Order")
    assert printed == "97.24 3.83M 1.078G 3.349M 3.826M 1.0782G quoted"
    v2, pc = (genotypes.PUBLISHED[x] for x in ("DARTS_V2", "PC_DARTS_cifar"))
    assert thesis.cost(v2, "imagenet")[:2] == (4_718_752, 5_979_528)
    assert thesis.cost(pc, "cifar100")[:2] == (3_686_608, 4_232_244)
    with pytest.raises(ValueError, match="'svhn': allowed are cifar10, "):
        thesis.cost(v2, "svhn")


def test_evaluated_networks_stand_in_their_tables(tmp_path):
    write(tmp_path / "a", evaluation())
    write(tmp_path / "b", evaluation(preset="cadam", values=[0.975]))
    write(tmp_path / "c", evaluation(dataset="cifar100", values=[0.82]))
    write(tmp_path / "d", evaluation(dataset="imagenet", preset="imagenet", cells=14))
    other = evaluation(preset="nb201", cells=5)
    other |= {"flops": None, "genotype": "|none~0|+", "printed": "|none~0|+"}
    write(tmp_path / "e", other)
    code, out, err = call(tmp_path)
    assert (code, err) == (0, "")
    expected = {
        "Table 3.1, CIFAR-10\n": ("ddas, 20", "97.20 ± 0.28 – – 3.349M 3.826M 1.0782G"),
        "Table 3.1, CIFAR-100\n": ("ddas, 20", "82.00 – – 3.349M"),
        "Table 4.2": ("cadam, 20", "97.50 – 3.349M"),
        "Table 4.3": ("imagenet, 14", "97.20 ± 0.28 – – 3.349M"),
    }
    for title, (network, figures) in expected.items():
        (row,) = (x for x in block(out, title).splitlines() if "measured" in x)
        words = " ".join(row.split())
        assert words.startswith(f"DARTS_V2 ({network} cells, C = 36) {figures}")
    details = block(out, "evaluated")
    # The best epochs are 97.1 and 97.5.
    seen = line(details, "DARTS_V2 on imagenet")
    assert seen.startswith("97.20 ± 0.28 97.30 ± 0.28 2 ")
    assert line(details, "e on cifar10").endswith(f" {tmp_path / 'e'}")
    assert not (tmp_path / "runs").exists()


NETWORK = "(ddas, 10 cells, C = 36)"
POINTS = [
    # variant, step, validation, test, GFLOPS, millions
    ("nl", 1, 0.80, 0.950, 0.5, 2.0),
    ("nl", 2, 0.82, 0.960, 0.7, 2.5),
    ("nl", 3, 0.84, 0.955, 0.9, 3.5),
    ("rs", 4, 0.70, 0.940, 0.5, 2.0),
    ("rs", 5, 0.72, 0.960, 0.9, 4.0),
]


@pytest.fixture(scope="module")
def frontier(tmp_path_factory):
    folder = tmp_path_factory.mktemp("frontier")
    for i, values in enumerate(POINTS):
        write(folder / f"{i:03}", point(*values))
    code, out, err = call(folder, "--out", folder / "tables")
    assert (code, err) == (0, "")
    return folder, out


def test_rank_correlation_by_hand(frontier):
    """Ranks 1 2 3 against 1 3 2: 1 - 6 (0 + 1 + 1) / (3 x 8) = 0.5."""
    ranks = block(frontier[1], "Table 3.2, CIFAR-10\n")
    printed = {v: line(ranks, f"{v} seed 2 {NETWORK}") for v in ("DDAS-NL", "RS")}
    assert printed["DDAS-NL"] == "0.500 3 measured"
    assert printed["RS"] == "1.000 2 measured"
    assert "measured" not in block(frontier[1], "Table 3.2, CIFAR-100\n")


def test_slopes_by_hand(frontier):
    """RS gains 2 points from 0.5 to 0.9 GFLOPS and from 2 to 4 million."""
    slopes = block(frontier[1], "Slopes (3.2.2), CIFAR-10\n")
    rs = line(slopes, f"RS seed 2 {NETWORK}")
    assert rs == "5.000 1.000 1.000 1.000 2 measured"
    # Of NL: 95, 96, 95.5 at 0.5, 0.7, 0.9: sxy 0.1, sxx 0.08, syy 0.5.
    nl = line(slopes, f"DDAS-NL seed 2 {NETWORK}")
    assert nl.startswith("1.250 0.500 ")
    # All five: mean x 0.7, mean y 95.3; sxy = 0.06 + 0.26 + 0 + 0.04 + 0.14 = 0.5.
    # sxx = 4 x 0.04; syy = 0.09 + 0.49 + 0.04 + 1.69 + 0.49.
    pooled = line(slopes, f"all {NETWORK}")
    expected = f"{0.5 / 0.16:.3f} {0.5 / (0.16 * 2.8) ** 0.5:.3f} "
    assert pooled.startswith(expected) and pooled.endswith(" 5 measured")


def test_best_of_a_frontier(frontier):
    """By validation step 3; step 2 is better on the test images, which leaks."""
    table = block(frontier[1], "Table 3.1, CIFAR-10\n")
    rows = [" ".join(x.split()) for x in table.splitlines() if "measured" in x]
    assert [row.partition(" (")[0] for row in rows] == [
        "DDAS-NL seed 2 step 3",
        "DDAS-NL seed 2 step 2",
        "RS seed 2 step 5",
    ]
    assert rows[0].endswith("measured, by validation")
    assert rows[1].endswith("measured, by test: a leak")


def test_pictures_of_the_fronts(frontier, monkeypatch):
    folder, out = frontier
    path = folder / "tables" / "front-cifar10.png"
    assert path.read_bytes().startswith(b"\x89PNG") and f"written: {path}" in out
    assert [x.name for x in path.parent.glob("*.png")] == [path.name]
    # What is drawn: step 3 costs more than step 2 and is worse.
    import matplotlib.axes

    drawn = []
    step = matplotlib.axes.Axes.step

    def spy(self, x, y, **style):
        drawn.append((style["label"], np.round(x, 6).tolist(), y.round(6).tolist()))
        return step(self, x, y, **style)

    monkeypatch.setattr(matplotlib.axes.Axes, "step", spy)
    evaluations, _, _ = retrained.read([folder])
    (group,) = retrained.groups(evaluations).values()
    plots.retrained_fronts(folder / "again.png", group, "")
    assert drawn == [
        ("DDAS-NL, seed 2", [0.5, 0.7], [95, 96]),
        ("DDAS-NL, seed 2", [2.0, 2.5], [95, 96]),
        ("RS, seed 2", [0.5, 0.9], [94, 96]),
        ("RS, seed 2", [2.0, 4.0], [94, 96]),
    ]


def test_networks_are_compared_with_their_like(tmp_path):
    """Another number of cells is another group; one network has no correlation."""
    for i, values in enumerate(POINTS[:2]):
        write(tmp_path / str(i), point(*values))
    write(tmp_path / "2", point(*POINTS[2]) | {"config": evaluation()["config"]})
    evaluations, _, _ = retrained.read([tmp_path])
    groups = retrained.groups(evaluations)
    assert {key: len(group) for key, group in groups.items()} == {
        ("cifar10", "ddas, 10 cells, C = 36"): 2,
        ("cifar10", "ddas, 20 cells, C = 36"): 1,
    }
    lone = groups["cifar10", "ddas, 20 cells, C = 36"]
    assert retrained_tables.spearman_row("x", lone) == ["x", "–", "1", "measured"]
    assert retrained_tables.slope_row("x", lone)[1:5] == ["–"] * 4


def test_candidates_of_a_search():
    code, out, err = call(SEARCHED)
    assert (code, err) == (0, "")
    table = block(out, "Table 4.4")
    entries = json.loads((SEARCHED / "results.json").read_text())["finalists"]
    assert table.count("measured") == len(entries)
    printed = line(table, "nb201-CIFAR-10-Val, seed 1")
    shown = [entries[0][f"{x}_accuracy"] for x in ("validation", "test")]
    assert printed == " ".join(f"{100 * x:.2f}" for x in shown) + " 1 of 32 measured"
    printed = line(table, "nb201-CIFAR-10-Test, seed 1")
    assert printed.endswith(" 4 of 32 measured, by test: a leak")
    search = retrained.Searched(SEARCHED, "pc-darts", "imagenet32-120", [])
    assert search.prefix == "PC-ImageNet32-120-"


def test_each_file_counts_once(tmp_path):
    write(tmp_path / "a", evaluation())
    twice = retrained.read([tmp_path, tmp_path / "a", tmp_path])
    assert len(twice[0]) == 1


def test_the_order_of_a_pair_does_not_matter(tmp_path):
    content = evaluation("PC_DARTS_cifar")
    cell = content["genotype"]["normal"]
    cell[0], cell[1] = cell[1], cell[0]
    (network,), _, _ = retrained.read([write(tmp_path / "a", content)])
    assert network.name == "PC_DARTS_cifar"
    cell[0], cell[2] = cell[2], cell[0]  # Another cell: named by its folder.
    (network,), _, _ = retrained.read([write(tmp_path / "b", content)])
    assert network.name == "b"


def test_other_folders_are_named(tmp_path):
    (tmp_path / "empty").mkdir()
    other = write(tmp_path / "other", {"config": {}, "marks": []})
    for folder, text in (
        (tmp_path / "absent", "no such folder"),
        (tmp_path / "empty", "no results.json in it or below"),
        (other, "results of another kind, with config, marks"),
    ):
        code, out, err = call(folder)
        assert code == 2 and not out
        assert err.startswith(f"error: {folder}: ") and text in err
    # Among results that are of use, it is left out and named.
    write(tmp_path / "good", evaluation())
    code, out, err = call(tmp_path)
    assert code == 0 and "97.20" in out
    assert err.startswith(f"left out: {other}: results of another kind")


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"test_accuracy": {}}, "KeyError('last')"),
        ({"config": {"dataset": "cifar10"}}, "KeyError('preset')"),
        ({"params": "many"}, "not as expected"),
    ],
)
def test_damaged_results(tmp_path, change, text):
    folder = write(tmp_path / "a", evaluation() | change)
    with pytest.raises(ResultsError) as caught:
        retrained.read([tmp_path])
    assert str(folder / "results.json") in str(caught.value)
    assert text in str(caught.value)


def test_no_json(tmp_path):
    (tmp_path / "results.json").write_text("{")
    with pytest.raises(ResultsError, match="cannot be read"):
        retrained.read([tmp_path])


def committed(tmp_path):
    """The rows of the committed frontier as evaluate.py's folders of networks."""
    file = ROOT / "experiments" / "results" / "evaluate-frontier" / "frontier.json"
    fields = ("params", "flops", "macs", "test_accuracy")
    for entry in json.loads(file.read_text()):
        content = evaluation(entry=entry, preset="cpu", cells=3, channels=8)
        content |= {name: entry[name] for name in fields}
        write(tmp_path / entry["folder"], content)
    return tmp_path


def test_table_3_2_is_of_the_flops_front(tmp_path):
    """Of 16 networks, 6 and 5 lie on the FLOPS fronts; the others do not count."""
    code, out, err = call(committed(tmp_path), "--out", tmp_path / "tables")
    assert (code, err) == (0, "")
    ranks = block(out, "Table 3.2, CIFAR-10\n")
    network = "(cpu, 3 cells, C = 8)"
    assert "FLOPS front" in ranks and "cells" in ranks.splitlines()[1]
    assert line(ranks, f"DDAS-4S seed 0 {network}") == "-0.143 6 measured"
    assert line(ranks, f"RS seed 0 {network}") == "-0.200 5 measured"
    slopes = block(out, "Slopes (3.2.2), CIFAR-10\n")
    assert line(slopes, f"all {network}").endswith(" 11 measured")


def test_a_leak_stays_one_in_every_table(tmp_path):
    """An architecture of search_supernet.py chosen by test accuracy, then trained."""
    entries = {
        "valid": {"seed": 1, "chosen_by": "validation", "default": True},
        "test": {"seed": 1, "chosen_by": candidates.LEAK, "default": False},
    }
    for name, entry in entries.items():
        for preset in ("cadam", "ddas"):
            content = evaluation("PC_DARTS_cifar", preset=preset) | {"entry": entry}
            write(tmp_path / f"{preset}-{name}", content)
    code, out, _ = call(tmp_path)
    assert code == 0
    for title in ("Table 4.2", "Table 3.1, CIFAR-10\n"):
        rows = [x for x in block(out, title).splitlines() if "measured" in x]
        assert sorted(x.rsplit("  ", 1)[1] for x in rows) == [
            "measured",
            "measured, by test: a leak",
        ]
    assert block(out, "evaluated").count("chosen by test: a leak") == 2
