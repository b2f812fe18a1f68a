"""CADAM: continuous action, discrete architecture mapping (thesis chapter 4).

A deterministic actor maps the mean of the best architectures to continuous architecture
parameters; their discretisation is queried; a critic learns a quantile of the reward;
the actor ascends the critic.
"""

import math
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp

from nasjax.agent import (
    Batch,
    exploration,
)
from nasjax.agent import history as histories
from nasjax.agent import replay as replays
from nasjax.search import Searcher, in_float32, is_concrete
from nasjax.search.outcomes import or_worst
from nasjax.searchers import continuous
from nasjax.searchers.cadam_agent import agent_of, explores, trained
from nasjax.searchers.cadam_config import CadamConfig
from nasjax.searchers.editor import editor
from nasjax.spaces import CellSpace

UNSEEN = -1e30  # below any score; `reward="scaled"` clips it to the lowest so far


class CadamState(NamedTuple):
    """The state of CADAM."""

    agent: NamedTuple  # ActorCriticState
    replay: replays.ReplayState  # of Batch items, without the batch axis
    history: histories.HistoryState  # of uint8 architectures
    observation: chex.Array  # float32 [D], the actor's input for the pending action
    action: chex.Array  # float32 [D], the pending action
    explored: chex.Array  # bool [], whether the pending action is random
    low: chex.Array  # float32 [], the lowest score so far
    high: chex.Array  # float32 [], the highest


def observe(
    space: CellSpace, history: histories.HistoryState, kind: str = "mean"
) -> chex.Array:
    """s_t, float32 [D]: frequency of each operation on each edge among the top K.

    Args:
      space: of the architectures.
      history: the top K.
      kind: `mean` of the architectures so far; `share`, their sum / K; or `centred`,
        O mean - 1 with O operations. Each is zero at step 0.

    Source: thesis 4.1.1, which says neither what is averaged before there are K nor
    whether it is scaled.
    """
    mean = histories.mean(history, space.one_hot(history.items)).reshape(-1)
    filled = histories.filled(history)
    if kind == "share":
        return mean * filled / len(history.score)
    if kind == "centred":
        return jnp.where(filled > 0, space.num_operations * mean - 1, 0.0)
    return mean


def reward(config: CadamConfig, accuracy: chex.Array) -> chex.Array:
    """Reward of accuracies (fractions), elementwise.

    power: r = b^Acc. relative: r = b^(Acc / Acc(Env)) / b - 1, zero where the accuracy
    equals Acc(Env). scaled, for scores of any unit: b^x, with x the score that `cadam`
    has scaled to [0, 1] by the lowest and highest score so far.

    Source: thesis Eq. 4.1; Mills et al. 2021 (L2NAS) Eq. 7. b = 100 in both.
    """
    base = jnp.asarray(config.reward_base, jnp.float32)
    if config.reward == "relative":
        return base ** (accuracy / config.env_accuracy) / base - 1
    return base**accuracy


