"""Bytes and operations of one kernel, counted from its HLO.

A fused loop computes an element again for each index at which it is needed. Behind a
slice, a padding or a transposition the operand's index differs from the reader's, so
readers do not share the element. `Fusion` follows these index paths.

The inside of a Pallas kernel is not looked at. It counts as one launch that reads each
operand once and writes each result once, so as bound by memory, unless the kernel
states its number of instructions in its metadata, as `networks.pallas_kernels` does.
What it reads more than once, and the products of its matrix units, do not count.
"""

import dataclasses
import math
import re
from collections import defaultdict
from collections.abc import Mapping

from nasjax.analysis.gpu import hlo
from nasjax.analysis.gpu.hlo import Computation, Instruction, Module, elements, size

# Instructions of a thread per element, in `_WORK`; 1 for other arithmetic. Divisions
# and transcendentals take a few multiply-adds and a special-function instruction. A
# padded read tests its bounds: in machine code that was compiled for this project, four
# elements of a 3 x 3 stencil took 443-476 instructions, and 72 without the tests.
_TRANSCENDENTALS = {
    *("cbrt", "cosine", "divide", "erf", "exponential", "exponential-minus-one", "log"),
    *("log-plus-one", "logistic", "power", "remainder", "rsqrt", "sine", "sqrt"),
    *("tan", "tanh"),
}
_FREE_OPCODES = {
    *("bitcast", "bitcast-convert", "broadcast", "constant", "copy", "dot", "iota"),
    *("get-tuple-element", "parameter", "reshape", "slice", "transpose", "tuple"),
}
_WORK = dict.fromkeys(_FREE_OPCODES, 0.0) | dict.fromkeys(_TRANSCENDENTALS, 8.0)
_WORK["pad"] = 10.0
_READERS = ("slice", "dynamic-slice", "gather")  # opcodes that read part of operand 0
_INDEX_CHANGES = {
    *("broadcast", "concatenate", "dynamic-slice", "dynamic-update-slice", "gather"),
    *("pad", "reduce", "reduce-window", "reverse", "slice", "transpose"),
}
_PALLAS = "__gpu$xla.gpu.triton"
_STATED = r"instructions\\22: \\22(\d+)"  # instructions in a Pallas kernel's metadata
# Dimensions that a product sums over, as `dot` and as library calls name them.
_SUMMED = r'lhs_contracting_dim(?:s=|ensions":)[{\[]([^}\]]*)'
# Index paths kept per instruction, of which a fusion can have exponentially many;
# beyond, only the number of elements is kept.
_MOST_PATHS = 256


@dataclasses.dataclass(frozen=True)
class Cost:
    """Cost of one run of a kernel."""

    # loop, reduction, product, convolution, pallas, library, unknown; or the opcode
    kind: str
    bytes: float = 0.0  # read and written in memory
    instructions: float = 0.0  # of threads, without loads
    loads: float = 0.0  # elements that threads load, also from a cache
    # Operations of products and convolutions by their format, two per multiply-add;
    # "tf32" where float32 products may be rounded.
    products: dict[str, float] = dataclasses.field(default_factory=dict)
    op_name: str = ""  # origin in the JAX program

    @property
    def flops(self) -> float:
        """Operations of products and of threads together."""
        return sum(self.products.values()) + self.instructions


def cost(module: Module, name: str) -> Cost:
    """Cost of the instruction that a thunk runs; zero if the name is unknown."""
    instruction = module.find(name)
    if instruction is None:
        return Cost("unknown")
    if instruction.opcode == "fusion" and instruction.calls:
        return Fusion(module.computations[instruction.calls], instruction).cost()
    operands = [module.operand_shape(name, i) for i in range(len(instruction.operands))]
    written = size(instruction.shape)
    moved: float = sum(map(size, operands)) + written
    if instruction.opcode in ("slice", "dynamic-slice"):
        moved = 2 * written
    elif instruction.opcode == "dynamic-update-slice":
        moved = 2 * size(operands[1])
    products = {}
    if instruction.opcode == "custom-call":
        flops = _product_flops(instruction, operands)
        products = {_precision(instruction, operands): flops} if flops else {}
    kind = "library" if instruction.target else instruction.opcode
    if products:
        kind = "convolution" if "conv" in instruction.target.lower() else "product"
    work = _WORK.get(instruction.opcode, 1.0) * elements(instruction.shape)
    if instruction.target:
        work = 0.0
    if instruction.target == _PALLAS:
        kind, work = "pallas", float(instruction.attribute(_STATED) or 0)
    return Cost(kind, moved, work, 0.0, products, instruction.op_name)


def _precision(instruction: Instruction, operands: list[hlo.Shape]) -> str:
    """Number format of a product: that of its first operand, or TF32."""
    dtype = operands[0][0].dtype if operands and operands[0] else "f32"
    return "tf32" if dtype == "f32" and not instruction.full_precision else dtype


def _product_flops(instruction: Instruction, operands: list[hlo.Shape]) -> float:
    """Operations of a matrix product or convolution; 0 for other library calls."""
    target = instruction.target.lower()
    if instruction.opcode == "dot" or "gemm" in target or "matmul" in target:
        left, text = operands[0][0].dims, instruction.attribute(_SUMMED)
        dims = [-1] if text is None else map(int, re.findall(r"\d+", text))
        summed = math.prod(left[dim] for dim in dims)
        return 2.0 * instruction.shape[0].elements * summed
    if "conv" not in target:
        return 0.0
    # Output pixels x window x input channels x output channels, times two. Which
    # operand is image, kernel or output depends on the direction, the count does not.
    window = instruction.attribute(r"window=\{size=([\dx]+)") or "1"
    labels = instruction.attribute(r"dim_labels=\w+_(\w+)->")
    arrays = [operand[0] for operand in operands[:2]]
    if "backwardfilter" in target:
        kernel, image = instruction.shape[0], arrays[1]
    elif "backwardinput" in target:
        kernel, image = arrays[1], arrays[0]
    else:
        kernel, image = arrays[1], instruction.shape[0]
    channels = kernel.dims[labels.index("i")] if labels else kernel.dims[-2]
    taps = math.prod(int(n) for n in window.split("x"))
    return 2.0 * image.elements * taps * channels


