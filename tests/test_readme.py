"""README.md and experiments/README.md: snippets, tables, links and commands."""

import argparse
import contextlib
import importlib.util
import io
import re
import shlex

import jax
import pytest
import readme_tables
from readme_tables import DOCUMENTS, ROOT, TABLES

from nasjax.data import nb201

README, EXPERIMENTS = DOCUMENTS
SNIPPET = re.compile(r"^```python\n(.*?)^```\n(?:```\n(.*?)^```$)?", re.S | re.M)
LINK = re.compile(r"\]\(([^)]+)\)")
IDS = ("README", "experiments")


def texts(path):
    return path.read_text(encoding="utf-8")


def code(path):
    """Lines of shell commands, and commands in the prose."""
    text = texts(path)
    lines = [
        line
        for block in re.findall(r"^```bash\n(.*?)^```", text, re.S | re.M)
        for line in block.splitlines()
    ]
    return lines + re.findall(
        r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.S | re.M)
    )


def commands(path):
    """(script, arguments) of every command that names a script, with flags or alone."""
    found = set()
    for line in code(path):
        match = re.search(r"(?:^|experiments/)(\w+)\.py((?: .*)?)$", line)
        if not match or not (ROOT / "experiments" / f"{match[1]}.py").exists():
            continue
        if match[2] or line.startswith("python "):
            found.add((match[1], match[2].strip()))
    return found


class ParsedError(Exception):
    """A command line was read."""


def parse(script, arguments, monkeypatch):
    """Reads a command line with the script's own parser, and does nothing more."""
    path = ROOT / "experiments" / f"{script}.py"
    monkeypatch.syspath_prepend(str(path.parent))
    spec = importlib.util.spec_from_file_location(f"readme_{script}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    original = argparse.ArgumentParser.parse_args

    def stop(parser, argv=None, namespace=None):
        original(parser, argv, namespace)
        raise ParsedError

    with monkeypatch.context() as patched:
        patched.setattr(jax.distributed, "initialize", lambda: None)
        if hasattr(module, "parse"):  # also checks what goes together
            module.parse(shlex.split(arguments))
            return
        patched.setattr(argparse.ArgumentParser, "parse_args", stop)
        with pytest.raises(ParsedError):
            module.main(shlex.split(arguments))


def test_readme_has_at_most_200_lines():
    assert len(texts(README).splitlines()) <= 200


@pytest.mark.parametrize(("path", "least"), [(README, 3), (EXPERIMENTS, 1)], ids=IDS)
def test_snippets_print_what_stands_below_them(path, least, quick_compile):
    table = nb201.load(columns=["cifar100_valid"], log=lambda _: None)
    same = table.columns["cifar100_valid"].version == "v1_1"
    snippets = SNIPPET.findall(texts(path))
    assert len(snippets) >= least
    names = {}
    for source, wanted in snippets:
        assert wanted, f"no output below\n{source}"
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(source, str(path), "exec"), names)
        # Another version of the benchmark has other numbers in the third digit.
        if same or "nb201.load" not in source:
            assert printed.getvalue() == wanted


@pytest.mark.parametrize("path", DOCUMENTS, ids=IDS)
def test_tables_agree_with_the_results_files(path):
    found = readme_tables.tables(texts(path))
    assert found
    for name, lines in found:
        assert name, f"no comment above {lines[0]}"
        assert lines == readme_tables.markdown(TABLES[name]()), name


def test_every_table_is_printed_once():
    both = [name for path in DOCUMENTS for name, _ in readme_tables.tables(texts(path))]
    assert sorted(both) == sorted(TABLES)


@pytest.mark.parametrize("path", DOCUMENTS, ids=IDS)
def test_links_lead_to_files(path):
    targets = [t for t in LINK.findall(texts(path)) if not t.startswith("http")]
    assert targets
    for target in targets:
        file, _, anchor = target.partition("#")
        assert (path.parent / file).exists(), target
        if anchor:
            titles = re.findall(r"^## (.+)$", texts(path.parent / file), re.M)
            anchors = [t.lower().replace(".", "").replace(" ", "-") for t in titles]
            assert anchor in anchors, target


def test_every_script_has_a_section():
    helpers = {"pytorch_derived", "pytorch_supernet"}
    scripts = {path.stem for path in (ROOT / "experiments").glob("*.py")} - helpers
    assert set(re.findall(r"^## (\w+)\.py$", texts(EXPERIMENTS), re.M)) == scripts


COMMANDS = sorted(set().union(*map(commands, DOCUMENTS)))


@pytest.mark.parametrize(("script", "arguments"), COMMANDS)
def test_commands_are_read_by_their_scripts(script, arguments, monkeypatch):
    parse(script, arguments, monkeypatch)
