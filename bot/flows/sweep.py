"""Sweep: files that belong to nobody any more, such as those that a kill has left behind."""

from __future__ import annotations

import asyncio
import logging
import shutil
from pathlib import Path

from bot.store import runs
from bot.store.database import Database

log = logging.getLogger(__name__)

UPLOADS = "uploads"  # in the data directory: what people give, while it is read


async def sweep(database: Database) -> None:
    """At the start, before anything is read or trained."""
    await asyncio.to_thread(remove, database.folder / UPLOADS)
    await sweep_runs(database)


async def sweep_runs(database: Database) -> None:
    """Removes the folders of runs that no row tells of: a run's row is written before its folder is made, and its
    number is never given again."""
    known = await database.run(runs.every)
    for folder in await asyncio.to_thread(numbered, database.folder / "runs"):
        if int(folder.name) not in known:
            await asyncio.to_thread(remove, folder)


def numbered(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.name.isdecimal()] if folder.is_dir() else []


def remove(folder: Path) -> None:
    """What cannot be removed now is tried again at the next start."""
    try:
        if folder.exists():
            shutil.rmtree(folder)
    except OSError as error:
        log.warning("%s could not be removed: %s", folder, error)
