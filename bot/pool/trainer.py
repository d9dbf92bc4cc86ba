"""Starts a trainer for one run and follows it to its end."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

from bot.errors import DiskFull, TrainingFailed, TrainingInterrupted
from bot.pool.child import FAILED, Child
from bot.pool.lease import Lease
from bot.pool.protocol import Tell
from models.wire import Progress
from training import run

GRACE = 25.0  # seconds a trainer gets to finish its step and save its state
# How a full disk, a full quota and a file that may not grow show in the last line of a traceback.
NO_ROOM = (
    "No space left on device",
    "Disk quota exceeded",
    "File too large",
    "os error 28",
    "os error 122",
    "os error 27",
)
NO_ROOM_EVEN_TO_SAY_SO = 2**16  # bytes left on the disk with which even the log may have remained empty


async def train(folder: Path, tell: Tell, lease: Lease | None = None) -> None:
    """Runs the trainer on a run folder, as long as it has the lease; when we are cancelled it saves its state first.
    Raises TrainingInterrupted when the same run can go on later, TrainingFailed when it cannot, DiskFull when it can
    once there is room."""
    log = folder / "trainer.log"
    child = await Child.start("training.engine", "train", str(folder), log=log)
    try:
        async with (lease or Lease()).lent(child.send):
            while (message := await child.receive()) is not None:
                if isinstance(message, Progress):
                    tell(message)
            status = await child.process.wait()
    finally:
        await asyncio.shield(child.end(GRACE))
    if status == FAILED:
        reason = child.last_words()
        if any(sign in reason for sign in NO_ROOM) or shutil.disk_usage(folder).free < NO_ROOM_EVEN_TO_SAY_SO:
            raise DiskFull(folder=folder)
        raise TrainingFailed(reason=f"{reason or 'it said nothing'} (all of it stands in {log})")
    if run.results(folder) is None:
        raise TrainingInterrupted(reason="it was asked to stop" if status == run.STOPPED else child.ending(status))
