"""DDAS on a warmed-up supernet: presets, variants and ablations, the environment."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from nasjax import compiler
from nasjax.environments.trainable_supernet import trainable_supernet
from nasjax.runs import image_sets, methods, supernets
from nasjax.runs.methods import Method
from nasjax.search import Environment

TERMS = ("none", "loss", "accuracy")  # of the reward, which --ablate leaves out


@dataclasses.dataclass(frozen=True)
class Preset:
    """Sizes of the searches, defaults of their flags."""

    steps: int
    explore: int  # this and the next two: see `DdasConfig`
    exploit: int
    recent: int  # as many as the phase of bursts has steps
    batches: int  # M, of training, per step
    valid_images: int  # per step; 0: the whole half
    eval_batch: int
    warm_up: str  # preset of train_supernet.py


PRESETS = {
    "thesis": Preset(1_500, 500, 500, 500, 25, 0, 500, "ddas"),  # 3.4.1
    "cpu": Preset(600, 200, 200, 200, 2, 500, 250, "cpu-ddas"),
}


def variants(
    names: Sequence[str], terms: Sequence[str], preset: Preset
) -> dict[str, Method]:
    """The named variants of DDAS, each once for each term of the reward left out.

    Args:
      names: keys of `searchers.ddas.VARIANTS`.
      terms: entries of TERMS; `none` leaves nothing out.
      preset: its `explore`, `exploit` and `recent` go into the configs.

    Returns:
      Methods by name, such as `td3` or `td3-no-loss`.
    """
    made = {}
    for variant in names:
        method = methods.METHODS[f"ddas-{variant}"]
        config = method.config.replace(
            explore=preset.explore, exploit=preset.exploit, recent=preset.recent
        )
        for term in terms:
            if term == "none":
                made[variant] = method._replace(config=config)
                continue
            # os_accuracy is used in the term of the accuracy alone, os_loss likewise.
            fixed = (*method.fixed, f"{term}_weight", f"os_{term}")
            ablated = config.replace(**{f"{term}_weight": 0.0})
            made[f"{variant}-no-{term}"] = method._replace(config=ablated, fixed=fixed)
    return made


class WarmedUp(NamedTuple):
    """A warmed-up supernet that searches train further."""

    net: supernets.Pretrained
    source: str  # of the images
    sha256: str  # of the images
    env: Environment  # at the end of the warm-up
    # Acc(OS), the best accuracy of the warm-up, and its last loss.
    one_shot: tuple[float, float]


def load(
    folder: Path,
    dataset: str,
    data_dir: str | None,
    *,
    own: Mapping[str, Any] | None = None,
    batches: int,
    valid_images: int,
    eval_batch: int,
    learning_rate: float,
) -> WarmedUp:
    """The supernet that a run of train_supernet.py left, as an environment.

    Args:
      folder: of that run.
      dataset, data_dir: the data set, which must be the run's, and its folder.
      own: settings of a data set of one's own, which must be the run's.
      batches, valid_images, eval_batch, learning_rate: see `trainable_supernet`; 0
        images are the whole validation half.

    Raises:
      FileNotFoundError: as `supernets.load`.
      ValueError: the run is not finished or not one-shot, is of another space or has no
        operation `none`, or has another data set or settings of it; the validation
        half has fewer images.
    """
    net = supernets.load(folder)
    whole = net.curves.one_shot
    if np.isnan(whole[-1]).any():
        raise ValueError(
            f"{folder} is no finished one-shot supernet: DDAS needs one trained with "
            "--policy one-shot"
        )
    if "none" not in net.config.space.operations or net.config.kind != "darts":
        raise ValueError(f"{folder}: DDAS needs --space darts --none true")
    for name, value in (own or {}).items():
        if (before := getattr(net.run, name)) != value:
            raise ValueError(f"{folder} was trained with {name} {before}, not {value}")
    halves = image_sets.halves(image_sets.moved(folder, net.run, dataset), data_dir)
    most = len(halves.valid.labels)
    count = valid_images or most
    if count > most:
        raise ValueError(f"--valid-images {count}: the validation half has {most}")
    env = trainable_supernet(
        net.config,
        net.state,
        halves.train,
        halves.valid.at(slice(count)),
        recipe=dataclasses.replace(net.run.recipe, learning_rate=learning_rate),
        augment=image_sets.augmentation(net.run, halves),
        batches=batches,
        eval_batch=eval_batch,
    )
    if env.traceable:
        options = compiler.graph_options(jax.local_devices()[0])
        evaluate = jax.jit(env.evaluate, compiler_options=options)
        env = dataclasses.replace(env, evaluate=evaluate)
    one_shot = float(whole[:, 0].max()), float(whole[-1, 1])
    return WarmedUp(net, halves.source, halves.sha256, env, one_shot)
