"""The fixtures of all tests: see command.py for the command line as a process, factories.py for tiny models."""

import os

# Before torch is loaded: threads that wait by spinning starve whoever else computes on these cores.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

pytest_plugins = ["tests.command"]
