"""The family of NAS-Bench-201 cells."""

from typing import Any

from nasjax.networks.derived.bodies import NasBench201Body
from nasjax.networks.families import Family, Supernet, Variant, register
from nasjax.networks.supernet import config as supernets
from nasjax.networks.supernet import nb201_network, operations
from nasjax.spaces import CellSpace, costs, nas_bench_201


def check(config: Any) -> None:
    """ValueError for options that the benchmark's networks do not have."""
    if getattr(config, "parts", 1) != 1:
        raise ValueError("nb201 has no partial channels")
    if config.stem != "cifar" or getattr(config, "auxiliary", False):
        raise ValueError("nb201 has no other stem and no auxiliary head")


def cost_table(
    space: CellSpace, *, cells: int, stem: str, **sizes: Any
) -> costs.CostTable:
    """`costs.nb201_network` for the operations of `space`; there is only one stem."""
    del stem
    table = costs.nb201_network(cells_per_stage=cells, **sizes)
    known = nas_bench_201().operations
    columns = [*map(known.index, space.operations), -1]  # an absent edge is last
    return table._replace(edges=costs.Costs(*(x[:, columns] for x in table.edges)))


register(
    Family(
        name="nb201",
        space=nas_bench_201(),
        supernet=Supernet(
            operations.NB201,
            nb201_network.plan,
            nb201_network.init,
            nb201_network.apply,
        ),
        variants={
            "nb201": Variant(
                supernets.nas_bench_201, {"parts": 1, "none": False, "stem": "cifar"}
            )
        },
        body=NasBench201Body,
        halvings=lambda config: 2,  # between the three stages
        check=check,
        cost_table=cost_table,
    )
)
