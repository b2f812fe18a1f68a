"""Settings that every training on images has, of a supernet or of a network."""

import dataclasses
from collections import ChainMap
from collections.abc import Mapping, Sequence
from typing import Any, Self

from nasjax.data import user_images
from nasjax.networks.config import check_choice, check_positive
from nasjax.networks.training import ABSENT, Recipe
from nasjax.runs import configs
from nasjax.runs.configs import setting

CONSTANTS = ("own", "cifar10")
STREAMED = ("imagenet",)  # read while training: `feeds.Streamed`
# Settings of a data set of one's own; numbers of images in presets, which are CIFAR's.
OWN = ("image_size", "corrupt", "split_seed")
COUNTS = ("train_images", "valid_images", "candidate_images")
_RECIPE = Recipe(drop_last=False)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ImageRun:
    """The settings that `SupernetRun` and `NetworkRun` share.

    Most fields without a flag follow from the data and the machine, see
    `image_sets.with_data`. If the data set is streamed or one's own, its image size is
    a setting.

    Raises:
      ValueError: names the value and what is allowed.
    """

    preset: str = setting("", "the preset that the run started from", flag=False)
    dataset: str = setting(
        "cifar10", "name of the data set, or see `data.user_images`", flag=False
    )
    channels: int = setting(16, "C of the first cells")
    cells: int = setting(8, "number of cells; of each stage in NAS-Bench-201")
    stem: str = setting("cifar", "cifar or imagenet")
    dtype: str = setting("float32", "float32 or bfloat16")
    recipe: Recipe = _RECIPE
    padding: int = setting(4, "zero pixels on each side before the random crop")
    constants: str = setting(
        "own", "mean and deviation of pixels: own, or cifar10's (as PC-DARTS' code)"
    )
    cutout: int = setting(0, "side of the square cut out of training images")
    train_images: int = setting(
        0, "train on the first so many images (supernet: of its half); 0: all"
    )
    shrink: int = setting(1, "first average blocks of so many by so many pixels")
    classes: int = setting(0, "of the data set", flag=False)
    image_size: int | tuple[int, int] = setting(0, "of the images", flag=False)
    image_channels: int = setting(0, "of the images", flag=False)
    steps_per_epoch: int = setting(0, "batches of an epoch", flag=False)
    data_sha256: str = setting("", "of the images and labels", flag=False)
    devices: int = setting(0, "that are used", flag=False)
    corrupt: str = setting("", "refuse or skip damaged files", flag=False)
    image_facts: Mapping[str, Any] | None = setting(
        None, "of a data set of one's own: `data.user_images`", flag=False
    )

    def __post_init__(self):
        check_choice(self, "constants", CONSTANTS)
        if self.constants != "own" and self.dataset not in ("cifar10", "cifar100"):
            raise ValueError(
                f"constants {self.constants}: not with --dataset {self.dataset}"
            )
        check_positive(self, "shrink")
        if self.own and self.shrink != 1:
            raise ValueError(
                f"--shrink {self.shrink}: not with --dataset {self.dataset}, whose "
                "size is --image-size"
            )

    @property
    def own(self) -> bool:
        """Whether the data set is one of the user's own."""
        return user_images.is_own(self.dataset)

    @property
    def streamed(self) -> bool:
        """Whether the data set stays on disk."""
        return self.dataset in STREAMED

    @property
    def network(self) -> Any:
        """The network, with the usual images as long as the data is unknown."""
        raise NotImplementedError

    def to_json(self) -> dict[str, Any]:
        """The content of config.json."""
        return configs.to_json(self)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """The run of a config.json, also an older version's; errors as `configs`'."""
        return configs.from_json(cls(), content, ABSENT)

    def varied(self, *parts: Mapping[str, Any], **changes: Any) -> Self:
        """The run with other values; later parts and `changes` win."""
        return configs.replaced(self, **ChainMap(changes, *reversed(parts)))


def completed(run: Any, changes: Mapping[str, Any]) -> dict[str, Any]:
    """Changes of a preset's run, completed for a data set of one's own.

    Its images have the size that the preset shrinks the usual ones to, and all of them
    are used where no flag sets a number.

    Raises:
      ValueError: a setting that has no effect on the data set.
    """
    dataset = changes.get("dataset", run.dataset)
    if not user_images.is_own(dataset):
        flags = {f.name: f.metadata.get("flag", True) for f in dataclasses.fields(run)}
        idle = [name for name in OWN if changes.get(name) and not flags.get(name)]
        refuse_idle(idle, dataset)
        return dict(changes)
    stem = changes.get("stem", getattr(run, "stem", ""))
    usual = (224 if stem == "imagenet" else 32) // run.shrink
    counts = {name: 0 for name in COUNTS if hasattr(run, name)}
    defaults = {"image_size": usual, "corrupt": "refuse", "shrink": 1}
    return {**defaults, **counts, **changes}


def refuse_idle(names: Sequence[str], dataset: str) -> None:
    """ValueError naming the flags of these settings, unless there are none."""
    if names:
        flags = ", ".join("--" + name.replace("_", "-") for name in names)
        raise ValueError(f"{flags}: not with --dataset {dataset}")
