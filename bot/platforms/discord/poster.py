"""Posting to Discord: an account is a channel, a post is a message in it."""

from __future__ import annotations

import unicodedata
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import aiohttp
import discord
import regex

from bot.clock import now_ms
from bot.domain import Capability, Found, NotSent, Post, Refused, Unauthorized
from bot.platforms.discord.attempt import Tries, nonce, watch
from bot.platforms.discord.texts import said

Connected = Callable[[], discord.Client | None]
"""The client, or None while there is none."""
Dressed = Callable[[Post], Awaitable[discord.ui.LayoutView | None]]
"""How a post is laid out, with buttons for instance; None for its plain text."""

PAGE = 100
MOST_READ = 1_000  # messages
READ_BACK_MS = 3_600_000  # one of the two clocks may be wrong

MISSING_ACCESS, MISSING_PERMISSIONS, CANNOT_REPLY = 50001, 50013, 160002
UNKNOWN_CHANNEL, UNKNOWN_MESSAGE = 10003, 10008
IN_WORDS = {
    MISSING_ACCESS: "the bot may not see this channel",
    MISSING_PERMISSIONS: "the bot may not write in this channel",
    CANNOT_REPLY: "to reply, the bot must be allowed to read this channel's history",
    UNKNOWN_CHANNEL: "there is no such channel any more",
    UNKNOWN_MESSAGE: "it was sent, and then somebody deleted it",
    50007: "this person takes no direct messages from the bot",
    200000: "the server's AutoMod blocks this text",
    200001: "the server's AutoMod blocks this title",
}

_UNSEEN = regex.compile(r"[\p{Cf}\ufe00-\ufe0f]+")


class DiscordPoster:
    """Sends by whatever client there is at the moment. It should have been made with `http_trace=attempt.trace()`:
    without it nobody knows how often discord.py has tried, and a refusal counts as unknown."""

    platform = "discord"
    # key_ms: Discord takes a repeated nonce for the first message "in the past few minutes"; two are the least that
    # these words can mean. quiet_ms: a request that is still under way when we stop waiting is a message being written,
    # which takes Discord a second or two; it answers 504 itself long before 30 s more are over. So an attempt may be
    # made again until a minute after the first (`claims`: 30 s to send and 30 s of quiet must end within key_ms), which
    # is early enough for one that hung for all of its 30 s, and settles it with one request. After that only the
    # channel's history can tell; it may lag behind for a moment, so that two looks a minute apart must find nothing.
    capability = Capability(key_ms=120_000, searchable=True, quiet_ms=30_000, looks=2, read_count=1)

    def __init__(
        self,
        connected: Connected,
        now: Callable[[], int] = now_ms,
        dressed: Dressed | None = None,
        allow_links: Callable[[], bool] = lambda: False,
    ) -> None:
        self._connected = connected
        self._now = now
        self._dressed = dressed
        self._allow_links = allow_links

    async def send(self, post: Post) -> str:
        client = self._client()
        if client is None:
            raise NotSent("there is no connection to Discord")
        channel = _channel(client, post)
        view = await self._view(post)
        message: dict[str, Any] = {"view": view} if view is not None else {"content": self._text(post)}
        if (reference := _reference(post)) is not None:
            message["reference"] = discord.MessageReference(
                message_id=reference, channel_id=channel.id, fail_if_not_exists=False
            )
        tries = watch()
        try:
            sent = await channel.send(
                **message,
                nonce=nonce(post.id),
                allowed_mentions=discord.AllowedMentions.none(),
                suppress_embeds=True,
            )
        except Exception as error:
            meaning = self._in_our_words(error)
            if meaning is None or not _is_first(tries, error):
                raise
            raise meaning from error
        return str(sent.id)

    async def find(self, post: Post) -> Found | None:
        client = self._client()
        if client is None or client.user is None:
            raise ConnectionError("there is no connection to Discord")
        channel = _channel(client, post)
        view = await self._view(post)
        texts = [self._text(post)] if view is None else _texts(view)
        buttons = set() if view is None else set(_custom_ids(view))
        reference = _reference(post)
        count, oldest = 0, self._now()
        async for message in channel.history(limit=MOST_READ):
            count, oldest = count + 1, _created_ms(message)
            if message.author.id == client.user.id and _is_post(message) and _follows(message, reference):
                # A draft that was settled says something else, but a button may still be there.
                same = list(map(_alike, _texts(message))) == list(map(_alike, texts))
                if same or buttons & set(_custom_ids(message)):
                    return Found(str(message.id), oldest)
            if count >= PAGE and oldest < (post.claimed_at or self._now()) - READ_BACK_MS:
                return None
        if count == 0:
            await _make_sure_it_is_empty(client, channel.id)
        if count >= MOST_READ:
            raise LookupError(f"more than {MOST_READ:,} messages have been written since")
        return None

    def _client(self) -> discord.Client | None:
        """None until it has logged in and after it was closed: then it could not even try."""
        client = self._connected()
        return client if client is not None and client.user is not None and not client.is_closed() else None

    async def _view(self, post: Post) -> discord.ui.LayoutView | None:
        return None if self._dressed is None else await self._dressed(post)

    def _text(self, post: Post) -> str:
        return said(post.text, self._allow_links())

    def _in_our_words(self, error: Exception) -> NotSent | Refused | Unauthorized | None:
        """What an error means if it is of the first try; None leaves open whether the post arrived."""
        if isinstance(error, discord.RateLimited):
            return NotSent("Discord asks us to wait", self._now() + int(error.retry_after * 1000))
        if isinstance(error, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError):
            return NotSent(f"no connection to Discord: {error}")
        if not isinstance(error, discord.HTTPException):
            return None
        why = IN_WORDS.get(error.code, f"Discord refused it: {error.text} ({error.code})")
        match error.status:
            case 429:
                return NotSent("Discord asks us to wait", self._retry_at(error))
            case 401:
                return Unauthorized("Discord does not accept the bot's token")
            case 403 if error.code == 0:  # said by what stands in front of Discord
                return NotSent("Discord does not let us in at the moment")
            case 400 | 403 | 413:
                return Refused(why)
            case 404 if error.code in (UNKNOWN_CHANNEL, UNKNOWN_MESSAGE):
                return Refused(why)
        return None

    def _retry_at(self, error: discord.HTTPException) -> int | None:
        wait = error.response.headers.get("Retry-After", "")
        return self._now() + int(float(wait) * 1000) if regex.fullmatch(r"\d+(\.\d+)?", wait) else None


