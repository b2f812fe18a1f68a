"""Parser of optimised HLO text, as XLA dumps it after all of its passes.

Only what counting needs is kept: names, opcodes, shapes, operands, and the attributes
of an instruction as text.
"""

import dataclasses
import functools
import math
import re
from collections.abc import Iterator, Mapping

# Bytes per element of the types that `_BITS` does not match.
BYTES = {"pred": 1, "token": 0, "opaque": 0, "bf16": 2, "c64": 8, "c128": 16}
_ARRAY = re.compile(r"([a-z]+[0-9a-z]*)\[([0-9,<=]*)\]")
_OPERAND = re.compile(r"%([\w.\-]+)(?:#(\d+))?")
_COMMENT = re.compile(r"/\*.*?\*/")
_HEADER = re.compile(r"(ENTRY )?%?([\w.\-]+) \(.*\) -> .*\{")
_INSTRUCTION = re.compile(r"\s*(ROOT )?%([\w.\-]+) = (.*)")
_BITS = re.compile(r"[fsu](\d+)")


@dataclasses.dataclass(frozen=True)
class Array:
    """Type and dimensions of an array."""

    dtype: str
    dims: tuple[int, ...]

    @property
    def elements(self) -> int:
        """Number of elements."""
        return math.prod(self.dims)

    @property
    def bytes(self) -> int:
        """Size in memory; a four-bit integer takes a byte, unless XLA packs it."""
        if self.dtype in BYTES:
            return BYTES[self.dtype] * self.elements
        bits = _BITS.match(self.dtype)
        return self.elements * max(int(bits.group(1)) // 8, 1) if bits else 0


Shape = tuple[Array, ...]  # the arrays of a tuple, flattened; or the only array


def shape(text: str) -> Shape:
    """Arrays of a shape in HLO's text form, such as `(f32[8,16], s32[])`."""
    return tuple(
        Array(dtype, tuple(int(n.strip("<=")) for n in dims.split(",") if n))
        for dtype, dims in _ARRAY.findall(text)
    )


def elements(arrays: Shape) -> int:
    """Number of elements of all arrays."""
    return sum(array.elements for array in arrays)


def size(arrays: Shape) -> int:
    """Bytes of all arrays."""
    return sum(array.bytes for array in arrays)


@dataclasses.dataclass(frozen=True)
class Operand:
    """An instruction whose result another one reads, or an element of that tuple."""

    name: str
    index: int | None = None  # in the tuple; None reads all of it


@dataclasses.dataclass(frozen=True)
class Instruction:
    """One instruction of a computation."""

    name: str
    opcode: str
    shape: Shape
    operands: tuple[Operand, ...]
    attributes: str
    is_root: bool = False

    def attribute(self, pattern: str) -> str | None:
        """First group of a regular expression in the attributes, or None."""
        match = re.search(pattern, self.attributes)
        return match.group(1) if match else None

    @property
    def calls(self) -> str | None:
        """Name of the computation that a fusion calls."""
        return self.attribute(r"calls=%?([\w.\-]+)")

    @property
    def op_name(self) -> str:
        """Path of JAX functions that the instruction comes from."""
        return self.attribute(r'op_name="([^"]*)"') or ""

    @property
    def trip_count(self) -> int | None:
        """Iterations of a `while`; None if XLA does not know them."""
        count = self.attribute(r'known_trip_count"?:\s*\{\s*"?n"?:\s*"?(\d+)')
        return None if count is None else int(count)

    @property
    def full_precision(self) -> bool:
        """Whether a product asks for the highest precision of its inputs."""
        return bool(re.search("highest", self.attributes, re.IGNORECASE))

    @property
    def target(self) -> str:
        """Name of the library function that a custom call calls, else empty."""
        return self.attribute(r'custom_call_target="([^"]+)"') or ""


Computation = Mapping[str, Instruction]


class Module:
    """A program: its computations by name.

    Attributes:
      computations: every computation, its instructions in the order of the text.
      entry: name of the computation where the program starts.
    """

    def __init__(self, text: str):
        """Parses a dump; ValueError if it holds no program."""
        self.computations: dict[str, dict[str, Instruction]] = {}
        self.entry = ""
        current: dict[str, Instruction] = {}
        for line in text.splitlines():
            header = _HEADER.match(line)
            if header:
                current = self.computations.setdefault(header.group(2), {})
                self.entry = header.group(2) if header.group(1) else self.entry
            elif line.startswith(" ") and (match := _INSTRUCTION.match(line)):
                root, name, rest = match.groups()
                current[name] = _instruction(name, _COMMENT.sub("", rest), bool(root))
        if not self.entry:
            raise ValueError("this text holds no entry computation of HLO")

    @functools.cached_property
    def _homes(self) -> dict[str, Computation]:
        """The computation of each instruction outside fusions, by the latter's name."""
        fused = {i.calls for i, _ in self.instructions() if i.opcode == "fusion"}
        return {
            name: body
            for computation, body in self.computations.items()
            if computation not in fused
            for name in body
        }

    def find(self, name: str) -> Instruction | None:
        """An instruction outside fusions by its name; None if there is none."""
        return self._homes.get(name, {}).get(name)

    def operand_shape(self, name: str, position: int) -> Shape:
        """Shape of an operand of an instruction outside fusions."""
        body = self._homes[name]
        operand = body[name].operands[position]
        arrays = body[operand.name].shape
        nested = operand.index is not None and operand.index < len(arrays)
        return (arrays[operand.index],) if nested else arrays  # type: ignore[index]

    def instructions(self) -> Iterator[tuple[Instruction, Computation]]:
        """Every instruction, fused ones too, each with its computation."""
        for body in self.computations.values():
            for instruction in body.values():
                yield instruction, body


def _instruction(name: str, text: str, is_root: bool) -> Instruction:
    """Parses the text right of `%name = `: shape, opcode(operands), attributes."""
    cut = _closing(text, 0) if text.startswith("(") else text.index(" ")
    rest = text[cut:].lstrip()
    opening = rest.index("(")
    end = _closing(rest, opening)
    inside, opcode = rest[opening + 1 : end - 1], rest[:opening]
    operands: tuple[Operand, ...] = ()
    if opcode not in ("constant", "parameter"):
        operands = tuple(
            Operand(read, int(index) if index else None)
            for read, index in _OPERAND.findall(inside)
        )
    return Instruction(name, opcode, shape(text[:cut]), operands, rest[end:], is_root)


def _closing(text: str, start: int) -> int:
    """Position after the bracket that closes the first one from `start` on."""
    depth, quoted = 0, False
    for position in range(start, len(text)):
        character = text[position]
        if character == '"':
            quoted = not quoted
        elif not quoted and character in "()":
            depth += 1 if character == "(" else -1
            if not depth:
                return position + 1
    raise ValueError(f"a bracket is never closed in {text[:80]!r}")


def reduced_products(module: Module) -> list[str]:
    """JAX paths of float32 matrix products that may round their inputs to TF32.

    XLA takes TF32 on a GPU that has it, unless a product asks for full precision. A
    product that sums nothing is not listed: XLA makes it an elementwise multiplication.
    """
    reduced = []
    for instruction, body in module.instructions():
        library = instruction.opcode == "custom-call" and any(
            word in instruction.target for word in ("gemm", "matmul")
        )
        if instruction.opcode != "dot" and not library:
            continue
        first = body[instruction.operands[0].name].shape
        if first and first[0].dtype == "f32" and not instruction.full_precision:
            reduced.append(instruction.op_name or instruction.name)
    return reduced
