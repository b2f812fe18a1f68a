"""Small forms of the programs, compiled for an H100: counts that must not creep back.

Bounds are what was counted with jax 0.12.0.1 and a few percent. A program that needs
fewer kernels gets a lower bound here.
"""

from typing import Any

import jax
import optax
import pytest

from nasjax import compiler
from nasjax.agent import Batch, Transition, actor_critic, ddpg, squared_loss
from nasjax.analysis.gpu import compiling, hlo, model, programs
from nasjax.networks import pallas_separable

pytestmark = pytest.mark.gpu_paper
# (program, part) -> most kernels per step, cycle or batch; synchronisations of a run.
# Cholesky's library calls are in no graph, so the loops around them are not either.
BOUNDS = {
    ("cadam", 0): (62, 0),
    ("bayesian", 0): (185, 56),
    ("supernet-eval", 0): (195, 0),
    ("supernet-train", 0): (1_140, 0),
    ("derived", 0): (345, 0),
    ("ddas", 0): (2_700, 0),
    ("ddas", 1): (7_700, 0),
}


@pytest.fixture(scope="module")
def compiled(gpu_mesh, h100):
    """Compiles a part of a program once; with its counts."""
    done = {}
    options = compiler.graph_options(gpu_mesh.devices.flat[0])

    def compile_part(program, index):
        if (program, index) not in done:
            part = programs.PROGRAMS[program](programs.SMALL[program])[index]
            result = compiling.compile_lowered(part.lower(gpu_mesh), options)
            counts = model.count(
                result.module, result.sequence, h100, part.trips, part.branches
            )
            done[program, index] = part, result, counts
        return done[program, index]

    return compile_part


@pytest.mark.parametrize(("program", "index"), BOUNDS)
def test_kernels_and_synchronisations_do_not_creep_back(compiled, program, index):
    part, result, counts = compiled(program, index)
    kernels, syncs = BOUNDS[program, index]
    assert counts.kernels / part.counted[1] <= kernels
    assert counts.syncs <= syncs
    # Every expected number of iterations found its loop.
    assert counts.loose_loops == len(part.trips) and not counts.open_loops
    assert set(counts.by_kind) <= {
        *("loop", "reduction", "product", "convolution", "library", "copy", "pallas")
    }
    assert result.temporary > 0 and result.arguments > 0


def test_a_fused_separable_convolution_runs_few_kernels(gpu_mesh, h100):
    """Two blocks: 4 kernels forward, 9 backward; 36 without fusing (jax 0.12.0.1)."""
    shapes = (8, 8, 8, 16), (2, 3, 3, 16), (2, 16, 16), (8, 8, 8, 16)
    arrays = [jax.ShapeDtypeStruct(shape, "bfloat16") for shape in shapes]

    def gradients(x, depth, point, g):
        def operation(*arrays):
            return pallas_separable.separable(*arrays)[0]

        return jax.vjp(operation, x, depth, point)[1](g)

    with jax.sharding.use_abstract_mesh(gpu_mesh.abstract_mesh):
        lowered = jax.jit(gradients).lower(*compiling.shapes(arrays, gpu_mesh))
    result = compiling.compile_lowered(lowered)
    counts = model.count(result.module, result.sequence, h100)
    # The sums of tiles, which XLA adds up, come on top.
    assert counts.by_kind["pallas"] == 9 and counts.kernels <= 15


def test_without_the_options_loops_wait_for_the_device(gpu_mesh, h100):
    """What the options are for; and counts see it."""
    (part,) = programs.cadam(programs.SMALL["cadam"])
    result = compiling.compile_lowered(part.lower(gpu_mesh))
    counts = model.count(result.module, result.sequence, h100, part.trips)
    steps = programs.SMALL["cadam"].steps
    assert counts.syncs == steps * (part.trips[0] + 1)


@pytest.mark.parametrize("program", ("cadam", "bayesian"))
def test_agents_and_the_gaussian_process_multiply_in_full_precision(compiled, program):
    """No product of float32 is rounded to TF32; and there are products."""
    _, result, counts = compiled(program, 0)
    assert counts.by_kind["product"] > 0
    assert hlo.reduced_products(result.module) == []


@pytest.mark.parametrize("agent", ("actor_critic", "ddpg"))
def test_agents_begin_and_train_in_full_precision(gpu_mesh, agent):
    """Orthogonal weights, and one training cycle, of both kinds of agent."""
    adam = optax.adam(1e-3)
    networks = ((16, 16), adam, adam)
    made: Any = actor_critic(8, 8, *networks, squared_loss)
    if agent == "ddpg":
        made = ddpg(8, 8, *networks, critics=2)
    batch = Transition if agent == "ddpg" else Batch
    shape = dict.fromkeys(batch._fields, (4, 8)) | {"reward": (4,)}
    rows = batch(**{n: jax.ShapeDtypeStruct(s, "float32") for n, s in shape.items()})
    key = jax.eval_shape(lambda: jax.random.key(0))

    def begin_and_train(key, rows):
        key_init, key_update = jax.random.split(key)
        state = made.init(key_init)
        if agent == "ddpg":
            return made.update(key_update, state, rows)
        return made.update(state, rows)

    placed = compiling.shapes((key, rows), gpu_mesh)
    result = compiling.compile_lowered(jax.jit(begin_and_train).lower(*placed))
    assert hlo.reduced_products(result.module) == []
    assert any("while" in i.op_name for i, _ in result.module.instructions())
