"""Where a server wants it, a persona says what it is asked for under its own name, marked as AI, and says it once."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot.platforms.discord.answers import original, webhook
from bot.platforms.discord.answers.webhook import name_of
from bot.store import places
from tests.platforms.discord.fronted import Bot, hasten
from tests.servers.discord.clients import send_discord_py
from tests.servers.discord.conftest import Place, place
from tests.servers.discord.objects import Channel, Guild, Message, Permission, Webhook

__all__ = ["place"]
pytestmark = pytest.mark.discord

EXECUTE = "POST /webhooks/{webhook_id}/{webhook_token}"
CREATE = "POST /channels/{channel_id}/webhooks"
ORIGINAL = "PATCH /webhooks/{webhook_id}/{webhook_token}/messages/@original"


@pytest.fixture
async def bot(place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Bot]:
    """In a server that wants it, where the bot may."""
    send_discord_py(monkeypatch, place.server)
    hasten(monkeypatch)
    monkeypatch.setattr(original, "FIRST_WAIT_S", 0.01)
    monkeypatch.setattr(webhook, "LOOKS_S", (0.0, 0.02))
    place.guild.everyone.permissions |= Permission.MANAGE_WEBHOOKS
    bot = Bot(place, tmp_path / "data")
    await bot.start()
    await wish(bot, place.guild)
    await bot.persona("jo")
    yield bot
    await bot.stop()


async def wish(bot: Bot, guild: Guild) -> None:
    await bot.database.run(lambda db: places.settle(db, f"discord:{guild.id}", places.Settled(webhooks=True)))


async def imitated(bot: Bot, channel: Channel | None = None, **more: object) -> Message:
    """The original, once the interaction is closed."""
    before = len([row for row in await bot.rows() if row.state != "open"])
    answer = await bot.world.answer(bot.world.slash(channel or bot.channel, bot.ann, "imitate", handle="jo", **more))
    await bot.closed(before + 1)
    return answer


def spoken(channel: Channel) -> list[Message]:
    return [message for message in channel.shown() if message.webhook is not None]


async def test_a_persona_speaks_under_its_own_name_and_its_buttons_stay_in_the_answer(bot: Bot) -> None:
    answer = await imitated(bot, count=2)
    (said,) = spoken(bot.channel)
    assert said.author.name == "jo (AI)"
    assert "text 1.1" in said.text
    assert "text 1.2" in said.text
    assert "AI imitation" in said.text
    assert not said.buttons()
    assert "text 1" not in answer.text
    assert "**jo** · AI imitation" in answer.text
    await bot.stop()
    await bot.start()
    again = await bot.world.answer(bot.world.press(answer, bot.ann, "Again"))
    assert "text" not in again.text
    assert [("text 2.1" in message.text) for message in spoken(bot.channel)] == [False, True]
    assert len(bot.world.webhooks) == 1


async def test_elsewhere_the_answer_says_it_itself(bot: Bot) -> None:
    bot.world.forbid(bot.channel, Permission.MANAGE_WEBHOOKS)
    assert "text 1.1" in (await imitated(bot)).text
    other = bot.world.add_guild("Hill", permissions=int(bot.place.guild.everyone.permissions))
    bot.world.join(other, bot.ann)
    (channel,) = other.channels.values()
    await bot.persona("jo", where=f"discord:{other.id}")
    assert "text 2.1" in (await imitated(bot, channel)).text
    aside = bot.world.add_channel(bot.place.guild, "aside")
    bot.world.forbid(aside, Permission.READ_MESSAGE_HISTORY)
    assert "text 3.1" in (await imitated(bot, aside)).text
    message = bot.world.say(bot.channel, bot.ann, "who saw the lighthouse")
    assert "text 4.1" in (await bot.world.answer(bot.world.menu(message, bot.ann, "Answer as ..."))).text
    assert bot.world.webhooks == {}
    full = bot.world.add_channel(bot.place.guild, "full")
    for number in range(15):
        hook = Webhook(bot.world.new_id(), "t", full, f"hook {number}", bot.ann, "1")
        bot.world.webhooks[hook.id] = hook
    assert "text 5.1" in (await imitated(bot, full)).text
    assert [request.status for request in bot.server.asked(CREATE)] == [400]
    assert bot.server.asked(EXECUTE) == []


async def test_in_a_thread_the_webhook_of_its_channel_speaks_and_pings_nobody(bot: Bot) -> None:
    bot.script.says = f"@everyone <@{bot.ann.id}> https://example.com"
    thread = bot.world.add_thread(bot.channel, "aside")
    answer = await imitated(bot, thread)
    (said,) = spoken(thread)
    assert "example.com" in said.text
    assert "https://" not in said.text
    assert "<@" not in said.text
    assert "example.com" not in answer.text
    assert said.pings == answer.pings == []
    assert [request.body["allowed_mentions"] for request in bot.server.asked(EXECUTE)] == [{"parse": []}]
    (hook,) = bot.world.webhooks.values()
    assert hook.channel is bot.channel


@pytest.mark.parametrize(("says", "applied"), [("502", True), ("503", False), ("reset", True)])
async def test_a_message_whose_answer_is_lost_is_said_once(bot: Bot, says: str, applied: bool) -> None:
    fault = bot.server.fault(EXECUTE, says, applied=applied, times=5)
    answer = await imitated(bot)
    assert fault.happened == 1
    assert [message.text.count("text 1.1") for message in spoken(bot.channel)] == [1] * applied
    assert ("text 1.1" in answer.text) is not applied
    assert "Again" in answer.buttons()


@pytest.mark.parametrize("applied", [True, False])
async def test_a_bot_that_is_stopped_between_message_and_answer_says_it_once(bot: Bot, applied: bool) -> None:
    bot.server.fault(EXECUTE, "hang", applied=applied)
    asked = bot.world.slash(bot.channel, bot.ann, "imitate", handle="jo")
    await bot.world.until(lambda: bot.server.asked(EXECUTE))
    await bot.stop()
    await bot.start()
    answer = await bot.world.answer(asked)
    await bot.closed()
    assert len(spoken(bot.channel)) == applied
    assert ("text 1.1" in answer.text) is not applied
    assert len(bot.server.asked(EXECUTE)) == len(bot.script.asked) == 1


async def test_what_was_said_before_a_restart_is_not_said_after_it(bot: Bot) -> None:
    fault = bot.server.fault(ORIGINAL, "503", times=1000)
    asked = bot.world.slash(bot.channel, bot.ann, "imitate", handle="jo")
    await bot.world.until(lambda: fault.happened > 1)
    await bot.stop()
    bot.server.faults.clear()
    await bot.start()
    assert "text" not in (await bot.world.answer(asked)).text
    assert len(spoken(bot.channel)) == 1


async def test_a_webhook_that_somebody_deletes_is_made_anew_once(bot: Bot) -> None:
    await imitated(bot)
    bot.world.webhooks.clear()
    await imitated(bot)
    assert len(bot.world.webhooks) == 1
    assert len(spoken(bot.channel)) == 2


async def test_people_are_shown_what_was_said_though_the_answer_cannot_be_changed_any_more(bot: Bot) -> None:
    bot.server.fault(ORIGINAL, "503", times=1000)
    bot.world.slash(bot.channel, bot.ann, "imitate", handle="jo")
    await bot.world.until(lambda: bot.server.asked(ORIGINAL))
    bot.pass_time(16 * 60)
    bot.server.faults.clear()
    await bot.closed()
    late = await bot.world.until(lambda: next((m for m in bot.channel.shown() if "As asked" in m.text), None))
    assert "text 1.1" not in late.text
    assert "Again" in late.buttons()
    assert len(spoken(bot.channel)) == 1


@pytest.mark.parametrize(
    ("persona", "name"),
    [
        ("jo", "jo (AI)"),
        ("jo+kim", "jo+kim (AI)"),
        ("bonnie_and_Clyde", "AI imitation"),
        ("DiscordFan", "AI imitation"),
        ("x" * 99, "x" * 74 + "… (AI)"),
    ],
)
def test_names_are_such_that_discord_takes_them(persona: str, name: str) -> None:
    assert name_of(persona) == name
    assert len(name) <= 80
