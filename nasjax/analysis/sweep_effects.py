"""Effects of hyper-parameters in a sweep: of each alone, and of pairs.

Only settings that can be compared count: those that agree in all other fields and in
which the field takes the most values. In a grid these are all of them, one at a time
those around the base. Means over such blocks are taken seed by seed.
"""

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from nasjax.analysis import plots
from nasjax.analysis.statistics import describe, interval
from nasjax.analysis.sweeps import MEASURES, Results
from nasjax.runs.settings import flag, text


class Effect(NamedTuple):
    """Values of one or two fields, and searches with each combination."""

    labels: list[list[str]]  # by field, its values in order
    # [V, S, *values], percent: means over the other fields; NaN where not searched.
    values: np.ndarray


def effect(
    results: Results, method: str, fields: tuple[str, ...], measure: str = "best"
) -> Effect | None:
    """The effect of fields on a measure after the last budget.

    Returns:
      None if no two settings can be compared, or, for a pair of fields, if they were
      varied one at a time only.
    """
    searched = 100 * getattr(results, measure)[..., -1]  # [N, V, S]
    blocks: dict[tuple[str, ...], dict[tuple[str, ...], int]] = {}
    order: dict[str, dict[str, float]] = {field: {} for field in fields}
    others = [field for field in results.fields(method) if field not in fields]
    for n, setting in enumerate(results.settings):
        if setting.method != method:
            continue
        chosen = setting.values
        for field in fields:
            number = isinstance(chosen[field], int | float)
            order[field][text(chosen[field])] = float(chosen[field]) if number else 0.0
        key = tuple(text(chosen[field]) for field in others)
        at = tuple(text(chosen[field]) for field in fields)
        blocks.setdefault(key, {})[at] = n
    most = max(map(len, blocks.values()))
    labels = [sorted(known, key=known.__getitem__) for known in order.values()]
    if most <= sum(map(len, labels)) - (len(fields) - 1) and len(fields) > 1:
        return None
    if most < 2:
        return None
    whole = [block for block in blocks.values() if len(block) == most]
    shape = tuple(map(len, labels))
    total, count = np.zeros(shape + searched.shape[1:]), np.zeros((*shape, 1, 1))
    for at, n in itertools.chain.from_iterable(block.items() for block in whole):
        place = tuple(x.index(y) for x, y in zip(labels, at, strict=True))
        total[place] += searched[n]
        count[place] += 1
    values = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    return Effect(labels, np.moveaxis(values, (-2, -1), (0, 1)))


def draw(results: Results, file: Callable[[str], Path]) -> list[str]:
    """Draws each field and each pair of fields of each method.

    Args:
      results: of a sweep.
      file: the path of a picture's name, such as `Folder.file`.

    Returns:
      The names.
    """
    names = []
    for method in dict.fromkeys(setting.method for setting in results.settings):
        fields = results.fields(method)
        for chosen in [(f,) for f in fields] + list(itertools.combinations(fields, 2)):
            effects = {m: effect(results, method, chosen, m) for m in MEASURES}
            known = {MEASURES[m]: x for m, x in effects.items() if x is not None}
            if not known:
                continue
            titles = [flag(field) for field in chosen]
            name = f"{'--'.join([method, *titles])}.png"
            columns, path = list(results.columns), file(name)
            labels = next(iter(known.values())).labels
            if len(chosen) == 1:
                curves = {m: _curves(x) for m, x in known.items()}
                plots.effects(path, columns, titles[0], labels[0], curves)
            else:
                maps = {m: _mean_of_seeds(x) for m, x in known.items()}
                plots.heat_maps(path, columns, titles, labels, maps)
            names.append(name)
    return names


def _curves(found: Effect) -> np.ndarray:
    """Mean and 95% interval over seeds, [V, 3, values]."""

    def three(values):
        return [describe(values).mean, *interval(values)]

    return np.array([[three(x) for x in v.T] for v in found.values]).transpose(0, 2, 1)


def _mean_of_seeds(found: Effect) -> np.ndarray:
    """[V, first, second]; NaN where nothing was searched."""
    return np.ma.masked_invalid(found.values).mean(axis=1).filled(np.nan)
