"""Reading pickles from strangers: plain containers and numbers, nothing else."""

import io
import pickle
from typing import Any, NoReturn


class _PlainUnpickler(pickle.Unpickler):
    """An unpickler that refuses every global, so that no code can run."""

    def find_class(self, module: str, name: str) -> NoReturn:
        raise pickle.UnpicklingError(
            f"refused the global {module}.{name}: only plain containers, strings "
            "and numbers are read from a pickle"
        )

    def persistent_load(self, pid: Any) -> NoReturn:
        raise pickle.UnpicklingError(
            f"refused the persistent id {pid!r}: only plain containers, strings "
            "and numbers are read from a pickle"
        )


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
    try:
        return _PlainUnpickler(io.BytesIO(data)).load()
    except pickle.UnpicklingError:
        raise
    except Exception as error:  # A damaged stream raises nearly anything.
        raise pickle.UnpicklingError(f"damaged pickle: {error!r}") from error
