"""Sweeps: the same bits however they are cut, stopped and extended; their memory."""

import os
import signal

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import nasjax
from nasjax import lanes, search
from nasjax.environments.tabular import TabularState, from_arrays
from nasjax.runs import memory
from nasjax.runs.errors import StoppedError
from nasjax.runs.folder import open_run
from nasjax.runs.methods import METHODS, Method
from nasjax.runs.settings import settings
from nasjax.runs.sweeps import Lane, Sweep
from nasjax.runs.table_lanes import Lanes
from nasjax.runs.table_search import Study, rows_of
from nasjax.runs.time_left import Clock

pytestmark = pytest.mark.usefixtures("quick_compile")

SPACE = nasjax.table_space(4, ("a", "b", "c"))
OPS = np.array(list(np.ndindex(3, 3, 3, 3)), np.uint8)
COLUMNS = {n: np.random.default_rng(i).random(81) for i, n in enumerate(("x", "y"))}
STEPS = 8


def study(columns=("x",), seeds=(1, 2, 3), steps=STEPS):
    env = from_arrays(SPACE, OPS, [COLUMNS[name] for name in columns])
    return Study(SPACE, env, rows_of(SPACE, OPS), columns, seeds, steps)


def tried(*rates, **values):
    return settings("reinforce", {"learning_rate": rates, **values})


def run(sweep):
    """Every lane's queries."""
    queries = {}
    for chunk, found in sweep.run():
        for i, lane in enumerate(chunk.lanes):
            assert lane not in queries
            queries[lane] = jax.tree.map(lambda x, i=i: x[i], found)
    assert set(queries) == set(sweep.lanes())
    return queries


def same(a, b):
    for lane in a.keys() & b.keys():
        jax.tree.map(np.testing.assert_array_equal, a[lane], b[lane])


OPTIONS = {"steps_per_report": 4, "bytes_per_device": 10**9}
LARGE = study(("y", "x"), (3, 1, 2, 4)), tried(0.01, 3.0, momentum=[0.0, 0.9])


@pytest.fixture(scope="module")
def large(quick_compile):
    """In one chunk, without a folder: 2 columns, 4 seeds, 4 settings."""
    return run(Sweep(*LARGE, **OPTIONS))


def test_a_lane_is_a_plain_search(large):
    """Of its setting, column and seed."""

    @jax.jit
    def go(key, env, config):
        return search.run(key, nasjax.reinforce(SPACE, config), env, STEPS)[1]

    assert len(large) == 2 * 4 * 4
    for setting, column, seed in [(0, "x", 1), (3, "y", 4)]:
        chosen = LARGE[1][setting]
        env = from_arrays(SPACE, OPS, [COLUMNS[column]])
        trace = go(jax.random.key(seed), env, chosen.config)
        found = large[Lane(chosen.name, column, seed)]
        np.testing.assert_array_equal(OPS[found.arch_index], trace.arch)
        np.testing.assert_array_equal(found.accuracy, trace.accuracy)
        assert not found.explored.any()  # it has no policy of its own
    assert len({tuple(x.arch_index.tolist()) for x in large.values()}) > 8


def test_random_actions_are_marked(monkeypatch):
    def toy(space):
        def tell(key, state, step, arch, outcome):
            return state, {"explored": step % 2 == 0}

        ask = lambda key, state, step: (state, space.random(key))  # noqa: E731
        return nasjax.Searcher(lambda key, steps: jnp.zeros(1), ask, tell)

    monkeypatch.setitem(METHODS, "toy", Method(toy))
    found = run(Sweep(study(seeds=[1]), settings("toy", {}), **OPTIONS))
    assert found[Lane("toy", "x", 1)].explored.tolist() == 4 * [True, False]


def on_devices(monkeypatch, count):
    mesh = lanes.lane_mesh(jax.devices()[:count])
    monkeypatch.setattr(lanes, "lane_mesh", lambda: mesh)
    monkeypatch.setattr(jax, "device_count", lambda: count)


