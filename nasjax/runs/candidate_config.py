"""Configuration of trainings that score architectures; see `candidate_training`."""

import dataclasses
from typing import Any

import jax

from nasjax.networks import families
from nasjax.networks.config import check_positive
from nasjax.runs import configs, network_config, supernet_config
from nasjax.runs.configs import setting
from nasjax.runs.image_config import OWN, completed
from nasjax.spaces import CellSpace, architectures, costs


@dataclasses.dataclass(frozen=True)
class CandidateRun:
    """Everything that fixes the score of an architecture.

    Raises:
      ValueError: names the value and what is allowed.
    """

    space: str = setting("nb201", "of `families.variants()`", flag=False)
    dataset: str = setting("cifar10", "see `image_sets`", flag=False)
    channels: int = setting(16, "C of the first cells")
    cells: int = setting(5, "number of cells; of each stage in NAS-Bench-201")
    epochs: int = setting(12, "of the training of an architecture")
    batch_size: int = setting(128, "images per step")
    learning_rate: float = setting(0.05, "of the first epoch")
    train_images: int = setting(0, "use so many of the training half; 0: all")
    valid_images: int = setting(0, "use so many of the validation half; 0: all")
    shrink: int = setting(1, "average so many by so many pixels first")
    padding: int = setting(4, "zero pixels on each side before the random crop")
    train_seed: int = setting(0, "of initial weights and batches, for all candidates")
    candidate_epochs: int = setting(100, "of the longer training of the best")
    candidate_images: int = setting(0, "training images there; 0: all")
    # Of a data set of one's own, else empty.
    classes: int = setting(0, "of the data set", flag=False)
    image_size: int = setting(0, "height and width of the images", flag=False)
    corrupt: str = setting("", "refuse or skip damaged files", flag=False)
    split_seed: int = setting(0, "of the test part and the halves", flag=False)

    def __post_init__(self):
        counts = ("channels", "cells", "epochs", "shrink", "candidate_epochs")
        check_positive(self, *counts)
        _ = self.supernet  # or raise

    @property
    def supernet(self) -> supernet_config.SupernetRun:
        """The training of an architecture as one path of a supernet."""
        return supernet_config.preset(
            self.space,
            **self._shared,
            epochs=self.epochs,
            final_learning_rate=0.0,
            train_images=self.train_images,
            seed=self.train_seed,
        )

    @property
    def _shared(self) -> dict[str, Any]:
        """Settings of both trainings."""
        own = {name: getattr(self, name) for name in OWN if getattr(self, name)}
        return {
            **own,
            "dataset": self.dataset,
            "channels": self.channels,
            "cells": self.cells,
            "batch_size": self.batch_size,
            "learning_rate": self.learning_rate,
            "shrink": self.shrink,
            "padding": self.padding,
            "cutout": 0,
            "drop_last": True,
        }

    def network(self, genotype: str) -> network_config.NetworkRun:
        """The longer training, of a network that has only the chosen operations."""
        family = architectures.read(genotype).family
        run = network_config.preset(
            family,
            **self._shared,
            genotype=genotype,
            epochs=self.candidate_epochs,
            auxiliary=0.0,
            drop_path=0.0,
            train_images=self.candidate_images,
            test_every=self.candidate_epochs,
        )
        return dataclasses.replace(run, classes=self.classes)

    @property
    def searched(self) -> CellSpace:
        """The space of the search."""
        return self.supernet.network.space

    @property
    def costs(self) -> costs.CostTable:
        """Of the networks of the longer training."""
        space = self.searched
        arch = space.random(jax.random.key(0))  # their sizes are the same
        sizes = self.network(architectures.from_array(space, arch).printed).sizes
        family = families.FAMILIES[architectures.family_of(space)]
        return family.cost_table(space, **sizes)


SMALL = {"channels": 8, "shrink": 2, "padding": 2, "batch_size": 64}
SMALL |= {"epochs": 6, "train_images": 3_200, "valid_images": 2_000}
SMALL |= {"candidate_epochs": 6, "candidate_images": 10_000}
PRESETS: dict[str, dict[str, dict[str, Any]]] = {
    "full": {"nb201": {}, "darts": {"cells": 8}, "pc-darts": {"cells": 8}},
    "cpu": {
        "nb201": SMALL | {"cells": 1},
        "darts": SMALL | {"cells": 3},
        "pc-darts": SMALL | {"cells": 3},
    },
}  # changes by preset and space


def preset(space: str, name: str, **changes: Any) -> CandidateRun:
    """A preset's run with changes.

    Args:
      space: of `families.variants()`; one without presets has the defaults.
      name: of PRESETS.
      changes: fields that differ.

    Raises:
      ValueError: there is no such preset, or a value is not allowed.
    """
    values = configs.named(PRESETS, name).get(space, {})
    run = dataclasses.replace(CandidateRun(space), **values)
    return dataclasses.replace(run, **completed(run, changes))
