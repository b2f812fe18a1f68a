"""DDAS's hyper-parameters and the variants of the thesis (3.4.2, Table 3.3)."""

import chex
import flax.struct

from nasjax.search import check_integer, check_range, check_widths

NOISES = ("uniform", "gaussian")


def _static(default, text):
    return flax.struct.field(
        default=default, pytree_node=False, metadata={"help": text}
    )


def _traced(default, text):
    return flax.struct.field(default=default, metadata={"help": text})


@flax.struct.dataclass
class DdasConfig:
    """Hyper-parameters; the defaults are DDAS-NL's (thesis 3.4.2, Table 3.3)."""

    actor_lr: chex.Numeric = _traced(1e-4, "learning rate of the actor")
    critic_lr: chex.Numeric = _traced(1e-3, "learning rate of the critic")
    beta1: chex.Numeric = _traced(0.9, "Adam's decay of the first moment")
    beta2: chex.Numeric = _traced(0.99, "Adam's decay of the second moment")
    gamma: chex.Numeric = _traced(0.99, "discount")
    mixing: chex.Numeric = _traced(1e-3, "share of a network in its target, each step")
    scale: chex.Numeric = _traced(1e-5, "half-width or deviation of the noise")
    accuracy_weight: chex.Numeric = _traced(0.5, "of Acc - Acc(OS) in the reward")
    loss_weight: chex.Numeric = _traced(0.5, "of the loss's fall in the reward")
    os_accuracy: chex.Numeric = _traced(
        -1.0, "Acc(OS), a fraction; -1: the mean of the exploration phase"
    )
    os_loss: chex.Numeric = _traced(
        -1.0, "the loss before the first step; -1: that step's own"
    )
    similar: chex.Numeric = _traced(
        0.375, "architectures are similar if a smaller share of their pairs differs"
    )
    ou_theta: chex.Numeric = _traced(0.15, "Ornstein-Uhlenbeck noise: pull to 0")
    ou_sigma: chex.Numeric = _traced(0.2, "the same: diffusion")
    ou_dt: chex.Numeric = _traced(1e-2, "the same: time step")
    smoothing: chex.Numeric = _traced(0.1, "TD3: deviation of the target's noise")
    smoothing_clip: chex.Numeric = _traced(0.25, "TD3: the largest such noise")
    explore: int = _static(500, "steps of uniform actions, without any update")
    exploit: int = _static(500, "steps before the phase of bursts")
    bursts: bool = _static(False, "DDAS-4S: the phase of bursts follows")
    stagnation: int = _static(32, "T_stag: similar architectures that start a burst")
    recent: int = _static(500, "newest experiences used in the phase of bursts")
    noise: str = _static("uniform", " or ".join(NOISES))
    batch_size: int = _static(64, "|B_R|: experiences per update")
    capacity: int = _static(1_000_000, "replay size (never more than the steps)")
    hidden: tuple[int, ...] = _static((256, 256, 256), "widths of the hidden layers")
    action_layer: int = _static(1, "hidden layers before the action enters the critic")
    critics: int = _static(1, "critics; TD3 has 2 and takes the lower target")
    actor_delay: int = _static(1, "critic steps per step of actor and targets; TD3: 2")

    def validate(self) -> "DdasConfig":
        """Returns the config; ValueError names a value out of range."""
        least = dict.fromkeys(("stagnation", "recent", "batch_size", "capacity"), 1)
        least |= {"explore": 0, "exploit": 0, "critics": 1, "actor_delay": 1}
        for name, low in least.items():
            check_integer(name, getattr(self, name), low)
        check_widths(self.hidden)
        check_integer("action_layer", self.action_layer, 0)
        if self.noise not in NOISES:
            raise ValueError(f"noise is {self.noise!r}; allowed: {', '.join(NOISES)}")
        infinity, under_one = float("inf"), 1 - 1e-7
        highest = {"beta1": under_one, "beta2": under_one, "gamma": under_one}
        highest |= {"mixing": 1, "similar": 1, "os_accuracy": 1}
        for name, field in type(self).__dataclass_fields__.items():
            low = -1 if name in ("os_accuracy", "os_loss") else 0
            if field.metadata.get("pytree_node", True):
                check_range(name, getattr(self, name), low, highest.get(name, infinity))
        return self


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