def test_stopped_and_extended_it_has_the_same_bits(large, tmp_path, monkeypatch):
    """Stopped in its second chunk, then other devices, seeds, columns and settings."""
    small = study(("x",), (1, 2, 3)), tried(0.01)
    advance, calls = Lanes.advance, []

    def counting(self, carry, first, last):
        calls.append((self.name, first))
        if len(calls) == 3:
            os.kill(os.getpid(), signal.SIGTERM)
        return advance(self, carry, first, last)

    monkeypatch.setattr(Lanes, "advance", counting)
    with open_run(tmp_path, "toy", {}) as folder:
        sweep = Sweep(*small, folder, lanes=2, **OPTIONS)
        assert [len(chunk.lanes) for chunk in sweep.chunks] == [2, 1]
        with pytest.raises(StoppedError, match="chunk-00001: step 4 of 8 is saved"):
            run(sweep)
    checkpoints = sorted(path.name for path in (tmp_path / "checkpoints").iterdir())
    assert checkpoints == ["chunk-00000.npz", "chunk-00001", "chunks.json"]
    on_devices(monkeypatch, 1)
    with open_run(tmp_path, "toy", {}, resume=True) as folder:
        sweep = Sweep(*LARGE, folder, resume=True, lanes=100, **OPTIONS)
        assert "32 lanes (4 settings x 2 columns x 4 seeds)" in sweep.describe()
        assert "; 2 done" in sweep.describe()
        assert [len(chunk.lanes) for chunk in sweep.chunks] == [2, 1, 29]
        found = run(sweep)
    assert found.keys() == large.keys()
    same(found, large)
    # Nothing twice: the second chunk went on at step 4.
    assert calls == [
        *((f"chunk-{i:05d}", first) for i, first in [(0, 0), (0, 4), (1, 0)]),
        *((f"chunk-{i:05d}", first) for i, first in [(1, 4), (2, 0), (2, 4)]),
    ]
    with open_run(tmp_path, "toy", {}, resume=True) as folder:
        same(run(Sweep(*LARGE, folder, resume=True, **OPTIONS)), large)
        assert len(calls) == 6  # read, not computed
        with pytest.raises(ValueError, match="lanes that this sweep lacks"):
            Sweep(*small, folder, resume=True, **OPTIONS)


def test_programs_are_compiled_once_each(monkeypatch):
    """Chunks of different sizes share their program, columns and seeds as well."""
    compiled = []
    call = lanes.Runner._call

    def counting(self, name, *args, **kwargs):
        before = set(self._compiled)
        out = call(self, name, *args, **kwargs)
        compiled.extend(set(self._compiled) - before)
        return out

    monkeypatch.setattr(lanes.Runner, "_call", counting)
    both = [*settings("evolution", {"population": [3]}), *tried(0.01, 3.0)]
    sweep = Sweep(study(("x", "y"), (1, 2, 3)), both, lanes=5, **OPTIONS)
    says = "3 settings of evolution, reinforce; 2 programs to compile"
    assert says in sweep.describe()
    assert [len(chunk.lanes) for chunk in sweep.chunks] == [5, 1, 5, 5, 2]
    run(sweep)
    assert sorted(compiled, key=str) == sorted(2 * [(4, 2), ("init", 2)], key=str)


def test_lanes_that_do_not_fit():
    with pytest.raises(ValueError, match="reinforce: a lane takes"):
        Sweep(study(), tried(0.01), bytes_per_device=100)
    options = {"steps_per_report": 4}
    one = Sweep(study(), tried(0.01), **options)
    takes = one.lane_bytes(Lane("reinforce", "x", 1))
    options["bytes_per_device"] = 2 * takes + 1
    sweep = Sweep(study(seeds=range(1, 10)), tried(0.01), **options)
    # Two lanes on each of four devices.
    assert [len(chunk.lanes) for chunk in sweep.chunks] == [8, 1]


@pytest.mark.parametrize(("inner", "most"), [("map", 1.1), ("vmap", 2.0)])
def test_the_estimate_of_memory(inner, most):
    """Against what the compiled program takes for 32 lanes on a device.

    It may be too large, since a batched program reuses the old state's memory.
    """
    config = nasjax.CadamConfig(hidden=(64, 64), top_k=16, max_cycles=1)
    table = study(steps=50)

    def make(params, lane):
        env = table.env.replace(params=params, state=TabularState(lane))
        return nasjax.cadam(SPACE, config), env

    runner = lanes.Runner(
        *(make, table.env.params, jax.vmap(jax.random.key)(jnp.arange(32))),
        np.zeros(32, np.int32),
        steps=50,
        mesh=lanes.lane_mesh(jax.devices()[:1]),
        inner=inner,
    )
    sizes = runner.lower(50).compile().memory_analysis()
    taken = sizes.argument_size_in_bytes + sizes.output_size_in_bytes
    taken += sizes.temp_size_in_bytes - sizes.alias_size_in_bytes
    assert 0.9 * taken < memory.on_device(*runner.shapes(50)) < most * taken


def test_what_the_host_holds(monkeypatch):
    """The trace of all steps, and the copy of the states that a checkpoint needs."""
    held, keep = [], Lanes.before_save

    def keeping(self, carry, step):
        carry = keep(self, carry, step)
        arrays = carry["home"], carry["trace"]
        shapes = self.template()
        estimate = memory.on_host(shapes["state"], shapes["trace"])
        held.append((sum(x.nbytes for x in jax.tree.leaves(arrays)), estimate))
        return carry

    monkeypatch.setattr(Lanes, "before_save", keeping)
    run(Sweep(study(), tried(0.01), checkpoint_seconds=0, **OPTIONS))
    assert held
    assert all(real == estimate for real, estimate in held)


def test_the_time_left():
    """2 s of running per lane, 10 s per program."""
    clock = Clock([("a", 3), ("a", 2), ("b", 10)])
    assert clock.after(0, 10, 6).endswith("left: about 00:34")
    assert clock.after(1, 0, 4).endswith("left: about 00:30")
    assert "left" not in clock.after(2, 9, 20)
