"""DDAS: deep deterministic architecture sampling (thesis chapter 3).

DDPG whose state is the last architecture and whose action is the next one's continuous
parameters. The reward is the gain in accuracy over a one-shot network plus the decrease
in loss since the last architecture, which suits a supernet trained during the search.
"""

from typing import NamedTuple

import chex
import flax.struct
import jax
import jax.numpy as jnp

from nasjax.agent import Transition, adam, ddpg, exploration
from nasjax.agent import replay as replays
from nasjax.search import Searcher, in_float32, is_concrete
from nasjax.searchers import continuous
from nasjax.searchers.config import Config, choice, decay, fraction, static, traced
from nasjax.spaces import CellSpace

NOISES = ("uniform", "gaussian")
_OU = ("ou_theta", "ou_sigma", "ou_dt")


@flax.struct.dataclass
class DdasConfig(Config):
    """Hyper-parameters; the defaults are DDAS-NL's (thesis 3.4.2, Table 3.3)."""

    actor_lr: chex.Numeric = traced(1e-4, "learning rate of the actor")
    critic_lr: chex.Numeric = traced(1e-3, "learning rate of the critic")
    beta1: chex.Numeric = decay(0.9, "Adam's decay of the first moment")
    beta2: chex.Numeric = decay(0.99, "Adam's decay of the second moment")
    gamma: chex.Numeric = decay(0.99, "discount")
    mixing: chex.Numeric = fraction(1e-3, "weight of a network in its target's update")
    scale: chex.Numeric = traced(1e-5, "half-width or deviation of the noise")
    accuracy_weight: chex.Numeric = traced(0.5, "weight of Acc - Acc(OS) in the reward")
    loss_weight: chex.Numeric = traced(0.5, "weight of the loss decrease in the reward")
    os_accuracy: chex.Numeric = traced(
        -1.0, "Acc(OS), a fraction; -1: the mean of the exploration phase", -1, 1
    )
    os_loss: chex.Numeric = traced(
        -1.0, "loss before the first step; -1: the loss of that step", -1
    )
    similar: chex.Numeric = fraction(
        0.375, "architectures are similar if a smaller share of their pairs differs"
    )
    ou_theta: chex.Numeric = traced(0.15, "Ornstein-Uhlenbeck noise: pull to 0")
    ou_sigma: chex.Numeric = traced(0.2, "Ornstein-Uhlenbeck noise: diffusion")
    ou_dt: chex.Numeric = traced(1e-2, "Ornstein-Uhlenbeck noise: time step")
    smoothing: chex.Numeric = traced(0.1, "TD3: deviation of the target's noise")
    smoothing_clip: chex.Numeric = traced(0.25, "TD3: bound of the target's noise")
    explore: int = static(500, "steps of uniform actions, without any update", 0)
    exploit: int = static(500, "steps before the phase of bursts", 0)
    bursts: bool = static(False, "DDAS-4S: the phase of bursts follows")
    stagnation: int = static(32, "T_stag: similar architectures before a burst")
    recent: int = static(500, "newest experiences used in the phase of bursts")
    noise: str = choice("uniform", NOISES)
    batch_size: int = static(64, "|B_R|: experiences per update")
    capacity: int = static(1_000_000, "replay size (never more than the steps)")
    hidden: tuple[int, ...] = static((256, 256, 256), "widths of the hidden layers")
    action_layer: int = static(
        1, "hidden layers before the action enters the critic", 0
    )
    critics: int = static(1, "critics; TD3 has 2 and takes the lower target")
    actor_delay: int = static(1, "critic steps per step of actor and targets; TD3: 2")

    def unused(self) -> dict[str, str]:
        """See `Config`."""
        burst = ("exploit", "similar", "stagnation", "recent", *_OU)
        fields = {} if self.bursts else dict.fromkeys(burst, "bursts")
        if self.critics == 1:
            fields |= dict.fromkeys(("smoothing", "smoothing_clip"), "critics")
        return fields


def noiseless() -> DdasConfig:
    """DDAS-NL (thesis Table 3.3)."""
    return DdasConfig()


def gaussian() -> DdasConfig:
    """DDAS-G (thesis Table 3.3)."""
    return DdasConfig(noise="gaussian", scale=0.05)


def four_stage() -> DdasConfig:
    """DDAS-4S (thesis Table 3.3)."""
    return gaussian().replace(bursts=True)


