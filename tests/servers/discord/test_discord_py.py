"""discord.py, as it is, has a whole conversation with the loopback Discord."""

from __future__ import annotations

import asyncio
from typing import Any

import discord
import pytest
from discord import app_commands, utils

from tests.servers.discord.clients import running, send_discord_py
from tests.servers.discord.conftest import Place
from tests.servers.discord.objects import Permission
from tests.servers.discord.world import Impossible

pytestmark = pytest.mark.discord
SEND = "POST /channels/{channel_id}/messages"


class Bot(discord.Client):
    """Imitates badly, with a button to do it again; tells what it heard."""

    def __init__(self, **more: Any) -> None:
        intents = discord.Intents.default()
        super().__init__(intents=intents, guild_ready_timeout=0.02, **more)
        self.tree = app_commands.CommandTree(self)
        self.heard: asyncio.Queue[discord.Message] = asyncio.Queue()
        self.read: dict[str, bytes] = {}
        self.tree.command(name="imitate", description="Says something")(self.imitate)
        self.tree.command(name="train", description="Learns")(self.train)
        self.tree.context_menu(name="Answer as ...")(self.answer_as)

    async def setup_hook(self) -> None:
        self.add_dynamic_items(Again)
        await self.tree.sync()

    async def before_identify_hook(self, shard_id: int | None, *, initial: bool = False) -> None:
        """It would wait 5 s before each IDENTIFY but the first."""

    async def on_message(self, message: discord.Message) -> None:
        self.heard.put_nowait(message)

    @app_commands.describe(handle="who", count="how many")
    async def imitate(self, asked: discord.Interaction, handle: str, count: app_commands.Range[int, 1, 5] = 1) -> None:
        await asked.response.defer(thinking=True)
        view = discord.ui.View(timeout=None).add_item(Again(handle))
        await asked.edit_original_response(content=f"{count} as {handle}", view=view)

    async def train(self, asked: discord.Interaction, archive: discord.Attachment) -> None:
        self.read[archive.filename] = await archive.read()
        await asked.response.send_message(f"{archive.size} bytes", ephemeral=True)

    async def answer_as(self, asked: discord.Interaction, message: discord.Message) -> None:
        await asked.response.send_message(f"You said {message.content!r}")


class Again(discord.ui.DynamicItem[discord.ui.Button[Any]], template="again:(?P<handle>.*)"):
    """Found by its custom_id alone, so that it outlives the process."""

    def __init__(self, handle: str) -> None:
        super().__init__(discord.ui.Button(label="Again", custom_id=f"again:{handle}"))
        self.handle = handle

    @classmethod
    async def from_custom_id(cls, asked: discord.Interaction, item: Any, match: Any) -> Again:
        return cls(match["handle"])

    async def callback(self, asked: discord.Interaction) -> None:
        await asked.response.edit_message(content=f"again as {self.handle}")
        await asked.followup.send("and more")


async def complete(asked: discord.Interaction, typed: str) -> list[app_commands.Choice[str]]:
    return [app_commands.Choice(name=name, value=name) for name in ("jo", "joan", "ben") if name.startswith(typed)]


@pytest.fixture
def bot(place: Place, monkeypatch: pytest.MonkeyPatch) -> Bot:
    send_discord_py(monkeypatch, place.server)
    bot = Bot()
    command = bot.tree.get_command("imitate")
    assert isinstance(command, app_commands.Command)
    command.autocomplete("handle")(complete)
    return bot


