"""BOHB: Hyperband that draws new architectures from a model (Falkner et al. 2018)."""

from collections.abc import Sequence
from typing import NamedTuple

import chex
import flax.struct
import jax
import jax.numpy as jnp

from nasjax.agent.draws import flat
from nasjax.search import Asynchronous, Outcome, Searcher, fidelity
from nasjax.search.asynchronous import redrawn
from nasjax.search.outcomes import or_worst
from nasjax.searchers import rungs
from nasjax.searchers.bayesian_proposals import rows_shape
from nasjax.searchers.config import fraction, static, traced
from nasjax.spaces import CellSpace


@flax.struct.dataclass
class BohbConfig(rungs.HyperbandConfig):
    """Hyper-parameters; the defaults are those of NAS-Bench-201's authors.

    BOHB's own are samples=64, random_fraction=1/3, min_bandwidth=0.001. Their
    bandwidth_factor acts on continuous parameters alone, of which there are none.
    """

    samples: int = static(4, "draws from the good density, of which one is evaluated")
    top: int = static(15, "percent of a level's evaluations that are good ones")
    random_fraction: float = fraction(0.0, "of new architectures drawn uniformly")
    min_bandwidth: float = traced(0.3, "least bandwidth of an edge", 1e-6, 0.5)


class Density(NamedTuple):
    """Kernel density of architectures, one kernel around each of some rows."""

    chosen: chex.Array  # bool [T], the rows
    bandwidth: chex.Array  # float32 [E], probability mass that leaves a row's operation


class BohbState(NamedTuple):
    """The current round of Hyperband, and every evaluation told."""

    rungs: rungs.RungState
    arch: chex.Array  # uint8 [T, *arch_shape]
    score: chex.Array  # float32 [T], -inf where failed or not told
    level: chex.Array  # int32 [T], -1 where not told


def bandwidths(
    rows: chex.Array, chosen: chex.Array, categories: int, least: chex.Numeric
) -> chex.Array:
    """The normal reference rule h = 1.06 sigma n^(-1 / (4 + E)) of n rows.

    sigma is the deviation of the operations' numbers; h lies in [least, 1 - 1 / C].

    Args:
      rows: int32 [T, E], numbers of operations.
      chosen: bool [T], the n rows, at least one.
      categories: C.

    Returns:
      float32 [E].
    """
    E = rows.shape[1]
    codes = jnp.arange(categories, dtype=jnp.int32)
    # Counts are exact, so that unused rows of a larger T do not change the rounding.
    counts = jnp.sum(
        (rows[:, :, None] == codes) & chosen[:, None, None], axis=0, dtype=jnp.int32
    ).astype(jnp.float32)
    n = jnp.maximum(jnp.sum(chosen), 1).astype(jnp.float32)
    mean = jnp.sum(counts * codes, axis=1, keepdims=True) / n
    sigma = jnp.sqrt(jnp.sum(counts * (codes - mean) ** 2, axis=1) / n)
    h = 1.06 * sigma * n ** (-1.0 / (4 + E))
    return jnp.clip(h, least, 1.0 - 1.0 / categories).astype(jnp.float32)


def log_density(
    rows: chex.Array, density: Density, categories: int, candidates: chex.Array
) -> chex.Array:
    """log of the mean over rows of prod_e K(x_e), Aitchison and Aitken's kernel.

    K is 1 - h where the operation is the row's, h / (C - 1) elsewhere.

    Args:
      rows: int32 [T, E].
      categories: C.
      candidates: int32 [n, E].

    Returns:
      float32 [n].
    """
    h = density.bandwidth
    stays, leaves = jnp.log1p(-h), jnp.log(h / (categories - 1))
    same = candidates[:, None] == rows
    logs = jnp.sum(jnp.where(same, stays, leaves), axis=-1)
    logs = jnp.where(density.chosen, logs, -jnp.inf)
    count = jnp.maximum(jnp.sum(density.chosen), 1).astype(jnp.float32)
    return jax.nn.logsumexp(logs, axis=-1) - jnp.log(count)


