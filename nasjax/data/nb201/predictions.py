"""Predicted accuracies of NAS-Bench-201, from the weights that the package ships.

Predictions, not benchmark data: `experiments/fit_predictor.py` fits the weights and
measures their error.
"""

import hashlib
import importlib.resources

import jax
import jax.numpy as jnp
import numpy as np

from nasjax.data import locations
from nasjax.networks import predictor
from nasjax.spaces import nas_bench_201

FILE_NAME = "predictor.npz"
_SPACE = nas_bench_201()
_BATCH = 1024  # Cells predicted at once; bounds the memory.


def _read() -> bytes:
    return (importlib.resources.files(__package__) / FILE_NAME).read_bytes()


def sha256() -> str:
    """Checksum of the shipped weights."""
    return hashlib.sha256(_read()).hexdigest()


def weights() -> predictor.Weights:
    """The shipped weights as float32, for `nasjax.networks.predictor`."""
    arrays = locations.read_npz(_read())
    leaves = {name: jnp.asarray(x, jnp.float32) for name, x in arrays.items()}
    return predictor.Weights(**leaves)


def _predict(weights, ops):
    return jax.lax.map(
        lambda arch: predictor.apply(weights, arch), ops, batch_size=_BATCH
    )


def accuracies(ops: np.ndarray) -> dict[str, np.ndarray]:
    """Predicts every column for A architectures.

    Args:
      ops: integers [A, 6], operation per edge.

    Returns:
      float32 [A] of fractions by name, in the order of `predictor.COLUMNS`.

    Raises:
      ValueError: `ops` has another shape, or an operation is out of range.
    """
    ops = np.asarray(ops)
    if ops.ndim != 2 or ops.shape[1:] != _SPACE.arch_shape:
        raise ValueError(f"ops has shape {ops.shape}, not [A, {_SPACE.num_edges}]")
    if len(ops) and not (ops.min() >= 0 and ops.max() < _SPACE.num_operations):
        raise ValueError(
            f"operations {ops.min()}..{ops.max()} in ops; {_SPACE.name} has "
            f"0..{_SPACE.num_operations - 1}"
        )
    predicted = jax.jit(_predict)(weights(), jnp.asarray(ops, jnp.uint8))
    return dict(zip(predictor.COLUMNS, np.asarray(predicted).T, strict=True))
