"""hikari goes through the same conversation: the loopback Discord is shaped like Discord, not like discord.py."""

from __future__ import annotations

import asyncio
from typing import Any

import hikari
import pytest

from tests.servers.discord.clients import hikari_bot, hikari_rest
from tests.servers.discord.conftest import Place
from tests.servers.discord.objects import Permission

pytestmark = [pytest.mark.discord, pytest.mark.second_client]
SEND = "POST /channels/{channel_id}/messages"


async def teach(bot: hikari.GatewayBot, place: Place) -> asyncio.Queue[str | None]:
    """Starts a bot that imitates, as the one of discord.py does; what it hears."""
    heard: asyncio.Queue[str | None] = asyncio.Queue()

    @bot.listen()
    async def on_message(event: hikari.MessageCreateEvent) -> None:
        heard.put_nowait(event.content)

    @bot.listen()
    async def on_interaction(event: hikari.InteractionCreateEvent) -> None:
        asked: Any = event.interaction
        if isinstance(asked, hikari.AutocompleteInteraction):
            names = [name for name in ("jo", "joan", "ben") if name.startswith(str(asked.options[0].value))]
            await asked.create_response([hikari.impl.AutocompleteChoiceBuilder(name, name) for name in names])
        elif isinstance(asked, hikari.ComponentInteraction):
            await asked.create_initial_response(hikari.ResponseType.MESSAGE_UPDATE, "again")
            await asked.execute("and more")
        elif asked.command_name == "train":
            (archive,) = asked.resolved.attachments.values()
            data = await archive.read()
            flags = hikari.MessageFlag.EPHEMERAL
            await asked.create_initial_response(hikari.ResponseType.MESSAGE_CREATE, f"{len(data)} bytes", flags=flags)
        elif asked.command_type is hikari.CommandType.MESSAGE:
            (message,) = asked.resolved.messages.values()
            await asked.create_initial_response(hikari.ResponseType.MESSAGE_CREATE, f"You said {message.content!r}")
        else:
            await asked.create_initial_response(hikari.ResponseType.DEFERRED_MESSAGE_CREATE)
            row = bot.rest.build_message_action_row()
            row.add_interactive_button(hikari.ButtonStyle.PRIMARY, "again", label="Again")
            await asked.edit_initial_response(f"as {asked.options[0].value}", component=row)

    await bot.start(check_for_updates=False)
    handle = hikari.CommandOption(
        type=hikari.OptionType.STRING, name="handle", description="who", is_required=True, autocomplete=True
    )
    archive = hikari.CommandOption(
        type=hikari.OptionType.ATTACHMENT, name="archive", description="what", is_required=True
    )
    await bot.rest.set_application_commands(
        hikari.Snowflake(place.world.bot.id),
        [
            bot.rest.slash_command_builder("imitate", "Says something").add_option(handle),
            bot.rest.slash_command_builder("train", "Learns").add_option(archive),
            bot.rest.context_menu_command_builder(hikari.CommandType.MESSAGE, "Answer as ..."),
        ],
    )
    return heard


async def test_the_whole_conversation(place: Place) -> None:
    world, channel, ann, gateway = place.world, place.channel, place.ann, place.server.gateway
    async with hikari_bot(place.server, intents=hikari.Intents.ALL_UNPRIVILEGED) as bot:
        heard = await teach(bot, place)
        completed = await world.acknowledged(world.autocomplete(channel, ann, "imitate", "handle", handle="jo"))
        assert completed.choices == ["jo", "joan"]
        answer = await world.answer(world.slash(channel, ann, "imitate", handle="jo"))
        assert answer.text == "as jo"
        archive = world.upload("tweets.js", b"window.YTD" * 1000)
        trained = await world.answer(world.slash(channel, ann, "train", archive=archive))
        assert trained.text == "10000 bytes"
        gateway.reconnect()
        pressed = world.press(answer, ann, "Again")
        await world.until(lambda: pressed.followups)
        said = world.say(channel, ann, "a secret")
        world.say(channel, ann, "hello @bot")
        world.say(world.direct(ann), ann, "between us")
        assert (await world.answer(world.menu(said, ann, "Answer as ..."))).text == "You said 'a secret'"
        async with asyncio.timeout(10):
            texts = [await heard.get() for _ in range(6)]
    hello = f"hello <@{world.bot.id}>"
    assert [text or "" for text in texts] == ["", "and more", "", hello, "between us", "You said 'a secret'"]
    assert [message.text for message in channel.shown()][:2] == ["again", "and more"]
    assert (len(gateway.identifies), len(gateway.resumes)) == (1, 1)


async def test_messages_webhooks_and_limits_are_as_it_expects_them(place: Place) -> None:
    world, server = place.world, place.server
    world.join(place.guild, world.bot, Permission.MANAGE_WEBHOOKS)
    server.fault(SEND, "429", retry_after_s=0.1)
    server.limits[SEND] = (2, 0.3)
    async with hikari_rest(server) as rest:
        channel = await rest.fetch_channel(int(place.channel.id))
        assert isinstance(channel, hikari.GuildTextChannel)
        sent = [await channel.send(str(number)) for number in range(4)]
        await sent[0].edit("nought")
        await sent[1].delete()
        webhook = await rest.create_webhook(channel, "mockingbird")
        assert webhook.token is not None
        await rest.execute_webhook(webhook, webhook.token, "Hi @everyone", username="jo (AI)")
        assert [message.content async for message in rest.fetch_messages(channel)][::-1] == [
            "nought", "2", "3", "Hi @everyone",
        ]  # fmt: skip
        direct = await rest.create_dm_channel(int(place.ann.id))
        await direct.send("between us", attachment=hikari.Bytes(b"all", "all.txt"))
        with pytest.raises(hikari.BadRequestError):
            await channel.send("x" * 2001)
        member = await rest.fetch_member(int(place.guild.id), int(place.ann.id))
        assert member.username == "ann"
        guild = await rest.fetch_guild(int(place.guild.id))
        assert guild.name == "Meadow"
        mine = await rest.fetch_application()
        assert str(mine.id) == world.bot.id
    (letter,) = world.direct(place.ann).shown()
    assert [attachment.data for attachment in letter.attachments] == [b"all"]
    assert [message.pings for message in place.channel.shown()] == [[], [], [], []]