@pytest.mark.parametrize("compression", ["zlib-stream", "zstd-stream", None])
async def test_a_command_is_completed_answered_and_its_button_outlives_the_connection(
    place: Place, bot: Bot, compression: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(utils, "_ActiveDecompressionContext", CONTEXTS[compression])
    world, channel, ann = place.world, place.channel, place.ann
    async with running(bot, place.server):
        assert place.server.gateway.compressions == [compression]
        completed = await world.acknowledged(world.autocomplete(channel, ann, "imitate", "handle", handle="jo"))
        assert completed.choices == ["jo", "joan"]
        asked = world.slash(channel, ann, "imitate", handle="jo", count=2)
        answer = await world.answer(asked)
        assert (answer.text, asked.callback) == ("2 as jo", {"type": 5})
        assert asked.after_s is not None
        assert asked.after_s < 3
        place.server.gateway.close(4000)
        pressed = world.press(answer, ann, "Again")
        await world.edited(answer, times=2)
        await world.until(lambda: pressed.followups)
        assert [version.content for version in answer.history] == ["", "2 as jo", "again as jo"]
        assert [message.text for message in channel.shown()] == ["again as jo", "and more"]
        assert len(place.server.gateway.identifies) == len(place.server.gateway.resumes) == 1


class Plain:
    """As if discord.py had been told not to compress."""

    COMPRESSION_TYPE = ""

    def decompress(self, data: bytes) -> str:
        raise AssertionError("nothing should have been compressed")


class Zlib(Plain):
    COMPRESSION_TYPE = "zlib-stream"

    def __init__(self) -> None:
        import zlib

        self._stream = zlib.decompressobj()

    def decompress(self, data: bytes) -> str:
        assert data.endswith(b"\x00\x00\xff\xff")
        return self._stream.decompress(data).decode()


CONTEXTS: dict[str | None, Any] = {"zlib-stream": Zlib, "zstd-stream": utils._ActiveDecompressionContext, None: Plain}


async def test_an_attachment_is_read_and_only_the_asker_sees_the_answer(place: Place, bot: Bot) -> None:
    world = place.world
    async with running(bot, place.server):
        archive = world.upload("tweets.js", b"window.YTD" * 1000)
        asked = world.slash(place.channel, place.ann, "train", archive=archive)
        assert (await world.answer(asked)).text == "10000 bytes"
    assert bot.read == {"tweets.js": archive.data}
    assert place.channel.shown() == []


async def test_text_is_blank_unless_it_is_for_the_bot(place: Place, bot: Bot) -> None:
    world, channel, ann = place.world, place.channel, place.ann
    async with running(bot, place.server):
        said = world.say(channel, ann, "a secret")
        world.say(channel, ann, "hello @bot")
        world.say(world.direct(ann), ann, "between us")
        asked = world.menu(said, ann, "Answer as ...")
        assert (await world.answer(asked)).text == "You said 'a secret'"
        async with asyncio.timeout(10):
            heard = [(await bot.heard.get()).content for _ in range(4)]
        shown = [message.content async for message in bot.get_channel(int(channel.id)).history(oldest_first=True)]  # type: ignore[union-attr]
    hello = f"hello <@{world.bot.id}>"
    assert heard == ["", hello, "between us", "You said 'a secret'"]
    assert shown == ["", hello, "You said 'a secret'"]


async def test_a_message_whose_answer_was_lost_is_sent_again_and_stands_once(place: Place, bot: Bot) -> None:
    async with running(bot, place.server):
        channel = bot.get_channel(int(place.channel.id))
        assert isinstance(channel, discord.TextChannel)
        place.server.fault(SEND, "reset", applied=True)
        with pytest.raises(OSError):  # noqa: PT011 (104, which discord.py does not repeat)
            await channel.send("once", nonce="outbox-1")
        again = await channel.send("once", nonce="outbox-1")
        place.server.fault(SEND, "502", applied=True)  # which discord.py repeats on its own, with the same nonce
        await channel.send("twice", nonce="outbox-2")
        place.world.pass_time(3600)
        late = await channel.send("once", nonce="outbox-1")
    assert [message.text for message in place.channel.shown()] == ["once", "twice", "once"]
    assert again.id != late.id
    assert [request.status for request in place.server.asked(SEND)] == [0, 200, 502, 200, 200]


async def test_a_limit_is_waited_for(place: Place, bot: Bot) -> None:
    fault = place.server.fault(SEND, "429", retry_after_s=0.1)
    place.server.limits[SEND] = (2, 0.3)
    async with running(bot, place.server):
        channel = bot.get_channel(int(place.channel.id))
        assert isinstance(channel, discord.TextChannel)
        for number in range(4):
            await channel.send(str(number))
    assert [message.text for message in place.channel.shown()] == ["0", "1", "2", "3"]
    assert fault.happened == 1
    assert {request.status for request in place.server.asked(SEND)} == {429, 200}


async def test_what_happened_while_the_connection_was_gone_is_told_after_it(place: Place, bot: Bot) -> None:
    gateway, world = place.server.gateway, place.world
    async with running(bot, place.server):
        for loses in (gateway.drop, gateway.reconnect, lambda: gateway.close(4000), lambda: gateway.invalidate(True)):
            before = len(gateway.resumes)
            loses()
            asked = world.slash(place.channel, place.ann, "imitate", handle="jo")
            await world.answer(asked)
            assert len(gateway.resumes) == before + 1
    assert len(place.channel.shown()) == 4


@pytest.mark.parametrize("code", [1000, 4000, 4001, 4002, 4003, 4005, 4007, 4008, 4009])
async def test_it_comes_back_after_every_code_that_is_not_fatal(place: Place, bot: Bot, code: int) -> None:
    gateway, world = place.server.gateway, place.world
    async with running(bot, place.server):
        gateway.close(code)
        await gateway.ready()
        await world.answer(world.slash(place.channel, place.ann, "imitate", handle="jo"))
    anew = code in (1000, 4007, 4009)
    assert (len(gateway.identifies), len(gateway.resumes)) == (2 if anew else 1, 1)


async def test_a_session_that_is_invalid_is_begun_anew_and_an_old_event_is_told_again(place: Place, bot: Bot) -> None:
    gateway, world = place.server.gateway, place.world
    async with running(bot, place.server):
        gateway.invalidate()
        await gateway.ready()
        assert len(gateway.identifies) == 2
        await world.until(lambda: bot.get_guild(int(place.guild.id)))
        said = world.say(place.channel, place.ann, "once")
        gateway.replay(last=1)
        async with asyncio.timeout(10):
            heard = [await bot.heard.get() for _ in range(2)]
    assert [message.id for message in heard] == [int(said.id)] * 2


async def test_an_event_that_makes_no_sense_ends_the_client(place: Place, bot: Bot) -> None:
    gateway = place.server.gateway
    start = asyncio.create_task(bot.start(place.server.token))
    await gateway.ready()
    gateway.raw("GUILD_CREATE", {"unavailable": False})
    with pytest.raises(KeyError):
        await asyncio.wait_for(start, 10)
    assert gateway.online  # it does not even hang up
    await bot.close()


async def test_forms_lists_and_layouts_make_the_round_trip(place: Place, bot: Bot) -> None:
    world, channel, ann = place.world, place.channel, place.ann

    class Form(discord.ui.Modal, title="Say it"):
        text: discord.ui.TextInput[Any] = discord.ui.TextInput(label="What", custom_id="text")

        async def on_submit(self, asked: discord.Interaction) -> None:
            await asked.response.send_message(f"said {self.text.value}", ephemeral=True)

    class Layout(discord.ui.LayoutView):
        def __init__(self) -> None:
            super().__init__(timeout=None)
            choice: discord.ui.Select[Any] = discord.ui.Select(custom_id="who", options=OPTIONS)
            choice.callback = self.chosen  # type: ignore[method-assign]
            say: discord.ui.Button[Any] = discord.ui.Button(label="Say", custom_id="say")
            say.callback = self.form  # type: ignore[method-assign]
            face: discord.ui.Thumbnail[Any] = discord.ui.Thumbnail("https://example.org/jo.png")
            box: discord.ui.Container[Any] = discord.ui.Container(
                discord.ui.Section("# jo", accessory=face), discord.ui.Separator(), discord.ui.TextDisplay("AI")
            )
            box.add_item(discord.ui.ActionRow(choice)).add_item(discord.ui.ActionRow(say))
            self.add_item(box)

        async def chosen(self, asked: discord.Interaction) -> None:
            assert asked.data is not None
            await asked.response.send_message(f"chose {asked.data['values']}")  # type: ignore[typeddict-item]

        async def form(self, asked: discord.Interaction) -> None:
            await asked.response.send_modal(Form())

    @bot.tree.command(name="card", description="Shows somebody")
    async def card(asked: discord.Interaction) -> None:
        await asked.response.send_message(view=Layout())

    async with running(bot, place.server):
        answer = await world.answer(world.slash(channel, ann, "card"))
        assert answer.text == "# jo\nAI"
        assert (await world.answer(world.select(answer, ann, "ben"))).text == "chose ['ben']"
        form = await world.acknowledged(world.press(answer, ann, "Say"))
        assert (await world.answer(world.submit(form, text="hello"))).text == "said hello"
        with pytest.raises(Impossible):
            world.press(answer, ann, "Again")


OPTIONS = [discord.SelectOption(label=name) for name in ("jo", "ben")]


async def test_a_heartbeat_that_is_not_acknowledged_ends_the_connection(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    send_discord_py(monkeypatch, place.server)
    gateway = place.server.gateway
    gateway.heartbeat_s, gateway.acknowledge = 0.2, False
    async with running(Bot(heartbeat_timeout=0.3), place.server):
        await place.world.until(lambda: gateway.resumes)
        gateway.acknowledge = True
        await gateway.ready()
        await place.world.answer(place.world.slash(place.channel, place.ann, "imitate", handle="jo"))
    assert 4000 in gateway.closed


@pytest.mark.parametrize("code", [4004, 4013, 4014])
async def test_a_fatal_code_ends_the_client(place: Place, bot: Bot, code: int) -> None:
    async with running(bot, place.server):
        died = asyncio.ensure_future(place.world.until(lambda: not place.server.gateway.connections))
        place.server.gateway.close(code)
        await died
        assert bot.ws.socket.close_code == code
    assert place.server.gateway.sessions == {}


async def test_an_intent_that_was_not_granted_is_refused(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    send_discord_py(monkeypatch, place.server)
    client = discord.Client(intents=discord.Intents(guilds=True, message_content=True))
    with pytest.raises(discord.PrivilegedIntentsRequired):
        async with running(client, place.server):
            pass


async def test_a_webhook_speaks_under_another_name_where_it_is_allowed(place: Place, bot: Bot) -> None:
    world = place.world
    async with running(bot, place.server):
        channel = bot.get_channel(int(place.channel.id))
        assert isinstance(channel, discord.TextChannel)
        with pytest.raises(discord.Forbidden) as refused:
            await channel.create_webhook(name="mockingbird")
        assert refused.value.code == 50013
        world.join(place.guild, world.bot, Permission.MANAGE_WEBHOOKS)
        webhook = await channel.create_webhook(name="mockingbird")
        view = discord.ui.LayoutView().add_item(discord.ui.TextDisplay("Hi @everyone <@" + place.ann.id + ">"))
        none = discord.AllowedMentions.none()
        sent = await webhook.send(view=view, username="jo (AI)", wait=True, allowed_mentions=none)
        await webhook.edit_message(sent.id, view=discord.ui.LayoutView().add_item(discord.ui.TextDisplay("Bye")))
    (message,) = place.channel.shown()
    assert (message.author.name, message.text, message.pings) == ("jo (AI)", "Bye", [])
    assert message.webhook is not None
