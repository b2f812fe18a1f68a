"""Networks from scratch: learns, resumes to the same bits, refuses bad genotypes."""

import contextlib
import io
import json
import shutil
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

import nasjax
from nasjax.analysis import evaluation
from nasjax.data import images
from nasjax.networks import derived
from nasjax.runs import devices, exporting, image_sets, network_config, networks

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "experiments" / "evaluate.py"
# Few operations: each is compiled for every stage of the network.
CELL = "|nor_conv_3x3~0|+|none~0|avg_pool_3x3~1|+|skip_connect~0|none~1|none~2|"
OTHER = CELL.replace("skip_connect", "nor_conv_1x1")
SMALL = [
    "--dataset=synthetic", "--preset=cpu", "--channels=4", "--shrink=4",
    "--padding=1", "--epochs=3", "--train-images=320", "--batch-size=32",
]  # fmt: skip
GOOD = (
    "Genotype(normal=[('sep_conv_3x3', 0), ('sep_conv_3x3', 1), ('sep_conv_3x3', 0), "
    "('sep_conv_3x3', 1), ('sep_conv_3x3', 1), ('skip_connect', 0), "
    "('skip_connect', 0), ('dil_conv_3x3', 2)], normal_concat=range(2, 6), "
    "reduce=[('max_pool_3x3', 0), ('max_pool_3x3', 1), ('skip_connect', 2), "
    "('max_pool_3x3', 1), ('max_pool_3x3', 0), ('skip_connect', 2), "
    "('skip_connect', 2), ('max_pool_3x3', 1)], reduce_concat=range(2, 6))"
)


def finish(*flags, status=0):
    """What a run in this process prints."""
    text = io.StringIO()
    with contextlib.redirect_stdout(text):
        code = run(*SMALL, *flags)
    assert code == status
    return text.getvalue()


def run(*flags):
    """In this process: for what ends before any training."""
    sys.path.insert(0, str(SCRIPT.parent))
    import evaluate

    return evaluate.main(list(map(str, flags)))


@pytest.fixture(scope="module")
def straight(tmp_path_factory, quick_compile):
    out = tmp_path_factory.mktemp("straight")
    return out, finish("--genotype", CELL, "--seeds=0,3", "--out", out)


def arrays(out):
    with np.load(out / "results.npz") as file:
        return {name: file[name] for name in file.files if name != "seconds"}


def test_a_run_leaves_its_results(straight):
    out, text = straight
    results = json.loads((out / "results.json").read_text())
    curves = arrays(out)
    assert curves["test"].shape == curves["loss"].shape == (2, 3)
    assert (curves["loss"][:, -1] < curves["loss"][:, 0]).all()
    last, best = results["test_accuracy"]["last"], results["test_accuracy"]["best"]
    np.testing.assert_allclose(last["values"], curves["test"][:, -1])
    np.testing.assert_allclose(best["values"], curves["test"].max(axis=1))
    assert "test images" in best["note"]
    assert results["genotype"] == results["printed"] == CELL
    assert results["dataset"] == "synthetic"
    assert 0 < results["linear_baseline"] < 1
    assert "last epoch" in text and "logistic regression" in text
    for seed in (0, 3):
        loaded = networks.load(out, seed)
        assert (loaded.step, loaded.epoch) == (30, 3.0)
        counted = sum(x.size for x in jax.tree.leaves(loaded.params))
        assert counted == results["params"] == results["params_with_auxiliary"]
    lines = [json.loads(line) for line in (out / "log.jsonl").open()]
    assert [(line["seeds"], line["epoch"]) for line in lines] == [
        ([seed], epoch) for seed in (0, 3) for epoch in (1, 2, 3)
    ]
    assert (out / "curves.png").stat().st_size > 1000


def test_a_finished_run_is_exported(straight, tmp_path):
    """The files classify as many test images as the run did, from uint8 alone."""
    out = tmp_path / "copy"
    shutil.copytree(straight[0], out)
    flags = "--genotype", CELL, "--seeds=0,3", "--out", out, "--resume", "--export"
    assert "network-3.stablehlo" in finish(*flags)
    test = images.synthetic().test
    shrunk = image_sets.shrink(test.images, 4)
    for seed, wanted in zip((0, 3), arrays(out)["test"][:, -1], strict=True):
        predict = nasjax.load_network(out / f"network-{seed}.npz")
        right = np.argmax(predict(shrunk), axis=1) == test.labels
        np.testing.assert_array_equal(predict(test.images[:9]), predict(shrunk[:9]))
        assert predict.genotype == CELL
        assert right.mean() == pytest.approx(wanted, abs=0.002)  # a tie may break