class Fusion:
    """A fused computation: the bytes it reads and writes, the elements it evaluates."""

    def __init__(self, body: Computation, caller: Instruction):
        self.body, self.caller = body, caller
        self.root = next(i for i in body.values() if i.is_root)
        self.readers: dict[str, list[tuple[Instruction, int]]] = defaultdict(list)
        for instruction in body.values():
            for position, operand in enumerate(instruction.operands):
                self.readers[operand.name].append((instruction, position))

    def cost(self) -> Cost:
        """Bytes, instructions, loads and products of one run."""
        evaluated = self.evaluations()
        work = loads = 0.0
        products: dict[str, float] = defaultdict(float)
        parameters = []
        for name, instruction in self.body.items():
            if instruction.opcode == "parameter":
                parameters.append(name)
                loads += evaluated[name]
            elif instruction.opcode in ("custom-call", "dot"):
                operands = [self.body[o.name].shape for o in instruction.operands]
                flops = _product_flops(instruction, operands)
                products[_precision(instruction, operands)] += flops
            elif instruction.opcode == "reduce":
                work += sum(
                    elements(self.body[o.name].shape)
                    for o in instruction.operands[: len(instruction.operands) // 2]
                )
            elif instruction.opcode == "concatenate":
                # A search among the parts for each element.
                parts = len(instruction.operands)
                work += 3 * math.ceil(math.log2(max(parts, 2))) * evaluated[name]
            else:
                work += _WORK.get(instruction.opcode, 1.0) * evaluated[name]
        moved = sum(map(self.read, parameters)) + self.written(self.root)
        kind, op_name = self.kind(products), self.caller.op_name
        return Cost(kind, moved, work, loads, dict(products), op_name)

    def kind(self, products: Mapping[str, float]) -> str:
        """Kind of the kernel: product, reduction or loop."""
        if products:
            return "product"
        kind = self.caller.attribute(r"kind=k(\w+)")
        reduces = any(i.opcode == "reduce" for i in self.body.values())
        return "reduction" if kind == "Input" or reduces else "loop"

    def read(self, name: str) -> int:
        """Bytes that are read of a parameter, at most all of them."""
        whole, total = size(self.body[name].shape), 0
        for reader, position in self.readers[name]:
            if reader.opcode in _READERS and position == 0:
                total += size(reader.shape)
            elif reader.opcode in ("bitcast", "get-tuple-element"):
                total += self.read(reader.name)
            elif reader.opcode not in ("dynamic-update-slice", "scatter") or position:
                return whole
        return min(total, whole)

    def written(self, instruction: Instruction) -> int:
        """Bytes that are written; of an update in place, the update alone."""
        operands = [self.body[operand.name] for operand in instruction.operands]
        if instruction.opcode == "tuple":
            return sum(self.written(operand) for operand in operands)
        if instruction.opcode == "parameter":  # handed on, in place
            return 0
        if instruction.opcode == "bitcast" and operands:
            return self.written(operands[0])
        if instruction.opcode == "dynamic-update-slice":
            return size(operands[1].shape)
        if instruction.opcode == "scatter":  # reads what it adds to
            updates = operands[(len(operands) - 1) // 2 + 1 :]
            return 2 * sum(size(update.shape) for update in updates)
        return size(instruction.shape)

    def evaluations(self) -> dict[str, float]:
        """Number of elements that are computed, by name of the instruction.

        A kernel that works on tiles (kind=kCustom) computes each element once.
        """
        if self.caller.attribute(r"kind=k(\w+)") == "Custom":
            return {n: float(elements(i.shape)) for n, i in self.body.items()}
        # By instruction: elements at each path of index changes from the root.
        paths: dict[str, dict[tuple[str, ...], float]] = defaultdict(dict)
        paths[self.root.name][()] = float(elements(self.root.shape))
        evaluated = {}
        for name, instruction in reversed(list(self.body.items())):
            here = paths[name]
            evaluated[name] = sum(here.values())
            if len(here) > _MOST_PATHS:
                here = {("many", name): evaluated[name]}
            for position, operand in enumerate(instruction.operands):
                source = self.body[operand.name]
                if elements(source.shape) <= 1 or source.opcode == "constant":
                    continue  # it stays in a register
                there = paths[operand.name]
                for path, count in here.items():
                    reader = instruction, position
                    key, number = self._follow(*reader, source, path, count)
                    there[key] = max(there.get(key, 0.0), number)
        return evaluated

    def _follow(self, reader, position, source, path, count):
        """Path and number of elements at an operand, from those of its reader."""
        own, opcode = elements(source.shape), reader.opcode
        if opcode == "tuple":
            return (), float(own)
        if opcode in _INDEX_CHANGES:
            path = (*path, reader.name)
        outputs = max(elements(reader.shape[:1]), 1)
        if opcode in ("reduce", "reduce-window"):
            return path, own * max(count / outputs, 1.0)
        if opcode == "concatenate":
            return (*path, str(position)), count * own / outputs
        if opcode == "dynamic-update-slice" and position != 1:
            return path, 0.0
        if opcode in ("dynamic-update-slice", "dot"):
            return path, float(own)
        if opcode == "pad":  # elements outside are not computed
            return path, min(count, count * own / outputs)
        return path, count
