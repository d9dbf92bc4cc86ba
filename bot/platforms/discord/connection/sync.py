"""Sync: Discord is told which commands there are, but only when they have changed, because it counts how often."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any

from discord import app_commands

from bot.store import synced_commands
from bot.store.database import Database


async def sync_commands(
    tree: app_commands.CommandTree[Any], application: int, database: Database, now: Callable[[], int]
) -> bool:
    """Whether it had to be told; a refusal is one of discord.py's exceptions."""
    name, wanted = str(application), await fingerprint(tree)
    if await database.run(lambda db: synced_commands.fingerprint(db, name)) == wanted:
        return False
    await tree.sync()
    await database.run(lambda db: synced_commands.put(db, name, wanted, now()))
    return True


async def fingerprint(tree: app_commands.CommandTree[Any]) -> str:
    """The SHA-256 of what Discord would be told; the order of the commands does not count."""
    commands = tree.get_commands()
    if (translator := tree.translator) is None:
        payloads = [command.to_dict(tree) for command in commands]
    else:
        payloads = [await command.get_translated_payload(tree, translator) for command in commands]
    texts = sorted(json.dumps(payload, sort_keys=True, ensure_ascii=False) for payload in payloads)
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()
