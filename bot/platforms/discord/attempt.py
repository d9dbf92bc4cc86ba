"""An attempt to send a post: the nonce by which Discord knows it again, and the tries that it was made of."""

from __future__ import annotations

import contextvars
from types import SimpleNamespace

import aiohttp

from bot.store.outbox import CROCKFORD

NONCE_LENGTH = 25
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"

Tries = list[int | BaseException]
"""What came of each request of one attempt, in their order: a status or an error."""

_tries: contextvars.ContextVar[Tries | None] = contextvars.ContextVar("tries", default=None)


def nonce(post_id: str) -> str:
    """A post's ULID in the 25 characters that Discord takes, so that no two posts share one: a ULID is 128 bits, which
    its 26 letters do not use up, and 25 digits of base 36 hold 129."""
    number = 0
    for letter in post_id:
        number = number * 32 + CROCKFORD.index(letter)
    digits = ""
    for _ in range(NONCE_LENGTH):
        number, digit = divmod(number, 36)
        digits = _DIGITS[digit] + digits
    if number:
        raise ValueError(f"{post_id} is no ULID")
    return digits


def watch() -> Tries:
    """From here on, what this task asks of Discord is written down in the list, if the client was made with `trace`."""
    tries: Tries = []
    _tries.set(tries)
    return tries


def trace() -> aiohttp.TraceConfig:
    """For `discord.Client(http_trace=...)`. discord.py repeats on its own what was answered by 5xx, perhaps after it
    was done, and raises what came of the last try alone: that this one was refused does not mean that none went out."""
    config = aiohttp.TraceConfig()
    config.on_request_end.append(_answered)
    config.on_request_exception.append(_failed)
    return config


async def _answered(
    session: aiohttp.ClientSession, context: SimpleNamespace, request: aiohttp.TraceRequestEndParams
) -> None:
    if (tries := _tries.get()) is not None:
        tries.append(request.response.status)


async def _failed(
    session: aiohttp.ClientSession, context: SimpleNamespace, request: aiohttp.TraceRequestExceptionParams
) -> None:
    if (tries := _tries.get()) is not None:
        tries.append(request.exception)
