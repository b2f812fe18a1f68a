"""Choice of a computation by the platform that a program is lowered for."""

from collections.abc import Callable
from typing import Any

import jax

GPUS = ("cuda",)  # platforms whose programs take the form `gpu`


def by_platform(gpu: Callable[..., Any], other: Callable[..., Any], *args: Any) -> Any:
    """`gpu(*args)` in programs for GPUS, else `other(*args)`; both are traced."""
    forms = dict.fromkeys(GPUS, gpu)
    return jax.lax.platform_dependent(*args, default=other, **forms)
