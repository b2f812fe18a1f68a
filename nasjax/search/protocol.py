"""The parts of a search: environments, searchers, its state and its trace."""

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
class Environment:
    """Scores architectures.

    Attributes:
      params: what all lanes share (a table, images, frozen weights); an argument of
        the compiled program, never a constant inside it.
      state: what one lane owns and `evaluate` may change.
      evaluate: `(key, params, state, arch) -> (state, Outcome)`. An accuracy or a
        pair (accuracy, loss) may stand for the `Outcome`, and the state may be left
        out where it does not change. An accuracy that is not finite says that the
        evaluation failed.
      traceable: False for plain Python; such an environment is run by `drive`.
    """

    params: PyTree
    state: PyTree
    evaluate: Callable[..., tuple[PyTree, Outcome]] = flax.struct.field(
        pytree_node=False
    )
    traceable: bool = flax.struct.field(pytree_node=False, default=True)


def black_box(function: Callable[[np.ndarray], Any]) -> Environment:
    """Makes an environment, to be run by `drive`, from a plain Python function.

    Args:
      function: takes an architecture, uint8 [*arch_shape] (NumPy); returns its
        accuracy, a pair (accuracy, loss) or an `Outcome`. An accuracy of NaN says that
        the evaluation failed.
    """

    def evaluate(key, params, state, arch):
        del key, params
        return state, function(np.asarray(arch))

    return Environment((), (), evaluate, traceable=False)


class Pending(NamedTuple):
    """Architectures that are being evaluated, in any of P slots."""

    arch: chex.Array  # uint8 [P, *arch_shape]
    held: chex.Array  # bool [P], the slots in use


def _adopt_nothing(state: PyTree, step: chex.Numeric, arch: chex.Array) -> PyTree:
    del step, arch
    return state


class Asynchronous(NamedTuple):
    """Functions of a searcher that asks while outcomes are pending; see `search.ask`.

    The defaults suit a searcher whose `ask` writes nothing that `tell` of the same
    query reads.

    Attributes:
      ask: `(key, state, step, pending) -> (state, arch)`; by default the searcher's
        own `ask`, repeated while its architecture is pending. `step` counts the asks,
        so that `step - sum(pending.held)` outcomes are known.
      note: `(state) -> note`: what `ask` wrote of its own query.
      recall: `(state, note) -> state`: puts the note back, before `tell` of the query.
      adopt: `(state, step, arch) -> state`: the state as if `ask` had proposed `arch`,
        which comes from elsewhere.
    """

    ask: Callable[..., tuple[PyTree, chex.Array]] | None = None
    note: Callable[[PyTree], PyTree] = lambda state: ()
    recall: Callable[[PyTree, PyTree], PyTree] = lambda state, note: state
    adopt: Callable[..., PyTree] = _adopt_nothing


def fields(*names: str) -> dict[str, Callable]:
    """`note` and `recall` of `Asynchronous` for fields of a NamedTuple."""

    def note(state):
        return tuple(getattr(state, name) for name in names)

    def recall(state, note):
        return state._replace(**dict(zip(names, note, strict=True)))

    return {"note": note, "recall": recall}


class Searcher(NamedTuple):
    """Proposes architectures and learns from their scores.

    Attributes:
      init: `(key, steps) -> state`; `steps` (static) bounds what must be remembered.
        `grow` relies on what a larger `steps` adds being further rows at the end.
      ask: `(key, state, step) -> (state, arch)`.
      tell: `(key, state, step, arch, outcome) -> (state, info)`; `info` maps names to
        scalars that end up in the trace.
      check: `(accuracy, loss)`, raises ValueError for an outcome that the searcher
        cannot use; tracers under `run`, and the loss is None if there is none.
      budget: `(state) -> int | None`: number of steps that the state has room for,
        from its shapes; None for any number.
      exact_from: budgets of at least so many steps give the same bits as far as both
        go, see `budget_free`; None if that is not known.
      asynchronous: how it asks while outcomes are pending; None for the defaults.
      space: whose architectures it proposes; None if that is not known.
    """

    init: Callable[..., PyTree]
    ask: Callable[..., tuple[PyTree, chex.Array]]
    tell: Callable[..., tuple[PyTree, Mapping[str, chex.Array]]]
    check: Callable[[Any, Any], None] | None = None
    budget: Callable[[PyTree], int | None] | None = None
    exact_from: int | None = None
    asynchronous: Asynchronous | None = None
    space: CellSpace | None = None


def budget_free(searcher: Searcher, steps: int) -> bool:
    """Whether a search of `steps`, grown, is the fresh larger one to the bit.

    Otherwise it asks as good architectures as that one, but not the same ones.
    """
    return searcher.exact_from is not None and steps >= searcher.exact_from


def projected(
    searcher: Searcher, project: Callable[[chex.Array], chex.Array]
) -> Searcher:
    """Maps each proposal of a searcher to an architecture that can be evaluated.

    Args:
      searcher: proposes any architecture.
      project: from an architecture to the one that is evaluated in its place, which
        the searcher is told.
    """

    def ask(key, state, step):
        state, arch = searcher.ask(key, state, step)
        return state, project(arch)

    ways = searcher.asynchronous
    if ways is None or ways.ask is None:
        return searcher._replace(ask=ask)
    inner = ways.ask

    def ask_beside(key, state, step, pending):
        state, arch = inner(key, state, step, pending)
        return state, project(arch)

    return searcher._replace(ask=ask, asynchronous=ways._replace(ask=ask_beside))


class SearchState(NamedTuple):
    """State between two steps; it holds no key, so resuming is exact."""

    searcher: PyTree
    environment: PyTree


class Trace(NamedTuple):
    """One entry per step; leading axis T once a loop has stacked them."""

    arch: chex.Array  # uint8 [T, *arch_shape]
    accuracy: chex.Array  # float32 [T]
    loss: chex.Array  # float32 [T]
    info: Mapping[str, chex.Array]  # of [T]


def is_concrete(*values: Any) -> bool:
    """Whether all values are known, and not tracers."""
    return not any(isinstance(value, jax.core.Tracer) for value in values)


def in_float32(config: PyTree) -> PyTree:
    """The config with float64 arrays (which jax_enable_x64 makes) as float32.

    All arithmetic is float32; a wider hyper-parameter would widen what it touches.
    """

    def single(x):
        wide = isinstance(x, jax.Array | np.ndarray | np.generic)
        return x.astype(np.float32) if wide and x.dtype == np.float64 else x

    return jax.tree.map(single, config)
