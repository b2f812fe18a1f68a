"""Scripts of experiments/ run in the process of the tests."""

import contextlib
import importlib
import io
from typing import NamedTuple

import pytest

from nasjax.runs import devices


class Done(NamedTuple):
    """Exit status, output and errors."""

    code: int
    out: str
    err: str


def call(name, *arguments, stand_in=lambda patch: None):
    """Runs a script with the command line; `stand_in` may replace what it calls."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        # The number of devices is fixed once JAX has started.
        patch.setattr(devices, "use_cpu_cores", lambda **_: None)
        stand_in(patch)
        script = importlib.import_module(name)
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                code = script.main([*map(str, arguments)])
            except SystemExit as error:
                code = error.code
    return Done(code, out.getvalue(), err.getvalue())
