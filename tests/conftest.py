"""The fixtures of all tests: see command.py for the command line as a process, factories.py for tiny models."""

import os
import signal
from pathlib import Path

import pytest

# Before torch is loaded: threads that wait by spinning starve whoever else computes on these cores.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
# As the pool sets it for its children: what is trained in this process is compared with what they train.
os.environ.setdefault("MKL_CBWR", "AUTO")

# A shell starts what runs in the background with Ctrl-C ignored, and children inherit that; the commands that the tests
# start are to be interrupted.
signal.signal(signal.SIGINT, signal.default_int_handler)

pytest_plugins = ["tests.command"]

# Files of few tests that take long: begun last they would leave all but one core idle at the end.
LONG = ("stories", "test_house.py", "training", "pool", "bench", "chaos", "cli", "flows", "models")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes longest comes first; within a file the order stays."""
    here = Path(__file__).parent

    def place(item: pytest.Item) -> int:
        name = item.path.relative_to(here).parts[0]
        return LONG.index(name) if name in LONG else len(LONG)

    items.sort(key=place)
