"""Options of the compiler."""

import jax
import pytest

from nasjax import compiler


def test_unknown_options_are_left_out():
    device = jax.devices()[0]
    options = {"xla_cpu_prefer_vector_width": 512, "xla_no_such_option": True}
    assert compiler.known(options, device) == {"xla_cpu_prefer_vector_width": 512}
    assert compiler.known({"xla_cpu_prefer_vector_width": "wide"}, device) == {}


def test_what_the_user_sets_stays(monkeypatch):
    device = jax.devices()[0]
    assert compiler.lane_options(device) == compiler.CPU
    monkeypatch.setenv("XLA_FLAGS", "--xla_cpu_prefer_vector_width=256")
    assert list(compiler.lane_options(device)) == [
        "xla_cpu_copy_insertion_use_region_analysis"
    ]


def test_graphs_are_for_cuda_alone():
    class Device:
        platform = "gpu"

        class client:  # noqa: N801
            platform_version = "PJRT C API\nrocm 70000"

    assert compiler.graph_options(jax.devices()[0]) == {}
    assert compiler.graph_options(Device()) == {}


@pytest.mark.gpu_paper
def test_a_described_gpu_knows_the_graph_options(gpu_mesh):
    assert compiler.graph_options(gpu_mesh.devices.flat[0]) == compiler.CUDA
