"""Starts a trainer for one run and follows it to its end."""

from __future__ import annotations

import asyncio
from pathlib import Path

from bot.errors import DiskFull, TrainingFailed, TrainingInterrupted
from bot.pool.child import Child, ending
from bot.pool.protocol import Tell
from models.wire import Progress
from training import run

GRACE = 25.0  # seconds a trainer gets to finish its step and save its state
FAILED = 1  # Python's status after an exception: trying again would end the same way


async def train(folder: Path, tell: Tell) -> None:
    """Runs the trainer on a run folder; when we are cancelled it saves its state first. Raises TrainingInterrupted
    when the same run can go on later, TrainingFailed when it cannot."""
    log = folder / "trainer.log"
    child = await Child.start("training.engine", "train", str(folder), log=log)
    try:
        while (message := await child.receive()) is not None:
            if isinstance(message, Progress):
                tell(message)
        status = await child.process.wait()
    finally:
        if child.process.returncode is None:
            await asyncio.shield(child.end(GRACE))
    if status == FAILED:
        reason = last_line(log)
        if "No space left on device" in reason or "os error 28" in reason:
            raise DiskFull(folder=folder)
        raise TrainingFailed(reason=f"{reason} (all of it stands in {log})")
    if run.results(folder) is None:
        raise TrainingInterrupted(reason=ending(status))


def last_line(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return lines[-1] if lines else "it said nothing"
