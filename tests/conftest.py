"""What every test shares: four host devices, checked keys, no network, one table."""

import os
import tempfile

import hypothesis
import jax
import pytest

import nasjax
from nasjax.analysis.gpu import card, compiling
from nasjax.data import nb201

# Read when the backend starts, which no import does.
_DEVICES = "--xla_force_host_platform_device_count"
if _DEVICES not in os.environ.get("XLA_FLAGS", ""):
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {_DEVICES}=4".strip()
os.environ["NASJAX_OFFLINE"] = "1"
# What several tests, or the processes they start, compile is compiled once.
_PROGRAMS = tempfile.TemporaryDirectory()
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", _PROGRAMS.name)
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
jax.config.update("jax_compilation_cache_dir", os.environ["JAX_COMPILATION_CACHE_DIR"])
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
# Any key used twice is an error, also under vmap, scan and shard_map.
jax.config.update("jax_debug_key_reuse", True)

# The same examples every time: a test passes or fails for the code's reasons alone.
hypothesis.settings.register_profile("fixed", derandomize=True, deadline=None)
hypothesis.settings.load_profile("fixed")

VALID = ("cifar10_valid", "cifar100_valid", "imagenet16_valid")


@pytest.fixture(scope="session")
def table():
    """NAS-Bench-201: all six columns where found, else the package's validation ones.

    Never predictions.
    """
    try:
        return nb201.load(predictor=False, log=lambda _: None)
    except nb201.TableError:
        return nb201.load(columns=VALID, predictor=False, log=lambda _: None)


@pytest.fixture(scope="session")
def space():
    return nasjax.nas_bench_201()


@pytest.fixture(scope="module")
def quick_compile():
    """For modules that compile much and compute little: half the time.

    Not where the bits of optimised programs are the matter (test_lanes.py).
    """
    before = jax.config.read("jax_disable_most_optimizations")
    jax.config.update("jax_disable_most_optimizations", True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")  # of processes it starts
        yield
    jax.config.update("jax_disable_most_optimizations", before)


@pytest.fixture(scope="session")
def gpu_mesh():
    """A described H100, which compiles; skips where JAX has no compiler for it."""
    try:
        return compiling.mesh(card.description("h100"))
    except compiling.NoCompilerError as error:
        pytest.skip(str(error))
