"""The trainer of supernets and of networks from scratch: steps of a group of seeds.

`Trainer` puts a network, a feed of batches (`nasjax.runs.feeds`) and a mesh together;
`nasjax.runs.supernets` and `nasjax.runs.networks` make one from a run's configuration.
"""

import copy
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from nasjax import compiler
from nasjax.networks.training import Recipe
from nasjax.runs.devices import SEEDS, data_parallel
from nasjax.runs.feeds import Feed


class Model(NamedTuple):
    """The functions that train and test a network, of one seed.

    Attributes:
      init: `key -> state`.
      step: `(key, state, *batch) -> (state, metrics)`; batches are those of the feed.
      score: `(state, *batch) -> int32 [n]`, numbers of test images in a batch that are
        classified correctly, by each of the n `scores`.
      scores: names of the test accuracies, such as "top5".
    """

    init: Callable[[jax.Array], Any]
    step: Callable[..., tuple[Any, Any]]
    score: Callable[..., jax.Array] | None = None
    scores: tuple[str, ...] = ()


class Trainer:
    """Trains S seeds in steps; states have a leading axis for them, unless `single`.

    On a GPU, many steps are one scan if the images lie there; on CPU each is a call,
    since gradients of convolutions are slow inside a loop there.

    Args:
      model: see `Model`.
      recipe: its batch size and number of epochs are read.
      feed: gives the batches.
      seeds: trained together.
      mesh: from `devices.mesh_of`; None for one seed on one device.
      scan: whether many steps are one scan; None decides as above.
      single: there is one seed, and states have no axis of seeds.

    Attributes:
      steps_per_epoch: of the feed.
      scans: whether many steps are one scan.

    Raises:
      ValueError: a batch that cannot be divided over the devices; a mesh that does not
        fit the seeds; image sizes that do not fit the network.
    """

    def __init__(
        self,
        model: Model,
        recipe: Recipe,
        feed: Feed,
        seeds: Sequence[int],
        mesh: Mesh | None = None,
        scan: bool | None = None,
        single: bool = False,
    ):
        self.model, self.recipe, self.feed = model, recipe, feed
        self.seeds = tuple(seeds)
        self.epoch, self.steps_per_epoch = feed.epoch, feed.epoch.steps
        divided = data_parallel(mesh)
        spread = mesh is not None and divided is None
        if len(seeds) != (mesh.devices.size if mesh is not None and spread else 1):
            raise ValueError(f"seeds {list(seeds)} need a device each")
        if divided is not None:
            feed.epoch.check(divided.devices.size)
        jax.eval_shape(model.init, jax.random.key(0))  # or raise
        feed.place(mesh, divided)
        if scan is None:
            scan = feed.resident and jax.default_backend() != "cpu"
        self.scans, self.single = scan, single
        self._sharding = None
        if mesh is not None:
            axes = PartitionSpec(SEEDS) if spread else PartitionSpec()
            self._sharding = NamedSharding(mesh, axes)

        def train(seed, state, own, shared):
            key = jax.random.fold_in(jax.random.key(seed), 2)
            if not scan:
                return model.step(key, state, *shared, *own)
            return jax.lax.scan(
                lambda state, rows: model.step(key, state, *shared, *rows), state, own
            )

        def score(state, batch):
            assert model.score is not None
            return model.score(state, *batch)

        def over_seeds(function, own):
            """`function`, of arguments whose first `own` have an axis of seeds."""

            if single:
                return function

            def on_device(*args):
                own_args = jax.tree.map(lambda x: x[0], args[:own])
                return jax.tree.map(lambda x: x[None], function(*own_args, *args[own:]))

            if not spread:
                return on_device
            by_seed, whole = PartitionSpec(SEEDS), PartitionSpec()
            return lambda *args: jax.shard_map(
                on_device,
                mesh=mesh,
                in_specs=(*[by_seed] * own, *[whole] * (len(args) - own)),
                out_specs=by_seed,
                check_vma=False,
            )(*args)

        options: Any = {
            "out_shardings": self._sharding,
            "compiler_options": compiler.graph_options(jax.local_devices()[0]),
        }
        self._train = jax.jit(over_seeds(train, 3), donate_argnums=1, **options)
        self._score = jax.jit(over_seeds(score, 1), **options)

    def with_seeds(self, seeds: Sequence[int]) -> "Trainer":
        """The same compiled programs for as many other seeds; else ValueError."""
        if len(seeds) != len(self.seeds):
            raise ValueError(f"{list(seeds)} are not {len(self.seeds)} seeds")
        other = copy.copy(self)
        other.seeds = tuple(seeds)
        return other

    def init(self) -> Any:
        """The state before the first step."""
        start = jax.jit(self.model.init)
        keys = [jax.random.fold_in(jax.random.key(seed), 0) for seed in self.seeds]
        states = [jax.device_get(start(key)) for key in keys]
        if self.single:
            return self.place(states[0])
        return self.place(jax.tree.map(lambda *x: np.stack(x), *states))

    def place(self, state: Any) -> Any:
        """Puts a state on the devices."""
        return jax.device_put(jax.tree.map(jnp.asarray, state), self._sharding)

    def advance(self, state: Any, steps: range) -> tuple[Any, Any]:
        """Runs the steps of these numbers, all of one epoch.

        The feed prepares the next batch while the devices work.

        Returns:
          The state; the metrics, of NumPy arrays [S, len(steps)].
        """
        seeds, parts = np.array(self.seeds, np.uint32), []
        for own, shared in self.feed.batches(self.seeds, steps, self.scans):
            by_seed = seeds, own
            if self.single:
                by_seed = jax.tree.map(lambda x: x[0], by_seed)
            state, metrics = self._train(by_seed[0], state, by_seed[1], shared)
            parts.append(metrics)
        join = np.concatenate if self.scans else np.stack
        metrics = jax.tree.map(lambda *x: join(x, axis=-1), *jax.device_get(parts))
        if self.single:
            metrics = jax.tree.map(lambda x: x[None], metrics)
        return state, metrics

    def test(self, state: Any) -> dict[str, np.ndarray]:
        """Accuracies on all test images by names of `model.scores`, fractions.

        They are float64 [S], or scalars if `single`.
        """
        counts: list[jax.Array] = []
        for batch in self.feed.test_batches():
            counts.append(self._score(state, batch))
            jax.block_until_ready(counts[-2:][0])  # at most two batches wait
        shares = np.sum([np.asarray(x) for x in counts], axis=0) / self.feed.tested
        return dict(zip(self.model.scores, shares.T, strict=True))