def _is_first(tries: Tries, error: Exception) -> bool:
    """Whether no try before the one that raised this can have gone out."""
    if isinstance(error, discord.RateLimited) and not tries:
        return True  # we know of the limit, and did not ask
    return len(tries) > 0 and all(earlier == 429 for earlier in tries[:-1])


def _channel(client: discord.Client, post: Post) -> discord.PartialMessageable:
    if not post.account.isdecimal():
        raise Refused(f"{post.account} is no channel")
    return client.get_partial_messageable(int(post.account))


def _reference(post: Post) -> int | None:
    """The message that it replies to."""
    wanted = str(post.reply_to or post.cause.get("in_reply_to") or "")
    return int(wanted) if wanted.isdecimal() else None


def _follows(message: discord.Message, reference: int | None) -> bool:
    """A reply to what was deleted meanwhile stands there as no reply."""
    replied = None if message.reference is None else message.reference.message_id
    return replied is None or replied == reference


def _is_post(message: discord.Message) -> bool:
    """Answers to commands are no posts, and may well say the same."""
    return message.webhook_id is None and message.interaction_metadata is None


def _created_ms(message: discord.Message) -> int:
    return (message.id >> 22) + discord.utils.DISCORD_EPOCH


def _alike(text: str) -> str:
    """The same for what Discord may write differently: blanks, invisible letters, and how a letter is composed."""
    return " ".join(unicodedata.normalize("NFC", _UNSEEN.sub("", text)).split())


def _texts(shown: discord.Message | discord.ui.LayoutView) -> list[str]:
    content = [shown.content] if isinstance(shown, discord.Message) and shown.content else []
    return content + [part["content"] for part in _parts(shown) if "content" in part]


def _custom_ids(shown: discord.Message | discord.ui.LayoutView) -> list[str]:
    return [part["custom_id"] for part in _parts(shown) if "custom_id" in part]


def _parts(shown: discord.Message | discord.ui.LayoutView) -> Iterator[dict[str, Any]]:
    """All components, however deep, in their order."""
    if isinstance(shown, discord.Message):
        open_parts: list[Any] = [component.to_dict() for component in shown.components]
    else:
        open_parts = list(shown.to_components())  # type: ignore[no-untyped-call]
    while open_parts:
        part = open_parts.pop(0)
        yield part
        open_parts[:0] = part.get("components", ())


async def _make_sure_it_is_empty(client: discord.Client, channel_id: int) -> None:
    """Without the permission to read its history every channel looks empty; but it shows that something was said."""
    channel = await client.http.get_channel(channel_id)
    if channel.get("last_message_id") is not None:
        raise PermissionError("the bot may not read this channel's history")
