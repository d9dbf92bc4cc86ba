"""A poster for the scripted platform, written as one for a real platform should be: what surely was not sent and what
surely was refused are listed, and everything else is let pass, because then nobody can tell."""

from __future__ import annotations

import html
import unicodedata
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

import aiohttp

from bot.domain import Capability, Duplicate, Found, NotSent, Post, Refused, Unauthorized

TOO_MANY = "too many requests"
REFUSED = (400, 402, 404, 413, 422, 403)


class HttpPoster:
    """Speaks to one world of a `Platform`; `where` gives its address at each request, `now` the time that the platform
    goes by."""

    def __init__(
        self,
        platform: str,
        capability: Capability,
        where: Callable[[], str],
        now: Callable[[], int],
        total_s: float = 0.5,
        connect_s: float = 0.25,
    ) -> None:
        self.platform = platform
        self.capability = capability
        self._where = where
        self._now = now
        self._timeout = aiohttp.ClientTimeout(total=total_s, connect=connect_s)
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def send(self, post: Post) -> str:
        body = {"account": post.account, "text": post.text}
        if post.reply_to is not None:
            body["reply_to"] = post.reply_to
        if self.capability.key_ms:
            body["key"] = post.id
        try:
            response = await self._open().post(f"{self._where()}/posts", json=body, headers=self._headers(post))
        except aiohttp.ClientConnectorError as error:
            raise NotSent(f"no connection: {error.strerror}") from error
        async with response:
            if response.status == 429:
                wait = response.headers.get("Retry-After")
                raise NotSent(TOO_MANY, None if wait is None else self._now() + int(wait) * 1_000)
            if response.status == 401:
                raise Unauthorized("the platform does not accept our token")
            if response.status in REFUSED:
                detail = str((await response.json())["detail"])
                raise Duplicate(detail) if "duplicate" in detail else Refused(detail)
            response.raise_for_status()
            remote_id = (await response.json())["id"]
            if not isinstance(remote_id, str):
                raise TypeError("the answer holds no id")
            return remote_id

    async def find(self, post: Post) -> Found | None:
        for entry in await self._timeline(post):
            if entry["key"] == post.id if self.capability.key_ms else same(entry["text"], post.text):
                return Found(entry["id"], entry["at"])
        return None

    async def _timeline(self, post: Post) -> list[dict[str, Any]]:
        where = {"account": post.account, "since": "0"}
        async with self._open().get(f"{self._where()}/posts", params=where, headers=self._headers(post)) as response:
            response.raise_for_status()
            entries: list[dict[str, Any]] = await response.json()
            return entries

    def _headers(self, post: Post) -> dict[str, str]:
        return {"X-Clock": str(self._now()), "X-Row": post.id}

    def _open(self) -> aiohttp.ClientSession:
        """Made in the loop that uses it. aiohttp repeats a read whose connection broke, unasked; but reads are counted,
        so that is turned off as aiohttp's own test client does it."""
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=self._timeout)
            self._session._retry_connection = False
        return self._session


def same(shown: str, text: str) -> bool:
    """As platforms show a text: escaped, and with their own choice of how a letter is written."""
    return unicodedata.normalize("NFC", html.unescape(shown)).strip() == unicodedata.normalize("NFC", text).strip()
