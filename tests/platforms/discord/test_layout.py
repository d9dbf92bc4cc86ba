"""Whatever stands in its fields, a message is laid out as it was meant, within Discord's limits, and pings nobody.

DISCORD_TEXTS says how many hostile examples are tried.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any

import discord
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.platforms.discord.layout.approval import Doubt, Draft, doubt, draft
from bot.platforms.discord.layout.imitation import Imitation, imitation, texts_alone
from bot.platforms.discord.layout.listing import Line, Listing, listing, sentence
from bot.platforms.discord.layout.parts import Meaning, custom_id, duration, parsed
from bot.platforms.discord.layout.training import Offer, Queued, Training, ahead_of_you, offer, queued, training
from bot.platforms.discord.texts import cleaned, said
from tests.platforms.discord.conftest import Online
from tests.platforms.discord.markdown import shown
from tests.platforms.discord.strategies import CHANNEL, PERSON, ROLE, any_text, many, short_texts
from tests.servers.discord.objects import USUAL, Channel, Message, Permission, Role, User, walk

pytestmark = pytest.mark.discord
ID = "01JD000000000000000000000Z"
Made = tuple[Callable[..., discord.ui.LayoutView], tuple[Any, ...]]

hostile = short_texts
draft_fields = st.builds(
    Draft, st.just(ID), hostile, hostile, hostile, hostile, st.none() | st.integers(0, 2**42), st.integers(0, 4)
)
doubt_fields = st.builds(Doubt, st.just(ID), hostile, hostile, st.just("discord"), st.just(CHANNEL), hostile)
number = st.none() | st.floats(0, 1e7) | st.just(float("nan"))
layouts: st.SearchStrategy[Made] = st.one_of(
    st.tuples(
        st.sampled_from([imitation, partial(texts_alone, mark=7_000)]),
        st.tuples(
            st.builds(
                Imitation, st.just(ID), hostile, st.lists(hostile, min_size=1, max_size=5).map(tuple), hostile,
                elsewhere=st.booleans(),
            )
        ),
    ),
    st.tuples(
        st.just(training),
        st.tuples(
            st.builds(
                Training, st.just("7"), hostile, st.integers(-1, 400), st.integers(0, 300), number, number, number,
                hostile,
            )
        ),
    ),
    st.tuples(st.just(queued), st.tuples(st.builds(Queued, st.just("7"), st.just("The training of"), hostile,
                                                   st.integers(-1, 10**6), number))),
    st.tuples(st.just(offer), st.tuples(st.builds(Offer, hostile, st.booleans(), hostile))),
    st.tuples(st.just(draft), st.tuples(draft_fields)),
    st.tuples(st.just(doubt), st.tuples(doubt_fields)),
    st.tuples(
        st.just(listing),
        st.tuples(
            st.builds(
                Listing, st.just("Personas"),
                st.lists(st.builds(Line, hostile, hostile, st.none() | st.integers(0, 2**42)), max_size=6).map(tuple),
            )
        ),
    ),
    st.tuples(st.just(sentence), st.tuples(hostile, st.booleans())),
)  # fmt: skip


def tame(value: Any) -> Any:
    """The same with every text replaced by one of as many lines that holds nothing but a letter."""
    if isinstance(value, str):
        if (value.isascii() and value.isalnum()) or value in ("The training of", ""):
            return value
        return "\n".join("x" if line else "" for line in cleaned(value).split("\n"))
    if isinstance(value, tuple):
        return tuple(map(tame, value))
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        return type(value)(**{name: tame(inner) for name, inner in fields.items()})
    return value


def skeleton(components: list[dict[str, Any]]) -> list[Any]:
    """What a message is made of, without its words."""
    bones = []
    for part in walk(components):
        seen = shown(part.get("content", ""))
        bones.append((part["type"], part.get("label"), part.get("custom_id"), seen.marks, seen.text.count("\n")))
    return bones


async def send(channel: discord.PartialMessageable, **what: Any) -> None:
    """Without anything that would keep it from pinging."""
    await channel.send(**what, allowed_mentions=discord.AllowedMentions.all())


@pytest.fixture
def loud(online: Online) -> Channel:
    """A channel in which the bot may ping everybody."""
    guild = online.world.add_guild("Loud", USUAL | Permission.MENTION_EVERYONE)
    person = User(PERSON, "ben")
    online.world.users[PERSON] = person
    online.world.join(guild, person)
    guild.roles[ROLE] = Role(ROLE, "mods", 0, mentionable=True)
    (channel,) = guild.channels.values()
    return channel


def taken(channel: Channel) -> Message:
    (message,) = channel.shown()
    channel.messages.clear()
    return message


async def test_what_is_not_prepared_does_ping(online: Online, loud: Channel) -> None:
    await send(online.client.get_partial_messageable(int(loud.id)), content=f"@everyone @here <@{PERSON}> <@&{ROLE}>")
    assert taken(loud).pings == [PERSON, ROLE, "everyone", "here"]


@many
@given(text=any_text)
async def test_a_hostile_text_pings_nobody_even_where_it_may(online: Online, loud: Channel, text: str) -> None:
    await send(online.client.get_partial_messageable(int(loud.id)), content=said(text))
    message = taken(loud)
    assert message.pings == []
    assert message.mentions == []
    assert message.content == said(text)


@many
@given(made=layouts)
async def test_hostile_fields_leave_a_layout_as_it_is(online: Online, loud: Channel, made: Made) -> None:
    lay_out, fields = made
    view = lay_out(*fields)
    await send(online.client.get_partial_messageable(int(loud.id)), view=view)
    message = taken(loud)
    assert message.pings == []
    assert message.mentions == []
    assert skeleton(message.components) == skeleton(lay_out(*tame(fields)).to_components())
    for part in walk(message.components):
        text = part.get("content", "")
        assert text == text.strip() != "" or "content" not in part
        assert text.count("\u2068") == text.count("\u2069")
        assert not {"\u202a", "\u202b", "\u202d", "\u202e", "\u2066", "\u2067"} & set(text)
    assert online.server.spec.findings == []
    assert view.is_finished()  # discord.py keeps nothing of it


LONG = [
    (imitation, Imitation(ID, "*" * 99, ("*_" * 2000, "`" * 3000, "\U0001f600" * 3000, "> x\n" * 999), "~" * 999)),
    (imitation, Imitation(ID, "jo", ("*" * 9000,))),
    (imitation, Imitation(ID, "jo", ("one", "two", "three", "four", "five", "six"))),
    (partial(texts_alone, mark=7_000), Imitation(ID, "*" * 99, ("*_" * 2000, "`" * 3000, "> x\n" * 999))),
    (training, Training("7", "_" * 999, 10**9, 10**9, 1e300, 1e300, 1e300, "|" * 9999)),
    (queued, Queued("7", "The training of", "*" * 999, 10**12, 1e300)),
    (offer, Offer("*" * 999, True, "*" * 999)),
    (draft, Draft("7", "*" * 999, "*" * 9999, "x", "*" * 999, 2**42, 4, until=2**42)),
    (doubt, Doubt("7", "*" * 999, "*" * 9999, "x", "*" * 999, "*" * 999)),
    (listing, Listing("Personas", tuple(Line("*" * 99, "_" * 999, 2**42) for _ in range(500)), hint="x" * 100)),
    (sentence, "*" * 99_999),
]  # fmt: skip


@pytest.mark.parametrize(("lay_out", "fields"), LONG)
async def test_what_is_too_much_is_cut_to_what_discord_takes(
    online: Online, lay_out: Callable[[Any], discord.ui.LayoutView], fields: Any
) -> None:
    view = lay_out(fields)
    assert view.total_children_count <= 40
    assert view.content_length() <= 4000
    await online.client.get_partial_messageable(int(online.channel.id)).send(view=view)
    assert len(online.channel.shown()) == 1


async def test_an_imitation_says_who_speaks_and_which_text_a_button_means(online: Online) -> None:
    view = imitation(Imitation("42", "light_house_jo", ("first", "second"), "who are *you*?"))
    await online.client.get_partial_messageable(int(online.channel.id)).send(view=view)
    (message,) = online.channel.shown()
    assert message.text.split("\n") == [
        r"**light\_house\_jo** · AI imitation, in reply to",
        r"> who are \*you\*?",
        "-# 1 of 2",
        "first",
        "-# 2 of 2",
        "second",
    ]
    buttons = [part["custom_id"] for part in walk(message.components) if part["type"] == 2]
    assert buttons == [
        *[f"mb:{verb}:42:0" for verb in ("up", "down", "reply", "post")],
        *[f"mb:{verb}:42:1" for verb in ("up", "down", "reply", "post")],
        *[f"mb:{verb}:42" for verb in ("again", "more", "longer", "shorter", "card")],
    ]


async def test_a_list_that_is_too_long_says_how_much_more_there_is() -> None:
    lines = tuple(Line(f"persona {number}", "said 3 things", 1_618_953_630_000) for number in range(52))
    (_, text, hint) = [
        part["content"]
        for part in walk(listing(Listing("Personas", lines, hint="`/persona` shows one")).to_components())
        if "content" in part
    ]
    rows = text.split("\n")
    assert rows[0] == "**persona 0** · said 3 things · <t:1618953630:f> (<t:1618953630:R>)"
    assert (len(rows), rows[-1], hint) == (41, "… and 12 more", "-# `/persona` shows one")


async def test_progress_is_a_bar_and_words() -> None:
    text = training(Training("7", "jo", 90, 200, 3.456, 3.6, 130, "gm everyone")).to_components()[0]["components"]
    assert text[0]["content"].split("\n") == [
        "**Learning to write like jo**",
        "▰▰▰▰▰▰▰▰▰▱▱▱▱▱▱▱▱▱▱▱ 45% · step 90 of 200",
        "loss 3.46 · on unseen tweets 3.60 · about 2 min left",
    ]
    assert text[2]["content"] == "-# How it sounds so far\ngm everyone"
    assert ahead_of_you(4, 20) == "4 ahead of you, about 20 s"
    assert ahead_of_you(0) == "you are next"
    begins = queued(Queued("7", "The training of", "jo", 0, 15)).to_components()[0]["components"]
    assert begins[0]["content"] == "The training of **jo** begins."
    assert [duration(seconds) for seconds in (0, 61, 200, 9_000)] == [
        "a moment",
        "about 60 s",
        "about 3 min",
        "about 2 h",
    ]


def test_what_a_button_means_can_be_read_again() -> None:
    for meaning in (Meaning("again", ID), Meaning("up", "1573821773110050819", 4)):
        assert parsed(custom_id(meaning.verb, meaning.id, meaning.index)) == meaning
    for foreign in ("", "again:1", "mb:again", "mb::1", "mb:up:1:x", "mb:up:1:2:3", "mb:up:1\n", f"mb:up:{'1' * 99}"):
        assert parsed(foreign) is None
    for verb, about in (("a b", "1"), ("up", "a:b"), ("up", "1" * 99), ("x" * 99, "1")):
        with pytest.raises(ValueError, match="custom_id"):
            custom_id(verb, about)
