"""The time that is left, from chunks of lanes that ended."""

from collections.abc import Sequence

from tqdm import tqdm


class Clock:
    """Estimates the time left: every lane takes as long, and every program.

    Args:
      chunks: program and number of lanes of each.
    """

    def __init__(self, chunks: Sequence[tuple[str, int]]):
        self._chunks = chunks
        self._compiling = self._running = 0.0
        self._programs: set[str] = set()
        self._lanes = 0

    def after(self, i: int, compiling: float, running: float) -> str:
        """A line on chunk i, which took so many seconds."""
        program, lanes = self._chunks[i]
        self._programs.add(program)
        self._compiling += compiling
        self._running += running
        self._lanes += lanes
        rest = self._chunks[i + 1 :]
        new = {name for name, _ in rest} - self._programs
        seconds = self._running / self._lanes * sum(n for _, n in rest)
        seconds += self._compiling / len(self._programs) * len(new)
        text = f"chunk {i + 1}/{len(self._chunks)}: {lanes:,} lanes in {running:.1f} s"
        text += f", compiling {compiling:.1f} s"
        return f"{text}; left: about {tqdm.format_interval(seconds)}" if rest else text
