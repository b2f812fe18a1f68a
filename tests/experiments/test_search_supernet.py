"""experiments/search_supernet.py on tiny supernets: killed, resumed, misused."""

import functools
import json
from pathlib import Path

import in_process
import jax
import numpy as np
import pytest

from nasjax import search, searchers
from nasjax.data import images
from nasjax.networks import augment, supernet
from nasjax.networks.training import Recipe
from nasjax.runs import image_sets, supernets
from nasjax.runs.supernet_config import SupernetRun
from nasjax.spaces import genotypes

pytestmark = pytest.mark.usefixtures("quick_compile")

SMALL = "--preset cpu --subset 20 --eval-batch 8 --final-images 0 --hidden 16,16"
SMALL = [*SMALL.split(), "--warm-up", "10", "--top-k", "6", "--batch-size", "4"]
NETS = {
    "nb201": supernet.nas_bench_201(cells=1, channels=4),
    "darts": supernet.darts(cells=1, channels=4),
}


# What stands in for a run of train_supernet.py: folders are called `space-dataset`.


@functools.cache
def load(folder):
    space, _, dataset = Path(folder).name.partition("-")
    if space not in NETS:
        raise FileNotFoundError(f"{folder} holds no supernet")
    config = NETS[space]
    params = jax.jit(lambda key: supernet.init(key, config))(jax.random.key(0))
    statistics = supernet.initial_statistics(config, 8)
    run = SupernetRun(
        space=space, dataset=dataset, cells=1, channels=4, recipe=Recipe()
    )
    return supernets.Pretrained(config, params, statistics, run, 70, 3.5, None, None)


@functools.cache
def made():
    return images.synthetic(80, 46, size=8)


def halves(run, data_dir=None):
    """40 images of each half, 46 to test: five full batches of 8."""
    del run, data_dir
    data = made()
    train, valid = data.train.at(slice(40)), data.train.at(slice(40, 80))
    return data._replace(train=train, valid=valid)


def augmentation(run, halves):
    return augment.AugmentConfig(mean=halves.mean, std=halves.std)


def stand_in(monkeypatch):
    monkeypatch.setattr(supernets, "load", load)
    monkeypatch.setattr(image_sets, "augmentation", augmentation)
    monkeypatch.setattr(image_sets, "halves", halves)


call = functools.partial(in_process.call, "search_supernet", stand_in=stand_in)


def flags(out, *more, supernet="nb201-cifar10"):
    return ["--supernet", supernet, "--out", out, *SMALL, *more]


RUN = ["--seeds", "1-2", "--steps", "30"]


@pytest.fixture(scope="module")
def ran(tmp_path_factory, quick_compile):
    out = tmp_path_factory.mktemp("search") / "run"
    code, text, err = call(*flags(out, *RUN))
    assert code == 0, err
    return out, text


def arrays(folder, name="results.npz"):
    with np.load(folder / name) as file:
        return {name: file[name] for name in file.files}


def found(folder):
    return json.loads((folder / "results.json").read_text())


def test_everything_is_written_and_printed(ran):
    out, text = ran
    for name in ("results.json", "genotypes.json", "agent.npz", "log.jsonl"):
        assert (out / name).stat().st_size > 0
    for name in ("anytime.png", "state.png", "cells.png"):
        assert (out / name).read_bytes().startswith(b"\x89PNG")
    assert "cadam-30" in text and "Wilcoxon p" in text and "a leak" in text
    assert "16 images per query, at the end 40 for validation and 40 for test" in text
    described = found(out)
    assert set(described) >= {"versions", "git", "device", "supernet"}
    assert described["config"]["images"]["query"] == 16  # two full batches of 20
    assert described["config"]["supernet"]["step"] == 70


