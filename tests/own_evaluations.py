"""Evaluations that processes of a pool can import."""

import os
import signal
import time

import numpy as np


def score(arch):
    """In [0, 1], another for nearly every architecture; no time."""
    weights = np.random.default_rng(0).random(arch.size)
    return float(arch.ravel() @ weights / (weights.sum() * 10))


def slow(arch):
    """The same after up to 60 ms."""
    time.sleep(int(arch.sum()) * 7 % 5 * 0.015)
    return score(arch)


def random_length(arch):
    """The same after 0 to 0.3 s."""
    time.sleep(0.3 * int.from_bytes(os.urandom(2)) / 2**16)
    return score(arch)


def marked(folder, arch):
    """The same after 0.2 s; leaves a file that names architecture and process."""
    name = "".join(map(str, arch.ravel()))
    (folder / f"{name}-{os.getpid()}").touch()
    time.sleep(0.2)
    return score(arch)


def hangs_or_dies(arch):
    """The same, but some never end, deaf to signals, or take their process along."""
    if arch[0] == 0:
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM])
        time.sleep(600)
    if arch[0] == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return score(arch)
