"""The journal: whole lines or none, and nothing lost."""

import json

import pytest

import nasjax
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
    with pytest.raises(JournalError, match="no journal"):
        journals.read(other)
    Journal.create(other, [HEADER | {"version": 99}]).close()
    with pytest.raises(JournalError, match="format 99"):
        journals.read(other)
