"""Random search, the baseline."""

from nasjax.search import Searcher
from nasjax.spaces import CellSpace


def random_search(space: CellSpace) -> Searcher:
    """Draws architectures uniformly, with replacement."""

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
