"""Importing through the real nats_bench, other APIs, and the command line."""

import hashlib

import numpy as np
import pytest
from nats_bench import ArchResults, ResultsCount, create, pickle_save

from nasjax.data import nb201, tables
from nasjax.data.nb201 import files, importing, sources
from nasjax.data.nb201.__main__ import main

INDICES = (9930, 0, 1462)
SETS = {
    "cifar10-valid": ("x-valid", "ori-test"),
    "cifar10": ("ori-test",),
    "cifar100": ("x-valid", "x-test", "ori-test"),
    "ImageNet16-120": ("x-valid", "x-test", "ori-test"),
}
# Which seeds each architecture was trained with.
SEEDS = {0: (777, 888, 999), 1: (888,), 2: (777, 999)}


def accuracy(row, dataset, split, seed, epochs):
    """Final accuracy in percent of the invented benchmark: distinct everywhere."""
    names = list(SETS)
    return (
        40
        + 10 * row
        + 2 * names.index(dataset)
        + 0.5 * ("x-valid", "x-test", "ori-test").index(split)
        + seed / 10000
        + epochs / 100
    )


def trial(row, dataset, seed, epochs):
    """One training in nats_bench's own class; every epoch takes 2 s."""
    result = ResultsCount(
        dataset, None, {}, {}, 1.0, 10.0, {"arch_str": "unused"}, seed, epochs, None
    )
    steps = range(epochs)
    result.update_train_info(
        dict.fromkeys(steps, 99.0), None, dict.fromkeys(steps, 0.1), None
    )
    result.reset_pseudo_train_times(2.0)
    for split in SETS[dataset]:
        final = accuracy(row, dataset, split, seed, epochs)
        curve = {i: final - (epochs - 1 - i) / 10 for i in steps}
        result.update_OLD_eval(split, curve, dict.fromkeys(steps, 1.0))
        result.reset_pseudo_eval_times(split, 0.5)
    return result


@pytest.fixture(scope="module")
def benchmark(tmp_path_factory):
    """A NATS-Bench folder and file with three architectures."""
    strings = [nb201.format_arch(nb201.official_ops()[i]) for i in INDICES]
    infos = {}
    for row, text in enumerate(strings):
        infos[row] = {}
        for epochs in (12, 200):
            results = ArchResults(row, text)
            for dataset in SETS:
                for seed in (111,) if epochs == 12 else SEEDS[row]:
                    results.update(dataset, seed, trial(row, dataset, seed, epochs))
            infos[row][str(epochs)] = results.state_dict()
    root = tmp_path_factory.mktemp("nats")
    folder = root / "NATS-tss-v1_0-3ffb9-simple"
    folder.mkdir()
    meta = {"meta_archs": strings, "evaluated_indexes": set(infos)}
    pickle_save(meta, folder / "meta.pickle")
    for row, info in infos.items():
        pickle_save(info, folder / f"{row:06d}.pickle")
    file = root / "NATS-tss-v1_0-3ffb9.pickle.pbz2"
    pickle_save(meta | {"arch2infos": infos}, file, ext="")
    return folder, file


def expected(name, epochs=200):
    """[3] means and [3, 3] trials of a column, as fractions."""
    dataset, split = {
        "cifar10_valid": ("cifar10-valid", "x-valid"),
        "cifar10_test": ("cifar10", "ori-test"),
        "cifar100_valid": ("cifar100", "x-valid"),
        "cifar100_test": ("cifar100", "x-test"),
        "imagenet16_valid": ("ImageNet16-120", "x-valid"),
        "imagenet16_test": ("ImageNet16-120", "x-test"),
    }[name]
    trials = np.full((3, 3), np.nan)
    for row, seeds in SEEDS.items():
        for seed in seeds:
            value = accuracy(row, dataset, split, seed, epochs)
            trials[row, (777, 888, 999).index(seed)] = value / 100
    return np.nanmean(trials, axis=1), trials


