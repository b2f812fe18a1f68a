"""What tests of scripts share: a run that is stopped while it works."""

import contextlib
import os
import signal

import pytest

from nasjax.runs import job


@pytest.fixture
def stopped():
    """`with stopped(n):` a run gets SIGTERM in its n-th chunk, over all its jobs."""

    @contextlib.contextmanager
    def during(chunk, number=signal.SIGTERM):
        done, count = job.Loop.done, iter(range(1, 10**6))

        def counting(self, step, carry):
            if next(count) == chunk:
                os.kill(os.getpid(), number)
            done(self, step, carry)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(job.Loop, "done", counting)
            yield

    return during
