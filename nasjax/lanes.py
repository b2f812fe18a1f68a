"""Lanes: many independent searches, over every device, in chunks of steps.

A lane is one search: a seed, a column of a table, a set of hyper-parameters. Lanes are
sharded over all devices of a mesh, on all hosts. Inside a device they run one after
another (`map`: a lane's parameters stay in a core's cache) or batched (`vmap`: a single
lane is too small to fill a GPU). A chunk of steps is one compiled program; the caller
logs and saves checkpoints between chunks.
"""

import functools
import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from nasjax import compiler, search

INNER = ("auto", "map", "vmap")
AXIS = "lane"


def lane_mesh(devices: Sequence[Any] | None = None) -> Mesh:
    """All devices of all hosts, or `devices`, as one axis of lanes."""
    devices = jax.devices() if devices is None else devices
    return Mesh(np.array(devices), (AXIS,))


def _one_by_one(function, count, *lanes):
    """Applies `function` to lanes 0 .. count - 1, in a loop with a traced trip count.

    A loop with a static trip count of 1 would be inlined and might round differently;
    this is the same program for any number of lanes, and it skips the padding.
    """

    def lane(i):
        return [jax.tree.map(lambda x: x[i], tree) for tree in lanes]

    capacity = jax.tree.leaves(lanes)[0].shape[0]
    shapes = jax.eval_shape(lambda: function(*lane(0)))
    out = jax.tree.map(lambda s: jnp.zeros((capacity, *s.shape), s.dtype), shapes)

    def body(i, out):
        def write(buffer, x):
            return jax.lax.dynamic_update_index_in_dim(buffer, x, i, 0)

        return jax.tree.map(write, out, function(*lane(i)))

    return jax.lax.fori_loop(0, count, body, out)


def spread(
    function: Callable[..., Any], mesh: Mesh, inner: str = "auto"
) -> Callable[..., Any]:
    """Maps a function of one lane over all lanes; the caller jits it.

    Args:
      function: `(shared, *lane) -> out`, one lane.
      mesh: from `lane_mesh()`; lanes are divided over its devices.
      inner: `map` or `vmap` inside a device; `auto` takes `map` on CPU, else `vmap`.

    Returns:
      `(shared, count, *lanes) -> outs`: `shared` is replicated, `lanes` have a leading
      axis divisible by the number of devices, `count` int32 [devices] is the number of
      lanes on each device that are not padding (`map` skips the others).

    Raises:
      ValueError: inner is not one of INNER.
    """
    if inner not in INNER:
        raise ValueError(f"inner is {inner!r}; allowed: {', '.join(INNER)}")
    if inner == "auto":
        inner = "map" if mesh.devices.flat[0].platform == "cpu" else "vmap"

    def block(shared, count, *lanes):
        single = functools.partial(function, shared)
        if inner == "vmap":
            return jax.vmap(single)(*lanes)
        return _one_by_one(single, count[0], *lanes)

    def outer(shared, count, *lanes):
        each = PartitionSpec(AXIS)
        specs = (PartitionSpec(), each, *(each for _ in lanes))
        # With check_vma, gradients of constants would be summed over devices; lanes
        # are independent, so nothing here may be treated as replicated.
        return jax.shard_map(
            block, mesh=mesh, in_specs=specs, out_specs=each, check_vma=False
        )(shared, count, *lanes)

    return outer


class Chunk(NamedTuple):
    """A chunk of steps, as `Runner.run` yields it."""

    first: int  # its first step
    last: int  # the step after its last one
    state: search.SearchState  # on the devices; `Runner.gather` copies it to NumPy
    trace: search.Trace  # NumPy, [L, last - first, ...]