def check(table):
    official = nb201.official_ops()
    assert table.ops.tolist() == official[list(INDICES)].tolist()
    assert tuple(table.columns) == nb201.COLUMNS
    for name in nb201.COLUMNS:
        column = table.column(name)
        means, trials = expected(name)
        assert column.values == pytest.approx(means, abs=1e-6)
        assert column.trials == pytest.approx(trials, abs=1e-6, nan_ok=True)
        validation = 0.5 if name.endswith("_valid") else 0
        assert column.train_time.tolist() == [400 + validation] * 3
        assert column.version == column.trials_version == "NATS v1_0"


def test_nats_bench_objects(benchmark, tmp_path):
    for path in benchmark:
        api = create(str(path), "tss", fast_mode=path.is_dir(), verbose=False)
        table = nb201.import_api(api, tmp_path / "out.npz")
        check(table)
        check(nb201.load(tmp_path / "out.npz"))
        source = "nats_bench.api_topology.NATStopology NATS-tss-v1_0-3ffb9"
        assert table.column("cifar10_test").source.startswith(source)


def test_the_time_of_a_query_is_nats_benchs(benchmark):
    """Of a training and the validation after it."""
    api = create(str(benchmark[0]), "tss", fast_mode=True, verbose=False)
    table = nb201.import_api(api)
    for name, dataset in (("cifar10_valid", "cifar10"), ("cifar100_valid", "cifar100")):
        for row in range(3):
            api.reset_time()
            api.simulate_train_eval(row, dataset, iepoch=199, hp="200")
            seconds = table.column(name).train_time[row]
            assert seconds == pytest.approx(api.used_time) == 400.5


def test_twelve_epochs(benchmark):
    api = create(str(benchmark[0]), "tss", fast_mode=True, verbose=False)
    table = nb201.import_api(api, columns=("cifar100_test",), epochs=12)
    assert list(table.columns) == ["cifar100_test_12ep"]
    column = table.column("cifar100_test", epochs=12)
    values = [accuracy(r, "cifar100", "x-test", 111, 12) / 100 for r in range(3)]
    assert column.values == pytest.approx(values, abs=1e-6)
    assert column.trials[:, 0] == pytest.approx(values, abs=1e-6)  # Seed 111.
    assert column.train_time.tolist() == [24, 24, 24]


@pytest.mark.parametrize("kind", [0, 1])
def test_command_needs_trust(benchmark, tmp_path, capsys, kind):
    out = tmp_path / "out.npz"
    command = ["import", str(benchmark[kind]), str(out)]
    assert main(command) == 1
    assert "--trust-pickle" in capsys.readouterr().err and not out.exists()

    assert main([*command, "--trust-pickle"]) == 0
    printed = capsys.readouterr().out
    best = 100 * expected("cifar10_test")[0].max()
    assert f"maximum {best:.4f} @2, from {benchmark[kind]}" in printed
    table = nb201.load(out)
    check(table)
    # Of the benchmark file; a folder has no checksum, so there it is the npz's own.
    source = out if benchmark[kind].is_dir() else benchmark[kind]
    checksum = hashlib.sha256(source.read_bytes()).hexdigest()
    assert table.column("cifar10_test").sha256 == checksum


def test_incomplete_folder(benchmark, tmp_path):
    folder = tmp_path / "NATS-tss-v1_0-3ffb9-simple"
    folder.mkdir()
    for name in ("meta", "000000", "000002"):
        file = f"{name}.pickle.pbz2"
        (folder / file).write_bytes((benchmark[0] / file).read_bytes())
    lines = []
    out = tmp_path / "out.npz"
    table = nb201.import_file(folder, out, trust_pickle=True, log=lines.append)
    expected_ops = nb201.official_ops()[[INDICES[0], INDICES[2]]]
    assert table.ops.tolist() == expected_ops.tolist()
    assert len(lines) == 1 and "2 of 3 architectures" in lines[0]


class OldAPI:
    """The first nas_201_api: a flag for the schedule, Exception for a missing seed."""

    filename = "NAS-Bench-201-v1_1-096897.pth"

    def __len__(self):
        return 3

    def arch(self, index):
        return nb201.format_arch(nb201.official_ops()[INDICES[index]])

    def get_more_info(
        self, index, dataset, iepoch=None, use_12epochs_result=False, is_random=True
    ):
        assert iepoch is None and is_random is not True
        seeds = SEEDS[index]
        if is_random is not False:
            if is_random not in seeds:
                raise Exception(f"can not find random seed ({is_random})")
            seeds = (is_random,)
        epochs = 12 if use_12epochs_result else 200
        info = {"train-all-time": 2.0 * epochs}
        for split in SETS[dataset]:
            values = [accuracy(index, dataset, split, s, epochs) for s in seeds]
            key = {"x-valid": "valid", "x-test": "test", "ori-test": "test"}[split]
            if split == "ori-test" and "x-test" in SETS[dataset]:
                key = "valtest"
            info[f"{key}-accuracy"] = sum(values) / len(values)
        return info


