"""Uploads: a file that somebody attached, fetched from Discord alone and kept only while it is read."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import yarl

from bot.errors import UploadFailed, UploadTooLarge
from bot.flows.sweep import UPLOADS

MIB = 2**20
CHUNK = 64 * 1024
HOSTS = ("cdn.discordapp.com", "media.discordapp.net")
PARENT = ".discordusercontent.com"
LONGEST_S, LONGEST_SILENCE_S = 300.0, 30.0

Trusted = Callable[[yarl.URL], bool]


def of_discord(url: yarl.URL) -> bool:
    """Whether an address leads to where Discord keeps what people attach, and nowhere else."""
    host = url.host or ""
    return url.scheme == "https" and url.port == 443 and (host in HOSTS or host.endswith(PARENT))


def trusts(api_base: str, url: yarl.URL) -> bool:
    """Whoever configured another place for Discord's interface keeps what people attach there as well."""
    return of_discord(url) or (api_base != "" and yarl.URL(api_base).origin() == url.origin())


@asynccontextmanager
async def fetched(
    address: str, id: int, data: Path, most_bytes: int, trusted: Trusted = of_discord
) -> AsyncIterator[Path]:
    """The file, which is removed at the end whatever happens; after a kill the next start does it. Its size is what is
    read, not what somebody says. Raises UploadTooLarge and UploadFailed."""
    url = yarl.URL(address)
    if not trusted(url):
        raise UploadFailed(reason="it does not lie with Discord")
    folder = data / UPLOADS
    folder.mkdir(mode=0o700, exist_ok=True)
    path = folder / str(id)  # nothing that a person wrote becomes a path
    try:
        await _fetch(url, path, most_bytes)
        yield path
    finally:
        path.unlink(missing_ok=True)


async def _fetch(url: yarl.URL, path: Path, most_bytes: int) -> None:
    timeout = aiohttp.ClientTimeout(total=LONGEST_S, sock_read=LONGEST_SILENCE_S)
    read = 0
    try:
        async with (
            # A packed answer could be far larger than what was sent.
            aiohttp.ClientSession(timeout=timeout, auto_decompress=False) as session,
            session.get(url, allow_redirects=False, headers={"Accept-Encoding": "identity"}) as response,
        ):
            if response.status != 200:
                raise UploadFailed(reason=f"Discord answers {response.status}")
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                async for chunk in response.content.iter_chunked(CHUNK):
                    read += len(chunk)
                    if read > most_bytes:
                        raise UploadTooLarge(most=most_bytes // MIB)
                    await asyncio.to_thread(file.write, chunk)
    except (aiohttp.ClientError, TimeoutError) as error:
        raise UploadFailed(reason=type(error).__name__) from error
