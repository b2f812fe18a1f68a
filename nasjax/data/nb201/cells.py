"""The cells of NAS-Bench-201: official order, isomorphism and strings."""

import functools
import itertools
import random
import re
from collections.abc import Sequence

import numpy as np

from nasjax.spaces import nas_bench_201

_SPACE = nas_bench_201()
OP_NAMES = _SPACE.operations
NUM_ARCHS = _SPACE.size
_EDGES = _SPACE.edges  # in the order of the benchmark's strings


class TableError(ValueError):
    """A file is not a valid table, or no source has a requested column."""


def codes(ops: np.ndarray) -> np.ndarray:
    """Index of each architecture of `ops` [A, 6] in lexicographic order, int64 [A]."""
    return ops.astype(np.int64) @ len(OP_NAMES) ** np.arange(len(_EDGES))[::-1]


@functools.lru_cache(maxsize=1)
def official_ops() -> np.ndarray:
    """All architectures in official order, uint8 [15625, 6]: row i is API index i.

    The benchmark's authors shuffled the lexicographic product with seed 88
    (AutoDL-Projects, the NAS-Bench-201 generation code). Read-only.
    """
    archs = list(itertools.product(range(len(OP_NAMES)), repeat=len(_EDGES)))
    random.Random(88).shuffle(archs)
    return _readonly(np.array(archs, np.uint8))


def isomorphism_classes(ops: np.ndarray) -> np.ndarray:
    """First row of each architecture's isomorphism class, int32 [A]. Read-only.

    Two cells are isomorphic if the benchmark's canonical strings agree: a node is
    the sorted sum of its edges; an edge is zero if its operation is none or its
    source is zero, its source if it is a skip, else "(source)@operation". The
    15,625 cells fall into 6,466 classes (NATS-Bench, `to_unique_str`).

    Args:
      ops: [A, 6] operation per edge.
    """
    ops = np.ascontiguousarray(ops, np.uint8)
    return _isomorphism_classes(ops.tobytes())


@functools.lru_cache(maxsize=4)
def _isomorphism_classes(data: bytes) -> np.ndarray:
    first: dict[str, int] = {}
    rows = np.frombuffer(data, np.uint8).reshape(-1, len(_EDGES)).tolist()
    classes = [first.setdefault(_canonical(row), i) for i, row in enumerate(rows)]
    return _readonly(np.array(classes, np.int32))


def _canonical(ops: list[int]) -> str:
    nodes: list[list[str]] = [[], [], [], []]
    strings = ["0"]
    for (source, target), op in zip(_EDGES, ops, strict=True):
        if len(strings) < target:
            strings.append("+".join(sorted(nodes[len(strings)])))
        origin, name = strings[source], OP_NAMES[op]
        if name == "none" or origin == "#":
            nodes[target].append("#")
        else:
            skip = name == "skip_connect"
            nodes[target].append(origin if skip else f"({origin})@{name}")
    return "+".join(sorted(nodes[-1]))


def _readonly(array: np.ndarray) -> np.ndarray:
    array.setflags(write=False)
    return array


def format_arch(ops: Sequence[int] | np.ndarray) -> str:
    """The benchmark's string of one architecture, [6] operations."""
    return _SPACE.arch_string(np.asarray(ops))


def as_text(value: object) -> str:
    """Text of an array's entry, which is bytes in some files."""
    return value.decode() if isinstance(value, bytes) else str(value)


def contradiction(
    ops: np.ndarray, names: Sequence[str] | None, texts: np.ndarray
) -> str | None:
    """A contradiction of strings such as `|none~0|+...` to rows of `ops`, or None.

    Args:
      ops: [A, E].
      names: of the operations; None if unknown: then they must only be consistent.
      texts: [A], str or bytes; strings without any `~` cannot be checked.
    """
    shape = list(np.shape(texts))
    if shape != [len(ops)]:
        return f"`arch_str` has shape {shape}, `ops` has {len(ops)} rows"
    known = {} if names is None else dict(enumerate(names))
    strings = map(as_text, texts.tolist())
    for i, (row, text) in enumerate(zip(ops.tolist(), strings, strict=True)):
        named = re.findall(r"([^|+~]+)~", text)
        if not named:
            continue
        if names is None and len(named) == len(row):
            for o, name in zip(row, named, strict=True):
                if name not in known.values():
                    known.setdefault(o, name)
        if named != [known.get(o) for o in row]:
            return f"row {i}: `arch_str` is {text!r}, but `ops` is {row}"
    return None


def parse_arch(text: str) -> tuple[int, ...]:
    """Operations per edge of a string, the benchmark's own or six digits.

    Raises:
      TableError: if the text is neither.
    """
    text = text.strip()
    if re.fullmatch("[0-4]{6}", text):
        return tuple(map(int, text))
    try:
        ops = tuple(_SPACE.parse_arch_string(text).tolist())
    except ValueError:
        ops = None
    if ops is None or format_arch(ops) != text:
        raise TableError(
            f"{text!r} is no architecture: expected {format_arch((0,) * 6)!r} or six "
            "digits from 0 to 4"
        )
    return ops
