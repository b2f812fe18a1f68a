"""CADAM as an editor: the actor changes one operation of a good architecture.

The state is an architecture drawn from the mean and the standard deviation of the top
K, as a variational auto-encoder draws from its latent space; the action scores every
change of one operation, and the best one is made; the reward is the gain in accuracy:

    z = mean + deviation * n,  n ~ N(0, 1)       per edge and operation
    s = one-hot(discretise(z)),  a' = discretise(s + 2 e_j),  j = argmax_{s_j = 0} mu(s)
    r = acc(a') - acc(s),  critic Q(s, a)

An architecture s that was never queried is queried first, which counts as a query.

Source: thesis 5.2 (Preiss et al. 2020 name the kinds; Kingma and Welling 2019).
"""

from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp

from nasjax.agent import Batch, exploration
from nasjax.agent import history as histories
from nasjax.agent import replay as replays
from nasjax.agent.draws import flat
from nasjax.search import Asynchronous, Searcher
from nasjax.search.asynchronous import redrawn
from nasjax.search.outcomes import or_worst
from nasjax.search.protocol import fields
from nasjax.searchers import continuous
from nasjax.searchers.cadam_agent import agent_of, explores, trained
from nasjax.searchers.cadam_config import CadamConfig
from nasjax.spaces import CellSpace


class EditorState(NamedTuple):
    """The state of the editor."""

    agent: NamedTuple  # ActorCriticState
    replay: replays.ReplayState  # of Batch items, one for each edit
    history: histories.HistoryState  # of uint8 architectures
    queried: chex.Array  # uint8 [steps, *arch_shape], O + 1 where not queried yet
    accuracy: chex.Array  # float32 [steps], their scores
    low: chex.Array  # float32 [], the lowest score so far
    # Of the pending query, and after it.
    base: chex.Array  # uint8 [*arch_shape], the architecture s
    base_accuracy: chex.Array  # float32 [], NaN if not known
    action: chex.Array  # float32 [D]
    explored: chex.Array  # bool [], whether the edit is random
    editing: chex.Array  # bool [], whether the query is an edit, else s itself
    waits: chex.Array  # bool [], whether s was queried and has not been edited


def sampled(
    key: chex.PRNGKey, space: CellSpace, history: histories.HistoryState
) -> chex.Array:
    """An architecture by mean and deviation of the top K; a random one at step 0."""
    key_random, key_noise = jax.random.split(key)
    mean = histories.mean(history, space.one_hot(history.items)).reshape(-1)
    deviation = jnp.sqrt(mean * (1 - mean))  # of entries that are 0 or 1
    noise = flat(jax.random.normal, key_noise, mean.shape, jnp.float32)
    drawn = continuous.discretize(space, mean + deviation * noise)
    empty = history.score[0] == -jnp.inf
    return jnp.where(empty, space.random(key_random), drawn)


def edited(space: CellSpace, arch: chex.Array, action: chex.Array) -> chex.Array:
    """`arch` with the change that `action` [D] scores highest.

    In a space whose nodes select edges, an operation may also take the place of an
    edge's.
    """
    here = space.one_hot(arch).reshape(-1)
    change = jnp.argmax(jnp.where(here > 0, -jnp.inf, action))
    return continuous.discretize(space, here.at[change].set(2.0))


def _known(state: EditorState, arch: chex.Array) -> chex.Array:
    """The first score of `arch`, NaN if it was not queried."""
    rows = state.queried.reshape(len(state.queried), -1)
    same = jnp.all(rows == arch.reshape(-1), axis=1)
    return jnp.where(jnp.any(same), state.accuracy[jnp.argmax(same)], jnp.nan)


