"""Hyperband and successive halving (Li et al. 2018)."""

import functools
from collections.abc import Sequence

from nasjax.search import Asynchronous, Searcher, fidelity
from nasjax.search.asynchronous import redrawn
from nasjax.search.protocol import fields
from nasjax.searchers import rungs
from nasjax.searchers.rungs import HyperbandConfig
from nasjax.spaces import CellSpace


def successive_halving() -> HyperbandConfig:
    """The bracket alone that starts at the lowest level."""
    return HyperbandConfig(brackets=1)


def hyperband(
    space: CellSpace,
    config: HyperbandConfig | None = None,
    *,
    cost: Sequence[float] = rungs.COST,
) -> Searcher:
    """Random architectures at low fidelities; the best are promoted to higher ones.

    A bracket draws architectures at one level; the best of them are evaluated at the
    next level, the best of those at the level after it, up to the top. There is a
    bracket for each level, see `rungs.brackets`; they are repeated in turn.

    It differs from Li et al. in this: levels may have any costs; a promoted
    architecture is evaluated anew and its whole cost is paid; while outcomes are
    pending, the best of those told are promoted. Failed evaluations rank last.

    Args:
      cost: of the environment's levels, in any unit; see `search.fidelity`.

    Raises:
      ValueError: as `rungs.schedule`.

    Source: Li et al. 2018, "Hyperband", JMLR 18(185), Algorithm 1.
    """
    rounds = rungs.schedule(cost, HyperbandConfig() if config is None else config)

    def init(key, steps):
        del key, steps
        return rungs.empty(space, rounds)

    def ask(key, state, step, always=False):
        return rungs.asked(rounds, state, step, space.random(key), always)

    def again(key, state, step, tries):
        del tries
        return ask(key, state, step, True)

    def ask_pending(key, state, step, pending):
        return redrawn(ask, key, state, step, pending, again)

    def tell(key, state, step, arch, outcome):
        del key, step
        return rungs.told(rounds, state, arch, outcome), {}

    hooks = Asynchronous(
        ask_pending, adopt=functools.partial(rungs.adopted, rounds), **fields("query")
    )
    return Searcher(
        init,
        ask,
        tell,
        exact_from=1,
        asynchronous=hooks,
        space=space,
        metrics=(fidelity.FIDELITY,),
        fidelity=functools.partial(rungs.level, rounds),
    )
