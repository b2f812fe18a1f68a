"""Searches of a frozen supernet: presets, environments, CADAM from an earlier agent."""

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from nasjax import search
from nasjax.environments import cached, frozen_supernet
from nasjax.networks.examples import Examples
from nasjax.networks.supernet import SupernetConfig
from nasjax.runs import image_sets, supernets, transfer
from nasjax.runs.folder import Folder
from nasjax.searchers.cadam import cadam
from nasjax.searchers.cadam_config import CadamConfig, thesis_supernet

ORDER_SEED = 0  # of the permutations whose first images are the subsets


@dataclasses.dataclass(frozen=True)
class Preset:
    """CADAM's config and the sizes of the searches, defaults of their flags."""

    cadam: CadamConfig
    steps: int
    subset: int  # validation images per query
    eval_batch: int
    final_images: int  # at the end, of validation and of test; 0: all


_SEARCH = thesis_supernet()
_CPU = dataclasses.replace(_SEARCH, top_k=32, warm_up=300, capacity=500)
_TRANSFER = dataclasses.replace(_SEARCH, top_k=100, warm_up=500, reward="relative")
PRESETS = {
    "thesis": Preset(_SEARCH, 20_000, 5_000, 500, 0),  # 4.2.2
    "cpu": Preset(_CPU, 2_000, 250, 250, 5_000),
    "transfer": Preset(_TRANSFER, 1_000, 5_000, 500, 0),  # 4.2.3
}
# CADAM's config by preset, for `flags.add`.
CONFIGS = {name: lambda preset=preset: preset.cadam for name, preset in PRESETS.items()}


class Scorer(NamedTuple):
    """An environment that scores architectures on some images, each only once."""

    env: search.Environment
    images: np.ndarray  # int [n], indices of the images


class Frozen(NamedTuple):
    """A frozen supernet as environments."""

    net: supernets.Pretrained
    config: SupernetConfig  # with the dtype of the searches
    source: str  # of the images
    sha256: str  # likewise
    query: Scorer  # on the subset of the validation half
    valid: Scorer
    test: Scorer

    def whole_batches(self, batch: int) -> dict[str, int]:
        """Numbers of images that the scorers use, by name: whole batches only."""
        scorers = {"query": self.query, "valid": self.valid, "test": self.test}
        return {n: len(s.images) // batch * batch for n, s in scorers.items()}


def load(
    folder: Path,
    data_dir: str | None,
    *,
    dataset: str | None = None,
    subset: int,
    final_images: int,
    eval_batch: int,
    norm: str,
    dtype: str | None,
) -> Frozen:
    """The supernet that a run of train_supernet.py left in `folder`.

    Args:
      folder: of that run.
      data_dir: folder of the data set's official files.
      dataset: where a data set of one's own lies now; None: as in the training.
      subset: validation images per query.
      final_images: validation and test images at the end; 0: all.
      eval_batch: images per batch.
      norm: statistics of normalisation, batch or running.
      dtype: of the searches; None for the one it was trained with.

    Raises:
      FileNotFoundError: as `supernets.load`.
      ValueError: the validation half has fewer images than `subset`; as
        `supernets.load`, `image_sets.halves` and `frozen_supernet`.
    """
    net = supernets.load(folder)
    halves = image_sets.halves(image_sets.moved(folder, net.run, dataset), data_dir)
    transform = image_sets.augmentation(net.run, halves)
    config = dataclasses.replace(net.config, dtype=dtype or net.config.dtype)
    most = len(halves.valid.labels)
    if subset > most:
        raise ValueError(f"--subset {subset}: the validation half has {most}")

    def first(examples: Examples, count: int) -> Scorer:
        order = np.random.default_rng(ORDER_SEED).permutation(len(examples.labels))
        chosen = order[: count or len(order)]
        env = frozen_supernet(
            config,
            net.params,
            *examples.at(chosen),
            mean=transform.mean,
            std=transform.std,
            batch_size=eval_batch,
            statistics=net.statistics if norm == "running" else None,
        )
        return Scorer(cached(env), chosen)

    return Frozen(
        net,
        config,
        halves.source,
        halves.sha256,
        first(halves.valid, subset),
        first(halves.valid, final_images),
        first(halves.test, final_images),
    )


def checksum(*trees: Any) -> str:
    """SHA-256 of the bytes of all arrays in the trees."""
    digest = hashlib.sha256()
    for leaf in jax.tree.leaves(trees):
        digest.update(np.asarray(leaf).tobytes())
    return digest.hexdigest()


def env_accuracy(
    frozen: Frozen,
    config: CadamConfig,
    steps: int,
    seed: int,
    folder: Folder,
    constraint: search.FeasibleSet | None = None,
) -> float:
    """Acc(Env): the best accuracy of the seed's warm-up, kept in env_accuracy.json.

    The first reward already needs it. The warm-up's queries do not depend on rewards:
    they are run beforehand, and the search then takes their scores from the cache.

    Args:
      frozen: the supernet.
      config: of the search.
      steps: of the search; it may end before the warm-up does.
      seed: of the search.
      folder: of the run, for env_accuracy.json.
      constraint: of the search, if it has one.
    """
    path = folder.path / "env_accuracy.json"
    known = json.loads(path.read_text()) if path.exists() else {}
    if str(seed) not in known:
        print(f"seed {seed}: {config.warm_up} random queries to find Acc(Env)")
        quiet = cadam(frozen.config.space, dataclasses.replace(config, max_cycles=0))
        if constraint is not None:
            quiet = search.constrained(quiet, constraint)
        steps = min(config.warm_up, steps)
        _, trace = search.drive(jax.random.key(seed), quiet, frozen.query.env, steps)
        known[str(seed)] = float(trace.accuracy.max())
        folder.write_json(path.name, known)
    return known[str(seed)]


def start(
    frozen: Frozen, config: CadamConfig, networks: transfer.Networks | None
) -> search.Searcher:
    """CADAM, which starts from `networks` unless they are None."""
    searcher = cadam(frozen.config.space, config)
    return searcher if networks is None else transfer.warm_start(searcher, networks)
