"""Baselines on NAS-Bench-201 against exact and known figures, in percent.

Valid columns are means over NATS-Bench's single trials, which every source of the
table carries; test columns are compared where the table has them.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import nasjax
from nasjax import search
from nasjax.environments.tabular import from_arrays

# Mean of the best of 500 and of 1,000 queries, over 200 runs or more of independent
# simulations on the same table.
KNOWN = {
    "evolution": {
        "cifar10_valid": (91.57, 91.60),
        "cifar10_test": (94.36, 94.37),
        "cifar100_valid": (73.36, 73.45),
        "cifar100_test": (73.42, 73.49),
        "imagenet16_valid": (46.59, 46.69),
        "imagenet16_test": (47.10, 47.24),
    },
    "evolution-64": {
        "cifar10_valid": (91.58, 91.59),
        "cifar10_test": (94.36, 94.37),
        "cifar100_valid": (73.49, 73.49),
        "cifar100_test": (73.51, 73.51),
        "imagenet16_valid": (46.70, 46.73),
        "imagenet16_test": (47.28, 47.31),
    },
    "reinforce": {
        "cifar10_valid": (91.45, 91.56),
        "cifar10_test": (94.25, 94.35),
        "cifar100_valid": (72.95, 73.35),
        "cifar100_test": (73.02, 73.41),
        "imagenet16_valid": (46.44, 46.63),
        "imagenet16_test": (46.74, 47.05),
    },
}
SPACE = nasjax.nas_bench_201()
SEARCHERS = {
    "random": nasjax.random_search(SPACE),
    "evolution": nasjax.evolution(SPACE),
    "evolution-64": nasjax.evolution(
        SPACE, nasjax.EvolutionConfig(population=64, sample=16)
    ),
    "reinforce": nasjax.reinforce(SPACE),
    "local-search": nasjax.local_search(SPACE),
}


@pytest.fixture(scope="module")
def columns(table):
    """float32 [15625] by name."""
    values_of = {}
    for name, column in table.columns.items():
        valid = name.endswith("valid")
        values = np.nanmean(column.trials, axis=1) if valid else column.values
        values_of[name] = values.astype(np.float32)
    return values_of


def queries(name, ops, columns, steps, seeds):
    """Accuracy and lexicographic index of every query, [V, S, T]."""
    env = from_arrays(SPACE, ops, list(columns.values()))
    searcher = SEARCHERS[name]

    def one(env, key, column):
        state = env.state._replace(column=column)
        trace = search.run(key, searcher, env.replace(state=state), steps)[1]
        return trace.accuracy, SPACE.index(trace.arch)

    over_seeds = jax.vmap(one, (None, 0, None))
    lanes = jax.jit(jax.vmap(over_seeds, (None, None, 0)))
    keys = jax.vmap(jax.random.key)(jnp.arange(seeds))
    return jax.tree.map(np.asarray, lanes(env, keys, jnp.arange(len(columns))))


def exact_mean_of_best(values, count):
    """sum_i v_(i) [(i / n)^N - ((i - 1) / n)^N]: N draws with replacement."""
    values = np.sort(values.astype(np.float64))
    share = np.arange(len(values) + 1) / len(values)
    return values @ np.diff(share**count)


def test_the_exact_mean_by_hand():
    # Two draws from {0, 1}: 1 unless both are 0.
    assert exact_mean_of_best(np.array([1.0, 0.0]), 2) == 0.75


def test_random_search_is_its_exact_mean(table, columns):
    accuracy, index = queries("random", table.ops, columns, 1_000, 500)
    for (name, values), seen in zip(columns.items(), accuracy, strict=True):
        for count in (500, 1_000):
            best = seen[:, :count].max(1).astype(np.float64)
            error = best.std(ddof=1) / np.sqrt(len(best))
            wanted = exact_mean_of_best(values, count)
            assert abs(best.mean() - wanted) < 3 * error, (name, count)
    # The key is the seed's alone: every column sees the same architectures.
    assert np.all(index == index[:1])
    # Of n, N draws hit n (1 - (1 - 1/n)^N) on average: 968.8 here.
    distinct = np.mean([len(np.unique(row)) for row in index[0]])
    wanted = 15_625 * (1 - (1 - 1 / 15_625) ** 1_000)
    assert distinct == pytest.approx(wanted, abs=1)


@pytest.mark.parametrize("method", KNOWN)
def test_mean_of_the_best(method, table, columns):
    accuracy, index = queries(method, table.ops, columns, 1_000, 200)
    for name, seen in zip(columns, accuracy, strict=True):
        tolerance = 0.1 if name.startswith("cifar10_") else 0.25
        for count, wanted in zip((500, 1_000), KNOWN[method][name], strict=True):
            mean = 100 * seen[:, :count].max(1).mean()
            assert mean == pytest.approx(wanted, abs=tolerance), (name, count)
    # They repeat themselves, unlike random search, and yet go on looking.
    distinct = np.mean([len(np.unique(row)) for row in index.reshape(-1, 1_000)])
    assert 200 < distinct < 950


def median_queries_to_optimum(seen, values):
    hit = seen == values.max()
    return np.median(np.where(hit.any(1), hit.argmax(1) + 1, np.inf))


def test_local_search_finds_the_optimum(table, columns):
    known = {
        "cifar10_valid": 65,
        "cifar10_test": 52,
        "cifar100_valid": 52,
        "cifar100_test": 60,
        "imagenet16_test": 268,
    }
    known = {name: median for name, median in known.items() if name in columns}
    chosen = {name: columns[name] for name in known}
    accuracy, index = queries("local-search", table.ops, chosen, 400, 200)
    for (name, wanted), seen in zip(known.items(), accuracy, strict=True):
        median = median_queries_to_optimum(seen, columns[name])
        assert median == pytest.approx(wanted, rel=0.25), name
    # No architecture twice in a climb, and few climbs.
    distinct = np.mean([len(np.unique(row)) for row in index.reshape(-1, 400)])
    assert distinct > 250


def test_local_search_where_it_is_hard(table, columns):
    chosen = {"imagenet16_valid": columns["imagenet16_valid"]}
    accuracy, _ = queries("local-search", table.ops, chosen, 1_200, 100)
    median = median_queries_to_optimum(accuracy[0], columns["imagenet16_valid"])
    assert median == pytest.approx(715, rel=0.25)
