"""What people say to the bot on Discord is answered once, by a reply to their message; nothing else is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import discord
import pytest

from bot import clock
from bot.app import App
from bot.config import Config, DiscordSettings
from bot.domain import Persona
from bot.errors import MockingbirdError
from bot.flows.deliver import keep_delivering
from bot.flows.fire import Spoken
from bot.flows.reply import keep_replying
from bot.moderation import Repeats
from bot.platforms.discord.commands.reply import reply
from bot.platforms.discord.connection.client import Ears, MockingbirdClient
from bot.platforms.discord.connection.connection import Connection
from bot.platforms.discord.front import Front
from bot.platforms.discord.inbound import on_message
from bot.platforms.discord.poster import DiscordPoster
from bot.platforms.discord.seal import Seal
from bot.store import personas, runs, timelines
from bot.store.database import Db
from bot.store.ledger import NO_LIMITS
from bot.store.listening import Listening
from tests.platforms.discord.supervised import QUICK
from tests.servers.discord import messages
from tests.servers.discord.clients import running, send_discord_py
from tests.servers.discord.objects import Channel, Guild, Message, Permission, User, Webhook
from tests.servers.discord.server import LoopbackDiscord
from tests.servers.discord.world import Impossible, World

pytestmark = pytest.mark.discord


@dataclass
class Bot:
    server: LoopbackDiscord
    app: App
    connection: Connection
    guild: Guild
    channel: Channel
    ann: User
    poster: DiscordPoster
    spoken: list[tuple[str, str | None]] = field(default_factory=list)

    @property
    def world(self) -> World:
        return self.server.world

    async def speak(
        self, persona: Persona, prompt: str, seed: int, message: str | None, recent: Repeats, place: str
    ) -> Spoken:
        self.spoken.append((persona.slug, message))
        return Spoken(f"{persona.slug} says {len(self.spoken)}", {})

    async def trained(self, handle: str, guild: Guild | None = None) -> Persona:
        place = f"discord:{(guild or self.guild).id}"

        def transaction(db: Db) -> Persona:
            timelines.hold(db, handle, None, [], 1, place)
            persona = personas.create(db, [handle], 1, place)
            personas.promote(db, persona.id, runs.begin(db, persona.id, "quick", 1, "abc", 1))
            return persona

        return await self.app.database.run(transaction)

    async def kept(self) -> list[dict[str, Any]]:
        return await self.app.database.run(lambda db: list(db.query("SELECT * FROM mentions ORDER BY remote_id")))

    async def answered(self, message: Message) -> Message:
        """The answer to a message."""
        said = message.channel
        return await self.world.until(lambda: next((m for m in said.shown() if m.reply_to is message), None))

    async def quiet(self) -> None:
        """When all that was said until now has been heard and, if it was to be, answered."""
        last = self.world.say(self.channel, self.ann, "@bot is that all?")
        await self.answered(last)
        self.world.remove(last)

    def shown(self, channel: Channel | None = None) -> list[str]:
        return [message.text for message in (channel or self.channel).shown() if message.author is self.world.bot]

    @asynccontextmanager
    async def online(self) -> AsyncIterator[None]:
        app = self.app
        front = Front(app, lambda: self.connection.client, Seal(bytes(32)))
        ears = Ears(lambda tree: tree.add_command(reply(front)), None, on_message=partial(on_message, front))
        client = MockingbirdClient(
            ears, self.connection, app.database, DiscordSettings(), pace=QUICK,
            guild_ready_timeout=0.02,
        )  # fmt: skip

        self.client = client

        @client.tree.error
        async def tell(asked: discord.Interaction[Any], error: discord.app_commands.AppCommandError) -> None:
            cause = getattr(error, "original", error)
            assert isinstance(cause, MockingbirdError), repr(cause)
            if asked.response.is_done():
                await asked.edit_original_response(content=str(cause))
            else:
                await asked.response.send_message(str(cause), ephemeral=True)

        work = [
            keep_replying(
                app.database, self.speak, app.speaker.freshness.of, clock.now_ms, lambda: app.config.replies,
                app.listener.mentioned, app.queued.set,
            ),
            keep_delivering(
                app.database, {"discord": self.poster}, clock.now_ms, lambda: NO_LIMITS, app.forbids,
                app.queued,
            ),
        ]  # fmt: skip
        tasks = [asyncio.create_task(each) for each in work]
        try:
            async with running(client, self.server):
                await self.world.until(lambda: self.world.commands.get(None))
                yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)


@pytest.fixture
async def bot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Bot]:
    connection = Connection()
    poster = DiscordPoster(lambda: connection.client)
    async with LoopbackDiscord() as server, App(Config(), tmp_path, {}, posters=[poster]) as app:
        send_discord_py(monkeypatch, server)
        guild = server.world.add_guild("Meadow")
        ann = server.world.add_user("ann")
        server.world.join(guild, ann, Permission.MANAGE_GUILD)
        (channel,) = guild.channels.values()
        made = Bot(server, app, connection, guild, channel, ann, poster)
        at_once = Listening("discord", channel.id, f"discord:{guild.id}", cooldown_s=0)
        await app.listener.settle(at_once)
        await made.trained("jo")
        yield made
    assert server.spec.findings == []


async def test_a_mention_is_answered_once_by_a_reply_to_it_however_often_it_is_told(bot: Bot) -> None:
    async with bot.online():
        asked = bot.world.say(bot.channel, bot.ann, f"hey @bot, what is for tea? <@{bot.ann.id}> <:cup:123>")
        answer = await bot.answered(asked)
        bot.server.gateway.close(4000)
        await bot.server.gateway.ready()
        bot.client._heard.clear()  # so that it is ours alone to know it again
        bot.server.gateway.replay(last=5)
        await bot.quiet()
        assert bot.shown() == ["jo says 1", "jo says 2"]
    assert answer.pings == []
    assert len(bot.server.asked("POST /channels/{channel_id}/typing")) == 2
    assert bot.spoken[0] == ("jo", "hey, what is for tea? ann :cup:")
    first, _ = await bot.kept()
    assert (first["person"], first["place"], first["account"], first["text"]) == (
        f"discord:{bot.ann.id}", f"discord:{bot.guild.id}", bot.channel.id, None
    )  # fmt: skip


async def test_what_is_said_while_the_connection_is_gone_is_answered_after_it(bot: Bot) -> None:
    async with bot.online():
        bot.server.gateway.drop()
        asked = bot.world.say(bot.channel, bot.ann, "@bot hello?")
        assert (await bot.answered(asked)).text == "jo says 1"


async def test_who_replies_to_what_a_persona_said_is_answered_by_that_one(bot: Bot) -> None:
    await bot.trained("kim")
    async with bot.online():
        for persona in ("kim", "jo"):
            changed = await bot.world.answer(bot.world.slash(bot.channel, bot.ann, "reply set", persona=persona))
            assert f"**{persona}**" in changed.text
            if persona == "kim":
                first = await bot.answered(bot.world.say(bot.channel, bot.ann, "@bot hello"))
        second = await bot.answered(bot.world.say(bot.channel, bot.ann, "why?", reply_to=first))
        third = await bot.answered(bot.world.say(bot.channel, bot.ann, "really?", reply_to=second))
        await bot.answered(bot.world.say(bot.channel, bot.ann, "@bot and you?"))
    assert bot.spoken == [("kim", "hello"), ("kim", "why?"), ("kim", "really?"), ("jo", "and you?")]
    assert third.reply_to is not None


async def test_a_reply_is_known_as_one_where_discord_does_not_show_what_it_answers(bot: Bot) -> None:
    async with bot.online():
        mine = await bot.answered(bot.world.say(bot.channel, bot.ann, "@bot hello"))
        said = bot.world.say(bot.channel, bot.ann, "why?", reply_to=mine)
        await bot.answered(said)
        event = bot.world.shown(said, False) | {"id": bot.world.new_id(), "guild_id": bot.guild.id}
        del event["referenced_message"]
        bot.server.gateway.raw("MESSAGE_CREATE", event)
        await bot.quiet()
    assert bot.spoken[:3] == [("jo", "hello"), ("jo", "why?"), ("jo", "why?")]
    assert [row["reply_to"] for row in await bot.kept()] == [None, mine.id, mine.id, None]


async def test_what_is_not_for_the_bot_leaves_no_trace(bot: Bot) -> None:
    machine = bot.world.add_user("machine", bot=True)
    bot.world.join(bot.guild, machine)
    ben = bot.world.add_user("ben")
    bot.world.join(bot.guild, ben)
    hook = Webhook(bot.world.new_id(), "t", bot.channel, "hook", ben, "1")
    async with bot.online():
        mine = await bot.answered(bot.world.say(bot.channel, bot.ann, "@bot hello"))
        bens = bot.world.say(bot.channel, ben, "lovely weather")
        bot.world.say(bot.channel, ben, "it is", reply_to=bens)
        bot.world.say(bot.channel, machine, "@bot are you one too?")
        bot.world.say(bot.channel, machine, "why?", reply_to=mine)
        messages.create(bot.world, bot.channel, ben, {"content": f"<@{bot.world.bot.id}> buy"}, webhook=hook)
        messages.create(bot.world, bot.channel, ben, {"content": f"<@{bot.world.bot.id}>"}, kind=6)  # pinned something
        unseen = {"content": "and?", "message_reference": {"message_id": mine.id}, "allowed_mentions": {"parse": []}}
        messages.create(bot.world, bot.channel, ben, unseen, kind=19)  # without notifying: Discord hides its text
        await bot.quiet()
    assert {row["person"] for row in await bot.kept()} == {f"discord:{bot.ann.id}"}
    assert len(bot.spoken) == 2


async def test_who_opted_out_is_not_heard(bot: Bot) -> None:
    ben = bot.world.add_user("ben")
    bot.world.join(bot.guild, ben)

    def opts_out(db: Db) -> None:
        db.execute("INSERT INTO opt_outs VALUES (?, 0)", [f"person:discord:{ben.id}"])

    await bot.app.database.run(opts_out)
    async with bot.online():
        bot.world.say(bot.channel, ben, "@bot hello")
        await bot.quiet()
    assert [row["person"] for row in await bot.kept()] == [f"discord:{bot.ann.id}"]


async def test_servers_and_chats_have_personas_of_their_own(bot: Bot) -> None:
    other = bot.world.add_guild("Harbour")
    bot.world.join(other, bot.ann)
    (far,) = other.channels.values()
    chat = bot.world.direct(bot.ann)
    async with bot.online():
        hint = await bot.answered(bot.world.say(far, bot.ann, "@bot hello"))
        assert "/train" in hint.text
        await bot.answered(bot.world.say(chat, bot.ann, "nobody here?"))
        shown = await bot.world.answer(bot.world.slash(chat, bot.ann, "reply show"))
        assert shown.text == "Nobody answers yet: /train makes a persona."
        await bot.app.database.run(lambda db: db.execute("UPDATE personas SET shared = 1"))
        shown = await bot.world.answer(bot.world.slash(chat, bot.ann, "reply show"))
        assert shown.text.startswith("When you write to me, the only persona that there is here answers.")
        await bot.app.database.run(lambda db: db.execute("UPDATE personas SET shared = 0"))
        await bot.answered(bot.world.say(bot.channel, bot.ann, "@bot hello"))
        await bot.trained("al", other)
        await bot.answered(bot.world.say(far, bot.ann, "@bot hello again"))
    assert bot.spoken == [("jo", "hello"), ("al", "hello again")]
    assert {row["place"] for row in await bot.kept()} == {f"discord:{found.id}" for found in (bot.guild, other, chat)}


async def test_whoever_manages_the_server_settles_who_answers_and_is_told_what_that_means(bot: Bot) -> None:
    ben = bot.world.add_user("ben")
    bot.world.join(bot.guild, ben)
    other = bot.world.add_channel(bot.guild, "kitchen")
    await bot.trained("al", bot.world.add_guild("Harbour"))
    world = bot.world
    async with bot.online():
        completed = await world.acknowledged(
            world.autocomplete(bot.channel, bot.ann, "reply set", "persona", persona="@j")
        )
        assert completed.choices == ["jo"]

        async def settle(command: str, **given: Any) -> str:
            asked = world.slash(bot.channel, bot.ann, f"reply {command}", **given)
            answer = await world.answer(asked)
            assert answer.flags & 1 << 6  # only who asked sees it
            return answer.text

        assert "the only persona that there is here answers" in await settle("show")
        told = await settle("set", persona="jo", chance=0.5, cooldown=120, unasked_every=40, channel=other)
        assert told == (
            f"When somebody mentions me in <#{other.id}> or replies to me, **jo** answers 50 times out of 100, at most "
            "once in 2 minutes. What another persona said is answered by that one. **jo** speaks unasked after every "
            "40 messages of people."
        )
        assert await settle("set", persona="jo", chance=1.0, channel=other) == told.replace(" 50 times out of 100", "")
        assert "There is no persona 'al'" in await settle("set", persona="al")
        assert "nobody answers when people speak to me. Nobody speaks unasked." in await settle("off")
        assert "nobody answers" in await settle("show")
        with pytest.raises(Impossible):
            world.slash(bot.channel, ben, "reply off")
        world.say(bot.channel, bot.ann, "@bot hello?")
        await bot.answered(world.say(other, bot.ann, "@bot hello"))
    assert bot.spoken == [("jo", "hello")]


async def test_somebody_speaks_unasked_where_that_is_wanted_without_looking_at_what_people_say(bot: Bot) -> None:
    world, count = bot.world, 3
    async with bot.online():
        await world.answer(world.slash(bot.channel, bot.ann, "reply set", persona="jo", unasked_every=count))
        for number in range(count):
            world.say(bot.channel, bot.ann, f"secret {number}")
        said = await world.said(bot.channel, "jo says")
    assert said.reply_to is None
    assert bot.spoken == [("jo", None)]
    everything = await bot.app.database.run(lambda db: "\n".join(db.conn.iterdump()))
    assert "secret" not in everything
    (row,) = await bot.kept()
    assert (row["kind"], row["person"]) == ("unasked", "")
