"""Who is forgotten is gone, to the last byte, whenever the bot is killed meanwhile; nobody else is."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import shutil
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import pytest

from bot.app import App
from bot.config import Config
from bot.domain import Asker, Job, Post, PostState
from bot.errors import (
    NoCheckpoint,
    NothingHeld,
    NotOptedOut,
    OperatorOnly,
    OptedOut,
    RequestCancelled,
    UnknownPersona,
)
from bot.flows import forget, opt_out, train
from bot.flows.ingest import ingest
from bot.store import (
    consents,
    erase,
    feed,
    jobs,
    mutes,
    opt_outs,
    outbox,
    personas,
    places,
    requests,
    runs,
    schedules,
    timelines,
)
from bot.store.consents import Consent
from bot.store.database import Database, Db
from training import run
from training.corpus import build_corpus, read_corpus, write_corpus
from training.recipe import recipe_named
from training.timeline import Tweet

T = TypeVar("T")

NOW = 1_700_000_000_000
HOUR = 3_600_000
PLACE, OTHER = "discord:1", "discord:2"
ENDED = {PostState.POSTED, PostState.REJECTED, PostState.MISSED}
# An account of each persona's own, for one sends at a time.
CODES = {f"{PLACE}/jo": "1", f"{PLACE}/ben": "2", f"{PLACE}/ben-jo": "3", f"{OTHER}/jo": "4"}
ANN = Asker("discord:7", PLACE)


def sentence(handle: str, number: int, place: str = PLACE) -> str:
    town = {PLACE: "harbour", OTHER: "mountain"}[place]
    return f"{handle} counts {number} lanterns along the {number % 7} quays of {town} town again"


def said_by(handle: str, place: str = PLACE, answers: str | None = None, count: int = 60) -> list[Tweet]:
    """The tweets of a handle; every one of them answers one of the other's, if there is another."""
    base = {"jo": 1_000, "ben": 2_000}[handle]
    reply = {"jo": 1_000, "ben": 2_000}.get(answers or "")
    return [
        Tweet(
            str(base + number),
            sentence(handle, number, place),
            NOW + number,
            handle,
            reply_to=None if reply is None else str(reply + number),
        )
        for number in range(count)
    ]


def furnish(folder: Path, db: Db) -> None:
    """Two people and their mix in one place, the first of them in another one too, with all that can be known of it."""
    for place in (PLACE, OTHER):
        timelines.hold(db, "jo", "Jo of the quays", said_by("jo", place), NOW, place)
        consents.add(db, Consent(place, "jo", "permission", "discord:7", "tweets.js, 9 bytes", NOW))
    timelines.hold(db, "ben", None, said_by("ben", answers="jo"), NOW, PLACE)
    for place, handles in ((PLACE, ["jo"]), (PLACE, ["ben"]), (PLACE, ["jo", "ben"]), (OTHER, ["jo"])):
        persona = personas.create(db, handles, NOW, place)
        trained(folder, db, persona.id, place)
        schedules.add(db, persona.id, "discord", "5", "every 3600s", "UTC", "", NOW, NOW + HOUR, place=place)
        mutes.set_until(db, mutes.of_persona(persona.name), NOW + HOUR, NOW)
        for state in PostState:
            post_in(db, state, persona.name, persona.id, place, handles[-1])
        answered(db, persona.id, persona.name, place)
    for place, who in ((PLACE, "ben, jo"), (OTHER, "jo")):
        outbox.notify(db, "choose:1", f"Choose who answers here: {who}.", NOW, place=place)
    places.settle(db, PLACE, places.Settled(("discord", "6")))


def trained(folder: Path, db: Db, persona_id: int, place: str) -> None:
    found = train.material(db, persona_id)
    recipe = recipe_named("quick")
    job, _ = train.queue(db, found.persona.handles, "quick", None, 7, NOW, found.persona.place)
    run_id = runs.begin(db, persona_id, "quick", 7, "abc", NOW)
    where = run.folder_of(folder, run_id)
    write_corpus(build_corpus(found.tweets, recipe, found.answered), where / "corpus")
    (where / "checkpoint").mkdir()
    (where / "checkpoint" / "adapter").write_text(sentence(found.persona.handles[-1], 1, place))
    jobs.start(db, job.id, run_id)
    jobs.finish(db, job.id, NOW)
    personas.promote(db, persona_id, run_id)
    asked = {"handles": list(found.persona.handles), "recipe": "quick", "weights": [1.0], "seed": 7}
    done = requests.add(db, None, "train", "discord:7", found.persona.place, asked, NOW, job_id=job.id)
    requests.answer(db, done.id, {"persona": found.persona.name}, NOW)


