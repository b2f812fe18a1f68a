"""Safe reading of pickles: plain containers, strings and numbers, nothing else."""

import io
import pickle
import re
from typing import Any, NoReturn

import numpy as np
from numpy._core.multiarray import _reconstruct


class _PlainUnpickler(pickle.Unpickler):
    """An unpickler that refuses every global, so that no code can run."""

    allowed = "plain containers, strings and numbers"

    def find_class(self, module: str, name: str) -> Any:
        self._refuse(f"global {module}.{name}")

    def persistent_load(self, pid: Any) -> NoReturn:
        self._refuse(f"persistent id {pid!r}")

    def _refuse(self, what: str) -> NoReturn:
        raise pickle.UnpicklingError(
            f"refused the {what}: only {self.allowed} are read from a pickle"
        )


def _number_dtype(code: Any, align: Any = False, copy: Any = True) -> np.dtype:
    """Replaces `numpy.dtype`: a dtype of objects would turn bytes into pointers."""
    if not (isinstance(code, str) and re.fullmatch("[biuf][1248]", code)):
        raise pickle.UnpicklingError(f"refused the dtype {code!r}: not a plain number")
    return np.dtype(code, bool(align), bool(copy))


# Globals in pickles of arrays by NumPy 1 and 2, protocols 0 to 4; `encode` is used by
# protocols 0 to 2. No module is imported by a name from the pickle.
_ARRAY_GLOBALS = {
    "numpy.core.multiarray._reconstruct": _reconstruct,
    "numpy._core.multiarray._reconstruct": _reconstruct,
    "numpy.ndarray": np.ndarray,
    "numpy.dtype": _number_dtype,
    "_codecs.encode": str.encode,
}


class _ArrayUnpickler(_PlainUnpickler):
    """An unpickler that also accepts NumPy's arrays of numbers."""

    allowed = "plain containers, strings, numbers and arrays of numbers"

    def find_class(self, module: str, name: str) -> Any:
        if (known := _ARRAY_GLOBALS.get(f"{module}.{name}")) is None:
            self._refuse(f"global {module}.{name}")
        return known


def load(data: bytes) -> Any:
    """Reads a pickle that holds only plain containers, strings and numbers.

    Args:
      data: the bytes of the pickle.

    Returns:
      The object: dicts, lists, tuples, sets, strings, bytes, numbers, None.

    Raises:
      pickle.UnpicklingError: if the pickle names any class or function, has a
        persistent id, or is damaged.
    """
    return _read(_PlainUnpickler(io.BytesIO(data)))


def load_arrays(data: bytes) -> Any:
    """Reads a pickle of plain containers that may also have NumPy arrays of numbers.

    Args:
      data: the bytes of the pickle, protocol 0 to 4; strings of Python 2 are read as
        Latin-1 text.

    Returns:
      The object, as from `load`, with arrays of booleans, integers or floats.

    Raises:
      pickle.UnpicklingError: if the pickle names anything but NumPy's own
        reconstruction of an array, has a persistent id, or is damaged.
    """
    return _read(_ArrayUnpickler(io.BytesIO(data), encoding="latin1"))


def _read(unpickler: pickle.Unpickler) -> Any:
    try:
        return unpickler.load()
    except pickle.UnpicklingError:
        raise
    except Exception as error:  # A damaged stream raises nearly anything.
        raise pickle.UnpicklingError(f"damaged pickle: {error!r}") from error
