"""Ctrl-C and SIGTERM as an event, so that a long-running verb ends in order."""

from __future__ import annotations

import asyncio
import signal
import sys


def stop_on_signals() -> asyncio.Event:
    """Set by the first Ctrl-C or SIGTERM; a second one ends the process the hard way."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def asked_to(number: int) -> None:
        stop.set()
        print("Stopping ...", file=sys.stderr, flush=True)
        loop.remove_signal_handler(number)

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, asked_to, number)
    return stop
