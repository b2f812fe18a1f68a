"""Lanes: chunk edges; the same bits for any number and place; two processes."""

import functools
import hashlib
import os
import socket
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import nasjax
from nasjax import lanes, search
from nasjax.environments.tabular import from_arrays
from nasjax.runs.table_lanes import edges

SPACE = nasjax.table_space(4, ("a", "b", "c"))
ARCHS = np.asarray(SPACE.from_index(jnp.arange(81)))
COLUMNS = np.random.default_rng(0).random((2, 81)).astype(np.float32)
TABLE = from_arrays(SPACE, ARCHS, list(COLUMNS))
CONFIG = nasjax.CadamConfig(
    hidden=(8,), top_k=5, batch_size=2, max_cycles=2, epsilon_steps=6, critic_lr=1e-2
)
STEPS, CHUNK = 24, 12


@given(st.integers(1, 60), st.integers(2, 70), st.lists(st.integers(0, 70), max_size=4))
def test_edges(steps, chunk, milestones):
    ends = edges(steps, chunk, milestones)
    assert ends == edges(steps, chunk, milestones[::-1])
    assert ends[-1] == steps
    lengths = np.diff([0, *ends])
    # Two ends may each have made room for a milestone.
    assert np.all(lengths <= chunk + 2)
    assert np.all(lengths >= 2) or steps == 1
    for milestone in milestones:
        # A milestone is an end, unless that would cut off a single step.
        if 2 <= milestone <= steps - 2:
            assert {milestone, milestone - 1, milestone + 1} & set(ends)


@pytest.mark.parametrize(
    "arguments, ends",
    [
        ((10, 4), [4, 8, 10]),
        ((9, 4), [4, 9]),
        ((1_000, 250, [500]), [250, 500, 750, 1_000]),
        ((1_000, 300, [500]), [300, 500, 600, 900, 1_000]),
        ((1, 2), [1]),
        ((3, 2), [3]),
    ],
)
def test_edges_by_hand(arguments, ends):
    assert edges(*arguments) == ends


@pytest.mark.parametrize(
    "steps, chunk, says",
    [
        (0, 5, "steps must be at least 1, got 0"),
        (5, 1, "chunk must be at least 2, got 1"),
        (7.5, 3, "steps must be an integer, got 7.5"),
        (7, 3.0, "chunk must be an integer, got 3.0"),
    ],
)
def test_edges_that_cannot_be(steps, chunk, says):
    with pytest.raises(ValueError, match=says):
        edges(steps, chunk)


