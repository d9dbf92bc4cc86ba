"""The control socket answers as the operations do, in HTTP that another client understands, and to its owner alone."""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
import stat
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from bot.app import App
from bot.config import Config, load_config
from bot.errors import Answered, MockingbirdError
from bot.store import timelines as held
from bot.store.database import Db
from bot.web import socket as address
from bot.web.api import serving
from bot.web.door import Inside, door
from bot.web.operation import Asked
from bot.web.operations import EVERY, accounts, personas, schedules, settings, timelines
from tests.command import tweets_of


@pytest.fixture
async def app(tmp_path: Path) -> AsyncIterator[App]:
    async with App(Config(), tmp_path / "data", {}) as opened, serving(opened):
        yield opened


class Unix(http.client.HTTPConnection):
    """The standard library's client, on a Unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("mockingbird", timeout=20)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(str(self._path))


async def fetch(app: App, method: str, path: str, body: object = None, **headers: str) -> tuple[int, Any, Any]:
    def work() -> tuple[int, Any, Any]:
        connection = Unix(app.database.folder / address.NAME)
        sent = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        connection.request(method, path, sent, headers)
        response = connection.getresponse()
        content = response.read()
        connection.close()
        return response.status, content if headers else json.loads(content), response.headers

    return await asyncio.to_thread(work)


async def test_only_its_owner_may_speak_to_the_bot(app: App) -> None:
    path = app.database.folder / address.NAME
    assert stat.S_ISSOCK(path.stat().st_mode)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


async def test_another_client_gets_plain_json(app: App, tmp_path: Path) -> None:
    file = tmp_path / "kevin.jsonl"
    file.write_text("".join(json.dumps(tweet) + "\n" for tweet in tweets_of("kevin", 40, 1)), "utf-8")
    status, answer, headers = await fetch(app, "POST", "/v1/timelines", {"file": str(file), "dry_run": True})
    assert (status, answer["handle"], answer["new"], answer["dry_run"]) == (200, "kevin", 40, True)
    assert headers["Mockingbird-Version"]
    assert (await fetch(app, "GET", "/v1/personas"))[:2] == (200, {"personas": []})


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "said"),
    [
        ("POST", "/v1/timelines", b"{no json", 400, "The body is not JSON."),
        ("POST", "/v1/timelines", b"[" * 200_000, 400, "The body is not JSON."),
        ("POST", "/v1/timelines", b'{"file": "\\ud800"}', 400, "The body is not JSON."),
        ("POST", "/v1/timelines", b" " * 2**20 + b"{}", 400, "The body is larger than 1,048,576 bytes."),
        ("POST", "/v1/trainings", {"handles": ["jo"], "recipe": "slow"}, 400, "recipe: Input should be 'quick'"),
        ("POST", "/v1/posts", {"persona": "jo", "platform": "locale"}, 404, "There is no platform 'locale' (did you"),
        ("POST", "/v1/schedules", {"persona": "jo", "every": "1h", "platform": "x"}, 404, "There is no platform 'x'"),
        ("POST", "/v1/timelines", [], 400, "The body is not a JSON object."),
        ("POST", "/v1/timelines", {}, 400, "file: Field required."),
        ("POST", "/v1/timelines", {"file": "x", "fiel": 1}, 400, "fiel: Extra inputs are not permitted."),
        ("POST", "/v1/schedules/one/pause", {}, 400, "id: Input should be a valid integer"),
        ("POST", "/v1/schedules/7/pause", {}, 404, "There is no schedule 7"),
        ("POST", "/v1/imitations", {"persona": "nobody"}, 404, "There is no persona 'nobody'"),
        ("POST", "/v1/schedules", {"persona": "jo", "every": "0s"}, 422, '"0s" is not an interval'),
        ("POST", "/v1/timelines", {"file": "/nowhere/x.jsonl"}, 422, "/nowhere/x.jsonl cannot be opened"),
    ],
)
async def test_a_mistake_is_told_with_its_status_and_sentence(
    app: App, method: str, path: str, body: object, status: int, said: str
) -> None:
    got, answer, _ = await fetch(app, method, path, body)
    assert got == status
    assert answer["error"]["message"].startswith(said)


async def test_progress_comes_as_server_sent_events_before_the_answer(app: App) -> None:
    status, content, headers = await fetch(app, "GET", "/v1/personas", None, Accept="text/event-stream")
    assert (status, headers["Content-Type"]) == (200, "text/event-stream")
    assert content == b'event: answer\ndata: {"personas": []}\n\n'


async def test_the_same_door_leads_to_the_running_bot_or_inside(tmp_path: Path) -> None:
    def open_app() -> App:
        return App(Config(), tmp_path / "data", {})

    async with door(tmp_path / "data", open_app) as found:
        assert isinstance(found, Inside)
        alone = await found.ask(personas.every, Asked(), print)
    async with open_app() as app, serving(app), door(app.database.folder, open_app) as found:
        assert not isinstance(found, Inside)
        assert await found.ask(personas.every, Asked(), print) == alone == {"personas": []}
        with pytest.raises(Answered, match="There is no schedule 3") as told:
            await found.ask(schedules.pause, schedules.One(id=3), print)
        assert told.value.exit_code == 1


@pytest.mark.parametrize("name", ["a/b", "a?b", "a#b", "100%41", "é x"])
async def test_a_name_means_the_same_there_as_here_whatever_it_holds(app: App, name: str) -> None:
    async with door(app.database.folder, lambda: app) as there:
        for found in (there, Inside(app)):
            with pytest.raises(MockingbirdError) as told:
                await found.ask(accounts.pause, accounts.One(platform="local", account=name), print)
            assert str(told.value).startswith(f"There is no account local/{name}")


async def test_a_data_directory_with_a_long_path_has_a_socket_too(tmp_path: Path) -> None:
    folder = tmp_path / ("long" * 30) / "data"
    async with App(Config(), folder, {}) as app, serving(app), door(folder, lambda: app) as found:
        assert not isinstance(found, Inside)
        assert await found.ask(personas.every, Asked(), print) == {"personas": []}
    assert not (folder / address.NAME).exists()


async def test_a_socket_that_a_killed_bot_left_is_nobody(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(folder / address.NAME))
    left.close()
    async with door(folder, lambda: App(Config(), folder, {})) as found:
        assert isinstance(found, Inside)
    async with App(Config(), folder, {}) as app, serving(app):
        assert (await fetch(app, "GET", "/v1/personas"))[0] == 200


async def test_who_waits_when_the_bot_stops_is_told_and_nothing_is_half_done(tmp_path: Path) -> None:
    """An import that cannot end before the bot does: there are too many tweets."""
    file, folder = tmp_path / "jo.jsonl", tmp_path / "data"
    tweet = '{{"id": "{}", "text": "the gull and the kettle number {}", "author_handle": "jo"}}\n'
    file.write_text("".join(tweet.format(number, number) for number in range(300_000)))
    async with App(Config(), folder, {}) as app, AsyncExitStack() as client:
        async with serving(app):
            found = await client.enter_async_context(door(folder, lambda: app))
            asking = asyncio.create_task(found.ask(timelines.hold, timelines.Import(file=file), print))
            await asyncio.sleep(0.3)
            assert not asking.done()
        with pytest.raises(Answered, match="The bot is stopping"):
            await asking
        assert await app.database.run(timelines_of) == []


def timelines_of(db: Db) -> list[str]:
    return held.handles(db)


async def test_the_configuration_is_read_again_and_what_needs_a_restart_is_named(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text("[sampling]\ntop_p = 0.5\n")
    environ: dict[str, str] = {}

    def read() -> Config:
        return load_config(file, environ)

    async with App(read(), tmp_path / "data", {}, read) as app, serving(app):
        file.write_text("[sampling]\ntop_p = 0.6\ntries = 2\n[pool]\nmax_waiting = 3\n[moderation]\nmax_length = 99\n")
        environ["MOCKINGBIRD__HUB__TOKEN_ENV"] = "ANOTHER"  # it was read at the start
        _, answer, _ = await fetch(app, "POST", "/v1/config/reload", {})
        assert answer == {
            "applied": ["sampling.top_p", "sampling.tries", "moderation.max_length"],
            "needs_restart": ["pool.max_waiting", "hub.token_env"],
        }
        assert (app.sampling.top_p, app.imitator.tries, app.moderators.plain.settings.max_length) == (0.6, 2, 99)
        assert (await fetch(app, "POST", "/v1/config/reload", {}))[1] == {
            "applied": [],
            "needs_restart": ["pool.max_waiting", "hub.token_env"],
        }
        file.write_text("[sampling]\ntop_p = 7\n")
        status, answer, _ = await fetch(app, "POST", "/v1/config/reload", {})
        assert (status, "sampling.top_p is 7" in answer["error"]["message"], app.sampling.top_p) == (422, True, 0.6)


def test_every_operation_has_a_path_of_its_own_and_asks_for_what_the_path_names() -> None:
    assert len({(found.method, found.path) for found in EVERY}) == len(EVERY) > 5
    for found in EVERY:
        names = {part[1:-1] for part in found.path.split("/") if part.startswith("{")}
        assert names <= set(found.asked.model_fields), found.path
        assert found.path.startswith("/v1/")
        assert settings.reload in EVERY
