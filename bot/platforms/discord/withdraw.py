"""Withdraw: the bot's own messages that told of what is forgotten meanwhile are deleted, whoever forgot it, and also
after a restart: the outbox says which ones still stand."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import NoReturn

import discord

from bot.platforms.discord.answers.original import PASSING
from bot.platforms.discord.front import PLATFORM, Front
from bot.store import erase
from bot.store.database import Db

log = logging.getLogger(__name__)

LOOK_S = 60.0
MOST = 20  # messages at a time
ONE_TRY_S = 60.0  # discord.py waits for limits in between
TOO_MANY = 429


async def keep_withdrawing(front: Front, ready: Callable[[], Awaitable[object]]) -> NoReturn:
    """Until it is cancelled."""
    await ready()
    while True:
        try:
            await withdraw(front)
        except Exception:
            log.exception("what is forgotten could not be withdrawn; it is tried again")
        await asyncio.sleep(LOOK_S)


async def withdraw(front: Front) -> None:
    """Deletes what still stands, as far as Discord lets us now; a bot needs no permission for its own messages."""

    def read(db: Db) -> list[tuple[str, int, int]]:
        found = erase.standing(db, PLATFORM, MOST)
        return [(notice.id, int(notice.account), int(notice.remote_id or 0)) for notice in found]

    for post_id, channel_id, message_id in await front.app.database.run(read):
        client = front.client()
        if client is None or client.is_closed():
            return
        message = client.get_partial_messageable(channel_id).get_partial_message(message_id)
        try:
            async with asyncio.timeout(ONE_TRY_S):
                await message.delete()
        except discord.NotFound:
            pass  # somebody did it before
        except PASSING as error:
            log.info("message %d is deleted later: %s", message_id, type(error).__name__)
            return
        except discord.HTTPException as error:
            if error.status == TOO_MANY:
                return
            log.warning("message %d tells of what is forgotten and cannot be deleted: %s", message_id, error.text)
        await front.app.database.run(partial(_withdrawn, post_id))


def _withdrawn(post_id: str, db: Db) -> None:
    erase.withdrawn(db, post_id)
