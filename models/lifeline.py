"""A child process must not outlive the bot that started it."""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1  # prctl(2)
PARENT = "MOCKINGBIRD_PARENT"  # the environment variable in which the bot tells its children its process id


def die_with_parent() -> None:
    """Asks Linux to kill this process when its parent dies; elsewhere the closed socket ends it."""
    if sys.platform == "linux":
        # By the time we are here, torch is imported, which takes seconds: the bot may be gone already, and then our
        # parent is another one, whose death would say nothing.
        parent = int(os.environ.get(PARENT, os.getppid()))
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)
