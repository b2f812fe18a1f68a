"""Hyper-parameters of the Bayesian actor-critic."""

import chex
import flax.struct

from nasjax.search import check_integer, check_range, check_widths

ACQUISITIONS = ("both", "bound", "improvement")


def _static(default, text):
    return flax.struct.field(
        default=default, pytree_node=False, metadata={"help": text}
    )


def _traced(default, text):
    return flax.struct.field(default=default, metadata={"help": text})


@flax.struct.dataclass
class BayesianActorCriticConfig:
    """Hyper-parameters, chosen on the validation columns of NAS-Bench-201.

    Fields that only enter the arithmetic are traced and can be vmapped; those that fix
    a shape or a branch are static.
    """

    beta: chex.Numeric = _traced(1.0, "deviations above the mean that count as good")
    far_beta: chex.Numeric = _traced(3.0, "the same in every fourth query")
    critic_lr: chex.Numeric = _traced(0.1, "learning rate of the kernel")
    actor_lr: chex.Numeric = _traced(0.001, "learning rate of the actor")
    correlation: chex.Numeric = _traced(
        0.036, "prior correlation of two random architectures, (0, 1)"
    )
    additive: chex.Numeric = _traced(0.3, "prior share of a sum over edges, (0, 1)")
    shared: chex.Numeric = _traced(0.3, "prior spread of what edges share")
    own: chex.Numeric = _traced(0.1, "prior spread of what is an edge's own")
    noise: chex.Numeric = _traced(0.03, "prior noise variance of normal scores")
    xi: chex.Numeric = _traced(1.0, "largest scale of the Gumbel noise on actions")
    acquisition: str = _static("both", ", ".join(ACQUISITIONS) + "; both: in turn")
    warm_up: int = _static(10, "W: space-filling queries first")
    top_k: int = _static(5, "K: best architectures that proposals start from")
    batch_size: int = _static(64, "|B|: experiences per training cycle of the critic")
    cycles: int = _static(2, "training cycles of critic and actor per step")
    hidden: tuple[int, ...] = _static((64,), "widths of the actor's hidden layers")
    actor_proposals: int = _static(256, "proposals of the actor, noise from 0 to xi")
    random_proposals: int = _static(64, "proposals drawn uniformly, at least 1")
    listed_proposals: tuple[int, int] = _static(
        (64, 2_000), "of the actor and of rows where architectures are listed"
    )
    capacity: int = _static(256, "experiences the critic remembers, the best ones")

    def validate(self) -> "BayesianActorCriticConfig":
        """Returns the config; ValueError names a value out of range."""
        for name in ("top_k", "batch_size", "random_proposals", "capacity"):
            check_integer(name, getattr(self, name), 1)
        for name in ("warm_up", "cycles", "actor_proposals"):
            check_integer(name, getattr(self, name), 0)
        if len(self.listed_proposals) != 2 or not (
            self.listed_proposals[0] >= 0 < self.listed_proposals[1]
        ):
            raise ValueError(
                "listed_proposals must be two numbers, of at least 0 and 1: "
                f"{self.listed_proposals}"
            )
        check_widths(self.hidden)
        if self.acquisition not in ACQUISITIONS:
            raise ValueError(
                f"acquisition is {self.acquisition!r}; "
                f"allowed: {', '.join(ACQUISITIONS)}"
            )
        infinity = float("inf")
        limits = {
            "beta": (0, infinity),
            "critic_lr": (0, infinity),
            "actor_lr": (0, infinity),
            "far_beta": (0, infinity),
            "correlation": (1e-6, 1 - 1e-6),
            "additive": (1e-6, 1 - 1e-6),
            "shared": (1e-6, infinity),
            "own": (1e-6, infinity),
            "noise": (1e-4, infinity),
            "xi": (0, infinity),
        }
        for name, (low, high) in limits.items():
            check_range(name, getattr(self, name), low, high)
        return self