def split(
    score: chex.Array, valid: chex.Array, least: int, top: int
) -> tuple[chex.Array, chex.Array, chex.Array]:
    """The good and the bad evaluations of one level, and the order of all.

    Of N evaluations the best max(least, top N / 100) are good and the next
    max(least, (100 - top) N / 100) are bad, both rounded down.

    Args:
      score: float32 [T].
      valid: bool [T], the N of this level.

    Returns:
      bool [T], bool [T], int32 [T] from the best row on.
    """
    N = jnp.sum(valid)
    known = jnp.where(valid, jnp.maximum(score, rungs.LOWEST), -jnp.inf)
    order = jnp.argsort(-known, stable=True).astype(jnp.int32)
    rank = jnp.argsort(order, stable=True)
    n_good = jnp.maximum(least, top * N // 100)
    n_bad = jnp.maximum(least, (100 - top) * N // 100)
    good = valid & (rank < n_good)
    return good, valid & (rank >= n_good) & (rank < n_good + n_bad), order


def bohb(
    space: CellSpace,
    config: BohbConfig | None = None,
    *,
    cost: Sequence[float] = rungs.COST,
) -> Searcher:
    """Hyperband whose new architectures come from densities l and g of good and bad.

    Both are kernel densities of the evaluations of the highest level that has at least
    2 (E + 1) of them. Of `samples` draws from l, each edge of a good architecture
    replaced by a random operation with the probability of its bandwidth, the one of the
    largest l / g is evaluated. Before that, architectures are drawn uniformly.

    The bandwidth's rule, which theirs is too, takes operations for numbers: where good
    architectures disagree on an edge, it ends at a uniform kernel. The more operations
    and edges a space has, the less is learnt from the same number of evaluations.

    It differs from the authors' program (HpBandSter) in this:
    * levels and rungs are those of `searchers.hyperband`: theirs are spaced by eta,
      and a bracket starts with floor(L / (s + 1)) eta^s architectures;
    * the kernel's C is the number of operations (statsmodels: of those observed), and
      bandwidths end at 1 - 1 / C, where a kernel is uniform (theirs grow on, and 1 - h
      may be negative);
    * where nodes select edges, "absent" is one more operation of the densities;
    * densities are compared as logarithms, without their floor of 1e-32;
    * failed evaluations rank last at their level, as theirs do.

    Args:
      cost: of the environment's levels; see `search.fidelity`.

    Raises:
      ValueError: as `hyperband`; a value of the config is out of range.

    Source: Falkner et al. 2018, "BOHB", ICML, Algorithm 2.
    """
    config = BohbConfig() if config is None else config
    if config.top > 99:
        raise ValueError(f"top is {config.top}; allowed: 1..99 percent")
    rounds = rungs.schedule(cost, config)
    E, O = rows_shape(space)
    C = O + (space.inputs_per_node is not None)
    least, L = E + 1, len(cost)

    def init(key, steps):
        del key
        return BohbState(
            rungs.empty(space, rounds),
            jnp.zeros((steps, *space.arch_shape), jnp.uint8),
            jnp.full(steps, -jnp.inf, jnp.float32),
            jnp.full(steps, -1, jnp.int32),
        )

    def modelled(key, state):
        """A new architecture from the densities, and whether there are any."""
        key_row, key_edge, key_new = jax.random.split(key, 3)
        enough = jnp.sum(state.level == jnp.arange(L)[:, None], axis=1) >= 2 * least
        level = jnp.max(jnp.where(enough, jnp.arange(L), -1))
        rows = state.arch.reshape(-1, E).astype(jnp.int32)
        good, bad, order = split(state.score, state.level == level, least, config.top)
        densities = [
            Density(m, bandwidths(rows, m, C, config.min_bandwidth))
            for m in (good, bad)
        ]
        count, n = jnp.maximum(jnp.sum(good), 1), config.samples
        pick = jax.random.randint(key_row, (n,), 0, count, jnp.int32)
        edge = flat(jax.random.uniform, key_edge, (n, E, 1), jnp.float32)
        new = flat(jax.random.uniform, key_new, (n, E, O), jnp.float32)
        replaced = edge < densities[0].bandwidth[:, None]
        kept = space.one_hot(state.arch[order[pick]]).reshape(n, E, O)
        # Where nodes select edges, those of the highest scores remain.
        alpha = jnp.where(replaced, 2 * new, kept).reshape(n, *space.alpha_shape)
        drawn = space.discretize(alpha)
        codes = drawn.reshape(n, E).astype(jnp.int32)
        l, g = (log_density(rows, d, C, codes) for d in densities)
        return drawn[jnp.argmax(l - g)], level >= 0

    def propose(key, state):
        key_model, key_random, key_which = jax.random.split(key, 3)
        arch, model = modelled(key_model, state)
        chance = jax.random.uniform(key_which, (), jnp.float32)
        model &= chance >= config.random_fraction
        return jnp.where(model, arch, space.random(key_random))

    def ask(key, state, step, always=False):
        new = propose(key, state)
        done, arch = rungs.asked(rounds, state.rungs, step, new, always)
        return state._replace(rungs=done), arch

    def again(key, state, step, tries):
        del tries
        return ask(key, state, step, True)

    def ask_pending(key, state, step, pending):
        return redrawn(ask, key, state, step, pending, again)

    def tell(key, state, step, arch, outcome: Outcome):
        del key
        level = outcome.metrics[fidelity.FIDELITY].astype(jnp.int32)
        new = BohbState(
            rungs.told(rounds, state.rungs, arch, outcome),
            state.arch.at[step].set(arch),
            state.score.at[step].set(or_worst(outcome.accuracy, -jnp.inf)),
            state.level.at[step].set(level),
        )
        return new, {}

    def recall(state, note):
        return state._replace(rungs=state.rungs._replace(query=note))

    def adopt(state, step, arch):
        done = rungs.adopted(rounds, state.rungs, step, arch)
        return state._replace(rungs=done)

    hooks = Asynchronous(ask_pending, lambda state: state.rungs.query, recall, adopt)
    return Searcher(
        init,
        ask,
        tell,
        budget=lambda state: len(state.score),
        asynchronous=hooks,
        space=space,
        metrics=(fidelity.FIDELITY,),
        fidelity=lambda state: rungs.level(rounds, state.rungs),
    )