def td3() -> DdasConfig:
    """DDAS-G with TD3: twin critics, smoothed targets, delayed actor (thesis 5.2).

    Its noises are half of Fujimoto et al.'s (2018): actions span 1 here, not 2.
    """
    return gaussian().replace(critics=2, actor_delay=2)


VARIANTS = {"nl": noiseless, "g": gaussian, "4s": four_stage, "td3": td3}


class Experience(NamedTuple):
    """A transition before its reward, for which Acc(OS) may not be known yet."""

    observation: chex.Array  # float32 [D]
    action: chex.Array  # float32 [D]
    accuracy: chex.Array  # float32 []
    loss_decrease: chex.Array  # float32 [], last loss - this loss
    next_observation: chex.Array  # float32 [D]


class DdasState(NamedTuple):
    """The state of DDAS."""

    agent: NamedTuple  # DdpgState
    replay: replays.ReplayState  # of Experience
    observation: chex.Array  # float32 [D], s_t: the last architecture
    action: chex.Array  # float32 [D], the pending action
    ou_noise: chex.Array  # float32 [D], Ornstein-Uhlenbeck noise
    arch: chex.Array  # uint8 [*arch_shape], the last; all edges absent at first
    loss: chex.Array  # float32 [], its loss
    explored: chex.Array  # float32 [], sum of accuracies of the exploration phase
    stagnant: chex.Array  # int32 [], similar architectures in a row
    burst: chex.Array  # int32 [], steps left of a burst


def similar(
    space: CellSpace, before: chex.Array, after: chex.Array, share: chex.Numeric
) -> chex.Array:
    """bool []: fewer than `share` of the (edge, operation) pairs of `after` are new.

    Source: thesis 3.2.1 (fewer than 6 of 16).
    """
    present = after < space.num_operations
    new = jnp.sum(present & (before != after))
    return new < share * jnp.sum(present)


def reward(
    config: DdasConfig, accuracy: chex.Array, decrease: chex.Array, one_shot: chex.Array
) -> chex.Array:
    """r = 1/2 (Acc - Acc(OS)) + 1/2 (L(t - 1) - L(t)), elementwise.

    Args:
      config: has the two weights.
      accuracy: a fraction.
      decrease: L(t - 1) - L(t), in nats.
      one_shot: Acc(OS), a fraction.

    Source: thesis Eq. 3.3.
    """
    gain = accuracy - one_shot
    return config.accuracy_weight * gain + config.loss_weight * decrease


