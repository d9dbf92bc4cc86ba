"""The supervisor: builds a fresh client whenever one has ended, at a pace that Discord can live with."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import re
import time
from collections.abc import Callable
from typing import NoReturn

import discord

from bot import clock
from bot.errors import BadConfig, NoDiscordToken, NoSessionLeft
from bot.platforms.discord.connection.client import LOST, MockingbirdClient
from bot.platforms.discord.connection.pace import Draw, Pace
from bot.platforms.discord.connection.refusals import refusal
from bot.store import identifies
from bot.store.database import Database, Db

log = logging.getLogger(__name__)

A_TOKEN = re.compile(r"[!-~]+")


async def keep_connected(
    build: Callable[[], MockingbirdClient],
    token: Callable[[], str | None],
    database: Database,
    tell: Callable[[str], None],
    *,
    pace: Pace | None = None,
    now: Callable[[], int] = clock.now_ms,
    draw: Draw = random.random,
) -> NoReturn:
    """Until it is cancelled, which closes the client in order. `tell` is given a sentence for whoever runs the bot when
    something needs them, once until the bot has been connected for a while or something else is the matter."""
    pace = pace or Pace()
    failures, told = 0, ""

    def say(sentence: str, what: str = "") -> None:
        nonlocal told
        if (what or sentence) != told:
            told = what or sentence
            log.error("%s", sentence)
            tell(sentence)

    while True:
        client, current, ended = None, None, None
        try:
            await database.run(lambda db: _leave_room(db, now(), pace.sessions_per_day))
            current = _checked(token())
            client = build()
            await client.start(current)
        except Exception as error:
            ended = error
        finally:
            if client is not None:
                await _close(client)
        if client is not None and client.steady:
            failures, told = 0, ""
        if isinstance(ended, NoSessionLeft):
            say(str(ended), "sessions")
            await asyncio.sleep(pace.outage_s)  # and not until then: clocks are put right
        elif (sentence := refusal(ended)) is not None:
            say(sentence)
            await _until_replaced(token, current, pace)
        else:
            failures += 1
            wait_s = _wait_s(client, ended, failures, pace, draw)
            trace = None if isinstance(ended, LOST) else ended
            log.warning("not connected to Discord (%r), trying again in %.1f s", ended, wait_s, exc_info=trace)
            await asyncio.sleep(wait_s)


async def _close(client: MockingbirdClient) -> None:
    try:
        await client.close()
    except Exception:
        log.exception("a client of Discord could not be closed in order")


def _leave_room(db: Db, now: int, most: int) -> None:
    if (at := identifies.room_at(db, now, most)) > now:
        raise NoSessionLeft(most=most, at=clock.iso(at))


def _checked(token: str | None) -> str:
    """A token that at least looks like one: others do not even make a header."""
    if token is None:
        raise NoDiscordToken()
    if not A_TOKEN.fullmatch(token):
        raise discord.LoginFailure("not a token")
    return token


def _wait_s(client: MockingbirdClient | None, ended: Exception | None, failures: int, pace: Pace, draw: Draw) -> float:
    identified = client is not None and client.identified
    told_to_slow = isinstance(ended, discord.HTTPException) and ended.status < 500
    wait_s = pace.wait_s(failures, pace.longest_s if identified or told_to_slow else pace.outage_s, draw)
    return max(wait_s, ended.retry_after) if isinstance(ended, discord.RateLimited) else wait_s


async def _until_replaced(token: Callable[[], str | None], refused: str | None, pace: Pace) -> None:
    """Until another token is there, or it is time to try the same once more."""
    end = time.monotonic() + pace.refused_s
    while (left_s := end - time.monotonic()) > 0:
        await asyncio.sleep(min(left_s, pace.token_s))
        with contextlib.suppress(BadConfig):
            if token() not in (None, refused):
                return
