"""The command line: reads the arguments, does one verb, and turns every error into a sentence and an exit code."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import io
import os
import signal
import sys
import time
from collections.abc import Sequence

from bot.cli.arguments import parse
from bot.errors import MockingbirdError

BY_SIGNAL = 128  # what shells expect after Ctrl-C and the like: this, plus the signal's number


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit codes: 0; 1 a person's error, one sentence on standard error; 2 usage; 3 the data directory is in use."""
    began = time.monotonic()
    asked = parse(sys.argv[1:] if arguments is None else arguments)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal that cannot show a letter shows its number
            stream.reconfigure(errors="backslashreplace")
    try:
        asyncio.run(do(asked, began))
    except MockingbirdError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return BY_SIGNAL + signal.SIGINT
    except asyncio.CancelledError:
        return BY_SIGNAL + signal.SIGTERM
    except BrokenPipeError:
        # Whoever read our output has gone, as with `| head`; nothing more can be said there.
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


async def do(asked: argparse.Namespace, began: float) -> None:
    """Does the verb; SIGTERM cancels it, as asyncio has Ctrl-C do, so that children end in order."""
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    # Imported after parsing: `--help` and usage errors answer at once.
    from bot.cli import verbs

    await verbs.do(asked, os.environ, began)