def cycles(step: chex.Numeric, capacity: int, config: CadamConfig) -> chex.Array:
    """C = min(|R| // |B|, C_max), |R| counted after storing (thesis Eq. 4.6).

    |R| depends only on the step, so that under vmap the loop over cycles has the same
    trip count for all lanes.
    """
    stored = jnp.minimum(step + 1, capacity)
    return jnp.minimum(stored // config.batch_size, config.max_cycles)


def cadam(space: CellSpace, config: CadamConfig | None = None) -> Searcher:
    """CADAM as a searcher.

    The trace's `info`: `explored` (random action), `critic_loss` (mean over the step's
    cycles), `below` (whether the reward is below Q(a) before the update: a share near
    tau once the critic fits), `spread` (standard deviation of the action's entries).

    A failed evaluation is stored with the lowest score so far (or with an accuracy of 0
    before the first score), so that the critic learns where failures lie; it never
    enters the history of the best.

    With `mode="editor"`, an action changes one operation of a good architecture, see
    `searchers.editor`.

    Args:
      space: any cell space; the action is one vector for all its cells.
      config: see `CadamConfig`; traced fields may be tracers.

    Raises:
      ValueError: a config value out of range.

    Source: thesis 4.1, 4.2.1, 4.4.3; Mills et al. 2021 (L2NAS).
    """
    config = in_float32((CadamConfig() if config is None else config).validate())
    if config.mode == "editor":
        return editor(space, config)
    size = space.action_size
    lowest = -1.0 if config.actor_output == "tanh" else 0.0  # entry of an action
    agent = agent_of(
        config,
        size,
        output=config.actor_output,
        actor_first=config.update_order == "actor-first",
    )

    def init(key, steps):
        vector = jax.ShapeDtypeStruct((size,), jnp.float32)
        item = Batch(vector, vector, jax.ShapeDtypeStruct((), jnp.float32))
        arch = jax.ShapeDtypeStruct(space.arch_shape, jnp.uint8)
        return CadamState(
            agent=agent.init(key),
            replay=replays.init(min(config.capacity, steps), item),
            history=histories.init(config.top_k, arch),
            observation=jnp.zeros(size, jnp.float32),
            action=jnp.zeros(size, jnp.float32),
            explored=jnp.bool_(False),
            low=jnp.float32(jnp.inf),
            high=jnp.float32(-jnp.inf),
        )

    def ask(key, state, step):
        key_choice, key_random, key_noise = jax.random.split(key, 3)
        explored = explores(key_choice, config, step)
        observation = observe(space, state.history, config.observation)
        greedy = agent.act(state.agent, observation)
        greedy = exploration.uniform_noise(key_noise, greedy, config.xi, lowest)
        uniform = jax.random.uniform(key_random, (size,), jnp.float32, lowest)
        action = jnp.where(explored, uniform, greedy)
        state = state._replace(
            observation=observation, action=action, explored=explored
        )
        return state, continuous.discretize(space, action)

    def tell(key, state, step, arch, outcome):
        failed = ~jnp.isfinite(outcome.accuracy)
        low = jnp.where(failed, state.low, jnp.minimum(state.low, outcome.accuracy))
        high = jnp.where(failed, state.high, jnp.maximum(state.high, outcome.accuracy))

        # A scaled reward changes with the range of scores, so the replay holds scores.
        scaled = config.reward == "scaled"

        def reward_of(stored):
            if not scaled:
                return stored
            share = (stored - low) / jnp.maximum(high - low, 1e-30)  # 0 if all equal
            return reward(config, jnp.maximum(share, 0.0))

        worst = or_worst(low, UNSEEN if scaled else 0.0)
        score = jnp.where(failed, worst, outcome.accuracy)
        stored = score if scaled else reward(config, score)
        action = state.action
        if config.stored_action == "discrete":
            action = space.one_hot(arch).reshape(-1)
        value = agent.value(state.agent, action)
        item = Batch(state.observation, action, stored)
        replay = replays.add(state.replay, item)
        score = or_worst(outcome.accuracy, jnp.nan)  # which the history ignores
        history = histories.insert(state.history, arch, score, config.repeats)
        C = cycles(step, replays.capacity(replay), config)
        learner, loss = trained(
            key, agent, config, state.agent, replay, step, C, reward_of
        )
        info = {
            "explored": state.explored,
            "critic_loss": loss,
            "below": reward_of(stored) < value,
            "spread": jnp.std(state.action),
        }
        return state._replace(
            agent=learner, replay=replay, history=history, low=low, high=high
        ), info

    def check(accuracy, loss):
        del loss
        known = is_concrete(accuracy, config.reward_base, config.env_accuracy)
        if not known or not math.isfinite(value := float(accuracy)):
            return
        # Rounding may leave a fraction a little outside.
        if config.reward == "power" and not -1e-6 <= value <= 1 + 1e-6:
            raise ValueError(
                f"the accuracy is {value:g}; reward='power' takes fractions in "
                "[0, 1]: divide a percentage by 100, or use reward='scaled'"
            )
        if config.reward == "relative":
            express = reward(config, jnp.float32(value))
            if not math.isfinite(express):
                raise ValueError(
                    f"the accuracy is {value:g}, which reward='relative' cannot "
                    f"express with env_accuracy={float(config.env_accuracy):g}: give "
                    "both in one unit, or use reward='scaled'"
                )

    noted = ("observation", "action", "explored")
    searcher = Searcher(init, ask, tell, check, space=space)
    return continuous.with_replay(searcher, config.capacity, noted, lowest)
