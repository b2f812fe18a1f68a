"""What the searchers with a Gaussian-process critic share: settings and assembly."""

import functools
from collections.abc import Callable
from typing import Any

import chex
import flax.struct
import jax.numpy as jnp
import optax

from nasjax.agent import Policy, adam
from nasjax.agent import gaussian_process as gp
from nasjax.search import Asynchronous, Searcher
from nasjax.search.protocol import fields
from nasjax.searchers.bayesian_proposals import rows_shape
from nasjax.searchers.config import Config, static, traced
from nasjax.spaces import CellSpace


@flax.struct.dataclass
class GaussianCriticConfig(Config):
    """Hyper-parameters of critic and actor, chosen on validation columns of NB201.

    Fields that only enter the arithmetic are traced and can be vmapped; those that fix
    a shape or a branch are static.
    """

    critic_lr: chex.Numeric = traced(0.1, "learning rate of the kernel")
    actor_lr: chex.Numeric = traced(0.001, "learning rate of the actor")
    # Of NAS-Bench-201's 6 edges, two random architectures differ in 4.8: 0.5^4.8.
    correlation: chex.Numeric = traced(
        0.036, "prior correlation of two random architectures, (0, 1)", 1e-6, 1 - 1e-6
    )
    additive: chex.Numeric = traced(
        0.3, "prior share of a sum over edges, (0, 1)", 1e-6, 1 - 1e-6
    )
    shared: chex.Numeric = traced(0.3, "prior deviation of the shared embedding", 1e-6)
    own: chex.Numeric = traced(0.1, "prior deviation of each edge's embedding", 1e-6)
    noise: chex.Numeric = traced(0.03, "prior noise variance of normal scores", 1e-4)
    xi: chex.Numeric = traced(1.0, "largest scale of the Gumbel noise on actions")
    warm_up: int = static(10, "W: space-filling queries first", 0)
    top_k: int = static(5, "K: best architectures that proposals start from")
    batch_size: int = static(64, "|B|: experiences per training cycle of the critic")
    cycles: int = static(2, "training cycles of critic and actor per step", 0)
    hidden: tuple[int, ...] = static((64,), "widths of the actor's hidden layers")
    actor_proposals: int = static(256, "proposals of the actor, noise from 0 to xi", 0)
    random_proposals: int = static(64, "proposals drawn uniformly, at least 1")
    capacity: int = static(256, "the best experiences, which the critic is fitted to")


def check_listed(project: Any, listed: Any) -> None:
    """Raises ValueError if one of the two is None and the other is not."""
    if (project is None) != (listed is None):
        raise ValueError("project and listed go together: give both or none")


def components(
    space: CellSpace, config: Any
) -> tuple[
    gp.Prior, Policy, optax.GradientTransformation, optax.GradientTransformation
]:
    """The critic's prior, the actor, and the optimisers of both."""
    E, O = rows_shape(space)
    # Two random architectures differ in E (1 - 1 / O) rows.
    correlation = config.correlation ** (1 / (E * (1 - 1 / O)))
    prior = gp.Prior(
        correlation, config.shared, config.own, config.noise, config.additive
    )
    rates = config.critic_lr, config.actor_lr
    # Adam with CADAM's decays.
    critic_adam, actor_adam = (adam(rate, 0.9, 0.99) for rate in rates)
    return prior, Policy(config.hidden, (E, O)), critic_adam, actor_adam


def _adopt(agent, state, step, arch):
    queried = state.queried.at[step].set(arch)
    return state._replace(queried=queried, by_actor=jnp.bool_(False))


def assembled(
    agent: Any,
    init: Callable[..., Any],
    ask: Callable[..., Any],
    tell: Callable[..., Any],
    adopt: Callable[..., Any] = _adopt,
    noted: tuple[str, ...] = ("by_actor",),
    **more: Any,
) -> Searcher:
    """The `Searcher` of functions whose first argument is the agent.

    Args:
      noted: fields of the state that `ask` writes for its query.
      more: further attributes of the searcher.
    """
    init, ask, tell, adopt = (
        functools.partial(x, agent) for x in (init, ask, tell, adopt)
    )
    # A budget below the capacity sets the size of the critic's matrices, and with it
    # how their products round.
    return Searcher(
        init,
        ask,
        tell,
        budget=lambda state: state.queried.shape[0],
        exact_from=agent.config.capacity,
        asynchronous=Asynchronous(ask, adopt=adopt, **fields(*noted)),
        space=agent.space,
        **more,
    )
