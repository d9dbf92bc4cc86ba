"""A child process must not outlive the bot that started it, nor stand in its way."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
import time
from pathlib import Path

PR_SET_PDEATHSIG = 1  # prctl(2)
PARENT = "MOCKINGBIRD_PARENT"  # the environment variable in which the bot tells its children its process id
# How far each child gives way to the bot's loop, in steps of nice(2): a training the farthest, but not so far that it
# comes to a halt whenever somebody else computes on the machine.
WORKER, TRAINER, NICEST = 3, 10, 19


def die_with_parent() -> None:
    """Asks Linux to kill this process when its parent dies; elsewhere the closed socket ends it."""
    if sys.platform == "linux":
        # By the time we are here, libraries are imported, which may take seconds: the bot may be gone already, and
        # then our parent is another one, whose death would say nothing.
        parent = int(os.environ.get(PARENT, os.getppid()))
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)


def give_way(niceness: int) -> None:
    """Lets the bot, and whoever gives way less, compute first; does what the system offers, and nothing where it offers
    nothing. Threads that were started before do not follow.

    Linux may share the processor out among sessions before it looks at the niceness of processes (sched(7), "The
    autogroup feature"), and ours is a session of its own: so its group is made as many steps nicer than the bot's.
    """
    with contextlib.suppress(OSError):
        os.nice(niceness)
    for _ in range(5):
        try:
            of_bot = int(Path(f"/proc/{os.getppid()}/autogroup").read_text().split()[-1])
            Path("/proc/self/autogroup").write_text(str(min(of_bot + niceness, NICEST)))
        except BlockingIOError:  # without privileges only one group in a tenth of a second can be changed
            time.sleep(0.1)
        except (OSError, ValueError, IndexError):
            return
        else:
            return
