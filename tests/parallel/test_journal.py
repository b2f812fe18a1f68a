"""The journal: whole lines or none, and nothing lost."""

import json
import shutil
from pathlib import Path

import jax
import numpy as np
import pytest

import nasjax
from nasjax import parallel
from nasjax.parallel import journal as journals
from nasjax.parallel.journal import Journal, JournalError

SPACE = nasjax.table_space(2, ("a", "b"))
HEADER = {
    "event": "search",
    "version": journals.VERSION,
    "space": journals.describe(SPACE),
}


@pytest.fixture
def path(tmp_path):
    journal = Journal.create(tmp_path / "journal.jsonl", [HEADER])
    journal.append({"event": "asked", "query": 0, "arch": [0, 1]})
    journal.append({"event": "told", "query": 0, "accuracy": float("nan")})
    journal.close()
    return tmp_path / "journal.jsonl"


def test_lines_are_json_without_nan(path):
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["event"] for line in lines] == ["search", "asked", "told"]
    assert all(line["time"] > 1e9 for line in lines)
    assert lines[-1]["accuracy"] is None
    assert journals.read(path).events == lines


@pytest.mark.parametrize("tail", [b'{"event": "told", "que', b"\0\0\0", b'{"a": \n'])
def test_a_torn_last_line_is_set_aside(path, tmp_path, tail):
    whole = path.read_bytes()
    path.write_bytes(whole + tail)
    journal, events = Journal.resume(path, tmp_path / "torn")
    journal.append({"event": "resumed"})
    journal.close()
    assert len(events) == 3
    assert path.read_bytes().startswith(whole + b'{"event": "resumed"')
    assert (tmp_path / "torn").read_bytes() == tail + b"\n"


def test_damage_elsewhere_is_told(path):
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + b"{]\n" + lines[2])
    with pytest.raises(JournalError, match="line 2 is damaged"):
        journals.read(path)


def test_other_files_are_refused(path, tmp_path):
    events = journals.read(path).events
    with pytest.raises(JournalError, match="another space: 'table', not 'darts'"):
        journals.check_space(path, events, nasjax.darts())
    other = tmp_path / "other"
    other.write_text('{"event": "asked"}\n')
    with pytest.raises(JournalError, match="not a journal"):
        journals.read(other)
    Journal.create(other, [HEADER | {"version": 99}]).close()
    with pytest.raises(JournalError, match="format 99"):
        journals.read(other)


def test_a_journal_of_an_earlier_version_resumes(tmp_path, quick_compile):
    """Its process was killed in the middle of a line.

    The journal has earlier evaluations, a pool that broke, failures, queries added on
    resuming, two results that were not told, and an attempt without a result.
    `expected.json` is what the version that wrote it resumed it to.
    """

    def evaluate(arch):
        if arch[1] == arch[2] == 1:
            raise RuntimeError("out of memory")
        evaluated.append(arch.tolist())
        return float(arch @ (9, 3, 1)) / 32, float(arch.sum()) / 8

    evaluated = []
    data = Path(__file__).parent / "data"
    space = nasjax.table_space(3, tuple("abc"))
    config = nasjax.EvolutionConfig(population=4, sample=2)
    shutil.copytree(data / "killed", tmp_path, dirs_exist_ok=True)
    result = parallel.search(
        jax.random.key(7),
        nasjax.evolution(space, config),
        evaluate,
        queries=12,
        out=tmp_path,
        resume=True,
        progress=False,
    )
    expected = json.loads((data / "expected.json").read_text())
    assert evaluated == expected["arch"][11:], "every other result was in the journal"
    assert [row.arch.tolist() for row in result.rows] == expected["arch"]
    for name in ("accuracy", "order", "attempts"):
        values = np.array([getattr(row, name) for row in result.rows], float)
        np.testing.assert_array_equal(values, np.array(expected[name], float), name)
    for leaf, numbers in zip(
        jax.tree.leaves(result.state), expected["state"], strict=True
    ):
        np.testing.assert_array_equal(leaf, np.array(numbers, leaf.dtype))
    before = (data / "killed" / journals.NAME).read_bytes()
    whole, _, torn = before.rpartition(b"\n")
    assert (tmp_path / journals.NAME).read_bytes().startswith(whole)
    assert (tmp_path / journals.TORN).read_bytes() == torn + b"\n"