def test_numbers_follow_from_the_queries(ran, table):
    out, _ = ran
    queries, described = arrays(out), found(out)
    rows = {row.tobytes(): i for i, row in enumerate(table.ops)}
    values = table.columns["cifar10_valid"].values
    seen = {}
    for method in ("cadam", "random", "evolution"):
        archs, accuracy = (queries[f"{method}__{x}"] for x in ("arch", "accuracy"))
        assert (archs.dtype, archs.shape) == (np.uint8, (2, 30, 6))
        for s in range(2):
            entry = described["methods"][method]["seeds"][str(s + 1)]
            at = int(accuracy[s].argmax())
            assert (entry["best"], entry["query"]) == (accuracy[s, at], at + 1)
            distinct = len(np.unique(archs[s], axis=0))
            assert entry["distinct"] == distinct
            assert queries[f"{method}__distinct"][s, -1] == distinct
            value = values[rows[archs[s, at].tobytes()]]
            assert entry["true_accuracy"] == value
            assert entry["true_rank"] == 1 + np.sum(values > value)
            for arch, score in zip(archs[s], accuracy[s], strict=True):
                # The same score whichever search asked: no noise, one cache.
                assert seen.setdefault(arch.tobytes(), score) == score
    computed = described["cache"]["computed"]
    assert computed == len(seen)
    assert described["cache"] == {
        "queries": 180,
        "computed": computed,
        "hits": 180 - computed,
    }


def test_the_searches_are_those_of_the_searchers(ran):
    """Random search asks what `search.run` would, whatever the accuracies."""
    queries = arrays(ran[0])
    space = NETS["nb201"].space
    env = search.Environment((), (), lambda k, p, s, a: (s, search.Outcome(0.5, 0.5)))
    for s, seed in enumerate((1, 2)):
        _, trace = search.run(
            jax.random.key(seed), searchers.random_search(space), env, 30
        )
        np.testing.assert_array_equal(queries["random__arch"][s], trace.arch)


def test_finalists(ran):
    """Table 4.4: the top K by what the search saw, then the best by either half."""
    queries = arrays(ran[0])
    chosen = json.loads((ran[0] / "genotypes.json").read_text())
    assert chosen == found(ran[0])["finalists"]
    assert [(x["seed"], x["default"]) for x in chosen] == [
        (1, True),
        (1, False),
        (2, True),
        (2, False),
    ]
    for s in range(2):
        best = {}
        for arch, score in zip(
            queries["cadam__arch"][s], queries["cadam__accuracy"][s], strict=True
        ):
            best.setdefault(arch.tobytes(), score)
        top = sorted(best, key=best.get, reverse=True)[:6]
        held = queries["cadam__top_arch"][s]
        assert [x.tobytes() for x in held] == top
        one_hot = np.eye(5)[held].mean(0)
        np.testing.assert_allclose(queries["cadam__state"][s], one_hot, atol=1e-6)
        valid, test = (queries[f"cadam__top_{x}"][s] for x in ("valid", "test"))
        for entry, score in zip(chosen[2 * s : 2 * s + 2], (valid, test), strict=True):
            i = score.argmax()
            assert entry["validation_accuracy"] == valid[i]
            assert entry["test_accuracy"] == test[i]
            assert entry["rank"] == 1 + np.sum(valid > valid[i])
            string = NETS["nb201"].space.arch_string(held[i])
            assert entry["printed"] == entry["genotype"] == string
        assert chosen[2 * s]["rank"] == 1
        assert chosen[2 * s + 1]["chosen_by"] == "chosen by test accuracy: a leak"


def test_stopped_and_resumed_is_the_same_in_bits(ran, tmp_path, stopped):
    out = tmp_path / "stopped"
    with stopped(40):
        code, _, err = call(*flags(out, *RUN, "--checkpoint-seconds", 0))
    assert code == 143 and "cadam/seed2: step 10 of 30 is saved" in err
    assert not (out / "results.json").exists()
    logged = len((out / "log.jsonl").read_text().splitlines())
    assert logged == 40  # seed 1 was through
    code, text, err = call(*flags(out, *RUN, "--resume"))
    assert code == 0, err
    lines = [json.loads(x) for x in (out / "log.jsonl").open()]
    assert [x["search"] for x in lines].count("cadam/seed1") == 30
    for name in ("results.npz", "agent.npz"):
        a, b = arrays(out, name), arrays(ran[0], name)
        assert a.keys() == b.keys()
        for key in a:
            np.testing.assert_array_equal(a[key], b[key], err_msg=key)
    same = "genotypes.json"
    assert (out / same).read_text() == (ran[0] / same).read_text()
    # Once more, as an older version would have left it: nothing is left to do, and
    # nothing changes.
    config = json.loads((out / "config.json").read_text())
    for name in ("constants", "drop_last", "image_channels"):
        config["supernet"]["settings"].pop(name, None)
    (out / "config.json").write_text(json.dumps(config))
    code, again, err = call(*flags(out, *RUN, "--resume"))
    assert code == 0, err
    assert again == text and "cadam seed 1 (1/6): 100%" in err


