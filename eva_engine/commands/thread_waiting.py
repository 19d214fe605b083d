"""How threads wait for each other: asleep, because other programs need the processor too."""

import os
import sys

# Of any OpenMP runtime, of GCC's, which PyTorch for Linux comes with, and of LLVM's.
_SETTINGS = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")


def let_idle_threads_sleep() -> None:
    """Set OMP_WAIT_POLICY=passive in the environment, unless the user has set how threads wait.

    PyTorch divides an operation among threads, and those that are done first wait for the others. By default they spin,
    checking millions of times a second. If another program has taken the processor of the thread that they wait for,
    they only keep both from running. Asleep, they take some microseconds longer to continue.

    The runtime reads the variable when it is loaded with PyTorch; nothing is set after that. Processes that are started
    later inherit it.
    """
    if "torch" not in sys.modules and not any(name in os.environ for name in _SETTINGS):
        os.environ["OMP_WAIT_POLICY"] = "passive"