class Runner:
    """Many lanes of one kind of search: placed, compiled once, run in chunks.

    Attributes:
      compile_seconds, run_seconds: time spent compiling and running so far.
    """

    def __init__(
        self,
        make: Callable[..., tuple[search.Searcher, search.Environment]],
        shared: Any,
        keys: chex.PRNGKey,
        lanes: Any,
        *,
        steps: int,
        mesh: Mesh | None = None,
        inner: str = "auto",
        shapes_only: bool = False,
        room: int = 0,
        programs: dict[Any, Any] | None = None,
    ):
        """Places lanes on devices.

        Args:
          make: `(shared, lane) -> (searcher, environment)` of one lane.
          shared: pytree of arrays that all lanes read (a table).
          keys: typed keys [L], one per lane.
          lanes: pytree of arrays [L, ...] that differ between lanes, besides the key.
          steps: total number of queries per lane.
          mesh, inner: see `spread`.
          shapes_only: places nothing; only `lower` may be called. For a mesh of
            described devices, which can compile but not run.
          room: lanes per device to compile for, at least; the others are padding.
          programs: filled with what is compiled; runners that differ in keys and values
            of lanes alone may share it.

        Raises:
          ValueError: there are no lanes.
        """
        if keys.shape[0] < 1:
            raise ValueError("there are no lanes to run: keys is empty")
        self._mesh = lane_mesh() if mesh is None else mesh
        self._inner, self._make, self._steps = inner, make, steps
        self._shapes_only = shapes_only
        self._impl = jax.random.key_impl(keys)
        self._count = keys.shape[0]
        devices = self._mesh.devices.size
        self._per_device = max(room, -(-self._count // devices))
        real = self._count - np.arange(devices) * self._per_device
        real = np.clip(real, 0, self._per_device).astype(np.int32)
        self._real = self._put(real, PartitionSpec(AXIS))
        self._shared = self._put(shared, PartitionSpec())
        self._lanes = self.place((jax.random.key_data(keys), lanes))
        self._compiled = {} if programs is None else programs
        self.compile_seconds = self.run_seconds = 0.0

    def _put(self, tree, spec):
        sharding = NamedSharding(self._mesh, spec)

        def put(x):
            if self._shapes_only:
                return jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding)
            return jax.device_put(np.asarray(x), sharding)

        return jax.tree.map(put, tree)

    def place(self, tree: Any) -> Any:
        """Puts arrays [L, ...] on the devices, padded by copies of the last lane."""
        slots = np.arange(self._mesh.devices.size * self._per_device)
        source = np.minimum(slots, self._count - 1)
        padded = jax.tree.map(lambda x: np.asarray(x)[source], tree)
        return self._put(padded, PartitionSpec(AXIS))

    def gather(self, tree: Any) -> Any:
        """Copies arrays of lanes to NumPy [L, ...] on every host, without padding."""
        if self._mesh.is_multi_process:
            tree = multihost_utils.process_allgather(tree, tiled=True)
        # A copy: on CPU np.asarray returns a view of a buffer that is donated later.
        return jax.tree.map(lambda x: np.array(x)[: self._count], tree)

    def _spread(self, function):
        """Maps `function(key, made, *rest, *extra)` of one lane over all lanes."""

        def single(shared, lane, *rest):
            key = jax.random.wrap_key_data(lane[0], impl=self._impl)
            return function(key, self._make(shared[0], lane[1]), *rest, *shared[1])

        return spread(single, self._mesh, self._inner)

    def _call(self, name, function, *lanes, shared=(), run=True):
        """Compiles `_spread(function)` once per `name`; calls it if `run`."""
        arguments = ((self._shared, shared), self._real, self._lanes, *lanes)
        clock, name = time.perf_counter(), (name, self._per_device)
        if name not in self._compiled:
            donated = tuple(range(3, len(arguments)))
            jitted = jax.jit(self._spread(function), donate_argnums=donated)
            options = compiler.lane_options(self._mesh.local_devices[0])
            self._compiled[name] = jitted.lower(*arguments).compile(options)
            self.compile_seconds += time.perf_counter() - clock
        if not run:
            return None
        clock = time.perf_counter()
        out = jax.block_until_ready(self._compiled[name](*arguments))
        self.run_seconds += time.perf_counter() - clock
        return out

    def _start(self, key, made):
        return search.init(key, made[0], made[1], self._steps)

    def init(self) -> search.SearchState:
        """The state of every lane before step 0."""
        return self._call("init", self._start)

    def grow(self, state: search.SearchState) -> search.SearchState:
        """Extends a placed state of a smaller budget to this runner's budget."""

        def wider(key, made, state):
            return search.grow(key, made[0], state, self._steps)

        return self._call("grow", wider, state)

    def shapes(self, length: int) -> tuple[search.SearchState, search.Trace]:
        """Shapes of the gathered state and of a trace of `length` steps."""

        def single(shared, lane):
            key = jax.random.wrap_key_data(lane[0], impl=self._impl)
            made = self._make(shared, lane[1])
            state = self._start(key, made)
            return search.advance(key, *made, state, 0, length)

        def row(x):  # a shape only: the array may lie on other hosts
            return jax.ShapeDtypeStruct(x.shape[1:], x.dtype)

        first = jax.tree.map(row, self._lanes)
        return jax.tree.map(
            lambda s: jax.ShapeDtypeStruct((self._count, *s.shape), s.dtype),
            jax.eval_shape(single, self._shared, first),
        )

    def advance(
        self, state: search.SearchState, first: int, length: int, *, run: bool = True
    ) -> tuple[search.SearchState, search.Trace]:
        """Runs steps `first .. first + length - 1` of every lane; `state` is donated.

        With `run=False` it only compiles. Raises ValueError past the budget.
        """
        search.check_budget(self._steps, first, length)
        first = self._put(np.int32(first), PartitionSpec())
        return self._call(length, self._chunk(length), state, shared=(first,), run=run)

    def lower(self, length: int) -> jax.stages.Lowered:
        """The program of `advance`, lowered for the mesh's devices and not compiled."""
        fixed = (self._real, self._lanes)
        start = self._spread(self._start)
        state = jax.eval_shape(start, (self._shared, ()), *fixed)
        each = NamedSharding(self._mesh, PartitionSpec(AXIS))
        state = jax.tree.map(
            lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=each), state
        )
        first = self._put(np.int32(0), PartitionSpec())
        jitted = jax.jit(self._spread(self._chunk(length)), donate_argnums=3)
        return jitted.lower((self._shared, (first,)), *fixed, state)

    @staticmethod
    def _chunk(length):
        def chunk(key, made, state, first):
            return search.advance(key, made[0], made[1], state, first, length)

        return chunk

    def run(
        self,
        ends: Sequence[int],
        state: search.SearchState | None = None,
        first: int = 0,
    ) -> Iterator[Chunk]:
        """Runs from step `first` (0, or the end of an earlier chunk) to the last end.

        Args:
          ends: steps at which chunks end, ascending; the last is the budget.
          state: the state at `first`, from `init` or `place`; `init()` if None.

        Yields:
          A `Chunk` at each end. Its state is donated to the next chunk.
        """
        state = self.init() if state is None else state
        starts = [first, *(end for end in ends if end > first)]
        for length in sorted(set(np.diff(starts).tolist())):
            self.advance(state, first, length, run=False)
        for begin, end in itertools.pairwise(starts):
            state, trace = self.advance(state, begin, end - begin)
            yield Chunk(begin, end, state, self.gather(trace))
