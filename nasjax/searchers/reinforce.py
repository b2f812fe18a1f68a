"""REINFORCE (Williams 1992) on one matrix of logits."""

from typing import NamedTuple

import chex
import flax.struct
import jax
import jax.numpy as jnp
import optax

from nasjax.agent.draws import flat
from nasjax.search import Searcher, in_float32
from nasjax.searchers.config import Config, decay, traced
from nasjax.spaces import CellSpace


@flax.struct.dataclass
class ReinforceConfig(Config):
    """Hyper-parameters, those of NATS-Bench; the learning rate suits 1,000 queries."""

    learning_rate: chex.Numeric = traced(0.01, "Adam's learning rate")
    momentum: chex.Numeric = decay(0.9, "decay of the moving average, the baseline")


class ReinforceState(NamedTuple):
    """Policy, optimizer and baseline."""

    logits: chex.Array  # float32 [..., E, O]
    opt: optax.OptState
    numerator: chex.Array  # float32 [], moving sum of accuracies
    denominator: chex.Array  # float32 [], moving sum of ones


def reinforce(space: CellSpace, config: ReinforceConfig | None = None) -> Searcher:
    """Samples the operation of each edge from a softmax, trained by policy gradient.

    Advantage = accuracy - baseline; the baseline is a debiased moving average that
    includes the new accuracy.

    A failed evaluation is learnt as a score of 0 (or of twice the baseline if that is
    negative, so that it is bad in any unit), which steers the policy away from it; it
    does not change the baseline. Failures before the first score are ignored.

    Raises:
      ValueError: the space selects edges, which independent choices cannot express; or
        a value of the config is out of range.

    Source: Dong and Yang 2020 (NAS-Bench-201's REINFORCE baseline).
    """
    if space.inputs_per_node is not None:
        raise ValueError(
            f"reinforce draws every edge on its own; {space.name} selects edges"
        )
    config = in_float32((ReinforceConfig() if config is None else config).validate())
    adam = optax.adam(config.learning_rate)

    def init(key, steps):
        del steps
        draw = flat(jax.random.normal, key, space.alpha_shape, jnp.float32)
        logits = 1e-3 * draw
        zero = jnp.float32(0.0)
        return ReinforceState(logits, adam.init(logits), zero, zero)

    def ask(key, state, step):
        del step
        return state, jax.random.categorical(key, state.logits).astype(jnp.uint8)

    def learn(state, arch, accuracy):
        keep = config.momentum
        numerator = keep * state.numerator + (1 - keep) * accuracy
        denominator = keep * state.denominator + (1 - keep)
        advantage = accuracy - numerator / denominator

        def loss(logits):
            log_p = jnp.sum(jax.nn.log_softmax(logits) * space.one_hot(arch))
            return -log_p * advantage

        updates, opt = adam.update(jax.grad(loss)(state.logits), state.opt)
        logits = optax.apply_updates(state.logits, updates)
        return ReinforceState(logits, opt, numerator, denominator)

    def tell(key, state, step, arch, outcome):
        del key, step

        def fail():
            old = jax.lax.optimization_barrier(state)
            baseline = old.numerator / jnp.maximum(old.denominator, 1e-7)
            new = learn(old, arch, baseline - jnp.abs(baseline))
            return new._replace(numerator=old.numerator, denominator=old.denominator)

        # Computed before the check, so that finite scores are learnt by the same
        # compiled arithmetic whether or not failures occur.
        new = learn(state, arch, outcome.accuracy)
        new = jax.lax.cond(jnp.isfinite(new.numerator), lambda: new, fail)
        return new, {}

    return Searcher(init, ask, tell, exact_from=1, space=space)
