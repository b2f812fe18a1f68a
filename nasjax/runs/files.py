"""Files of results: provenance, JSON, arrays; each written in one step."""

import importlib.metadata
import json
import math
import platform
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from nasjax.data.locations import write_file

PACKAGES = ("nasjax", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy")


def provenance() -> dict[str, Any]:
    """Versions, git hash and devices of this process."""
    devices = jax.devices()
    return {
        "versions": {"python": platform.python_version()}
        | {name: _version(name) for name in PACKAGES},
        "git": git_hash(),
        "device": {
            "platform": devices[0].platform,
            "kind": _cpu_name()
            if devices[0].platform == "cpu"
            else devices[0].device_kind,
            "count": len(devices),
            "processes": jax.process_count(),
        },
    }


def git_hash() -> str:
    """Commit of the checkout this package lies in, `+` if it has changes; or unknown.

    Only a checkout that tracks this very file counts, not one that a virtual
    environment happens to lie in.
    """
    here = Path(__file__).resolve()

    def git(*arguments):
        return subprocess.run(
            ["git", "-C", str(here.parent), *arguments],
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        ).stdout.strip()

    try:
        git("ls-files", "--error-unmatch", here.name)
        return git("rev-parse", "HEAD") + ("+" if git("status", "--porcelain") else "")
    except (OSError, subprocess.SubprocessError):
        return "unknown"


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _cpu_name() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def to_json(content: Any, indent: int | None = None) -> str:
    """JSON text; numbers that are not finite become null, for JSON has no NaN.

    Raises:
      TypeError: a value of a type that cannot be written as JSON.
    """
    return json.dumps(_plain(content), indent=indent, allow_nan=False)


def write_json(path: Path, content: Any, *, shared: bool = False) -> None:
    """Writes JSON in one step; see `write_file`."""
    write_text(path, to_json(content, indent=2) + "\n", shared=shared)


def write_text(path: Path, text: str, *, shared: bool = False) -> None:
    """Writes UTF-8 text in one step; see `write_file`."""
    write_file(path, lambda file: file.write(text.encode()), shared=shared)


def write_npz(path: Path, **arrays: Any) -> None:
    """Writes a compressed npz in one step."""
    write_file(path, lambda file: np.savez_compressed(file, **arrays))


def _plain(value: Any) -> Any:
    """The value in types that `json` writes; numbers that are not finite are None."""
    if isinstance(value, np.generic | np.ndarray | jax.Array):
        return _plain(np.asarray(value).tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _plain(x) for key, x in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(x) for x in value]
    if value is None or isinstance(value, str | int):
        return value
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")