def ddas(space: CellSpace, config: DdasConfig | None = None) -> Searcher:
    """DDAS as a searcher.

    Actions are uniform for `explore` steps; then they are the actor's, with noise, and
    each step updates critic, actor and targets. With `bursts`, the last phase has no
    noise until `stagnation` architectures in a row were similar; then it adds
    Ornstein-Uhlenbeck noise for as many steps. Updates in that phase use the `recent`
    newest experiences. The trace's `info`: `explored` (random action), `burst`,
    `reward`, `critic_loss` (0 before the first update), `spread` (standard deviation of
    the action's entries).

    A failed evaluation is stored with the lowest accuracy and the lowest loss decrease
    in the replay (both 0 while it is empty), so that the critics learn where failures
    lie; Acc(OS) includes that accuracy too. If only the loss is not finite, it is
    stored with the lowest decrease. The next loss is compared with the last finite
    one.

    Args:
      space: any cell space; the action is one vector for all its cells.
      config: see `DdasConfig`; traced fields may be tracers.

    Raises:
      ValueError: a config value out of range.

    Source: thesis 3.1, 3.4.2; Mills et al. 2021 (DDAS).
    """
    config = in_float32((DdasConfig() if config is None else config).validate())
    size = space.action_size
    agent = ddpg(
        size,
        size,
        config.hidden,
        adam(config.actor_lr, config.beta1, config.beta2),
        adam(config.critic_lr, config.beta1, config.beta2),
        gamma=config.gamma,
        mixing=config.mixing,
        critics=config.critics,
        smoothing=config.smoothing,
        smoothing_clip=config.smoothing_clip,
        action_layer=config.action_layer,
    )

    def in_bursts(step):  # the last phase
        return config.bursts & (step >= config.explore + config.exploit)

    def init(key, steps):
        vector = jax.ShapeDtypeStruct((size,), jnp.float32)
        scalar = jax.ShapeDtypeStruct((), jnp.float32)
        item = Experience(vector, vector, scalar, scalar, vector)
        return DdasState(
            agent=agent.init(key),
            replay=replays.init(min(config.capacity, steps), item),
            observation=jnp.ones(size, jnp.float32),  # the one-shot network
            action=jnp.zeros(size, jnp.float32),
            ou_noise=jnp.zeros(size, jnp.float32),
            arch=jnp.full(space.arch_shape, space.num_operations, jnp.uint8),
            loss=jnp.asarray(config.os_loss, jnp.float32),
            explored=jnp.float32(0),
            stagnant=jnp.int32(0),
            burst=jnp.int32(0),
        )

    def ask(key, state, step):
        key_random, key_noise, key_ou = jax.random.split(key, 3)
        ou_noise = exploration.ornstein_uhlenbeck(
            key_ou, state.ou_noise, config.ou_theta, config.ou_sigma, config.ou_dt
        )
        ou_noise = jnp.where(state.burst > 0, ou_noise, 0.0)
        greedy = agent.act(state.agent, state.observation)
        noise_fn = getattr(exploration, f"{config.noise}_noise")
        noisy = noise_fn(key_noise, greedy, config.scale)
        bursting = jnp.clip(greedy + ou_noise, 0.0, 1.0)
        action = jnp.where(in_bursts(step), bursting, noisy)
        uniform = jax.random.uniform(key_random, (size,), jnp.float32)
        action = jnp.where(step < config.explore, uniform, action)
        state = state._replace(action=action, ou_noise=ou_noise)
        return state, continuous.discretize(space, action)

    def tell(key, state, step, arch, outcome):
        key_sample, key_update = jax.random.split(key)
        failed = ~jnp.isfinite(outcome.accuracy)
        no_loss = failed | ~jnp.isfinite(outcome.loss)
        worst = replays.lowest(state.replay, state.replay.items.accuracy)
        accuracy = jnp.where(failed, worst, outcome.accuracy)
        before = jnp.where(state.loss < 0, outcome.loss, state.loss)
        worst = replays.lowest(state.replay, state.replay.items.loss_decrease)
        decrease = jnp.where(no_loss, worst, before - outcome.loss)
        seen = jnp.reshape(space.one_hot(arch), size)
        item = Experience(state.observation, state.action, accuracy, decrease, seen)
        replay = replays.add(state.replay, item)
        phase = max(config.explore, 1)
        explored = state.explored + jnp.where(step < phase, accuracy, 0.0)
        one_shot = jnp.where(
            jnp.asarray(config.os_accuracy) < 0,
            explored / jnp.minimum(step + 1, phase),
            config.os_accuracy,
        )

        def learn(learner):
            last = jnp.where(in_bursts(step), config.recent, config.capacity)
            index = replays.indices(key_sample, replay, (config.batch_size,), last)
            x = replays.take(replay, index)
            r = reward(config, x.accuracy, x.loss_decrease, one_shot)
            batch = Transition(x.observation, x.action, r, x.next_observation)
            update_actor = (step - config.explore) % config.actor_delay == 0
            return agent.update(key_update, learner, batch, update_actor)

        learner, loss = jax.lax.cond(
            step >= config.explore, learn, lambda x: (x, jnp.float32(0)), state.agent
        )
        alike = similar(space, state.arch, arch, config.similar)
        count = in_bursts(step) & (state.burst == 0)
        stagnant = jnp.where(count & alike, state.stagnant + 1, 0)
        start = stagnant >= config.stagnation
        info = {
            "explored": step < config.explore,
            "burst": state.burst > 0,
            "reward": reward(config, accuracy, decrease, one_shot),
            "critic_loss": loss,
            "spread": jnp.std(state.action),
        }
        return state._replace(
            agent=learner,
            replay=replay,
            observation=seen,
            arch=arch,
            loss=jnp.where(no_loss, state.loss, outcome.loss),
            explored=explored,
            stagnant=jnp.where(start, 0, stagnant),
            burst=jnp.where(start, config.stagnation, jnp.maximum(state.burst - 1, 0)),
        ), info

    def check(accuracy, loss):
        del accuracy
        if loss is None and is_concrete(config.loss_weight) and config.loss_weight:
            raise ValueError(
                "there is no loss: return (accuracy, loss), or leave the loss out of "
                "the reward by loss_weight=0"
            )

    noted = ("observation", "action", "arch", "loss")
    searcher = Searcher(init, ask, tell, check, space=space)
    return continuous.with_replay(searcher, config.capacity, noted)
