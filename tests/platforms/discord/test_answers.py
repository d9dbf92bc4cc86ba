"""Whatever is asked on Discord is answered once, though the bot is stopped, the token expires or requests fail."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot.errors import NothingAcceptable
from bot.platforms.discord.answers import ask, original, progress
from bot.platforms.discord.answers.aloud import spoken
from bot.store import erase, interactions, outbox
from bot.store.database import Db
from tests.platforms.discord.fronted import Bot, hasten
from tests.servers.discord.clients import send_discord_py
from tests.servers.discord.conftest import Place, place
from tests.servers.discord.objects import Permission

__all__ = ["place"]
pytestmark = pytest.mark.discord

CALLBACK = "POST /interactions/{interaction_id}/{interaction_token}/callback"
ORIGINAL = "PATCH /webhooks/{webhook_id}/{webhook_token}/messages/@original"
SEND = "POST /channels/{channel_id}/messages"


@pytest.fixture
async def bot(place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Bot]:
    send_discord_py(monkeypatch, place.server)
    hasten(monkeypatch)
    monkeypatch.setattr(original, "FIRST_WAIT_S", 0.01)
    monkeypatch.setattr(progress, "FIRST_S", 0.05)
    bot = Bot(place, tmp_path / "data")
    await bot.start()
    await bot.persona("jo")
    yield bot
    await bot.stop()


async def test_a_command_is_written_down_acknowledged_and_answered(bot: Bot) -> None:
    asked = bot.world.slash(bot.channel, bot.ann, "imitate", handle="Jo", prompt="the sea", count=2)
    answer = await bot.world.answer(asked)
    assert asked.callback == {"type": 5}
    assert "text 1.1" in answer.text
    assert "text 1.2" in answer.text
    (row,) = await bot.closed()
    assert (row.state, row.token, row.message_id) == ("answered", None, answer.id)
    assert bot.script.asked[0]["prompt"] == "the sea"


async def test_whoever_waits_sees_how_many_are_ahead(bot: Bot) -> None:
    bot.script.free.clear()
    people = [bot.ann, *(bot.world.add_user(f"p{number}") for number in range(4))]
    for person in people[1:]:
        bot.world.join(bot.place.guild, person)
    asked = [bot.world.slash(bot.channel, person, "imitate", handle="jo") for person in people]
    waiting = [await bot.world.acknowledged(one) for one in asked][-1]
    await bot.world.until(lambda: waiting.original and "ahead of you" in waiting.original.text)
    assert waiting.original is not None
    assert "4 ahead of you" in waiting.original.text
    bot.script.free.set()
    rows = await bot.closed(5)
    assert [row.state for row in rows] == ["answered"] * 5
    assert all("text" in (one.original.text if one.original else "") for one in asked)


async def test_what_cannot_be_done_is_said_in_one_sentence(bot: Bot, caplog: pytest.LogCaptureFixture) -> None:
    bot.script.errors.append(NothingAcceptable(persona="jo", reasons="too short"))
    refused = await bot.world.answer(bot.world.slash(bot.channel, bot.ann, "imitate", handle="jo"))
    assert "Moderation refused every text of jo (too short)" in refused.text
    bot.script.errors.append(ValueError("a secret of ours"))
    broken = await bot.world.answer(bot.world.slash(bot.channel, bot.ann, "imitate", handle="jo"))
    assert "Something went wrong (reference" in broken.text
    assert "secret" not in broken.text
    assert broken.text.split("reference ")[1][:8] in caplog.text


async def test_too_many_at_once_are_refused_before_anything_is_acknowledged(bot: Bot) -> None:
    bot.script.free.clear()
    for number in range(7):  # two of which are being done
        await bot.world.acknowledged(bot.world.slash(bot.channel, bot.ann, "imitate", handle="jo"))
        await bot.asked(min(number + 1, 2))
    asked = await bot.world.acknowledged(bot.world.slash(bot.channel, bot.ann, "imitate", handle="jo"))
    assert asked.callback is not None
    assert asked.callback["type"] == 4
    assert asked.callback["data"]["flags"] & 64
    assert asked.original is not None
    assert "You already have 5 waiting" in asked.original.text
    assert len(await bot.rows()) == 7
    bot.script.free.set()
    await bot.closed(7)


@pytest.mark.parametrize("route", [CALLBACK, ORIGINAL])
@pytest.mark.parametrize(
    ("says", "applied"),
    [("429", False), ("500", False), ("502", True), ("503", True), ("504", False), ("reset", False), ("reset", True)],
)
async def test_a_request_that_fails_loses_and_doubles_nothing(bot: Bot, route: str, says: str, applied: bool) -> None:
    fault = bot.server.fault(route, says, times=2, applied=applied, retry_after_s=0.01)
    asked = bot.world.slash(bot.channel, bot.ann, "imitate", handle="jo")
    (row,) = await bot.closed()
    assert fault.happened
    assert row.state == "answered"
    (message,) = bot.channel.shown()
    assert message is asked.original
    assert message.text.count("text 1.1") == 1
    assert len(bot.script.asked) == 1


async def test_an_event_that_is_told_again_is_answered_once(bot: Bot) -> None:
    await bot.world.answer(bot.world.slash(bot.channel, bot.ann, "imitate", handle="jo"))
    bot.client._heard.clear()  # as if it had forgotten
    bot.server.gateway.replay(last=5)
    await bot.world.answer(bot.world.slash(bot.channel, bot.ann, "imitate", handle="jo"))
    await bot.closed(2)
    assert len(bot.script.asked) == len(bot.server.asked(CALLBACK)) == 2


async def test_an_answer_that_comes_after_a_quarter_of_an_hour_is_a_message_of_its_own(bot: Bot) -> None:
    bot.script.free.clear()
    asked = await bot.world.acknowledged(
        bot.world.slash(bot.channel, bot.ann, "imitate", handle="jo", prompt="@everyone")
    )
    bot.world.pass_time(16 * 60)  # by Discord's clock
    fault = bot.server.fault(SEND, "reset", applied=True)
    bot.script.free.set()
    message = await bot.world.said(bot.channel, "text 1.1")
    (row,) = await bot.closed()
    assert (row.state, row.token) == ("answered", None)
    assert message.interaction is None
    assert message.pings == []
    assert "AI imitation" in message.text
    assert "As asked with “@\u200beveryone” at" in message.text
    again = await bot.world.answer(bot.world.press(message, bot.ann, "Again"))
    assert "text 2.1" in again.text
    await bot.world.until(lambda: fault.happened)
    assert [found for found in bot.channel.shown() if found not in (asked.original, again)] == [message]


async def test_whoever_was_not_told_in_three_seconds_is_answered_all_the_same(bot: Bot) -> None:
    asked = bot.world.slash(bot.channel, bot.ann, "imitate", handle="jo")
    bot.world.pass_time(4)
    await bot.world.said(bot.channel, "text 1.1")
    assert asked.acknowledged_at is None
    assert [request.status for request in bot.server.asked(CALLBACK)] == [404]


@pytest.mark.parametrize("error", [None, NothingAcceptable(persona="jo", reasons="too short")])
async def test_an_answer_that_stands_there_without_our_knowing_is_not_said_again(
    bot: Bot, error: Exception | None
) -> None:
    bot.script.errors += [] if error is None else [error]
    fault = bot.server.fault(ORIGINAL, "reset", times=1000, applied=True)
    asked = bot.world.slash(bot.channel, bot.ann, "imitate", handle="jo")
    await bot.world.answer(asked)
    bot.world.pass_time(16 * 60)
    bot.server.faults.remove(fault)
    (row,) = await bot.closed()
    assert row.state == "answered"
    assert bot.channel.shown() == [asked.original]
    assert await bot.database.run(lambda db: outbox.every(db, 10)) == []


async def test_an_answer_whose_message_was_deleted_is_a_message_of_its_own(bot: Bot) -> None:
    bot.script.free.clear()
    asked = await bot.world.acknowledged(bot.world.slash(bot.channel, bot.ann, "imitate", handle="jo"))
    assert asked.original is not None
    bot.world.remove(asked.original)
    bot.script.free.set()
    await bot.world.said(bot.channel, "text 1.1")


async def test_where_the_bot_may_not_speak_nobody_waits_for_ever(bot: Bot, caplog: pytest.LogCaptureFixture) -> None:
    (everyone,) = (role for role in bot.place.guild.roles.values() if role.name == "@everyone")
    await bot.stop()
    everyone.permissions &= ~Permission.SEND_MESSAGES
    await bot.start()
    bot.script.free.clear()
    await bot.world.acknowledged(bot.world.slash(bot.channel, bot.ann, "imitate", handle="jo"))
    bot.world.pass_time(16 * 60)
    bot.script.free.set()
    (row,) = await bot.closed()
    assert row.state == "gone"
    assert "nobody can be answered" in caplog.text


async def test_where_only_the_person_has_installed_the_bot_an_answer_after_its_time_is_given_up(bot: Bot) -> None:
    guild = bot.world.add_guild("Elsewhere", installed=False)
    bot.world.join(guild, bot.ann)
    (channel,) = guild.channels.values()
    await bot.persona("jo", where=f"discord:{guild.id}")
    in_time = await bot.world.answer(bot.world.slash(channel, bot.ann, "imitate", handle="jo"))
    assert "text 1.1" in in_time.text
    bot.script.free.clear()
    await bot.world.acknowledged(bot.world.slash(channel, bot.ann, "imitate", handle="jo"))
    bot.world.pass_time(16 * 60)
    bot.script.free.set()
    assert [row.state for row in await bot.closed(2)] == ["answered", "gone"]


async def test_a_chat_with_the_bot_is_a_place_of_its_own(bot: Bot) -> None:
    chat = bot.world.direct(bot.ann)
    await bot.persona("kim", where=f"discord:{chat.id}")
    bot.script.free.clear()
    await bot.world.acknowledged(bot.world.slash(chat, bot.ann, "imitate", handle="kim"))
    bot.world.pass_time(16 * 60)
    bot.script.free.set()
    said = await bot.world.said(chat, "text 1.1")
    assert said.interaction is None
    unknown = await bot.world.answer(bot.world.slash(chat, bot.ann, "imitate", handle="jo"))
    assert "There is no persona **@jo** here." in unknown.text


async def test_a_database_that_cannot_be_written_keeps_nobody_from_an_answer_later(
    bot: Bot, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(ask, "AGAIN_S", 0.05)
    database = bot.database
    database._thread.submit(database._db.execute, "PRAGMA busy_timeout = 20").result()
    bot.server.fault(ORIGINAL, "slow", delay_s=0.3)
    asked = bot.world.slash(bot.channel, bot.ann, "imitate", handle="jo")
    await bot.world.answer(asked)
    other = sqlite3.connect(bot.data / "mockingbird.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    async with asyncio.timeout(10):
        while "keeps the database" not in caplog.text:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    other.execute("ROLLBACK")
    other.close()
    (row,) = await bot.closed()
    assert row.state == "answered"


async def test_what_was_asked_before_a_restart_is_answered_after_it(bot: Bot) -> None:
    bot.script.free.clear()
    asked = await bot.world.acknowledged(bot.world.slash(bot.channel, bot.ann, "imitate", handle="jo"))
    await bot.asked()
    await bot.stop()
    bot.script.free.set()
    await bot.start()
    answer = await bot.world.answer(asked)
    assert "text 2.1" in answer.text
    assert bot.channel.shown() == [answer]


async def test_what_is_being_acknowledged_is_not_taken_up_before(bot: Bot) -> None:
    fault = bot.server.fault(CALLBACK, "reset", times=3)
    asked = bot.world.slash(bot.channel, bot.ann, "imitate", handle="jo")
    for number in range(1, 4):
        await bot.world.until(lambda number=number: fault.happened >= number)  # type: ignore[misc]
        await ask.resume(bot.front)
    await bot.closed()
    assert bot.channel.shown() == [asked.original]
    assert await bot.database.run(lambda db: outbox.every(db, 10)) == []


async def test_what_was_asked_of_a_bot_that_was_killed_is_answered_by_the_next_one(bot: Bot) -> None:
    await bot.stop()
    urls = (bot.server.api_url, bot.server.gateway_url, bot.token, bot.home)
    command = (sys.executable, "-P", "-m", "tests.platforms.discord.killed", str(bot.data), *urls)
    process = await asyncio.create_subprocess_exec(*command)
    try:
        await bot.server.gateway.ready(30)
        asked = await bot.world.acknowledged(bot.world.slash(bot.channel, bot.ann, "imitate", handle="jo"))
    finally:
        process.send_signal(signal.SIGKILL)
        await process.wait()
    assert asked.original is not None
    assert not asked.answered
    await bot.start()
    answer = await bot.world.answer(asked)
    assert "text 1.1" in answer.text
    assert bot.channel.shown() == [answer]


async def test_what_was_done_but_could_not_be_shown_before_a_restart_is_shown_after_it(bot: Bot) -> None:
    fault = bot.server.fault(ORIGINAL, "503", times=1000)
    asked = bot.world.slash(bot.channel, bot.ann, "imitate", handle="jo")
    await bot.world.until(lambda: fault.happened > 1)
    await bot.stop()
    bot.server.faults.clear()
    await bot.start()
    assert "text 1.1" in (await bot.world.answer(asked)).text
    assert len(bot.script.asked) == 1


async def test_a_token_is_kept_sealed_forgotten_in_time_and_never_logged(
    bot: Bot, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    bot.script.free.clear()
    fault = bot.server.fault(ORIGINAL, "reset", times=3)
    asked = await bot.world.acknowledged(bot.world.slash(bot.channel, bot.ann, "imitate", handle="jo"))
    (row,) = await bot.rows()
    assert row.token is not None
    assert asked.token not in repr(row)
    bot.script.free.set()
    await bot.closed()
    assert fault.happened == 3
    await bot.stop()
    kept = b"".join(file.read_bytes() for file in bot.data.rglob("*") if file.is_file())
    assert asked.token.encode() not in kept
    assert asked.token not in caplog.text
    await bot.start()


async def test_tokens_that_expire_are_forgotten(bot: Bot) -> None:
    bot.script.free.clear()
    await bot.world.acknowledged(bot.world.slash(bot.channel, bot.ann, "imitate", handle="jo"))
    bot.pass_time(16 * 60)
    await bot.database.run(lambda db: interactions.prune(db, bot.now()))
    (row,) = await bot.rows()
    assert (row.state, row.token) == ("open", None)
    bot.script.free.set()
    await bot.world.said(bot.channel, "text 1.1")


async def test_who_waits_for_somebody_who_is_forgotten_is_told_so_and_nothing_else(bot: Bot) -> None:
    def forget(db: Db) -> None:
        held = erase.held(db, bot.home, "jo")
        assert held is not None
        erase.erase(db, held, 1)

    bot.script.free.clear()
    asked = bot.world.slash(bot.channel, bot.ann, "imitate", handle="jo", prompt="the sea")
    await bot.asked()
    await bot.database.run(forget)
    bot.script.free.set()
    (row,) = await bot.closed()
    assert asked.original is not None
    assert asked.original.text == "Whom you asked for was forgotten meanwhile."
    assert (row.state, row.asked, row.persona_id, row.token) == ("answered", {}, None, None)


async def test_an_answer_that_was_not_shown_before_it_was_forgotten_is_none(bot: Bot) -> None:
    persona = await bot.persona("ben")
    new = interactions.Interaction(
        "77", "imitate", bot.home, bot.channel.id, f"discord:{bot.ann.id}", {"persona": persona.name}, None, 1, 1
    )

    def forget(db: Db) -> interactions.Interaction | None:
        interactions.add(db, new)
        interactions.keep_answer(db, "77", {"persona": persona.name, "candidates": [{"text": "a kettle"}]}, persona.id)
        held = erase.held(db, bot.home, "ben")
        assert held is not None
        erase.erase(db, held, 1)
        interactions.keep_answer(db, "77", {"candidates": [{"text": "a kettle"}]}, None)
        return interactions.get(db, "77")

    row = await bot.database.run(forget)
    assert row is not None
    assert (row.state, row.asked, row.answer) == (
        "open",
        {},
        {"sentence": "Whom you asked for was forgotten meanwhile."},
    )
    assert spoken(row) == "What was asked at 00:00:00 UTC: Whom you asked for was forgotten meanwhile."
