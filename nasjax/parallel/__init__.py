"""Searches with your own evaluation function: several at a time, and they may fail.

    from nasjax import bayesian_actor_critic, darts, parallel

    if __name__ == "__main__":  # the processes import this file
        result = parallel.search(
            key, bayesian_actor_critic(darts()), train_and_validate,
            queries=300, executor=parallel.processes(8), out="runs/search")

`python -m nasjax.parallel ask|tell|best --out runs/search` does the same by hand, for
evaluations in any language.
"""

from nasjax.parallel.engine import search
from nasjax.parallel.journal import JournalError
from nasjax.parallel.loop import FailuresError
from nasjax.parallel.pools import processes
from nasjax.parallel.report import Candidate, Result

__all__ = [
    "Candidate",
    "FailuresError",
    "JournalError",
    "Result",
    "processes",
    "search",
]
