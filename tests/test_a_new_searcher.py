"""A searcher in a file of one's own runs in the experiments, with its flags."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "experiments"))

import compare
import nb201

from nasjax.runs import plugins

pytestmark = pytest.mark.usefixtures("quick_compile")

SEARCHER = """
import dataclasses

import jax
import jax.numpy as jnp

from nasjax import Searcher
from nasjax.runs.methods import Method, register


@dataclasses.dataclass(frozen=True)
class ClimberConfig:
    patience: int = 3


def climber(space, config=ClimberConfig()):
    def init(key, steps):
        return space.random(key), jnp.float32(-jnp.inf)

    def ask(key, state, step):
        random, mutation = jax.random.split(key)
        near = space.mutate(mutation, state[0])
        return state, jnp.where(step < config.patience, space.random(random), near)

    def tell(key, state, step, arch, outcome):
        new, better = (arch, outcome.accuracy), outcome.accuracy > state[1]
        return jax.tree.map(lambda x, y: jnp.where(better, x, y), new, state), {}

    return Searcher(init, ask, tell)


register("my-searcher", Method(climber, ClimberConfig()))
"""


@pytest.fixture
def searcher(tmp_path):
    path = tmp_path / "my_searcher.py"
    path.write_text(SEARCHER)
    yield path
    plugins.load([])


def table(folder):
    path = folder / "table.npz"
    ops = np.stack(np.unravel_index(np.arange(27), (3, 3, 3)), 1).astype(np.uint8)
    np.savez(path, ops=ops, score=np.linspace(0.1, 0.9, 27).astype(np.float32))
    return str(path)


def compared(folder, *argv):
    return compare.main(
        ["--table", table(folder), "--out", str(folder / "run"), "--seeds", "1-2",
         *argv]
    )  # fmt: skip


def test_it_is_compared_with_others(searcher, tmp_path, capsys):
    argv = ["--plugin", str(searcher), "--methods", "my-searcher,random"]
    argv += ["--queries", "9", "--my-searcher-patience", "2"]
    assert compared(tmp_path, *argv) == 0
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["plugins"] == ["my_searcher.py"]
    assert config["configs"]["my-searcher"] == {"patience": 2}
    methods = json.loads((tmp_path / "run" / "results.json").read_text())["methods"]
    assert list(methods) == ["my-searcher", "random"]
    assert compared(tmp_path, *argv, "--resume") == 0
    with pytest.raises(SystemExit):
        compared(tmp_path, *argv[2:], "--resume")
    error = capsys.readouterr().err
    assert "--plugin my_searcher.py: --resume needs it again" in error
    written = (tmp_path / "run" / "config.json").read_bytes()
    searcher.write_text(searcher.read_text() + "\n# edited\n")
    with pytest.raises(SystemExit):
        compared(tmp_path, *argv, "--resume")
    assert "my_searcher.py is not the file that the run" in capsys.readouterr().err
    assert (tmp_path / "run" / "config.json").read_bytes() == written


def test_a_run_without_hashes_of_its_plugins_goes_on(searcher, tmp_path):
    argv = ["--plugin", str(searcher), "--methods", "my-searcher", "--queries", "5"]
    assert compared(tmp_path, *argv) == 0
    path = tmp_path / "run" / "config.json"
    config = json.loads(path.read_text())
    hashes = config.pop("plugin_hashes")
    path.write_text(json.dumps(config))
    assert compared(tmp_path, *argv, "--resume") == 0
    assert json.loads(path.read_text())["plugin_hashes"] == hashes


def test_it_runs_on_nas_bench_201(searcher, tmp_path):
    out = tmp_path / "run"
    assert not nb201.main(
        ["--plugin", str(searcher), "--methods", "my-searcher", "--steps", "6",
         "--seeds", "1-2", "--columns", "cifar10_valid", "--out", str(out)]
    )  # fmt: skip
    with np.load(out / "results.npz") as arrays:
        assert any(name.startswith("my-searcher") for name in arrays)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "there is no such file"),
        ("x = 1", "registers no searcher"),
        ("\n\n1 / 0", "my_searcher.py, line 3: ZeroDivisionError"),
        ("\ndef f(:", "my_searcher.py, line 2: SyntaxError"),
        (SEARCHER.replace("my-searcher", "cadam"), "the name 'cadam' is taken"),
        (SEARCHER.replace("my-searcher", "my searcher"), "letters, digits, hyphens"),
        (SEARCHER.replace("int = 3", "int = None"), "which no flag can express"),
        (
            SEARCHER.replace("my-searcher", "checkpoint").replace(
                "patience", "seconds"
            ),
            "conflicting option string",
        ),
    ],
)
def test_a_file_that_cannot_be_used_is_named(searcher, tmp_path, capsys, text, message):
    if text is None:
        searcher.unlink()
    else:
        searcher.write_text(text)
    with pytest.raises(SystemExit) as raised:
        compared(tmp_path, "--plugin", str(searcher))
    assert raised.value.code == 2
    error = capsys.readouterr().err
    assert message in error and str(searcher) in error.replace(
        "checkpoint: ", str(searcher)
    )
    assert not (tmp_path / "run").exists()