def test_the_auxiliary_head_is_not_exported():
    run = network_config.preset("darts", "cpu", "synthetic", genotype=GOOD)
    run = run.varied(auxiliary=0.4, shrink=1, channels=2)
    data = image_sets.whole(run, log=lambda _: None)
    run = image_sets.with_data(run, data)
    shapes = jax.eval_shape(lambda k: derived.init(k, run.network), jax.random.key(0))
    trained = networks.Trained(run.network, *shapes.values(), run, 0, 0.0)
    network = exporting.classifier(trained, data)
    heads = [
        any("auxiliary" in jax.tree_util.keystr(path) for path, _ in leaves)
        for leaves in map(
            jax.tree_util.tree_leaves_with_path, (trained.params, network.params)
        )
    ]
    assert heads == [True, False]


def test_a_stopped_run_goes_on_to_the_same_bits(straight, tmp_path, stopped):
    flags = ("--genotype", CELL, "--seeds=0,3", "--out", tmp_path)
    with stopped(4):  # in the first seed's training
        finish(*flags, "--checkpoint-seconds", 0, status=143)
    assert not (tmp_path / "results.json").exists()
    assert "no run to resume" not in finish(*flags, "--resume")
    after = arrays(tmp_path)
    for name, value in arrays(straight[0]).items():
        np.testing.assert_array_equal(after[name], value, err_msg=name)
    for seed in (0, 3):
        straight_net, resumed_net = (
            networks.load(out, seed) for out in (straight[0], tmp_path)
        )
        for a, b in zip(
            *map(jax.tree.leaves, (straight_net[1:3], resumed_net[1:3])), strict=True
        ):
            np.testing.assert_array_equal(a, b)


def test_another_genotype_is_refused(straight, capsys):
    flags = [*SMALL, "--seeds=0,3", "--out", straight[0], "--resume", "--devices=1"]
    assert run(*flags, "--genotype", OTHER) == 2
    text = capsys.readouterr().err
    assert f"genotype: {CELL!r} then, {OTHER!r} now" in text
    assert run(*flags[:-2], "--genotype", CELL) == 2
    assert "--resume continues it" in capsys.readouterr().err


def test_a_frontier_is_trained_and_resumed(tmp_path, capsys, quick_compile):
    # As search_supernet.py writes cells of NAS-Bench-201 now, and as it did.
    leak = "chosen by test accuracy: a leak"
    entries = [{"genotype": CELL, "printed": CELL, "step": 7}]
    entries += [{"printed": OTHER, "step": 9, "chosen_by": leak}]
    file = tmp_path / "frontier.json"
    file.write_text(json.dumps(entries))
    out = tmp_path / "runs"
    flags = (*SMALL, "--genotypes", file, "--out", out, "--epochs=1", "--devices=1")
    assert run(*flags) == 0
    assert capsys.readouterr().out.count("was chosen by test: a leak") == 1
    for i, entry in enumerate(entries):
        results = json.loads((out / f"{i:03d}" / "results.json").read_text())
        assert results["entry"] == entry
        assert results["printed"] == entry["printed"]
    summary = json.loads((out / "frontier.json").read_text())
    assert [row["step"] for row in summary] == [7, 9]
    before = (out / "000" / "results.json").stat().st_mtime_ns
    (out / "001" / "results.json").unlink()
    capsys.readouterr()
    assert run(*flags, "--resume") == 0
    assert capsys.readouterr().out.count("is finished: skipped") == 1
    assert (out / "000" / "results.json").stat().st_mtime_ns == before
    assert json.loads((out / "001" / "results.json").read_text())["entry"] == entries[1]


def test_agreement_with_the_table():
    """Three cells, one pair of them the other way round: tau = 1/3, rho = 1/2."""
    contents = [
        {"test_accuracy": {"last": {"mean": mine}}, "benchmark": {"accuracy": theirs}}
        for mine, theirs in ((0.1, 0.9), (0.3, 0.92), (0.2, 0.93))
    ]
    line = evaluation.agreement([*contents, {"test_accuracy": {}}])
    assert "3 cells" in line and "Kendall 0.333, Spearman 0.500" in line
    assert evaluation.agreement(contents[:2]) == ""


