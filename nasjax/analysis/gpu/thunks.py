"""Parser of XLA's thunk sequence: the launches of a program, in order.

A thunk is a kernel or a library call, or it holds others: a loop (`kWhile`), a
conditional (`kConditional`), a CUDA graph (`kCommandBuffer`).
"""

import dataclasses
import re

_THUNK = re.compile(r"(\s*)(\d+): (k\w+)\s+(?:\[[^\]]*\])?(.*)")
_LABEL = re.compile(r"(\s*)(condition|body|branch_\d+|true_branch|false_branch):\s*")
_ID = re.compile(r"thunk_id: (\d+)")
_NAME = re.compile(r'profile_annotation: "([^"]*)"')
_HOLDERS = ("kWhile", "kConditional")


@dataclasses.dataclass
class Thunk:
    """One thunk and the thunks it holds."""

    kind: str  # XLA's name, such as kCustomKernel
    name: str  # of the HLO instruction; empty where the dump does not say
    text: str = ""  # kernel and launch dimensions
    # The thunks it holds: a loop has `condition` and `body`, a conditional one section
    # per branch, others the section with the empty name.
    sections: dict[str, list["Thunk"]] = dataclasses.field(default_factory=dict)


def _names(metadata: str) -> dict[int, str]:
    """Instruction names by the number of the thunk."""
    by_number = {}
    for block in metadata.split("thunk_metadata {")[1:]:
        number, name = _ID.search(block), _NAME.search(block)
        if number and name:
            by_number[int(number.group(1))] = name.group(1)
    return by_number


def parse(sequence: str, metadata: str = "") -> list[Thunk]:
    """The thunks of a program.

    Args:
      sequence: text of `thunk_sequence.txt` or `..._after_thunk_passes.txt`.
      metadata: text of `thunk_metadata.txt`, for the names.

    Raises:
      ValueError: no thunk is in the text.
    """
    names = _names(metadata)
    root = Thunk("root", "")
    # Open thunks from the outermost: each with its indentation and current section.
    open_thunks: list[tuple[int, Thunk, str]] = [(-1, root, "")]
    for line in sequence.splitlines():
        if match := _LABEL.fullmatch(line):
            indent, label = len(match.group(1)), match.group(2)
            # A condition stands directly below its loop, other labels are indented.
            while label != "condition" and not (
                open_thunks[-1][1].kind in _HOLDERS and open_thunks[-1][0] == indent - 2
            ):
                open_thunks.pop()
            outer, holder, _ = open_thunks[-1]
            open_thunks[-1] = (outer, holder, label)
            holder.sections.setdefault(label, [])
        elif match := _THUNK.fullmatch(line):
            indent = len(match.group(1))
            while open_thunks[-1][0] >= indent:
                open_thunks.pop()
            _, holder, section = open_thunks[-1]
            kind, text = match.group(3), match.group(4).strip()
            # All graphs carry the number 0, which names another thunk.
            graph = kind == "kCommandBuffer"
            name = "" if graph else names.get(int(match.group(2)), "")
            thunk = Thunk(kind, name, text)
            holder.sections.setdefault(section, []).append(thunk)
            open_thunks.append((indent, thunk, ""))
    if not root.sections:
        raise ValueError("this text holds no thunk sequence")
    return root.sections[""]