def test_old_api():
    table = nb201.import_api(OldAPI())
    for name in nb201.COLUMNS:
        column = table.column(name)
        means, trials = expected(name)
        assert column.values == pytest.approx(means, abs=1e-6)
        assert column.trials == pytest.approx(trials, abs=1e-6, nan_ok=True)
        assert column.version == "v1_1"


def test_api_with_other_seeds_has_means_only(monkeypatch):
    monkeypatch.setattr(importing, "SEEDS", {200: (1, 2, 3)})
    column = nb201.import_api(OldAPI()).column("cifar10_test")
    assert column.trials is None and column.trials_version is None
    assert column.values == pytest.approx(expected("cifar10_test")[0], abs=1e-6)


def test_apis_that_answer_something_else():
    class Wordless(OldAPI):
        def get_more_info(self, index, dataset):
            return {}

    class Empty(OldAPI):
        def get_more_info(self, index, dataset, iepoch, hp, is_random):
            return {"train-accuracy": 99.0}

    class Sizes(OldAPI):
        def arch(self, index):
            return "64:64:64:64:64"

    for api, message in (
        (Wordless(), "neither hp nor use_12epochs_result"),
        (Empty(), "architecture 0, cifar10-valid: no 'valid-accuracy' among train"),
        (Sizes(), "no architecture"),
    ):
        with pytest.raises(nb201.TableError, match=message):
            nb201.import_api(api)


def test_command_on_a_csv_and_an_npz(tmp_path, capsys):
    path = tmp_path / "mine.csv"
    path.write_text(
        "arch,cifar10_valid,cifar100_test_12ep\n"
        f"{nb201.format_arch((3,) * 6)},91.5,60.25\n421211,82.0,31.0\n"
    )
    assert main(["import", str(path), str(tmp_path / "a.npz")]) == 0
    again = ["import", str(tmp_path / "a.npz"), str(tmp_path / "b.npz")]
    assert main(again) == 0
    assert main(["show", str(tmp_path / "b.npz")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == lines[2:4] == lines[4:]
    assert lines[0] == (
        f"cifar10_valid: unknown, trials none, maximum 91.5000 @0, from {path}"
    )
    table = files.read(tmp_path / "b.npz")
    assert table.ops.tolist() == [[3] * 6, [4, 2, 1, 2, 1, 1]]
    assert table.column("cifar10_valid").values == pytest.approx([0.915, 0.82])
    assert table.column("cifar10_valid").source == str(path)


def test_command_reports_errors(tmp_path, capsys):
    absent = str(tmp_path / "absent.npz")
    assert main(["import", absent, str(tmp_path / "out.npz")]) == 1
    assert main(["show", absent]) == 1
    assert capsys.readouterr().err.count(f"error: {absent}: cannot be read") == 2


def test_columns_are_saved_without_predictions(tmp_path, table, monkeypatch, capsys):
    """The file is read as a benchmark table, too; no column at all is an error."""
    assert main(["save", str(tmp_path / "all.npz")]) == 0
    saved = tables.load(tmp_path / "all.npz")
    assert set(table.columns) <= set(saved.values)
    for name, column in table.columns.items():
        np.testing.assert_allclose(saved.values[name], 100 * column.values, rtol=1e-6)
    monkeypatch.delenv("NASJAX_DATA", raising=False)
    monkeypatch.setenv("NASJAX_OFFLINE", "1")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(sources, "PACKAGE", "a_package_that_is_not_installed")
    assert main(["save", str(tmp_path / "none.npz")]) == 1
    assert "found no cifar10_valid, cifar10_test" in capsys.readouterr().err
    assert not (tmp_path / "none.npz").exists()
