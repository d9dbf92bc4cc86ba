"""The command line: reads the arguments, does one verb, and turns every error into a sentence and an exit code."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import Sequence
from types import FrameType

from bot.cli.arguments import parse
from bot.errors import MockingbirdError

BY_SIGNAL = 128  # what shells expect after Ctrl-C and the like: this, plus the signal's number


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit codes: 0; 1 a person's error, one sentence on standard error; 2 usage; 3 the data directory is in use."""
    began = time.monotonic()
    asked = parse(sys.argv[1:] if arguments is None else arguments)
    ended_by = signal.SIGINT

    def end_in_order(number: int, frame: FrameType | None) -> None:
        nonlocal ended_by
        ended_by = signal.Signals(number)
        signal.raise_signal(signal.SIGINT)  # which asyncio turns into a cancellation, so that children end in order

    signal.signal(signal.SIGTERM, end_in_order)
    try:
        # Imported after parsing: `--help` and usage errors answer at once.
        from bot.cli import verbs

        asyncio.run(verbs.do(asked, os.environ, began))
    except MockingbirdError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return BY_SIGNAL + ended_by
    except BrokenPipeError:
        # Whoever read our output has gone, as with `| head`; nothing more can be said there.
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0
