"""The settings of CADAM, and the thesis's values of them."""

import chex
import flax.struct

from nasjax.agent import networks
from nasjax.searchers.config import Config, choice, decay, fraction, static, traced

OUTPUTS = tuple(networks.OUTPUTS)
EXPLORATIONS = ("epsilon-greedy", "warm-up")
CRITIC_LOSSES = ("check", "squared")
REWARDS = ("power", "relative", "scaled")
OBSERVATIONS = ("mean", "share", "centred")
STORED = ("continuous", "discrete")
ORDERS = ("critic-first", "actor-first")
MODES = ("bandit", "editor")
# Fields without effect on an editor.
OF_BANDITS = (
    *("reward_base", "env_accuracy", "reward", "actor_output", "observation"),
    *("repeats", "stored_action", "update_order"),
)


@flax.struct.dataclass
class CadamConfig(Config):
    """Hyper-parameters; the defaults are the thesis's on NAS-Bench-201 (4.2.1, 4.4.3).

    Fields that only enter the arithmetic are traced and can be vmapped; those that fix
    a shape or a branch are static.
    """

    actor_lr: chex.Numeric = traced(1e-8, "learning rate of the actor")
    critic_lr: chex.Numeric = traced(1e-4, "learning rate of the critic")
    tau: chex.Numeric = fraction(0.9, "quantile level of the check loss, in [0, 1]")
    xi: chex.Numeric = traced(1e-4, "half-width of the uniform noise on actions")
    beta1: chex.Numeric = decay(0.9, "Adam's decay of the first moment")
    beta2: chex.Numeric = decay(0.99, "Adam's decay of the second moment")
    epsilon_start: chex.Numeric = fraction(1.0, "probability of a random action at 0")
    epsilon_stop: chex.Numeric = fraction(0.05, "probability of a random action later")
    epsilon_steps: chex.Numeric = traced(175, "steps of the cosine between these two")
    reward_base: chex.Numeric = traced(
        100.0, "reward = base ^ accuracy (Eq. 4.1)", 1e-30
    )
    env_accuracy: chex.Numeric = traced(1.0, "Acc(Env) of reward = relative", 1e-6)
    last_layer: chex.Numeric = traced(
        networks.LAST, "scale of both networks' last layers at the start"
    )
    adam_epsilon: chex.Numeric = traced(1e-8, "Adam's epsilon", 1e-30)
    exploration: str = choice("epsilon-greedy", EXPLORATIONS)
    warm_up: int = static(0, "W: random steps first, with exploration = warm-up", 0)
    top_k: int = static(64, "K: distinct architectures averaged into the state")
    batch_size: int = static(8, "|B|: experiences per training cycle")
    max_cycles: int = static(10, "C_max: training cycles per step at most", 0)
    capacity: int = static(1_000_000, "replay size (never more than the steps)")
    hidden: tuple[int, ...] = static((128, 256, 128), "widths of the hidden layers")
    critic_loss: str = choice("check", CRITIC_LOSSES)
    critics: int = static(1, "critics; the actor maximises their minimum (TD3: 2)")
    actor_delay: int = static(1, "critic updates per actor update (TD3: 2)")
    reward: str = choice("power", REWARDS)
    # What the thesis leaves open, or may have done otherwise than it prints.
    actor_output: str = choice(
        "sigmoid", OUTPUTS, "sigmoid, or tanh: actions, random ones too, in [-1, 1]"
    )
    observation: str = choice(
        "mean",
        OBSERVATIONS,
        "the state: mean of the top K so far; share, their sum / K; or centred, O "
        "mean - 1, zero where all O operations are as frequent",
    )
    repeats: bool = static(False, "an architecture may be in the top K several times")
    stored_action: str = choice(
        "continuous", STORED, "action in the replay: continuous, or discrete, one-hot"
    )
    replacement: bool = static(True, "a batch may hold an experience several times")
    update_order: str = choice(
        "critic-first", ORDERS, "of the networks in a training cycle"
    )

    mode: str = choice(
        "bandit", MODES, "bandit, or editor: an action changes one operation"
    )

    def unused(self) -> dict[str, str]:
        """See `Config`."""
        names: tuple[str, ...] = ("warm_up",)
        if self.exploration == "warm-up":
            names = ("epsilon_start", "epsilon_stop", "epsilon_steps")
        fields = dict.fromkeys(names, "exploration")
        if self.reward != "relative":
            fields["env_accuracy"] = "reward"
        if self.critic_loss != "check":
            fields["tau"] = "critic_loss"
        if self.mode == "editor":
            fields |= dict.fromkeys(OF_BANDITS, "mode")
        return fields


def thesis() -> CadamConfig:
    """The thesis's config on NAS-Bench-201 (4.2.1, 4.4.3)."""
    return CadamConfig()


def thesis_supernet() -> CadamConfig:
    """The thesis's config on a DARTS supernet (4.2.2, 4.4.3)."""
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
    """The thesis's config with twin critics and a delayed actor (thesis 5.2).

    CADAM has no next state, so TD3's target networks do not apply.

    Source: Fujimoto et al. 2018.
    """
    return thesis().replace(critics=2, actor_delay=2)
