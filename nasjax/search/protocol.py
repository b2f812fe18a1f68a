"""The parts of a search: environments, searchers, states and traces."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import chex
import flax.struct
import jax
import numpy as np

from nasjax.search.outcomes import Outcome
from nasjax.spaces import CellSpace
from nasjax.spaces import check_integer as check_integer

PyTree = Any


@flax.struct.dataclass
class Levels:
    """The fidelities at which an environment can evaluate, see `search.fidelity`.

    Attributes:
      cost: of an evaluation at each of L levels, float32 [L], in any one unit. The last
        level is the one that counts.
      names: of the levels, such as ("12 epochs", "200 epochs").
    """

    cost: chex.Array
    names: tuple[str, ...] = flax.struct.field(pytree_node=False)

    @property
    def top(self) -> int:
        """The level that counts."""
        return len(self.names) - 1


@flax.struct.dataclass
class Environment:
    """Scores architectures.

    Attributes:
      params: arrays shared by all lanes (a table, images, frozen weights); an argument
        of the compiled program, never a constant inside it.
      state: arrays of one lane, which `evaluate` may change.
      evaluate: `(key, params, state, arch) -> (state, Outcome)`. It may return an
        accuracy or a pair (accuracy, loss) instead of the `Outcome`, and omit the state
        if it does not change. An accuracy that is not finite marks a failed evaluation.
      traceable: False for plain Python; such an environment is run by `drive`.
      levels: its fidelities; None if it has one. With levels, `evaluate` is
        `(key, params, state, arch, level)`, `level` int32 [].
    """

    params: PyTree
    state: PyTree
    evaluate: Callable[..., tuple[PyTree, Outcome]] = flax.struct.field(
        pytree_node=False
    )
    traceable: bool = flax.struct.field(pytree_node=False, default=True)
    levels: Levels | None = None


def black_box(function: Callable[[np.ndarray], Any]) -> Environment:
    """Makes an environment, to be run by `drive`, from a plain Python function.

    Args:
      function: takes an architecture, uint8 [*arch_shape] (NumPy); returns its
        accuracy, a pair (accuracy, loss) or an `Outcome`, whose metrics have the same
        names in each. An accuracy of NaN marks a failed evaluation.
    """

    def evaluate(key, params, state, arch):
        del key, params
        return state, function(np.asarray(arch))

    return Environment((), (), evaluate, traceable=False)


class Pending(NamedTuple):
    """Architectures whose evaluation has not finished, in P slots."""

    arch: chex.Array  # uint8 [P, *arch_shape]
    valid: chex.Array  # bool [P], the slots in use
    # Of a constraint, see `search.constrained`: which architectures may be queried.
    feasible: Callable[[chex.Array], chex.Array] | None = None


def _adopt_nothing(state: PyTree, step: chex.Numeric, arch: chex.Array) -> PyTree:
    del step, arch
    return state


class Asynchronous(NamedTuple):
    """Functions to ask a searcher while outcomes are pending; see `search.ask`.

    The defaults suit a searcher whose `tell` reads nothing that `ask` wrote for the
    same query.

    Attributes:
      ask: `(key, state, step, pending) -> (state, arch)`; by default the searcher's
        own `ask`, repeated while its architecture is pending. `step` counts the asks,
        so that `step - sum(pending.valid)` outcomes are known. `is_pending` is true of
        infeasible architectures, too.
      note: `(state) -> note`: the part of the state that `ask` wrote for its query.
      recall: `(state, note) -> state`: restores the note before `tell` of the query.
      adopt: `(state, step, arch) -> state`: the state as if `ask` had proposed `arch`,
        which the caller chose.
    """

    ask: Callable[..., tuple[PyTree, chex.Array]] | None = None
    note: Callable[[PyTree], PyTree] = lambda state: ()
    recall: Callable[[PyTree, PyTree], PyTree] = lambda state, note: state
    adopt: Callable[..., PyTree] = _adopt_nothing


def fields(*names: str) -> dict[str, Callable]:
    """`note` and `recall` of `Asynchronous`, for these fields of a NamedTuple state."""

    def note(state):
        return tuple(getattr(state, name) for name in names)

    def recall(state, note):
        return state._replace(**dict(zip(names, note, strict=True)))

    return {"note": note, "recall": recall}


class Searcher(NamedTuple):
    """Proposes architectures and learns from their scores.

    Attributes:
      init: `(key, steps) -> state`; `steps` (static) is the budget of queries. A larger
        `steps` may only append rows to arrays of the state, for `grow`.
      ask: `(key, state, step) -> (state, arch)`.
      tell: `(key, state, step, arch, outcome) -> (state, info)`; `info` maps names to
        scalars, which are stored in the trace.
      check: `(accuracy, loss)`, raises ValueError for an outcome that the searcher
        cannot use; both are tracers under `run`, and the loss may be None.
      budget: `(state) -> int | None`: the largest number of steps that the state
        allows, from its shapes; None if unlimited.
      exact_from: searches with budgets of at least this many steps agree bit for bit
        over their common steps, see `budget_free`; None if unknown.
      asynchronous: functions for pending outcomes; None for the defaults.
      space: the space of its architectures; None if unknown.
      metrics: names of the outcomes' metrics that `tell` reads.
      fidelity: `(state) -> int32 []`: the level at which the architecture just asked is
        evaluated, from the state that `ask` returned; None for the top one.
    """

    init: Callable[..., PyTree]
    ask: Callable[..., tuple[PyTree, chex.Array]]
    tell: Callable[..., tuple[PyTree, Mapping[str, chex.Array]]]
    check: Callable[[Any, Any], None] | None = None
    budget: Callable[[PyTree], int | None] | None = None
    exact_from: int | None = None
    asynchronous: Asynchronous | None = None
    space: CellSpace | None = None
    metrics: tuple[str, ...] = ()
    fidelity: Callable[[PyTree], chex.Array] | None = None


def budget_free(searcher: Searcher, steps: int) -> bool:
    """Whether a search of `steps`, grown, equals a larger fresh one bit for bit.

    Otherwise the grown search is as good, but queries other architectures.
    """
    return searcher.exact_from is not None and steps >= searcher.exact_from


def projected(
    searcher: Searcher, project: Callable[[chex.Array], chex.Array]
) -> Searcher:
    """Maps each proposal of a searcher to an architecture that can be evaluated.

    Args:
      searcher: may propose any architecture.
      project: maps an architecture to the one that is evaluated instead, and whose
        outcome the searcher is told.
    """

    def ask(key, state, step):
        state, arch = searcher.ask(key, state, step)
        return state, project(arch)

    hooks = searcher.asynchronous
    if hooks is None or hooks.ask is None:
        return searcher._replace(ask=ask)
    inner = hooks.ask

    def ask_beside(key, state, step, pending):
        state, arch = inner(key, state, step, pending)
        return state, project(arch)

    return searcher._replace(ask=ask, asynchronous=hooks._replace(ask=ask_beside))


class SearchState(NamedTuple):
    """State between two steps; it has no key, so a resumed search is bit-exact."""

    searcher: PyTree
    environment: PyTree


class Trace(NamedTuple):
    """Record of each step; `step` returns one without the leading axis T."""

    arch: chex.Array  # uint8 [T, *arch_shape]
    accuracy: chex.Array  # float32 [T]
    loss: chex.Array  # float32 [T]
    info: Mapping[str, chex.Array]  # the searcher's diagnostics, each [T]
    metrics: Mapping[str, chex.Array] = {}  # of the outcomes, float32 [T] each


def is_concrete(*values: Any) -> bool:
    """Whether no value is a tracer."""
    return not any(isinstance(value, jax.core.Tracer) for value in values)


def in_float32(config: PyTree) -> PyTree:
    """The config with float64 arrays (from jax_enable_x64) cast to float32.

    All arithmetic is float32; a float64 hyper-parameter would promote its results.
    """

    def single(x):
        wide = isinstance(x, jax.Array | np.ndarray | np.generic)
        return x.astype(np.float32) if wide and x.dtype == np.float64 else x

    return jax.tree.map(single, config)
