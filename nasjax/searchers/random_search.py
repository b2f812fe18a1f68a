"""Random search: the baseline every other searcher has to beat."""

from nasjax.search import Searcher
from nasjax.spaces import CellSpace


def random_search(space: CellSpace) -> Searcher:
    """Draws every architecture uniformly, with replacement; it learns nothing."""

    def init(key, steps):
        del key, steps
        return ()

    def ask(key, state, step):
        del step
        return state, space.random(key)

    def tell(key, state, step, arch, outcome):
        del key, step, arch, outcome
        return state, {}

    return Searcher(init, ask, tell, exact_from=1, space=space)
