"""Counts of a compiled program, and a model of its time on a GPU.

Nothing here is measured. A kernel takes a constant for its beginning and end plus the
longest of reading and writing its bytes, issuing its instructions, loading its elements
and multiplying its matrices, and at least the time of a launch. Launches of graphs,
conditionals and copies of a condition to the host come on top. Kernels run one after
another.
"""

import dataclasses
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from nasjax.analysis.gpu import costs
from nasjax.analysis.gpu.card import Card
from nasjax.analysis.gpu.hlo import Module
from nasjax.analysis.gpu.thunks import Thunk

# Thunks that hold others and launch nothing themselves, and those that only wait.
_WRAPPERS = ("kSequential", "kAsyncStart", "kDynamicSliceFusion")
_WAITS = ("kAsyncDone", "kWaitForStreams", "kNop")


@dataclasses.dataclass(frozen=True)
class Overheads:
    """Seconds that do not depend on the data, and shares of the card's rates."""

    kernel: float  # shortest time of a kernel that the host launches
    node: float  # shortest time of a kernel inside a CUDA graph
    graph: float  # launch of a graph
    condition: float  # a condition's copy to the host, its wait, and the next launch
    branch: float  # a conditional node, or an iteration of a loop, inside a graph
    ramp: float = 1e-6  # beginning and end of a kernel inside a graph; twice outside
    memory: float = 0.85  # share of the memory's bandwidth that a kernel reaches
    cache: float = 0.85  # share of the second-level cache's bandwidth
    issue: float = 0.85  # share of the rate of instructions
    matrix: float = 0.4  # share of the rate of matrix units


# kernel, node, graph: NVIDIA, "Getting Started with CUDA Graphs" (3 to 4 us a kernel,
# under 2 us of overhead a node). condition: 10 to 25 us for a copy to the host with its
# wait, as profiles of JAX's loops show. branch: NVIDIA, "Dynamic Control Flow in CUDA
# Graphs", gives no times; 3 to 8 us are assumed. ramp: 1 to 2 us are assumed. memory:
# STREAM reaches 85 to 92 % on an H100; cache and issue are assumed to reach as much.
# matrix: assumed, for untuned tiles of small products. "slow" assumes lower shares of
# all rates. All are to be corrected by measurements.
CASES: Mapping[str, Overheads] = {
    "fast": Overheads(3e-6, 1.5e-6, 4e-6, 10e-6, 3e-6, memory=0.92, matrix=0.5),
    "usual": Overheads(4e-6, 2.2e-6, 6e-6, 15e-6, 5e-6),
    "slow": Overheads(
        5e-6, 3.2e-6, 10e-6, 25e-6, 8e-6, 2e-6, 0.65, 0.6, 0.6, matrix=0.25
    ),
}
# Assumptions: the second-level cache is CACHE_SPEED times as fast as memory (about 5.5
# against 3.35 TB/s); all bytes of a kernel come from it if they are fewer than
# CACHE_SHARE of it, since earlier kernels wrote them; the rest holds other data.
CACHE_SPEED = 1.65
CACHE_SHARE = 0.6


@dataclasses.dataclass(frozen=True)
class Counts:
    """Counts of one run: a loop's body times its trips, a conditional's mean branch."""

    kernels: float  # launches, library calls and copies among them
    syncs: float  # copies of a condition to the host, which wait for the device
    graphs: float  # launches of CUDA graphs
    conditionals: float  # conditionals and loop iterations inside graphs
    bytes: float  # read and written in device memory, cached or not
    flops: float  # operations of products (two per multiply-add) and of threads
    seconds: Mapping[str, float]  # modelled time by case
    bound: Mapping[str, float]  # share of the usual time by reason, largest first
    by_kind: Mapping[str, float]  # launches by kind
    # The ten longest: (op_name, kind, launches, share of the usual time)
    hottest: Sequence[tuple[str, str, float, float]]
    open_loops: Sequence[str]  # loops whose trips nothing tells, counted as one trip
    loose_loops: int  # number of loops whose trips were taken from `trips`


def kernel_seconds(
    cost: costs.Cost, card: Card, overheads: Overheads, in_graph: bool
) -> tuple[float, str]:
    """Modelled seconds of one launch, and the resource that bounds it."""
    speed = card.bandwidth * overheads.memory
    if cost.bytes < CACHE_SHARE * card.cache:
        speed = card.bandwidth * CACHE_SPEED * overheads.cache
    # A core is assumed to issue loads at half its rate of instructions.
    issue = card.instructions * overheads.issue
    full = card.products["f32"]  # the rate of formats that have none of their own
    parts = {
        "memory": cost.bytes / speed,
        "instructions": max(cost.instructions, 2 * cost.loads) / issue,
        "matrix products": sum(
            flops / card.products.get(dtype, full)
            for dtype, flops in cost.products.items()
        )
        / overheads.matrix,
    }
    reason = max(parts, key=parts.__getitem__)
    launch = overheads.node if in_graph else overheads.kernel
    ramp = overheads.ramp * (1 if in_graph else 2)
    seconds = ramp + parts[reason]
    return (seconds, reason) if seconds > launch else (launch, "launches")


Sums = dict[str, float]


