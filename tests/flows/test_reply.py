"""Whoever speaks to us is answered once, by the right persona, in time, and not more often than is good."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from bot.config import ReplySettings
from bot.domain import SHELL, Mention, Persona, Post, PostState
from bot.errors import DatabaseBusy, DiskFull, MessageRefused, MockingbirdError, NothingAcceptable, PoolFull
from bot.flows.fire import Spoken
from bot.flows.listen import Listener
from bot.flows.reply import AT_ONCE, answer, keep_replying, latest_ms, seed_of, take
from bot.moderation import Repeats
from bot.store import listening, mentions, mutes, outbox, personas, runs, timelines
from bot.store.database import Database, Db
from bot.store.listening import Listening

NOW = 1_700_000_000_000
MINUTE = 60_000
SETTINGS = ReplySettings()
PLACE, CHANNEL, ANN = "discord:1", "10", "discord:7"


def add_persona(db: Db, handle: str, place: str = PLACE, trained: bool = True) -> Persona:
    timelines.hold(db, handle, None, [], NOW, place)
    persona = personas.create(db, [handle], NOW, place)
    if trained:
        personas.promote(db, persona.id, runs.begin(db, persona.id, "quick", 1, "abc", NOW))
    found = personas.get(db, persona.id)
    assert found is not None
    return found


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    opened = Database(tmp_path)
    yield opened
    opened.close()


class Voice:
    """Says something else each time, or what it is told to, and remembers what it was asked."""

    def __init__(self, *texts: str | Exception) -> None:
        self.texts = [*texts]
        self.asked: list[tuple[str, str | None, int]] = []

    async def __call__(
        self, persona: Persona, prompt: str, seed: int, message: str | None, recent: Repeats, place: str
    ) -> Spoken:
        self.asked.append((persona.slug, message, seed))
        said = self.texts.pop(0) if self.texts else f"{persona.slug} says {len(self.asked)}"
        if isinstance(said, Exception):
            raise said
        return Spoken(said, {"checkpoint": "1"})


async def nothing_recent(platform: str, account: str, now: int) -> Repeats:
    return Repeats({})


@dataclass
class Bot:
    """Answers all that waits, by a clock that goes on by itself when there is nothing else to do."""

    database: Any
    voice: Voice = field(default_factory=Voice)
    settings: ReplySettings = SETTINGS
    at: int = NOW
    draws: list[float] = field(default_factory=list)
    numbers: Any = field(default_factory=lambda: itertools.count(1))

    def __post_init__(self) -> None:
        self.queued = asyncio.Event()
        self.listener = Listener(
            self.database, lambda: self.settings, lambda: self.at, self.queued.set,
            lambda: self.draws.pop(0) if self.draws else 0.5,
        )  # fmt: skip

    def mention(self, text: str = "what is for tea?", **more: Any) -> Mention:
        said = Mention("discord", str(next(self.numbers)), PLACE, CHANNEL, ANN, self.at, text)
        return replace(said, **more)

    async def hears(self, text: str = "what is for tea?", **more: Any) -> bool:
        return await self.listener.heard(self.mention(text, **more))

    async def passes(self, **more: Any) -> bool:
        return await self.listener.passed(self.mention("", by_name=False, **more))

    async def answers(self, wait: bool = True) -> list[Post]:
        """All that stands in the outbox, the oldest first, once all were answered whose turn it is."""
        latest = latest_ms(self.settings)
        while True:
            taken, next_at = await self.database.run(lambda db: take(db, self.at, latest, [], {}))
            for mention, persona in taken:
                with contextlib.suppress(PoolFull):
                    await answer(self.database, self.voice, nothing_recent, mention, persona, lambda: self.at, latest)
            if not taken and (next_at is None or not wait):
                return list(reversed(await self.database.run(lambda db: outbox.every(db, 1000))))
            if not taken and next_at is not None:
                self.at = next_at

    async def settles(self, persona: Persona | None, **more: Any) -> None:
        place = more.pop("place", PLACE)
        account = more.pop("account", CHANNEL)
        settled = Listening("discord", account, place, None if persona is None else persona.id, **more)
        await self.listener.settle(settled)

    async def says(self, persona: Persona, text: str, remote_id: str) -> None:
        """A post of this persona stands in the channel."""

        def transaction(db: Db) -> None:
            post = outbox.add(
                *(db, "discord", CHANNEL, f"said:{remote_id}", {}, text, self.at, self.at + MINUTE, self.at),
                persona_id=persona.id, place=PLACE,
            )  # fmt: skip
            db.execute("UPDATE outbox SET state = 'posted', remote_id = ? WHERE id = ?", [remote_id, post.id])

        await self.database.run(transaction)

    async def kept(self) -> list[dict[str, Any]]:
        return await self.database.run(lambda db: list(db.query("SELECT * FROM mentions ORDER BY at, remote_id")))

    async def reasons(self) -> list[str | None]:
        return [row["reason"] for row in await self.kept()]


@pytest.fixture
async def bot(database: Database) -> Bot:
    return Bot(database)


@pytest.fixture
async def jo(database: Database) -> Persona:
    return await database.run(lambda db: add_persona(db, "jo"))


@pytest.fixture
async def kim(database: Database) -> Persona:
    return await database.run(lambda db: add_persona(db, "kim"))


def texts(posts: list[Post]) -> list[str]:
    return [post.text for post in posts]


# --- Once -------------------------------------------------------------------------------------------------------------


async def test_a_mention_is_answered_once_however_often_it_is_heard_and_its_text_is_forgotten(
    bot: Bot, jo: Persona
) -> None:
    mention = bot.mention("what is for tea?")
    assert await bot.listener.heard(mention)
    assert [row["text"] for row in await bot.kept()] == ["what is for tea?"]
    assert not await bot.listener.heard(mention)
    (post,) = await bot.answers()
    assert not await bot.listener.heard(mention)
    assert await bot.answers() == [post]
    assert bot.voice.asked == [("jo", "what is for tea?", seed_of(mention))]
    assert (post.kind, post.cause_key, post.persona_id, post.place) == ("reply", "mention:1", jo.id, PLACE)
    assert (post.state, post.due_at, post.expires_at) == (PostState.QUEUED, NOW, NOW + 10 * MINUTE)
    assert {key: post.cause[key] for key in ("in_reply_to", "person", "persona")} == {
        "in_reply_to": "1", "person": ANN, "persona": "discord:1/jo"
    }  # fmt: skip
    (row,) = await bot.kept()
    assert (row["state"], row["text"], row["settled_at"]) == ("answered", None, NOW)
    everything = await bot.database.run(
        lambda db: [*db.query("SELECT * FROM outbox"), *db.query("SELECT * FROM mentions")]
    )
    assert "tea" not in str(everything)


class Dead:
    """A database of a process that is killed before or after its n-th transaction: from then on nothing happens."""

    def __init__(self, database: Database, dies_at: int, after: bool) -> None:
        self.database, self.left, self.after = database, dies_at, after
        self.died = asyncio.Event()

    async def run(self, fn: Callable[[Db], Any]) -> Any:
        self.left -= 1
        if self.left < 0 or (self.left == 0 and not self.after):
            self.died.set()
            await asyncio.Event().wait()
        result = await self.database.run(fn)
        if self.left == 0:
            self.died.set()
            await asyncio.Event().wait()
        return result


@pytest.mark.parametrize("restarts_after_ms", [MINUTE, 11 * MINUTE])
@pytest.mark.parametrize(("step", "after"), [(step, after) for step in range(1, 5) for after in (False, True)])
async def test_a_kill_at_any_moment_leaves_it_answered_once_or_too_late(
    tmp_path: Path, step: int, after: bool, restarts_after_ms: int
) -> None:
    database = Database(tmp_path)
    await database.run(lambda db: add_persona(db, "jo"))
    dead = Dead(database, step, after)
    first = Bot(dead)
    mention = first.mention("are you there?")
    done = asyncio.Event()

    async def live() -> None:
        await first.listener.heard(mention)
        await keep_replying(
            *(dead, first.voice, nothing_recent, lambda: first.at, lambda: SETTINGS, first.listener.mentioned),  # type: ignore[arg-type]
            done.set,
        )

    life = asyncio.create_task(live())
    async with asyncio.timeout(5):
        await asyncio.wait(
            [asyncio.create_task(dead.died.wait()), asyncio.create_task(done.wait())],
            return_when=asyncio.FIRST_COMPLETED,
        )
    life.cancel()
    await asyncio.wait([life])
    database.close()

    reopened = Database(tmp_path)
    second = Bot(reopened, at=NOW + restarts_after_ms)
    await second.listener.heard(mention)  # which a resumed session brings again
    replies = [post for post in await second.answers() if post.kind == "reply"]
    (row,) = await second.kept()
    assert row["text"] is None
    answered_before = step > 3 or (step == 3 and after)
    in_time = restarts_after_ms < 10 * MINUTE
    assert len(replies) == (1 if answered_before or in_time else 0)
    assert row["state"] == ("answered" if replies else "ignored")
    assert all(post.expires_at == NOW + 10 * MINUTE for post in replies)
    if replies and not answered_before and first.voice.asked:  # what was being made is made again
        assert second.voice.asked == first.voice.asked
    reopened.close()


async def test_what_cannot_be_written_down_now_is_later_and_half_a_letter_is_no_matter(
    bot: Bot, jo: Persona, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.flows.listen.AGAIN_S", 0.01)
    full = [DiskFull(folder="here"), DatabaseBusy(folder="here")]

    class Full:
        async def run(self, fn: Callable[[Db], Any]) -> Any:
            if full:
                raise full.pop()
            return await bot.database.run(fn)

    later = Bot(Full())
    assert await later.listener.heard(later.mention("caf\ud800"))
    assert [row["text"] for row in await bot.kept()] == ["caf\ufffd"]
    full = [DiskFull(folder="here")] * 2
    with pytest.raises(DiskFull):
        await later.listener.heard(later.mention(at=NOW - 10 * MINUTE))


async def test_the_task_answers_several_at_once_the_oldest_first_and_what_could_not_be_said_again(
    bot: Bot, jo: Persona, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.flows.reply.AGAIN_MS", 20)
    await bot.settles(jo, cooldown_s=0)
    bot.settings = ReplySettings(per_person=0)
    loop = asyncio.get_running_loop()
    began = loop.time()
    begun: list[str | None] = []
    at_once = most = 0
    refused = False

    async def speak(
        persona: Persona, prompt: str, seed: int, message: str | None, recent: Repeats, place: str
    ) -> Spoken:
        nonlocal at_once, most, refused
        if message == "number 3" and not refused:
            refused = True
            raise PoolFull(waiting=1)
        begun.append(message)
        at_once += 1
        most = max(most, at_once)
        await asyncio.sleep(0.01)
        at_once -= 1
        return Spoken(f"about {message}", {})

    queued = asyncio.Semaphore(0)
    replying = asyncio.create_task(
        keep_replying(
            bot.database, speak, nothing_recent, lambda: NOW + int((loop.time() - began) * 1000),
            lambda: bot.settings, bot.listener.mentioned, queued.release,
        )
    )  # fmt: skip
    for number in range(10):
        await bot.hears(f"number {number}", at=NOW - 100 + number)
    async with asyncio.timeout(10):
        for _ in range(10):
            await queued.acquire()
    replying.cancel()
    await asyncio.wait([replying])
    assert sorted(begun, key=str) == [f"number {number}" for number in range(10)]
    assert begun[0] == "number 0"
    assert 1 < most <= AT_ONCE
    assert {row["state"] for row in await bot.kept()} == {"answered"}


async def test_a_bot_that_stops_ends_what_it_was_about_to_say_and_says_it_after_its_restart(
    bot: Bot, jo: Persona
) -> None:
    speaking, cancelled = asyncio.Event(), asyncio.Event()

    async def speak(*_: Any) -> Spoken:
        speaking.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()
        raise AssertionError

    await bot.hears("hello?")
    run = keep_replying(bot.database, speak, nothing_recent, lambda: NOW, lambda: SETTINGS, bot.listener.mentioned)
    replying = asyncio.create_task(run)
    await speaking.wait()
    replying.cancel()
    await asyncio.wait([replying])
    assert cancelled.is_set()
    assert [row["state"] for row in await bot.kept()] == ["open"]
    assert texts(await bot.answers()) == ["jo says 1"]


# --- Whose persona ----------------------------------------------------------------------------------------------------


async def test_who_said_it_answers_else_who_was_chosen_else_the_only_one(bot: Bot, jo: Persona, kim: Persona) -> None:
    await bot.settles(jo, cooldown_s=0)
    await bot.says(kim, "a kettle", "500")
    await bot.hears("why?", reply_to="500", by_name=False)
    await bot.hears("hello")
    await bot.answers()
    assert [who for who, _, _ in bot.voice.asked] == ["kim", "jo"]

    def answered(db: Db) -> None:
        db.execute(
            """INSERT INTO interactions (id, kind, place, channel, person, asked, token_until, message_id, state,
                                         persona_id, created_at)
               VALUES ('i', 'imitate', ?, ?, ?, '{}', 0, '600', 'answered', ?, 0)""",
            [PLACE, CHANNEL, ANN, kim.id],
        )

    await bot.database.run(answered)
    await bot.hears("and now?", reply_to="600", by_name=False)
    await bot.answers()
    assert bot.voice.asked[-1][0] == "kim"


async def test_the_only_persona_of_a_place_answers_where_nobody_was_chosen(bot: Bot, jo: Persona) -> None:
    def others(db: Db) -> None:
        add_persona(db, "al", "discord:2")
        add_persona(db, "untrained", trained=False)
        personas.share(db, add_persona(db, "everybodys", SHELL).id, True)

    await bot.database.run(others)
    await bot.hears()
    await bot.answers()
    assert [who for who, _, _ in bot.voice.asked] == ["jo"]


async def test_where_several_could_answer_or_nobody_can_people_are_told_how_to_choose_once_an_hour(
    bot: Bot, jo: Persona, kim: Persona
) -> None:
    for minutes in (0, 5, 70):
        bot.at = NOW + minutes * MINUTE
        assert not await bot.hears(person=f"discord:{minutes}")
        assert bot.queued.is_set()  # or it would be said half a minute later
    hints = await bot.answers()
    assert [post.kind for post in hints] == ["notice", "notice"]
    assert all("/reply set" in post.text and "jo, kim" in post.text for post in hints)
    assert [(post.cause["in_reply_to"], post.account, post.persona_id) for post in hints] == [
        ("1", CHANNEL, None), ("3", CHANNEL, None)
    ]  # fmt: skip
    await bot.hears(place="discord:2", account="20")
    assert "/train" in (await bot.answers())[-1].text
    assert bot.voice.asked == []


async def test_a_persona_of_another_place_answers_only_while_it_is_shared(bot: Bot, jo: Persona) -> None:
    al = await bot.database.run(lambda db: add_persona(db, "al", "discord:2"))
    await bot.settles(al, cooldown_s=0)
    await bot.database.run(lambda db: personas.share(db, al.id, True))
    await bot.hears()
    await bot.answers()
    await bot.database.run(lambda db: personas.share(db, al.id, False))
    await bot.hears()
    await bot.answers()
    assert [who for who, _, _ in bot.voice.asked] == ["al", "jo"]


async def test_an_answer_to_what_no_persona_said_is_none_to_us_unless_it_names_us(bot: Bot, jo: Persona) -> None:
    def notice(db: Db) -> None:
        post = outbox.add(db, "discord", CHANNEL, "n", {}, "a draft waits", NOW, NOW + 1, NOW, kind="notice")
        db.execute("UPDATE outbox SET state = 'posted', remote_id = '700' WHERE id = ?", [post.id])

    await bot.database.run(notice)
    assert not await bot.hears("thanks", reply_to="700", by_name=False)
    assert await bot.hears("thanks", reply_to="700")
    assert await bot.hears("what did you mean?", reply_to="999", by_name=False)  # forgotten since


# --- Not to everybody, not everywhere ---------------------------------------------------------------------------------


def opts_out(db: Db) -> None:
    db.execute("INSERT INTO opt_outs (subject, created_at) VALUES (?, 0)", [f"person:{ANN}"])


async def test_of_who_opted_out_nothing_is_kept_and_who_opts_out_meanwhile_is_not_answered(
    bot: Bot, jo: Persona
) -> None:
    assert await bot.hears("hello?")
    await bot.database.run(opts_out)
    assert not await bot.hears("still there?")
    assert await bot.answers() == []
    (row,) = await bot.kept()
    assert (row["remote_id"], row["state"], row["text"]) == ("1", "ignored", None)


@pytest.mark.parametrize(
    "scope", ["everything", "place:discord:1", "account:discord/10", "persona:discord:1/jo", "account:discord/9"]
)
async def test_who_is_muted_says_nothing_not_even_why(bot: Bot, jo: Persona, scope: str) -> None:
    assert await bot.hears(within="9")
    await bot.database.run(lambda db: mutes.set_until(db, scope, NOW + MINUTE, NOW))
    assert not await bot.hears(within="9")
    assert await bot.answers() == []
    assert await bot.reasons() == ["muted", "muted"]
    assert [row["text"] for row in await bot.kept()] == [None, None]
    bot.at = NOW + MINUTE
    assert await bot.hears(within="9")


async def test_some_are_answered_by_chance_and_none_where_it_is_off(bot: Bot, jo: Persona) -> None:
    await bot.settles(jo, chance=0.3, cooldown_s=0)
    bot.draws = [0.29, 0.3, 0.0]
    assert [await bot.hears() for _ in range(3)] == [True, False, True]
    await bot.settles(None, chance=0.0)
    assert not await bot.hears()
    assert [post.kind for post in await bot.answers()] == ["reply", "reply"]


async def test_a_thread_is_as_its_channel_unless_it_was_settled_itself(bot: Bot, jo: Persona, kim: Persona) -> None:
    await bot.settles(kim, cooldown_s=0)
    await bot.hears(account="11", within=CHANNEL)
    await bot.settles(jo, account="11", cooldown_s=0)
    await bot.hears(account="11", within=CHANNEL)
    await bot.answers()
    assert [who for who, _, _ in bot.voice.asked] == ["kim", "jo"]


# --- How often --------------------------------------------------------------------------------------------------------


async def test_two_machines_that_answer_one_another_end_soon(bot: Bot, jo: Persona) -> None:
    await bot.settles(jo, cooldown_s=0)
    answered: set[str] = set()
    assert await bot.hears("hello")
    for round_ in range(1000):
        bot.at += 1500
        new = [post for post in await bot.answers() if post.id not in answered]
        if not new:
            break
        for post in new:  # each of our messages, hints too, is answered at once
            answered.add(post.id)
            remote_id = f"9{round_:06}"

            def said(db: Db, post: Post = post, remote_id: str = remote_id) -> None:
                db.execute("UPDATE outbox SET state = 'posted', remote_id = ? WHERE id = ?", [remote_id, post.id])

            await bot.database.run(said)
            await bot.hears("and then?", reply_to=remote_id, by_name=True)
    posts = await bot.answers()
    assert [post.kind for post in posts].count("reply") == SETTINGS.per_person
    assert len(posts) <= SETTINGS.per_person + 2
    hints = [post.text for post in posts if post.kind == "notice"]
    assert all("at most 20 times in 10 minutes in one channel" in hint for hint in hints)
    assert hints
    bot.at += SETTINGS.minutes * MINUTE
    assert await bot.hears("good morning")


async def test_a_person_has_a_daily_limit_everywhere_and_others_have_their_own(bot: Bot, jo: Persona) -> None:
    bot.settings = ReplySettings(per_person=0, per_person_per_day=3)
    taken = []
    for number in range(5):
        bot.at += MINUTE
        taken.append(await bot.hears(account=str(number)))
    assert taken == [True, True, True, False, False]
    assert await bot.hears(person="discord:8")
    hints = [post for post in await bot.answers() if post.kind == "notice"]
    assert ["at most 3 times in 24 hours" in post.text for post in hints] == [True, True]  # once in each channel
    bot.at = NOW + 24 * 60 * MINUTE + MINUTE
    assert await bot.hears()


async def test_in_one_channel_answers_are_a_cooldown_apart_and_nobody_waits_in_vain(bot: Bot, jo: Persona) -> None:
    await bot.settles(jo, cooldown_s=240)
    taken = [await bot.hears(person=f"discord:{number}") for number in range(4)]
    assert taken == [True, True, True, False]  # the fourth would be answered twelve minutes late
    posts = await bot.answers()
    assert [post.due_at - NOW for post in posts if post.kind == "reply"] == [0, 4 * MINUTE, 8 * MINUTE]
    (hint,) = (post.text for post in posts if post.kind == "notice")
    assert "once in 4 minutes" in hint
    assert await bot.hears(account="11", person="discord:9")
    assert "11" in {post.account for post in await bot.answers(wait=False)}  # another channel waits for none of that


async def test_who_is_alone_with_a_persona_waits_for_no_cooldown(bot: Bot, jo: Persona) -> None:
    await bot.database.run(lambda db: add_persona(db, "al", "discord:30"))
    for account, place in (("30", "discord:30"), (CHANNEL, PLACE)):
        await bot.hears(account=account, place=place)
        await bot.hears(account=account, place=place)
    await bot.answers(wait=False)
    assert [who for who, _, _ in bot.voice.asked] == ["al", "al", "jo"]


# --- What cannot be answered ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "hint"),
    [
        (MessageRefused(reasons="blocked"), "I do not answer what holds"),
        (NothingAcceptable(persona="jo", reasons="repeats"), "jo has no answer to that"),
        (MockingbirdError(reason="the checkpoint is damaged"), "jo cannot answer at the moment"),
        (ZeroDivisionError(), "jo cannot answer at the moment"),
    ],
)
async def test_who_gets_no_answer_is_told_so_once_in_a_while(
    bot: Bot, jo: Persona, error: Exception, hint: str
) -> None:
    await bot.settles(jo, cooldown_s=0)
    bot.voice = Voice(error, error)
    await bot.hears("something bad")
    await bot.hears("something bad")
    (post,) = await bot.answers()
    assert post.text.startswith(hint)
    assert (post.kind, post.cause["in_reply_to"]) == ("notice", "1")
    assert [(row["state"], row["text"]) for row in await bot.kept()] == [("ignored", None)] * 2
    assert all(await bot.reasons())


async def test_what_may_pass_is_tried_again_until_it_is_too_late(bot: Bot, jo: Persona) -> None:
    bot.voice = Voice(PoolFull(waiting=9), "there you are")
    await bot.hears("first")
    assert texts(await bot.answers()) == ["there you are"]
    await bot.hears("second")
    bot.at += 10 * MINUTE
    assert texts(await bot.answers()) == ["there you are"]
    assert await bot.reasons() == [None, "it was too late"]
    assert not await bot.hears("old news", at=bot.at - 10 * MINUTE)


async def test_a_text_that_the_channel_has_said_is_made_anew_and_a_mere_mention_is_answered(
    bot: Bot, jo: Persona
) -> None:
    await bot.says(jo, "so it goes", "500")
    bot.voice = Voice("So it  goes", "or not")
    await bot.hears("")
    assert {*texts(await bot.answers())} == {"so it goes", "or not"}
    assert [message for _, message, _ in bot.voice.asked] == [None, None]
    seeds = [seed for _, _, seed in bot.voice.asked]
    assert len(set(seeds)) == 2


async def test_a_reply_that_is_not_said_in_time_bothers_nobody(bot: Bot, jo: Persona) -> None:
    await bot.hears()
    (reply,) = await bot.answers()
    await bot.database.run(lambda db: outbox.expire(db, reply.expires_at))
    assert [(post.kind, post.state) for post in await bot.answers()] == [("reply", PostState.MISSED)]


# --- Unasked ----------------------------------------------------------------------------------------------------------


async def test_nobody_speaks_unasked_unless_people_want_it(bot: Bot, jo: Persona) -> None:
    bot.draws = [0.0] * 10
    assert not any([await bot.passes() for _ in range(5)])
    await bot.settles(jo)
    assert not any([await bot.passes() for _ in range(5)])
    assert await bot.kept() == []


async def test_somebody_speaks_after_every_so_many_messages_to_nobody_in_particular(bot: Bot, jo: Persona) -> None:
    await bot.settles(jo, unasked_every=3, cooldown_s=60)
    assert [await bot.passes() for _ in range(3)] == [False, False, True]
    (post,) = await bot.answers()
    assert (post.kind, post.persona_id) == ("post", jo.id)
    assert not {"in_reply_to", "person"} & set(post.cause)
    assert bot.voice.asked[0][:2] == ("jo", None)
    (row,) = await bot.kept()
    assert (row["person"], row["kind"], row["text"], row["state"]) == ("", "unasked", None, "answered")
    assert [await bot.passes() for _ in range(3)] == [False] * 3  # its cooldown
    bot.at += MINUTE
    assert [await bot.passes() for _ in range(3)] == [False, False, True]
    await bot.answers()
    later = Bot(bot.database, at=bot.at + 5 * MINUTE)
    await later.listener.begin()
    assert [await later.passes(remote_id=f"later {number}") for number in range(3)] == [False, False, True]


async def test_somebody_speaks_unasked_by_chance_but_not_after_who_opted_out_and_not_while_muted(
    bot: Bot, jo: Persona
) -> None:
    await bot.settles(jo, unasked_chance=0.2, cooldown_s=0)
    await bot.database.run(opts_out)
    bot.draws = [0.1, 0.2, 0.1, 0.1, 0.1]
    assert not await bot.passes()
    assert not await bot.passes(person="discord:8")
    await bot.database.run(lambda db: mutes.set_until(db, f"account:discord/{CHANNEL}", NOW + 1, NOW))
    assert not await bot.passes(person="discord:8")
    bot.at += 1
    assert await bot.passes(person="discord:8")
    assert not await bot.passes(person="discord:8")  # while that is still being said
    assert not await bot.passes(person="discord:8", place="discord:2", account="20")


async def test_what_was_settled_long_ago_is_forgotten(bot: Bot, jo: Persona) -> None:
    await bot.hears("one")
    await bot.answers()
    await bot.hears("two")
    await bot.database.run(lambda db: mentions.prune(db, NOW + 1))
    assert [(row["remote_id"], row["state"]) for row in await bot.kept()] == [("2", "open")]


async def test_with_a_persona_goes_where_it_was_to_answer(bot: Bot, jo: Persona, kim: Persona) -> None:
    await bot.settles(kim)
    await bot.hears()

    def forget(db: Db) -> list[Listening]:
        db.execute("DELETE FROM personas WHERE id = ?", [kim.id])
        return listening.every(db)

    assert await bot.database.run(forget) == []
    assert await bot.answers() == []
    assert await bot.reasons() == ["its persona is gone"]
    assert await bot.hears()
    assert texts(await bot.answers()) == ["jo says 1"]