def post_in(db: Db, state: PostState, persona: str, persona_id: int, place: str, handle: str) -> Post:
    """A post that was edited, has alternatives and a history, and came into this state."""
    number = list(PostState).index(state)
    text = f"{sentence(handle, number, place)} says {persona}, {state}"
    cause = {"persona": persona, "prompt": f"{handle} counts", "message": sentence(handle, 50, place), "seed": 1}
    account = f"{CODES[persona]}-{state}"
    post = outbox.add(
        *(db, "discord", account, f"now:{persona_id}:{number}", cause, text, NOW, NOW + HOUR, NOW),
        draft=state is PostState.DRAFT,
        persona_id=persona_id,
        alternatives=[{"text": sentence(handle, 51, place), "seed": 2, "rank": 1.0}],
        place=place,
    )
    values = {"posted": f"9{post.id}"}
    assignments = "state = ?, remote_id = ?, attempts = 1, claimed_at = ?, doubt_at = ?"
    where = [state, values.get(state), NOW, NOW if state is PostState.UNKNOWN else None]
    outbox.change(
        db, post.id, ("draft", "queued"), assignments, where, NOW, f"edited; it was: {sentence(handle, 52, place)}"
    )
    if state is PostState.POSTED:
        feed.publish(db, post.id, persona, text, NOW)
    if state is PostState.DRAFT:
        outbox.notify(db, f"draft:{post.id}", f"A draft of {persona}. It is: {text}", NOW, {"about": post.id}, place)
    return post


def answered(db: Db, persona_id: int, persona: str, place: str) -> None:
    """What people asked, were shown, thought of it and said to it."""
    slug = persona.rpartition("/")[2]
    handle = slug.split("-")[0]
    asked = {"persona": slug, "prompt": "", "n": 1}
    answer = {"persona": persona, "candidates": [{"text": sentence(handle, 53, place)}]}
    request = requests.add(db, None, "imitate", "discord:7", place, asked, NOW)
    requests.answer(db, request.id, answer, NOW)
    values: dict[str, Any] = {
        "id": f"{persona_id}", "request_id": request.id, "kind": "imitate", "place": place, "channel": "5",
        "person": "discord:7", "asked": json.dumps(asked), "token": b"sealed", "token_until": NOW,
        "message_id": f"8{persona_id}", "state": "answered", "persona_id": persona_id, "answer": json.dumps(answer),
        "created_at": NOW,
    }  # fmt: skip
    for more in ({}, {"id": f"{persona_id}?", "persona_id": None, "message_id": None, "state": "open"}):
        db["interactions"].insert({**values, **more})
    db["votes"].insert({"interaction_id": f"{persona_id}", "candidate": 0, "person": "discord:7", "vote": 1, "at": NOW})
    db["mentions"].insert(
        {
            "platform": "discord", "remote_id": f"{persona_id}", "place": place, "account": "5",
            "person": "discord:8", "kind": "mention", "persona_id": persona_id, "text": sentence(handle, 54, place),
            "state": "open", "taken": 1, "at": NOW,
        }
    )  # fmt: skip
    db["listening"].insert(
        {"platform": "discord", "account": f"{persona_id}", "place": place, "persona_id": persona_id}
    )


class Killed(BaseException):
    """The bot dies here."""


class Mortal(Database):
    """Dies after so many more transactions, or just before the next one."""

    left = 1_000_000
    before = False

    async def run(self, fn: Callable[[Db], T]) -> T:
        if self.left == 0 and self.before:
            raise Killed
        done = await super().run(fn)
        if self.left == 0:
            raise Killed
        self.left -= 1
        return done


@asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[App]:
    app = App(Config(), folder, {})
    async with app:
        yield app


async def forgotten(app: App, handle: str = "jo", by: Asker = ANN, everywhere: bool = False) -> list[erase.Held]:
    return await forget.forget(
        app.database, app.desk, app.imitator, handle, by, lambda: NOW, everywhere, delivering=False
    )


@pytest.fixture
async def folder(tmp_path: Path) -> Path:
    async with opened(tmp_path / "data") as app:
        await app.database.run(lambda db: furnish(app.database.folder, db))
    return tmp_path / "data"


