"""Hyper-parameters of the Bayesian actor-critic."""

from typing import Self

import chex
import flax.struct

from nasjax.searchers.config import Config, choice, static, traced

ACQUISITIONS = ("both", "bound", "improvement")
PENDING = ("mean", "lowest", "average", "highest")


@flax.struct.dataclass
class BayesianActorCriticConfig(Config):
    """Hyper-parameters, chosen on the validation columns of NAS-Bench-201.

    Fields that only enter the arithmetic are traced and can be vmapped; those that fix
    a shape or a branch are static.
    """

    beta: chex.Numeric = traced(1.0, "deviations above the mean that count as good")
    far_beta: chex.Numeric = traced(3.0, "the same in every fourth query")
    critic_lr: chex.Numeric = traced(0.1, "learning rate of the kernel")
    actor_lr: chex.Numeric = traced(0.001, "learning rate of the actor")
    correlation: chex.Numeric = traced(
        0.036, "prior correlation of two random architectures, (0, 1)", 1e-6, 1 - 1e-6
    )
    additive: chex.Numeric = traced(
        0.3, "prior share of a sum over edges, (0, 1)", 1e-6, 1 - 1e-6
    )
    shared: chex.Numeric = traced(0.3, "prior spread of what edges share", 1e-6)
    own: chex.Numeric = traced(0.1, "prior spread of what is an edge's own", 1e-6)
    noise: chex.Numeric = traced(0.03, "prior noise variance of normal scores", 1e-4)
    xi: chex.Numeric = traced(1.0, "largest scale of the Gumbel noise on actions")
    acquisition: str = choice(
        "both", ACQUISITIONS, ", ".join(ACQUISITIONS) + "; both: in turn"
    )
    pending: str = choice(
        "mean", PENDING, f"assumed score of pending queries: {', '.join(PENDING)}"
    )
    warm_up: int = static(10, "W: space-filling queries first", 0)
    top_k: int = static(5, "K: best architectures that proposals start from")
    batch_size: int = static(64, "|B|: experiences per training cycle of the critic")
    cycles: int = static(2, "training cycles of critic and actor per step", 0)
    hidden: tuple[int, ...] = static((64,), "widths of the actor's hidden layers")
    actor_proposals: int = static(256, "proposals of the actor, noise from 0 to xi", 0)
    random_proposals: int = static(64, "proposals drawn uniformly, at least 1")
    listed_proposals: tuple[int, int] = static(
        (64, 2_000), "of the actor and of rows where architectures are listed"
    )
    capacity: int = static(256, "experiences the critic remembers, the best ones")

    def validate(self) -> Self:
        """See `Config`."""
        super().validate()
        if len(self.listed_proposals) != 2 or not (
            self.listed_proposals[0] >= 0 < self.listed_proposals[1]
        ):
            raise ValueError(
                "listed_proposals must be two numbers, of at least 0 and 1: "
                f"{self.listed_proposals}"
            )
        return self

    def unused(self) -> dict[str, str]:
        """See `Config`."""
        return {"far_beta": "acquisition"} if self.acquisition == "improvement" else {}
