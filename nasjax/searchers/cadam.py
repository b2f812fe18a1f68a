"""CADAM: continuous action, discrete architecture mapping (thesis chapter 4).

A deterministic actor looks at the mean of the best architectures and emits continuous
architecture parameters; their discretisation is queried; a critic learns a quantile of
the reward; the actor climbs the critic.
"""

from typing import NamedTuple

import chex
import flax.struct
import jax
import jax.numpy as jnp

from nasjax.agent import (
    Batch,
    actor_critic,
    adam,
    check_loss,
    exploration,
    squared_loss,
)
from nasjax.agent import history as histories
from nasjax.agent import replay as replays
from nasjax.search import Searcher, check_range
from nasjax.spaces import CellSpace

EXPLORATIONS = ("epsilon-greedy", "warm-up")
CRITIC_LOSSES = ("check", "squared")
REWARDS = ("power", "relative")


def _static(default, text):
    return flax.struct.field(
        default=default, pytree_node=False, metadata={"help": text}
    )


def _traced(default, text):
    return flax.struct.field(default=default, metadata={"help": text})


@flax.struct.dataclass
class CadamConfig:
    """Hyper-parameters; the defaults are the thesis's on NAS-Bench-201 (4.2.1, 4.4.3).

    Fields that only enter the arithmetic are traced and can be vmapped; those that fix
    a shape or a branch are static.
    """

    actor_lr: chex.Numeric = _traced(1e-8, "learning rate of the actor")
    critic_lr: chex.Numeric = _traced(1e-4, "learning rate of the critic")
    tau: chex.Numeric = _traced(0.9, "quantile level of the check loss, in [0, 1]")
    xi: chex.Numeric = _traced(1e-4, "half-width of the uniform noise on actions")
    beta1: chex.Numeric = _traced(0.9, "Adam's decay of the first moment")
    beta2: chex.Numeric = _traced(0.99, "Adam's decay of the second moment")
    epsilon_start: chex.Numeric = _traced(1.0, "probability of a random action at 0")
    epsilon_stop: chex.Numeric = _traced(0.05, "the same once annealed")
    epsilon_steps: chex.Numeric = _traced(175, "steps of the cosine between them")
    reward_base: chex.Numeric = _traced(100.0, "reward = base ^ accuracy (Eq. 4.1)")
    env_accuracy: chex.Numeric = _traced(1.0, "Acc(Env) of reward = relative")
    exploration: str = _static("epsilon-greedy", " or ".join(EXPLORATIONS))
    warm_up: int = _static(0, "W: random steps first, with exploration = warm-up")
    top_k: int = _static(64, "K: distinct architectures averaged into the state")
    batch_size: int = _static(8, "|B|: experiences per training cycle")
    max_cycles: int = _static(10, "C_max: training cycles per step at most")
    capacity: int = _static(1_000_000, "replay size (never more than the steps)")
    hidden: tuple[int, ...] = _static((128, 256, 128), "widths of the hidden layers")
    critic_loss: str = _static("check", " or ".join(CRITIC_LOSSES))
    critics: int = _static(1, "critics, of which the actor climbs the lowest (TD3: 2)")
    actor_delay: int = _static(1, "cycles per step of the actor (TD3: 2)")
    reward: str = _static("power", " or ".join(REWARDS))

    def validate(self) -> "CadamConfig":
        """Returns the config; ValueError names a value out of range."""
        for name in ("top_k", "batch_size", "capacity", "critics", "actor_delay"):
            if getattr(self, name) < 1:
                raise ValueError(
                    f"{name} must be at least 1, got {getattr(self, name)}"
                )
        for name in ("max_cycles", "warm_up"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative: {getattr(self, name)}")
        if not self.hidden or min(self.hidden) < 1:
            raise ValueError(f"hidden must list widths of at least 1: {self.hidden}")
        for name, allowed in (
            ("exploration", EXPLORATIONS),
            ("critic_loss", CRITIC_LOSSES),
            ("reward", REWARDS),
        ):
            if getattr(self, name) not in allowed:
                raise ValueError(
                    f"{name} is {getattr(self, name)!r}; allowed: {', '.join(allowed)}"
                )
        infinity = float("inf")
        limits = {
            "tau": (0, 1),
            "epsilon_start": (0, 1),
            "epsilon_stop": (0, 1),
            "beta1": (0, 1 - 1e-7),
            "beta2": (0, 1 - 1e-7),
            "actor_lr": (0, infinity),
            "critic_lr": (0, infinity),
            "xi": (0, infinity),
            "epsilon_steps": (0, infinity),
            "reward_base": (1e-30, infinity),
            "env_accuracy": (1e-6, infinity),
        }
        for name, (low, high) in limits.items():
            check_range(name, getattr(self, name), low, high)
        return self


def thesis() -> CadamConfig:
    """The thesis's setting on NAS-Bench-201 (4.2.1, 4.4.3)."""
    return CadamConfig()


def thesis_supernet() -> CadamConfig:
    """The thesis's setting on a DARTS supernet (4.2.2, 4.4.3)."""
    return CadamConfig(
        exploration="warm-up",
        warm_up=3000,
        top_k=500,
        tau=0.95,
        batch_size=64,
        xi=5e-5,
        max_cycles=1,
        capacity=5000,
        hidden=(256, 256, 256),
    )


def td3() -> CadamConfig:
    """The thesis's setting with twin critics and a delayed actor (its 5.2).

    There is no next state here, so nothing of TD3's targets remains.

    Source: Fujimoto et al. 2018.
    """
    return thesis().replace(critics=2, actor_delay=2)


class CadamState(NamedTuple):
    """What CADAM carries."""

    agent: NamedTuple  # ActorCriticState
    replay: replays.ReplayState  # of Batch items, without the batch axis
    history: histories.HistoryState  # of uint8 architectures
    observation: chex.Array  # float32 [D], what the pending action was based on
    action: chex.Array  # float32 [D], the pending action
    explored: chex.Array  # bool [], the pending action is a random one


def observe(space: CellSpace, history: histories.HistoryState) -> chex.Array:
    """s_t, float32 [D]: how often each operation stands on each edge of the top K.

    Source: thesis 4.1.1; only the entries present are averaged, zeros at step 0.
    """
    return histories.mean(history, space.one_hot(history.items)).reshape(-1)


def reward(config: CadamConfig, accuracy: chex.Array) -> chex.Array:
    """What a query earns, for accuracies as fractions; elementwise.

    power: r = b^Acc. relative: r = b^(Acc / Acc(Env)) / b - 1, zero where an agent
    from another search equals Acc(Env).

    Source: thesis Eq. 4.1; Mills et al. 2021 (L2NAS) Eq. 7. b = 100 in both.
    """
    base = jnp.asarray(config.reward_base, jnp.float32)
    if config.reward == "relative":
        return base ** (accuracy / config.env_accuracy) / base - 1
    return base**accuracy


def cycles(step: chex.Numeric, capacity: int, config: CadamConfig) -> chex.Array:
    """C = min(|R| // |B|, C_max), |R| counted after storing (thesis Eq. 4.6).

    |R| follows from the step alone, so that under vmap the loop over cycles keeps one
    trip count for all lanes.
    """
    stored = jnp.minimum(step + 1, capacity)
    return jnp.minimum(stored // config.batch_size, config.max_cycles)


def cadam(space: CellSpace, config: CadamConfig | None = None) -> Searcher:
    """CADAM as a searcher.

    Its trace's `info`: `explored` (random action), `critic_loss` (mean over the
    step's cycles), `below` (reward under Q(a) before the update: near tau once the
    critic fits), `spread` (standard deviation of the action's entries).

    Args:
      space: any cell space; the action is one vector for all its cells.
      config: see `CadamConfig`; traced fields may be tracers.

    Raises:
      ValueError: a config value out of range.

    Source: thesis 4.1, 4.2.1, 4.4.3; Mills et al. 2021 (L2NAS).
    """
    config = (CadamConfig() if config is None else config).validate()
    size = space.action_size

    def critic_loss(error):
        if config.critic_loss == "squared":
            return squared_loss(error)
        return check_loss(error, config.tau)

    agent = actor_critic(
        size,
        size,
        config.hidden,
        adam(config.actor_lr, config.beta1, config.beta2),
        adam(config.critic_lr, config.beta1, config.beta2),
        critic_loss,
        config.critics,
    )

    def init(key, steps):
        vector = jax.ShapeDtypeStruct((size,), jnp.float32)
        item = Batch(vector, vector, jax.ShapeDtypeStruct((), jnp.float32))
        arch = jax.ShapeDtypeStruct(space.arch_shape, jnp.uint8)
        return CadamState(
            agent=agent.init(key),
            replay=replays.init(min(config.capacity, steps), item),
            history=histories.init(config.top_k, arch),
            observation=jnp.zeros(size),
            action=jnp.zeros(size),
            explored=jnp.bool_(False),
        )

    def ask(key, state, step):
        key_choice, key_random, key_noise = jax.random.split(key, 3)
        if config.exploration == "warm-up":
            probability = exploration.warm_up(step, config.warm_up)
        else:
            probability = exploration.cosine_epsilon(
                step, config.epsilon_start, config.epsilon_stop, config.epsilon_steps
            )
        explored = jax.random.uniform(key_choice) < probability
        observation = observe(space, state.history)
        greedy = exploration.uniform_noise(
            key_noise, agent.act(state.agent, observation), config.xi
        )
        action = jnp.where(explored, jax.random.uniform(key_random, (size,)), greedy)
        arch = space.discretize(action.reshape(space.alpha_shape))
        asked = state._replace(
            observation=observation, action=action, explored=explored
        )
        return asked, arch

    def tell(key, state, step, arch, outcome):
        earned = reward(config, outcome.accuracy)
        value = agent.value(state.agent, state.action)
        replay = replays.add(
            state.replay, Batch(state.observation, state.action, earned)
        )
        history = histories.insert(state.history, arch, outcome.accuracy)
        C = cycles(step, replays.capacity(replay), config)
        # All batches of the step at once: drawing is cheap, starting to draw is not.
        shape = (max(config.max_cycles, 1), config.batch_size)
        index = replays.indices(key, replay, shape)

        def cycle(i, carry):
            learner, total = carry
            climb = None
            if config.actor_delay > 1:
                climb = (step * config.max_cycles + i) % config.actor_delay == 0
            batch = replays.take(replay, index[i])
            learner, loss = agent.update(learner, batch, climb)
            return learner, total + loss

        learner, total = jax.lax.fori_loop(0, C, cycle, (state.agent, jnp.float32(0.0)))
        info = {
            "explored": state.explored,
            "critic_loss": total / jnp.maximum(C, 1),
            "below": earned < value,
            "spread": jnp.std(state.action),
        }
        return state._replace(agent=learner, replay=replay, history=history), info

    return Searcher(init, ask, tell)
