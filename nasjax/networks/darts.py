"""The family of DARTS cells, searched by DARTS or PC-DARTS supernets."""

from typing import Any

from nasjax.networks.derived.bodies import DartsBody
from nasjax.networks.families import Family, Supernet, Variant, register
from nasjax.networks.supernet import config as supernets
from nasjax.networks.supernet import darts_network, operations
from nasjax.spaces import costs, darts


def halvings(config: Any) -> int:
    """Number of reduction cells, plus 3 for the ImageNet stem."""
    reductions = {config.cells // 3, 2 * config.cells // 3}
    return len(reductions) + (3 if config.stem == "imagenet" else 0)


def check(config: Any) -> None:
    """ValueError for odd channels, which a factorized reduce cannot halve."""
    if config.channels % 2:
        raise ValueError(f"channels must be even, got {config.channels}")


register(
    Family(
        name="darts",
        space=darts(none=True),
        supernet=Supernet(
            operations.DARTS,
            darts_network.plan,
            darts_network.init,
            darts_network.apply,
        ),
        variants={
            "darts": Variant(supernets.darts, {"parts": 1}),
            "pc-darts": Variant(supernets.pc_darts, {}),
        },
        body=DartsBody,
        halvings=halvings,
        check=check,
        cost_table=costs.darts_network,
        flops=True,
    )
)