@pytest.mark.parametrize("inner", ["map", "vmap", "auto"])
@pytest.mark.parametrize("devices", [1, 4])
def test_spread_is_a_loop(inner, devices):
    def function(shared, x, tree):
        total = jax.lax.fori_loop(0, 3, lambda i, t: t + i, x)
        return {"sum": shared + total, "tree": tree["y"] * 2}

    mesh = lanes.lane_mesh(jax.devices()[:devices])
    x, y = jnp.arange(8.0), jnp.arange(24).reshape(8, 3)
    count = jnp.full(devices, 8 // devices, jnp.int32)
    out = jax.jit(lanes.spread(function, mesh, inner))(
        jnp.float32(10), count, x, {"y": y}
    )
    np.testing.assert_array_equal(out["sum"], 10 + x + 3)
    np.testing.assert_array_equal(out["tree"], 2 * y)


def test_spread_refuses():
    with pytest.raises(ValueError, match="allowed: auto, map, vmap"):
        lanes.spread(lambda shared, lane: lane, lanes.lane_mesh(), "loop")


def make(shared, lane):
    """One lane: its column, and its own learning rate."""
    config = CONFIG.replace(actor_lr=lane["rate"])
    state = TABLE.state._replace(column=lane["column"])
    return nasjax.cadam(SPACE, config), TABLE.replace(params=shared, state=state)


def lane_values(seeds):
    seeds = np.asarray(seeds)
    return {"column": seeds % 2, "rate": (1e-4 * seeds).astype(np.float32)}


def runner(seeds, devices, inner="map", **options):
    return lanes.Runner(
        make,
        TABLE.params,
        jax.vmap(jax.random.key)(jnp.asarray(seeds)),
        lane_values(seeds),
        steps=STEPS,
        mesh=lanes.lane_mesh(jax.devices()[:devices]),
        inner=inner,
        **options,
    )


class Done:
    """All chunks of a run, at home: traces, and the state after each chunk."""

    def __init__(self, seeds, devices, inner="map", **options):
        self.runner = runner(seeds, devices, inner, **options)
        chunks, self.states = [], []
        for chunk in self.runner.run(edges(STEPS, CHUNK)):
            chunks.append(chunk)
            self.states.append(self.runner.gather(chunk.state))
        self.ends = [(chunk.first, chunk.last) for chunk in chunks]
        self.trace = jax.tree.map(
            lambda *x: np.concatenate(x, 1), *(chunk.trace for chunk in chunks)
        )


def row(tree, i):
    return jax.tree.map(lambda x: x[i], tree)


def same(a, b):
    jax.tree.map(np.testing.assert_array_equal, a, b)


@functools.cache
def done(count, devices, inner="map"):
    return Done(tuple(range(1, count + 1)), devices, inner)


def test_chunks(devices=2):
    five = done(5, devices)
    assert five.ends == [(0, 12), (12, 24)]
    assert five.trace.accuracy.shape == (5, STEPS)
    assert five.trace.arch.shape == (5, STEPS, 4)
    index = np.asarray(SPACE.index(five.trace.arch))
    for i, seed in enumerate(range(1, 6)):
        wanted = COLUMNS[seed % 2][index[i]]
        np.testing.assert_array_equal(five.trace.accuracy[i], wanted)
    # Each seed went its own way, and the learners did learn something.
    assert len(np.unique(index, axis=0)) == 5
    first, last = (s.searcher.agent.critic for s in five.states)
    change = jax.tree.map(lambda a, b: np.abs(a - b).max(axis=0).max(), first, last)
    assert max(jax.tree.leaves(change)) > 1e-3
    assert five.runner.compile_seconds > 0
    assert five.runner.run_seconds > 0


@pytest.mark.parametrize("count, devices", [(1, 1), (3, 1), (5, 1), (5, 4)])
def test_same_bits_for_any_number_and_place(count, devices):
    """Every bit of trace and state, where lanes run one after another.

    Gradients that were summed over devices would differ here.
    """
    this, reference = done(count, devices), done(5, 2)
    for i in range(count):
        same(row(this.trace, i), row(reference.trace, i))
        same(row(this.states[-1], i), row(reference.states[-1], i))


def test_seed_three_alone():
    """In a program for three lanes on each device."""
    programs = {}
    alone = Done((3,), 2, room=3, programs=programs)
    assert {room for _, room in programs} == {3}
    same(row(alone.trace, 0), row(done(5, 2).trace, 2))
    same(row(alone.states[-1], 0), row(done(5, 2).states[-1], 2))


def test_vmapped_lanes_query_the_same():
    vmapped, mapped = done(5, 2, "vmap"), done(5, 2)
    np.testing.assert_array_equal(vmapped.trace.arch, mapped.trace.arch)
    np.testing.assert_array_equal(vmapped.trace.accuracy, mapped.trace.accuracy)


def test_a_lane_is_a_plain_search():
    """`search.run` of the same key, lane and table."""

    @jax.jit
    def run(params, key, lane):
        return search.run(key, *make(params, lane), STEPS)[1]

    trace = run(TABLE.params, jax.random.key(2), row(lane_values([2]), 0))
    np.testing.assert_array_equal(trace.arch, done(5, 2).trace.arch[1])


def test_resume_at_an_edge():
    """From what was gathered after the first chunk: the same bits."""
    straight = done(5, 2)
    again = straight.runner
    state = again.place(straight.states[0])
    chunks = list(again.run(edges(STEPS, CHUNK), state, first=CHUNK))
    assert [(chunk.first, chunk.last) for chunk in chunks] == [(12, 24)]
    same(chunks[0].trace, jax.tree.map(lambda x: x[:, CHUNK:], straight.trace))
    same(again.gather(chunks[0].state), straight.states[1])


def digest(trace):
    """Of every bit of the trace."""
    digest = hashlib.sha256()
    for leaf in jax.tree.leaves(trace):
        digest.update(np.ascontiguousarray(leaf).tobytes())
    return digest.hexdigest()


def main():
    """In one of two processes, with one device each."""
    assert (jax.device_count(), jax.local_device_count()) == (2, 1)
    print("digest", digest(Done((1, 2, 3, 4, 5), 2).trace))


def test_two_processes_are_one():
    with socket.socket() as free:
        free.bind(("localhost", 0))
        address = f"localhost:{free.getsockname()[1]}"
    root = Path(nasjax.__file__).parents[1]
    paths = [str(root), str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(paths),
        "XLA_FLAGS": "",
        "JAX_PLATFORMS": "cpu",
    }
    workers = []
    for process in range(2):
        # Before any array is made, as importing this module does.
        code = (
            f"import jax; jax.distributed.initialize({address!r}, 2, {process})\n"
            "import test_lanes; test_lanes.main()"
        )
        workers.append(
            subprocess.Popen(
                [sys.executable, "-c", code],
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
    try:
        results = [worker.communicate(timeout=150) for worker in workers]
    finally:
        for worker in workers:
            worker.kill()
    wanted = f"digest {digest(done(5, 2).trace)}"
    for worker, (out, err) in zip(workers, results, strict=True):
        assert worker.returncode == 0, err[-2_000:]
        assert out.splitlines()[-1] == wanted