def editor(space: CellSpace, config: CadamConfig) -> Searcher:
    """CADAM as an editor; `cadam(space, config)` calls it for `mode="editor"`.

    The trace's `info` is that of `cadam`, `edit` (whether the query is an edit) and
    `gain` (its reward, else 0); `explored` is true of queries that are no edits, too. A
    failed evaluation counts as the lowest score so far.

    Args:
      space: any cell space.
      config: validated, in float32.
    """
    size = space.action_size
    agent = agent_of(config, size, observed=True)

    def init(key, steps):
        vector = jax.ShapeDtypeStruct((size,), jnp.float32)
        item = Batch(vector, vector, jax.ShapeDtypeStruct((), jnp.float32))
        arch = jax.ShapeDtypeStruct(space.arch_shape, jnp.uint8)
        unused = space.num_operations + 1
        return EditorState(
            agent=agent.init(key),
            replay=replays.init(min(config.capacity, steps), item),
            history=histories.init(config.top_k, arch),
            queried=jnp.full((steps, *space.arch_shape), unused, jnp.uint8),
            accuracy=jnp.full(steps, jnp.nan, jnp.float32),
            low=jnp.float32(jnp.inf),
            base=jnp.zeros(space.arch_shape, jnp.uint8),
            base_accuracy=jnp.float32(jnp.nan),
            action=jnp.zeros(size, jnp.float32),
            explored=jnp.bool_(False),
            editing=jnp.bool_(False),
            waits=jnp.bool_(False),
        )

    def ask(key, state, step):
        key_base, key_choice, key_random, key_noise = jax.random.split(key, 4)
        base = jnp.where(
            state.waits, state.base, sampled(key_base, space, state.history)
        )
        known = jnp.where(state.waits, state.base_accuracy, _known(state, base))
        explored = explores(key_choice, config, step)
        greedy = agent.act(state.agent, space.one_hot(base).reshape(-1))
        greedy = exploration.uniform_noise(key_noise, greedy, config.xi)
        uniform = flat(jax.random.uniform, key_random, (size,), jnp.float32)
        action = jnp.where(explored, uniform, greedy)
        editing = ~jnp.isnan(known)
        state = state._replace(
            base=base,
            base_accuracy=known,
            action=action,
            explored=explored,
            editing=editing,
            waits=jnp.bool_(False),
        )
        return state, jnp.where(editing, edited(space, base, action), base)

    def tell(key, state, step, arch, outcome):
        failed = ~jnp.isfinite(outcome.accuracy)
        low = jnp.where(failed, state.low, jnp.minimum(state.low, outcome.accuracy))
        score = or_worst(outcome.accuracy, jnp.where(jnp.isfinite(low), low, 0.0))
        gain = jnp.where(state.editing, score - state.base_accuracy, 0.0)
        observation = space.one_hot(state.base).reshape(-1)
        value = agent.value(state.agent, state.action, observation)
        item = Batch(observation, state.action, gain)
        replay = jax.tree.map(
            lambda new, old: jnp.where(state.editing, new, old),
            replays.add(state.replay, item),
            state.replay,
        )
        history = histories.insert(
            state.history, arch, or_worst(outcome.accuracy, jnp.nan)
        )
        stored = replays.size(replay)
        C = jnp.minimum(stored // config.batch_size, config.max_cycles)
        learner, loss = trained(key, agent, config, state.agent, replay, step, C)
        info = {
            "explored": state.explored | ~state.editing,
            "critic_loss": loss,
            "below": gain < value,
            "spread": jnp.std(state.action),
            "edit": state.editing,
            "gain": gain,
        }
        return state._replace(
            agent=learner,
            replay=replay,
            history=history,
            queried=state.queried.at[step].set(arch),
            accuracy=state.accuracy.at[step].set(score),
            low=low,
            base_accuracy=jnp.where(state.editing, state.base_accuracy, score),
            waits=~state.editing,
        ), info

    def ask_again(key, state, step, tries):
        key_ask, key_noise = jax.random.split(key)
        state, base = ask(key_ask, state, step)
        width = jnp.minimum(continuous.FIRST * 2.0**tries, 1.0).astype(jnp.float32)
        action = exploration.uniform_noise(key_noise, state.action, width)
        other = edited(space, state.base, action)
        arch = jnp.where(state.editing, other, base)
        return state._replace(action=action), arch

    def ask_pending(key, state, step, pending):
        return redrawn(ask, key, state, step, pending, ask_again)

    def adopt(state, step, arch):
        del step
        return state._replace(
            base=arch, base_accuracy=jnp.float32(jnp.nan), editing=jnp.bool_(False)
        )

    noted = ("base", "base_accuracy", "action", "explored", "editing")
    return Searcher(
        init,
        ask,
        tell,
        budget=lambda state: len(state.queried),
        exact_from=1,
        asynchronous=Asynchronous(ask=ask_pending, adopt=adopt, **fields(*noted)),
        space=space,
    )