def test_another_configuration_is_refused(ran, tmp_path):
    out, _ = ran
    code, _, err = call(*flags(out, *RUN, "--resume", "--tau", 0.5))
    assert code == 2 and "configs.cadam.tau: 0.95 then, 0.5 now" in err
    code, _, err = call(*flags(out, *RUN, "--resume", "--eval-batch", 4))
    assert code == 2 and "images.batch: 8 then, 4 now" in err
    code, _, err = call(*flags(out, *RUN))
    assert code == 2 and "--overwrite" in err


def test_an_agent_moves_on(ran, tmp_path):
    """Warm start: Eq. 7 relative to each seed's own warm-up, known beforehand."""
    out = tmp_path / "transfer"
    moved = [x if x != "cpu" else "transfer" for x in flags(out)]
    moved += ["--init-from", ran[0], "--init-seed", 2, "--methods", "cadam"]
    code, _, err = call(*moved, "--seeds", "5", "--steps", "14")
    assert code == 0, err
    queries, described = arrays(out), found(out)
    known = json.loads((out / "env_accuracy.json").read_text())
    assert known == {"5": float(queries["cadam__accuracy"][0, :10].max())}
    assert described["config"]["configs"]["cadam"]["reward"] == "relative"
    before, after = arrays(ran[0], "agent.npz"), arrays(out, "agent.npz")
    for name in before:
        if name.startswith("actor"):  # a learning rate of 1e-8 hardly moves it
            np.testing.assert_allclose(after[name][0], before[name][1], atol=1e-6)
    code, _, err = call(*moved, "--hidden", "16,8", "--out", tmp_path / "other")
    assert code == 2 and "other sizes" in err and "Dense_1/kernel" in err


def test_darts(tmp_path):
    out = tmp_path / "darts"
    run = ["--seeds", 3, "--steps", 8, "--methods", "cadam", "--norm", "running"]
    run += ["--final-images", 20]
    code, text, err = call(*flags(out, *run, supernet="darts-synthetic"))
    assert code == 0, err
    queries = arrays(out)
    assert queries["cadam__arch"].shape == (1, 8, 2, 14)
    assert queries["cadam__state"].shape == (1, 2, 14, 7)
    entry = json.loads((out / "genotypes.json").read_text())[0]
    parsed = genotypes.parse(entry["printed"])
    assert parsed == genotypes.parse(entry["genotype"])
    arch = genotypes.to_arch(parsed, NETS["darts"].space)
    top = int(queries["cadam__top_valid"][0].argmax())
    np.testing.assert_array_equal(arch, queries["cadam__top_arch"][0, top])
    assert entry["printed"] in text and len(entry["depth"]) == 2
    assert 1e6 < entry["parameters_20_cells_36_channels"] < 1e7
    assert "true_rank" not in entry


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--seeds", "5-2"], ["5-2", "backwards"]),
        (["--steps", "0"], ["0", "1 or more"]),
        (["--methods", "local-search"], ["'local-search'", "evolution-64"]),
        (["--preset", "mine"], ["mine", "transfer"]),
        (["--tau", "1.5"], ["tau", "1.5", "[0, 1]"]),
        (["--reward", "log"], ["reward", "log", "relative"]),
        (["--reward", "relative", "--warm-up", "0"], ["--env-accuracy"]),
        (["--init-seed", "1"], ["--init-from"]),
        (["--init-from", "x", "--methods", "random"], ["--init-from", "--methods"]),
        (["--init-from", "/nowhere"], ["/nowhere/agent.npz holds no agents"]),
        (["--subset", "41"], ["41", "40"]),
        (["--subset", "7"], ["7 images", "batch of 8"]),
        (["--eval-batch", "30"], ["20 images", "batch of 30"]),
        (["--supernet", "/nowhere"], ["/nowhere holds no supernet"]),
    ],
)
def test_bad_values_are_refused_before_any_work(more, words, tmp_path):
    out = tmp_path / "out"
    code, _, err = call(*flags(out, *more))
    assert code == 2
    for word in words:
        assert word in err
    assert not out.exists()
