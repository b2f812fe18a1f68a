"""CADAM's hyper-parameters and settings (thesis 4.2.1, 4.2.2, 4.4.3)."""

import chex
import flax.struct

from nasjax.search import check_integer, check_range, check_widths

EXPLORATIONS = ("epsilon-greedy", "warm-up")
CRITIC_LOSSES = ("check", "squared")
REWARDS = ("power", "relative", "scaled")


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
            check_integer(name, getattr(self, name), 1)
        for name in ("max_cycles", "warm_up"):
            check_integer(name, getattr(self, name), 0)
        check_widths(self.hidden)
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