@pytest.mark.parametrize(
    ("flags", "wanted"),
    [
        (
            ["--genotype=DARTS_V2", "--cells=20"],
            {"params": 3_349_342, "params_with_auxiliary": 3_825_768},
        ),
        (
            ["--genotype=DARTS_V2", "--preset=imagenet"],
            {"params": 4_718_752, "params_with_auxiliary": 5_979_528},
        ),
        (
            ["--genotype=DDAS-4S", "--preset=ddas", "--dataset=cifar100"],
            {"flops": 813_851_136, "width": [3.0, 2.0], "depth": [3, 5]},
        ),
        (["--genotype", CELL, "--classes=100"], {"flops": None, "width": None}),
    ],
)
def test_describe_needs_no_data(flags, wanted, capsys, monkeypatch):
    monkeypatch.setattr(image_sets, "whole", None)
    assert run(*flags, "--describe") == 0
    costs = json.loads(capsys.readouterr().out)
    assert {name: costs[name] for name in wanted} == wanted
    assert list(costs) == [
        "params", "params_with_auxiliary", "macs", "flops", "width", "depth",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("genotype", "text"),
    [
        (GOOD.replace("dil_conv_3x3", "conv_7x7"), "node 3: operation 'conv_7x7'"),
        (GOOD.replace("_3x3', 2)", "_3x3', 5)"), "predecessor 5, allowed are 0..4"),
        (GOOD.replace("_3x3', 1), ('sep", "_3x3', 0), ('sep", 1), "0 twice, needs two"),
        (GOOD.replace("[('sep_conv_3x3', 0), ", "[", 1), "normal has 7 pairs: 8"),
        (CELL.replace("~2", "~1"), "does not list the edges"),
        ("DARTS_V7", "names are DARTS_V1"),
    ],
)
def test_wrong_genotypes_are_refused(genotype, text, tmp_path, capsys):
    assert run("--genotype", genotype, *SMALL, "--out", tmp_path / "run") == 2
    assert text in capsys.readouterr().err
    file = tmp_path / "frontier.json"
    file.write_text(json.dumps([{"genotype": GOOD}, {"genotype": genotype}]))
    assert run("--genotypes", file, *SMALL, "--out", tmp_path / "run") == 2
    errors = capsys.readouterr().err
    assert "entry 1" in errors and text in errors
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        (["--preset=nb201"], "--preset nb201 is for nb201, not darts"),
        (["--dtype=float16"], "dtype is 'float16'; allowed: float32, bfloat16"),
        (["--drop-path=1"], "drop_path must lie in [0, 1), got 1.0"),
        (["--schedule=step"], "schedule is 'step'; allowed: cosine, linear"),
        (["--devices=99"], "--devices 99, but JAX sees"),
        (["--lanes=3", "--devices=2"], "--lanes 3, but there are 2 devices"),
        (["--auxiliary=0.4"], "the auxiliary head needs 8 to 10 pixels"),
        (["--dataset=imagenet"], "--padding, --train-images, --shrink: not with --d"),
        (["--image-size=64"], "--image-size: not with --dataset synthetic"),
        (["--classes=7"], "--classes 7: the data has 10"),
        (["--workers=2"], "--workers: not with --dataset synthetic"),
        (["--shrink=32"], "1 x 1 pixels: a network that halves them 2 times needs"),
    ],
)
def test_bad_input_names_the_value(flags, text, tmp_path, capsys):
    args = ["--genotype=DARTS_V2", *SMALL, *flags, "--out", tmp_path / "run"]
    assert run(*args) == 2
    assert text in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("content", ["{}", "[]", "[3]", '[{"genotype": 3}]', "["])
def test_files_that_are_no_frontier_are_refused(content, tmp_path, capsys):
    file = tmp_path / "frontier.json"
    file.write_text(content)
    assert run("--genotypes", file, *SMALL, "--out", tmp_path / "run") == 2
    assert str(file) in capsys.readouterr().err


def test_presets_follow_the_thesis():
    def settings(*chosen, **changes):
        run = network_config.preset("darts", *chosen, **changes)
        recipe = run.recipe
        return run.cells, recipe.epochs, recipe.batch_size, recipe.drop_path, run.cutout

    assert settings() == settings("cadam") == (20, 1000, 80, 0.1, 16)
    assert settings("pc-cadam") == (20, 1000, 96, 0.2, 16)
    assert settings("ddas") == (10, 600, 96, 0.2, 16)
    assert settings("ddas", "cifar100") == (20, 600, 96, 0.2, 8)
    assert settings("ddas", cells=20, cutout=0)[::4] == (20, 0)
    assert settings("imagenet") == (14, 250, 1024, 0.0, 0)
    for name, runs in network_config.PRESETS.items():
        run = network_config.preset(next(iter(runs)), name)
        assert run.recipe.drop_last == (name in ("cpu", "imagenet"))
    with pytest.raises(ValueError, match="--drop-last: not with --dataset imagenet"):
        network_config.preset("darts", "imagenet", drop_last=False)


@pytest.mark.parametrize(
    ("batch", "images", "count"), [(96, 0, 4), (96, 98, 2), (96, 97, 1)]
)
def test_devices_that_divide_every_batch_are_taken(batch, images, count, monkeypatch):
    monkeypatch.setattr(jax, "device_count", lambda: 4)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert devices.layout(batch, images, lanes=1) == (count, 1)