def left(folder: Path, pattern: str) -> list[str]:
    """The files in which something like this stands."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return sorted(str(path.relative_to(folder)) for path in files if re.search(pattern.encode(), path.read_bytes()))


def dump(folder: Path, word: str) -> dict[str, list[str]]:
    """By table, the rows in which a word stands."""
    connection = sqlite3.connect(folder / "mockingbird.db")
    try:
        found: dict[str, list[str]] = {}
        for (table,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            for row in connection.execute(f"SELECT * FROM {table}").fetchall():
                written = json.dumps([value for value in row if isinstance(value, str)])
                if re.search(rf"(?<![a-z0-9]){word}(?![a-z0-9])", written, re.IGNORECASE):
                    found.setdefault(table, []).append(written)
        return found
    finally:
        connection.close()


HERE, THERE = r"jo counts \d+ lanterns along the \d quays of harbour", r"jo counts \d+ lanterns .* mountain town"
BENS = r"ben counts \d+ lanterns"


# --- Forgetting -------------------------------------------------------------------------------------------------------


async def test_not_a_byte_of_a_person_is_left_in_their_place_and_all_of_everybody_else(folder: Path) -> None:
    async with opened(folder) as app:
        before = dump(folder, "ben")
        assert left(folder, HERE) == [
            "mockingbird.db",
            "runs/1/checkpoint/adapter",
            "runs/1/corpus/held_out.jsonl",
            "runs/1/corpus/train.jsonl",
            "runs/2/corpus/held_out.jsonl",  # as what Ben has answered
            "runs/2/corpus/train.jsonl",
            "runs/3/checkpoint/adapter",
            "runs/3/corpus/held_out.jsonl",
            "runs/3/corpus/train.jsonl",
        ]
        corpus = read_corpus(folder / "runs" / "2" / "corpus")
        (went,) = await forgotten(app)
        assert (went.tweets, [persona.slug for persona in went.personas]) == (60, ["ben-jo", "jo"])
        assert (went.runs, went.schedules, went.waiting) == ((1, 3), 2, 4)
        assert left(folder, HERE) == []  # while the bot still runs
        assert (folder / "mockingbird.db-wal").stat().st_size == 0
        after = dump(folder, "ben")
        assert {table: len(found) for table, found in after.items()} == {
            "timelines": 1, "personas": 1, "tweets": 60, "outbox": 9 + 4, "outbox_log": 9, "requests": 2,
            "interactions": 2, "mentions": 1, "mutes": 1, "feed": 1,
        }  # fmt: skip
        assert all(set(found) <= set(before[table]) for table, found in after.items())
        kept = read_corpus(folder / "runs" / "2" / "corpus")
        assert [piece.text for piece in kept.train] == [piece.text for piece in corpus.train]
        assert {piece.message for piece in (*kept.train, *kept.held_out)} == {None}
        assert (folder / "runs" / "2" / "checkpoint").is_dir()
        assert left(folder, THERE) != []
        with pytest.raises(NothingHeld):
            await forgotten(app)
        with pytest.raises(UnknownPersona):
            await app.database.run(lambda db: personas.speaking(db, "jo", PLACE))
        assert (await app.database.run(lambda db: personas.speaking(db, "jo", OTHER))).run_id == 4


async def test_whoever_runs_the_bot_forgets_in_all_places_and_nothing_names_them_any_more(folder: Path) -> None:
    async with opened(folder) as app:
        with pytest.raises(OperatorOnly):
            await forgotten(app, everywhere=True)
        went = await forgotten(app, by=Asker(), everywhere=True)
        assert [of.place for of in went] == [PLACE, OTHER]
        assert dump(folder, "jo") == {}
        assert (left(folder, HERE), left(folder, THERE)) == ([], [])
        assert left(folder, BENS) != []


async def test_what_was_said_is_known_by_its_ids_and_never_said_again(folder: Path) -> None:
    async with opened(folder) as app:
        (went,) = await forgotten(app)
        said = [(found.account, found.remote_id) for found in went.said]
        assert sorted(account for account, remote_id in said if remote_id is None) == [
            f"{who}-{state}" for who in ("1", "3") for state in ("review", "sending", "unknown")
        ]  # fmt: skip
        assert [remote_id for account, remote_id in said if account == "5"] == ["81", "85"]
        posts = await app.database.run(lambda db: outbox.every(db, 1000, place=PLACE))
        theirs = [post for post in posts if post.cause == {"forgotten": True} and post.kind != "notice"]
        assert {(post.text, post.alternatives) for post in theirs} == {("", ())}
        assert sorted(post.state for post in theirs) == sorted(
            2 * [PostState.POSTED, PostState.REJECTED, PostState.MISSED, *6 * [PostState.CANCELLED]]
        )
        assert {post.remote_id for post in theirs if post.state is PostState.POSTED} <= {found for _, found in said}
        assert {post.persona_id for post in theirs} == {None}
        again = await app.database.run(
            lambda db: outbox.add(
                db, "discord", theirs[0].account, theirs[0].cause_key, {}, "something", NOW, NOW, NOW, place=PLACE
            )
        )
        assert again.id == theirs[0].id  # the same cause is still the same post
        assert again.text == ""


# --- Kills ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("before", [True, False])
async def test_killed_at_any_step_nothing_half_forgotten_speaks_and_asking_again_completes_it(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: bool
) -> None:
    monkeypatch.setattr("bot.app.Database", Mortal)
    for steps in range(100):
        data = tmp_path / f"killed-{steps}"
        shutil.copytree(folder, data)
        async with opened(data) as app:
            assert isinstance(app.database, Mortal)
            app.database.left, app.database.before = steps, before
            try:
                await forgotten(app)
                break
            except Killed:
                app.database.left = 1_000_000
        async with opened(data) as app:
            held = await app.database.run(lambda db: erase.held(db, PLACE, "jo"))
            if held is None or any(persona.run_id is None for persona in held.personas):
                for name in ("jo", "jo+ben"):
                    with pytest.raises((NoCheckpoint, UnknownPersona)):
                        await app.database.run(lambda db, name=name: personas.speaking(db, name, PLACE))
            posts = await app.database.run(lambda db: outbox.every(db, 1000))
            assert {post.state for post in posts if not post.text} <= {PostState.CANCELLED, *ENDED}
            with contextlib.suppress(NothingHeld):
                await forgotten(app)
        assert left(data, HERE) == []
        assert left(data, r"runs/[13]/") == []
        assert sorted(path.name for path in (data / "runs").iterdir()) == ["2", "4"]
        shutil.rmtree(data)
    assert steps > 6


async def test_files_that_a_kill_has_left_are_removed_at_the_next_start(folder: Path) -> None:
    (folder / "runs" / "99" / "corpus").mkdir(parents=True)
    (folder / "uploads").mkdir()
    (folder / "uploads" / "1").write_text("jo")
    async with opened(folder):
        assert sorted(path.name for path in (folder / "runs").iterdir()) == ["1", "2", "3", "4"]
        assert not (folder / "uploads").exists()


# --- While something is being done ------------------------------------------------------------------------------------


async def test_a_training_is_stopped_and_whoever_waits_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun = asyncio.Event()

    async def learn(job: Job, hear: object) -> None:
        begun.set()
        await asyncio.sleep(60)

    async with opened(folder) as app:
        monkeypatch.setattr(app.desk, "_train", learn)
        running = asyncio.create_task(app.desk.run())
        wish = {"handles": ["jo", "ben"], "recipe": "quick", "weights": None, "seed": 8}
        request = await app.desk.ask("train", ANN.person, PLACE, wish, NOW)
        waiting = asyncio.create_task(app.desk.wait(request.id))
        async with asyncio.timeout(20):
            await begun.wait()
            await forgotten(app)
            with pytest.raises(RequestCancelled, match="it was forgotten"):
                await waiting
        assert await app.database.run(lambda db: jobs.waiting(db)) == []
        assert (folder / "runs" / "2").is_dir()
        assert left(folder, HERE) == []
        running.cancel()
        await asyncio.wait([running])


async def test_an_imitation_that_is_being_made_is_never_answered(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun = asyncio.Event()

    async def imitate(asked: object, person: str, place: str) -> dict[str, Any]:
        begun.set()
        await asyncio.sleep(60)
        return {"persona": f"{PLACE}/jo", "candidates": [{"text": sentence("jo", 9)}]}

    async with opened(folder) as app:
        monkeypatch.setattr(app.desk, "_imitate", imitate)
        running = asyncio.create_task(app.desk.run())
        theirs = await app.desk.ask("imitate", ANN.person, PLACE, {"persona": "@Jo", "prompt": "x"}, NOW)
        other = await app.desk.ask("imitate", ANN.person, PLACE, {"persona": "ben", "prompt": "jo"}, NOW)
        async with asyncio.timeout(20):
            await begun.wait()
            await forgotten(app)
            with pytest.raises(RequestCancelled):
                await app.desk.wait(theirs.id)
        assert not (await app.database.run(lambda db: requests.get(db, other.id))).ended
        running.cancel()
        await asyncio.wait([running])


async def test_a_post_that_is_on_its_way_is_waited_for_so_that_its_id_is_known(folder: Path) -> None:
    async with opened(folder) as app:

        def arrive(db: Db) -> None:
            sending = outbox.every(db, 1000, [PostState.SENDING], PLACE)
            for number, post in enumerate(post for post in sending if post.account[0] in "13"):
                outbox.posted(db, post.id, f"77{number}", NOW)

        work = asyncio.create_task(
            forget.forget(app.database, app.desk, app.imitator, "jo", ANN, lambda: NOW, delivering=True)
        )
        await asyncio.sleep(0.2)
        assert not work.done()
        await app.database.run(arrive)
        async with asyncio.timeout(20):
            (went,) = await work
        posts = await app.database.run(lambda db: outbox.every(db, 1000, [PostState.POSTED], PLACE))
        assert {"770", "771"} <= {post.remote_id for post in posts}
        assert {"770", "771"} <= {said.remote_id for said in went.said}


# --- Opting out -------------------------------------------------------------------------------------------------------


async def test_a_handle_that_opted_out_is_neither_imitated_nor_trained_nor_imported_anywhere(
    folder: Path, timeline: Callable[..., Path]
) -> None:
    async with opened(folder) as app:
        waiting = await app.database.run(lambda db: outbox.every(db, 1000, [PostState.DRAFT, PostState.QUEUED]))
        new, cancelled = await opt_out.refuse(app.database, "@Jo", NOW)
        assert new
        assert set(cancelled) == {post.id for post in waiting if post.kind != "notice" and post.account[0] != "2"}
        for name, place in (("jo", PLACE), ("ben+jo", PLACE), ("jo", OTHER)):
            with pytest.raises(OptedOut, match="@jo does not want to be imitated"):
                await app.database.run(lambda db, name=name, place=place: personas.speaking(db, name, place))
            queue = partial(train.queue, handles=personas.split(name), recipe="quick", weights=None, seed=None, now=NOW)
            with pytest.raises(OptedOut):
                await app.database.run(partial(queue, place=place))
        with pytest.raises(OptedOut):
            await ingest(app.database, timeline("jo", 40), None, NOW)
        assert (await opt_out.allow(app.database, "JO")) == "JO"
        with pytest.raises(NotOptedOut):
            await opt_out.allow(app.database, "jo")
        assert (await app.database.run(lambda db: personas.speaking(db, "jo", PLACE))).run_id == 1


async def test_a_person_who_opted_out_is_left_alone_at_once(folder: Path) -> None:
    async with opened(folder) as app:
        assert await opt_out.leave(app.database, "discord:8", NOW)
        assert not await opt_out.leave(app.database, "discord:8", NOW)
        assert await app.database.run(lambda db: opt_outs.holds(db, opt_outs.person("discord:8")))
        assert not await app.database.run(lambda db: opt_outs.holds(db, opt_outs.person("discord:7")))
        assert set(await app.database.run(lambda db: list(db.execute("SELECT text, state FROM mentions")))) == {
            (None, "ignored")
        }
        assert await opt_out.come_back(app.database, "discord:8")
        assert not await opt_out.come_back(app.database, "discord:8")


async def test_a_wish_to_be_forgotten_is_told_to_the_people_of_the_place_and_forgotten_with_all_else(
    folder: Path,
) -> None:
    async with opened(folder) as app:
        for _ in range(2):
            assert await opt_out.wish(app.database, "@JO", ANN, NOW)
        assert not await opt_out.wish(app.database, "nobody", ANN, NOW)
        told = [post for post in await app.database.run(lambda db: outbox.every(db, 1000)) if "forgotten" in post.text]
        assert [(post.platform, post.account, post.place) for post in told] == [("discord", "6", PLACE)]
        await forgotten(app)
        (notice,) = await app.database.run(
            lambda db: [post for post in outbox.every(db, 1000) if post.id == told[0].id]
        )
        assert (notice.text, notice.state) == ("", PostState.CANCELLED)
