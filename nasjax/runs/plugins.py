"""Searchers and spaces from a user's own files: `--plugin FILE.py`."""

import argparse
import hashlib
import importlib.util
import sys
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nasjax.networks import families
from nasjax.runs import configs, folder, methods
from nasjax.runs.script import refusals
from nasjax.spaces import architectures

# Fields of config.json that runs without plugins and of earlier versions lack.
ABSENT: dict[str, Any] = {"plugins": [], "plugin_hashes": {}}

# Names that the last `load` added.
_methods: list[str] = []
_spaces: list[str] = []


def load(files: Sequence[Path]) -> None:
    """Runs the files, after removing what the last call registered.

    A file calls `methods.register` or `networks.families.register`.

    Raises:
      ValueError: a file that is missing, fails (with file and line) or registers
        nothing; a name that is taken.
    """
    while _methods:
        name = _methods.pop()
        del methods.METHODS[name], methods.PLUGINS[name]
    while _spaces:
        name = _spaces.pop()
        del families.FAMILIES[name], architectures.SPACES[name]
    for file in files:
        before = set(methods.PLUGINS), set(families.FAMILIES)
        try:
            _run(file)
        finally:
            _methods.extend(methods.PLUGINS.keys() - before[0])
            _spaces.extend(families.FAMILIES.keys() - before[1])
        if (methods.PLUGINS.keys(), families.FAMILIES.keys()) == before:
            raise ValueError(
                f"--plugin {file} registers no searcher and no space; it should call "
                "nasjax.runs.methods.register(name, Method(factory, config)) or "
                "nasjax.networks.families.register(Family(name, ...))"
            )


def _run(file: Path) -> None:
    if not file.is_file():
        raise ValueError(f"--plugin {file}: there is no such file")
    name = f"nasjax_plugin_{file.stem}"
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise ValueError(f"--plugin {file} is no Python file (*.py)")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up there
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        message = f"{type(error).__name__}: {error}"
        if isinstance(error, SyntaxError):
            place = f"{error.filename}, line {error.lineno}"
        else:
            frames = traceback.extract_tb(error.__traceback__)
            own = [f for f in frames if f.filename == spec.origin]
            place = f"{file}, line {own[-1].lineno}" if own else str(file)
        raise ValueError(f"--plugin {place}: {message}") from error


def add(parser: argparse.ArgumentParser, argv: Sequence[str] | None) -> None:
    """Adds `--plugin` and loads the files that `argv` names.

    Flags that depend on their searchers or spaces can be added afterwards. A run that
    is resumed needs the plugins that it was started with.

    Args:
      parser: has `--out` and `--resume`; ends the program where `load` raises.
      argv: the command line; None for that of the process.

    Raises:
      RefusedError: config.json of the run that is resumed is damaged.
    """
    first = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    first.error = parser.error  # type: ignore[method-assign]  # with this usage line
    first.add_argument("--out", type=Path, default=parser.get_default("out"))
    first.add_argument("--resume", action="store_true")
    for known in (first, parser):
        known.add_argument(
            "--plugin",
            action="append",
            type=Path,
            default=[],
            metavar="FILE.py",
            help="your own file that registers a searcher or space; may be repeated",
        )
    args, _ = first.parse_known_args(argv)
    recorded = {}
    if args.resume and args.out and (args.out / folder.CONFIG).is_file():
        with refusals():  # a damaged file is no mistake of the command line
            recorded = configs.read_object(args.out / folder.CONFIG)
    try:
        _check_recorded(args, recorded)
        load(args.plugin)
    except (ValueError, OSError) as error:
        parser.error(str(error))


def record(args: argparse.Namespace) -> dict[str, Any]:
    """File names and SHA-256 of the plugins, as config.json records them."""
    hashes = {file.name: _sha256(file) for file in args.plugin}
    return {"plugins": [file.name for file in args.plugin], "plugin_hashes": hashes}


def _check_recorded(args: argparse.Namespace, config: Mapping[str, Any]) -> None:
    """ValueError if a plugin of a run that is resumed is missing or was edited."""
    missing = set(config.get("plugins", [])) - {file.name for file in args.plugin}
    if missing:
        raise ValueError(
            f"the run in {args.out} was started with --plugin "
            f"{', '.join(sorted(missing))}: --resume needs it again"
        )
    hashes = config.get("plugin_hashes", {})  # absent from runs of earlier versions
    for file in args.plugin:
        if file.is_file() and hashes.get(file.name, _sha256(file)) != _sha256(file):
            raise ValueError(
                f"--plugin {file} is not the file that the run in {args.out} was "
                "started with: restore it, or use another --out"
            )


def _sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()
