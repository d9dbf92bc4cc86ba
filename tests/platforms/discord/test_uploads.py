"""A file is fetched from Discord alone, never more than may be, and is gone afterwards."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import yarl
from aiohttp import web

from bot.errors import UploadFailed, UploadTooLarge
from bot.platforms.discord.uploads import MIB, fetched, of_discord

pytestmark = pytest.mark.discord


@pytest.mark.parametrize(
    ("address", "trusted"),
    [
        ("https://cdn.discordapp.com/attachments/1/2/tweets.js?ex=1&is=2&hm=3", True),
        ("https://media.discordapp.net/attachments/1/2/tweets.js", True),
        ("https://images-ext-1.discordusercontent.com/x", True),
        ("http://cdn.discordapp.com/attachments/1/2/tweets.js", False),
        ("https://cdn.discordapp.com:8443/tweets.js", False),
        ("https://cdn.discordapp.com.example.org/tweets.js", False),
        ("https://evildiscordusercontent.com/x", False),
        ("https://discordusercontent.com.example.org/x", False),
        ("https://cdn.discordapp.com@example.org/x", False),
        ("https://169.254.169.254/latest/meta-data", False),
        ("file:///etc/passwd", False),
        ("https:///x", False),
    ],
)
def test_only_discord_is_trusted(address: str, trusted: bool) -> None:
    assert of_discord(yarl.URL(address)) is trusted


@pytest.fixture
async def server() -> AsyncIterator[str]:
    """Answers as somebody would who means ill."""

    async def large(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for _ in range(64):
            await response.write(b"x" * 65_536)
        return response

    async def packed(request: web.Request) -> web.Response:
        return web.Response(body=b"\x1f\x8b\x08\x00", headers={"Content-Encoding": "gzip"})

    async def elsewhere(request: web.Request) -> web.Response:
        raise web.HTTPFound("/good")

    async def good(request: web.Request) -> web.Response:
        return web.Response(body=b"tweets")

    app = web.Application()
    for handler in (large, packed, elsewhere, good):
        app.router.add_get(f"/{handler.__name__}", handler)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


def anybody(url: yarl.URL) -> bool:
    return True


async def test_what_was_fetched_is_gone_afterwards_whatever_happens(server: str, tmp_path: Path) -> None:
    async with fetched(f"{server}/good", 7, tmp_path, MIB, anybody) as path:
        assert (path, path.read_bytes()) == (tmp_path / "uploads" / "7", b"tweets")
        assert path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(ZeroDivisionError):
        async with fetched(f"{server}/good", 8, tmp_path, MIB, anybody):
            raise ZeroDivisionError
    assert list((tmp_path / "uploads").iterdir()) == []


@pytest.mark.parametrize(
    ("path", "error", "says"),
    [
        ("large", UploadTooLarge, "may have 1 MB"),  # it never says how long it is
        ("elsewhere", UploadFailed, "Discord answers 302"),
        ("nowhere", UploadFailed, "Discord answers 404"),
    ],
)
async def test_nothing_is_fetched_from_elsewhere_and_nothing_without_end(
    server: str, tmp_path: Path, path: str, error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        async with fetched(f"{server}/{path}", 7, tmp_path, MIB, anybody):
            pass
    assert list((tmp_path / "uploads").iterdir()) == []


async def test_what_is_packed_on_the_way_is_not_unpacked(server: str, tmp_path: Path) -> None:
    async with fetched(f"{server}/packed", 7, tmp_path, MIB, anybody) as path:
        assert path.read_bytes() == b"\x1f\x8b\x08\x00"


async def test_nobody_is_asked_who_is_not_trusted(server: str, tmp_path: Path) -> None:
    with pytest.raises(UploadFailed, match="does not lie with Discord"):
        async with fetched(f"{server}/good", 7, tmp_path, MIB):
            pass
    with pytest.raises(UploadFailed, match="ClientConnectorError"):
        async with fetched("http://127.0.0.1:9/x", 7, tmp_path, MIB, anybody):
            pass