class _Walk:
    """A walk through the thunks that sums up their runs and costs."""

    def __init__(self, module, card, trips, branches):
        self.module, self.card, self.branches = module, card, branches
        self.trips: Iterator[float] = iter(trips)
        self.sums: Sums = defaultdict(float)
        self.kinds: Sums = defaultdict(float)
        self.seconds: Sums = defaultdict(float)
        self.reasons: Sums = defaultdict(float)
        self.kernels: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
        self.costs: dict[str, costs.Cost] = {}
        self.open: list[str] = []
        self.loose = 0

    def overhead(self, field: str, reason: str, times: float) -> None:
        for case, overheads in CASES.items():
            self.seconds[case] += times * getattr(overheads, field)
        self.reasons[reason] += times * getattr(CASES["usual"], field)

    def run(self, sequence, times: float, in_graph: bool, wrapper: str = "") -> None:
        for thunk in sequence:
            if thunk.kind == "kCommandBuffer":
                self.sums["graphs"] += times
                self.overhead("graph", "graph launches", times)
                self.run(thunk.sections.get("", ()), times, True)
            elif thunk.kind == "kWhile":
                self.loop(thunk, times, in_graph)
            elif thunk.kind == "kConditional":
                self.conditional(thunk, times, in_graph)
            elif thunk.kind in _WRAPPERS:
                for section in thunk.sections.values():
                    self.run(section, times, in_graph, thunk.name)
            elif thunk.kind not in _WAITS:
                name = thunk.name or wrapper or thunk.text
                self.kernel(thunk, name, times, in_graph)

    def branch(self, times: float, in_graph: bool) -> None:
        """Adds decisions: inside a graph on the device, else on the host."""
        field, cost, reason = (
            ("conditionals", "branch", "conditionals in graphs")
            if in_graph
            else ("syncs", "condition", "synchronisations")
        )
        self.sums[field] += times
        self.overhead(cost, reason, times)

    def loop(self, thunk: Thunk, times: float, in_graph: bool) -> None:
        instruction = self.module.find(thunk.name)
        known = None if instruction is None else instruction.trip_count
        trips = float(known or 0)
        if known is None:
            expected = next(self.trips, None)
            self.loose += expected is not None
            if expected is None:
                self.open.append(thunk.name)
            trips = 1.0 if expected is None else expected
        if in_graph or known is None:
            # The last test of a loop ends it: inside a graph that costs no iteration.
            self.branch(times * (trips if in_graph else trips + 1), in_graph)
            condition = thunk.sections.get("condition", ())
            self.run(condition, times * (trips + 1), in_graph)
        self.run(thunk.sections.get("body", ()), times * trips, in_graph)

    def conditional(self, thunk: Thunk, times: float, in_graph: bool) -> None:
        self.branch(times, in_graph)
        count = len(thunk.sections)
        shares = self.branches.get(count) or [1 / count] * count
        for share, section in zip(shares, thunk.sections.values(), strict=True):
            self.run(section, times * share, in_graph)

    def kernel(self, thunk: Thunk, name: str, times: float, in_graph: bool) -> None:
        if name not in self.costs:
            self.costs[name] = costs.cost(self.module, name)
        cost = self.costs[name]
        self.sums["kernels"] += times
        self.sums["bytes"] += times * cost.bytes
        self.sums["flops"] += times * cost.flops
        self.kinds["copy" if thunk.kind == "kCopy" else cost.kind] += times
        for case, overheads in CASES.items():
            seconds, reason = kernel_seconds(cost, self.card, overheads, in_graph)
            self.seconds[case] += times * seconds
            if case == "usual":
                self.reasons[reason] += times * seconds
                self.kernels[name][0] += times
                self.kernels[name][1] += times * seconds


def count(
    module: Module,
    sequence: Sequence[Thunk],
    card: Card,
    trips: Sequence[float] = (),
    branches: Mapping[int, Sequence[float]] | None = None,
) -> Counts:
    """Counts and modelled times of one run of a program.

    Args:
      module, sequence: of `compiling.Compiled`.
      card: the GPU on which it would run.
      trips: expected iterations of the loops whose number is known only at run time,
        in the program's order.
      branches: probabilities of a conditional's branches, by their number; where there
        are none, all branches are equally likely.
    """
    walk = _Walk(module, card, trips, branches or {})
    walk.run(sequence, 1.0, False)
    usual = walk.seconds["usual"] or 1.0
    hottest = sorted(walk.kernels.items(), key=lambda item: -item[1][1])
    return Counts(
        kernels=walk.sums["kernels"],
        syncs=walk.sums["syncs"],
        graphs=walk.sums["graphs"],
        conditionals=walk.sums["conditionals"],
        bytes=walk.sums["bytes"],
        flops=walk.sums["flops"],
        seconds={case: walk.seconds[case] for case in CASES},
        bound={r: part / usual for r, part in _largest_first(walk.reasons)},
        by_kind=dict(_largest_first(walk.kinds)),
        hottest=[
            (walk.costs[n].op_name or n, walk.costs[n].kind, times, part / usual)
            for n, (times, part) in hottest[:10]
        ],
        open_loops=walk.open,
        loose_loops=walk.loose,
    )


def _largest_first(sums: Sums) -> list[tuple[str, float]]:
    return sorted(sums.items(), key=lambda item: -item[1])
