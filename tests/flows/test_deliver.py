"""What stands in the outbox is said exactly once, whatever the platform answers and whenever the bot is killed."""

import asyncio
import contextlib
import json
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
import sqlite_utils
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.domain import Capability, Duplicate, Found, NotSent, Post, PostState, Refused, Unauthorized
from bot.errors import DatabaseBusy
from bot.flows import deliver
from bot.flows.deliver import backoff_ms, deliver_due
from bot.store import accounts, claims, ledger, outbox
from bot.store.database import Database
from bot.store.ledger import Limits

HOUR = 3_600_000


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = Database(tmp_path)
    yield opened
    opened.close()


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000

    def __call__(self) -> int:
        return self.now


class Platform:
    """A platform that does what its script says, one word per send and per look, and remembers what arrived."""

    platform = "local"
    capability = Capability(searchable=True)

    def __init__(self, *sends: str, looks: tuple[str, ...] = ()) -> None:
        self.sends, self.looks = list(sends), list(looks)
        self.arrived: list[str] = []
        self.keys: list[str] = []
        self.told: list[str] = []  # notices, which always arrive
        self.sending = self.most = 0
        self.begun = asyncio.Event()

    async def send(self, post: Post) -> str:
        if post.kind == "notice":
            self.told.append(post.text)
            return f"notice-{len(self.told)}"
        self.keys.append(post.id)
        self.sending += 1
        self.most = max(self.most, self.sending)
        self.begun.set()
        try:
            return await self._answer(post, self.sends.pop(0) if self.sends else "ok")
        finally:
            self.sending -= 1

    async def _answer(self, post: Post, word: str) -> str:
        if word == "not sent":
            raise NotSent("no route")
        if word == "refused":
            raise Refused("duplicate content")
        if word == "not before":
            raise NotSent("429", 1_900_000)
        if word == "unauthorized":
            raise Unauthorized("401")
        if word == "duplicate":
            raise Duplicate
        if word == "lost":
            raise ConnectionResetError("reset before it arrived")
        self.arrived.append(post.cause_key)
        if word == "slow":
            await asyncio.sleep(0.2)
        if word == "hangs":
            await asyncio.sleep(60)
        if word == "cancelled":
            raise asyncio.CancelledError
        if word == "garbled":
            raise AttributeError("'NoneType' object has no attribute 'get'")
        return f"remote-{len(self.arrived)}"

    async def find(self, post: Post) -> Found | None:
        if self.looks and self.looks.pop(0) == "fails":
            raise TimeoutError
        if post.cause_key not in self.arrived:
            return None
        return Found(f"remote-{self.arrived.index(post.cause_key) + 1}", posted_at=10**12)


async def add(database: Database, cause: str = "a", account: str = "feed", expires: int = HOUR) -> str:
    def transaction(db: sqlite_utils.Database) -> Post:
        return outbox.add(db, "local", account, cause, {}, f"text {cause}", 1_000_000, 1_000_000 + expires, 999_999)

    return (await database.run(transaction)).id


async def posts(database: Database) -> list[Post]:
    return [post for post in (await database.run(outbox.every))[::-1] if post.kind != "notice"]


async def states(database: Database) -> list[str]:
    return [str(post.state) for post in await posts(database)]


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not holds():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_what_is_due_is_posted_with_its_remote_id(database: Database) -> None:
    await add(database)
    platform = Platform()
    assert await deliver_due(database, {"local": platform}, Clock()) == 1
    assert await deliver_due(database, {"local": platform}, Clock()) == 0
    (post,) = await posts(database)
    assert (post.state, post.remote_id, post.attempts) == (PostState.POSTED, "remote-1", 1)
    assert platform.arrived == ["a"]


async def test_what_surely_was_not_sent_is_tried_again_later_and_later(database: Database) -> None:
    await add(database)
    platform, clock = Platform("not sent", "not sent"), Clock()
    for wait in (5_000, 10_000):
        assert await deliver_due(database, {"local": platform}, clock) == 0
        clock.now += wait - 1
        assert await deliver_due(database, {"local": platform}, clock) == 0
        clock.now += 1
    assert await deliver_due(database, {"local": platform}, clock) == 1
    assert [backoff_ms(attempts) for attempts in (1, 2, 3, 8, 9, 1000)] == [
        5_000,
        10_000,
        20_000,
        640_000,
        900_000,
        900_000,
    ]


async def test_a_refusal_is_final(database: Database) -> None:
    await add(database)
    await deliver_due(database, {"local": Platform("refused")}, Clock())
    (post,) = await posts(database)
    assert (post.state, post.error) == (PostState.REJECTED, "duplicate content")


@pytest.mark.parametrize("word", ["garbled", "cancelled"])
async def test_what_arrived_without_a_clear_answer_is_found_and_not_said_again(database: Database, word: str) -> None:
    await add(database, "a"), await add(database, "b")
    platform, clock = Platform(word), Clock()
    assert await deliver_due(database, {"local": platform}, clock) == 0
    assert await states(database) == ["unknown", "queued"]  # and the account says nothing else meanwhile
    clock.now += 5_000
    assert await deliver_due(database, {"local": platform}, clock) == 2
    assert platform.arrived == ["a", "b"]
    assert await states(database) == ["posted", "posted"]


async def test_what_did_not_arrive_is_said_again_with_the_same_text(database: Database) -> None:
    await add(database)
    platform, clock = Platform("lost"), Clock()
    await deliver_due(database, {"local": platform}, clock)
    clock.now += 5_000
    assert await deliver_due(database, {"local": platform}, clock) == 1
    (post,) = await posts(database)
    assert (platform.arrived, post.attempts, post.text) == (["a"], 2, "text a")


async def test_after_three_attempts_that_did_not_arrive_people_decide(database: Database) -> None:
    await add(database)
    platform, clock = Platform(*["lost"] * 9), Clock()
    for _ in range(9):
        await deliver_due(database, {"local": platform}, clock)
        clock.now += 60_000
    (post,) = await posts(database)
    assert (post.state, post.attempts) == (PostState.REVIEW, 3)


async def test_what_cannot_be_looked_up_stays_unknown_until_people_decide(database: Database) -> None:
    await add(database, expires=2 * HOUR)
    platform, clock = Platform("garbled", looks=("fails",) * 6), Clock()
    await deliver_due(database, {"local": platform}, clock)
    for look in range(6):
        assert await states(database) == ["unknown"], look
        clock.now += 600_000
        await deliver_due(database, {"local": platform}, clock)
    assert await states(database) == ["review"]
    assert platform.arrived == ["a"]


async def test_too_late_is_missed_but_never_if_it_may_be_out(database: Database) -> None:
    await add(database, "a", account="one"), await add(database, "b", account="two")
    platform, clock = Platform("not sent", "lost"), Clock()
    await deliver_due(database, {"local": platform}, clock)
    clock.now += 2 * HOUR
    await deliver_due(database, {"local": platform}, clock)
    assert await states(database) == ["missed", "review"]
    assert platform.arrived == []


async def test_one_account_in_trouble_does_not_silence_another(database: Database) -> None:
    await add(database, "a", account="one"), await add(database, "b", account="two")
    assert await deliver_due(database, {"local": Platform("lost")}, Clock()) == 1
    assert await states(database) == ["unknown", "posted"]


async def test_a_send_that_hangs_is_unknown(database: Database) -> None:
    await add(database)
    claimed = await database.run(lambda db: claims.claim(db, {"local": Platform.capability}, 1_000_000))
    assert claimed is not None
    post = await deliver.say(database, Platform("hangs"), claimed, Clock(), longest_s=0.05)
    assert (post.state, post.error) == (PostState.UNKNOWN, "TimeoutError")


async def test_cancelled_it_finishes_and_records_the_send_under_way(database: Database) -> None:
    await add(database, "a"), await add(database, "b")
    platform = Platform("slow")
    delivering = asyncio.create_task(deliver_due(database, {"local": platform}, Clock()))
    await asyncio.wait_for(platform.begun.wait(), 5)
    delivering.cancel()
    with pytest.raises(asyncio.CancelledError):
        await delivering
    assert await states(database) == ["posted", "queued"]


async def test_two_deliveries_at_once_still_send_one_by_one(database: Database) -> None:
    for number in range(6):
        await add(database, str(number))
    platform = Platform("slow", "slow")
    done = await asyncio.gather(*(deliver_due(database, {"local": platform}, Clock()) for _ in range(3)))
    done.append(await deliver_due(database, {"local": platform}, Clock()))
    assert (sum(done), platform.most) == (6, 1)
    assert sorted(platform.arrived) == [str(number) for number in range(6)]


async def test_what_the_platform_said_is_written_down_when_the_disk_has_room_again(database: Database) -> None:
    post_id = await add(database)
    limit: Callable[[int], Awaitable[object]] = lambda pages: database.run(  # noqa: E731
        lambda db: db.execute(f"PRAGMA max_page_count = {pages}").fetchone()
    )

    def change(db: sqlite_utils.Database) -> Post:
        db.execute("INSERT INTO feed (outbox_id, author, text, posted_at) VALUES ('x', 'jo', ?, 0)", ["x" * 100_000])
        return outbox.posted(db, post_id, "remote-1", 1)

    await database.run(lambda db: claims.claim(db, {"local": Platform.capability}, 1_000_000))
    await limit(1)
    recording = asyncio.create_task(deliver.record(database, change, retry_s=0.02))
    await asyncio.sleep(0.1)
    assert (await states(database), recording.done()) == (["sending"], False)
    await limit(1_000_000)
    assert (await recording).state is PostState.POSTED


async def test_what_the_platform_said_is_written_down_when_no_other_program_holds_the_database_any_more(
    database: Database,
) -> None:
    database._thread.submit(database._db.execute, "PRAGMA busy_timeout = 20").result()
    post_id = await add(database)
    await database.run(lambda db: claims.claim(db, {"local": Platform.capability}, 1_000_000))
    with contextlib.closing(sqlite3.connect(database.folder / "mockingbird.db")) as other:
        other.execute("BEGIN IMMEDIATE")
        change = lambda db: outbox.posted(db, post_id, "remote-1", 1_000_001)  # noqa: E731
        with pytest.raises(DatabaseBusy, match="Another program keeps the database"):
            await database.run(change)
        recording = asyncio.create_task(deliver.record(database, change, retry_s=0.01))
        await asyncio.sleep(0.1)
        assert not recording.done()
    assert (await recording).remote_id == "remote-1"


async def test_a_slow_account_holds_up_no_other(database: Database) -> None:
    class Slow(Platform):
        async def _answer(self, post: Post, word: str) -> str:
            if post.account == "slow":
                await others_are_out.wait()
            self.arrived.append(post.cause_key)
            if len(self.arrived) == 20:
                others_are_out.set()
            return f"remote-{post.cause_key}"

    others_are_out = asyncio.Event()
    await add(database, "slow", account="slow")
    for number in range(20):
        await add(database, str(number), account=f"account {number % 10}")
    platform = Slow()
    async with asyncio.timeout(20):
        assert await deliver_due(database, {"local": platform}, Clock()) == 21
    assert platform.arrived[-1] == "slow"
    assert 1 < platform.most <= deliver.AT_ONCE


async def test_while_one_account_is_slow_what_becomes_due_elsewhere_is_said(database: Database) -> None:
    await add(database, "a", account="slow")
    platform = Platform("hangs")
    delivering = asyncio.create_task(deliver_due(database, {"local": platform}, Clock()))
    await asyncio.wait_for(platform.begun.wait(), 5)
    await add(database, "b", account="other")
    await until(lambda: len(platform.arrived) == 2)
    assert platform.arrived == ["a", "b"]
    delivering.cancel()
    await asyncio.sleep(0.01)
    delivering.cancel()  # a second time: then it does not wait for the slow one
    with pytest.raises(asyncio.CancelledError):
        await delivering


async def test_cancelled_between_claim_and_send_it_puts_the_post_back(database: Database) -> None:
    await add(database)
    limits = Limits(posts_per_day=1)
    taking = asyncio.create_task(
        deliver.take_next(database, {"local": Platform.capability}, Clock(), limits, deliver.allows)
    )
    await asyncio.sleep(0)
    taking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await taking
    assert await states(database) == ["queued"]
    assert (await database.run(lambda db: ledger.used(db, "local", "feed", 1_000_000)))["posts_per_day"] == 0


async def test_it_stops_though_another_program_holds_the_database(database: Database) -> None:
    database._thread.submit(database._db.execute, "PRAGMA busy_timeout = 300").result()
    wake = asyncio.Event()
    forever = deliver.keep_delivering(database, {"local": Platform()}, Clock(), Limits, deliver.allows, wake)
    delivering = asyncio.create_task(forever)
    await database.run(lambda db: None)
    await asyncio.sleep(0.1)
    with contextlib.closing(sqlite3.connect(database.folder / "mockingbird.db")) as other:
        other.execute("BEGIN IMMEDIATE")
        wake.set()
        await asyncio.sleep(0.1)  # now it waits for the database
        delivering.cancel()
        done, _ = await asyncio.wait([delivering], timeout=10)
    assert done


async def test_it_wakes_by_itself_when_something_is_due_and_when_it_is_told(database: Database) -> None:
    platform, wake, began = Platform(), asyncio.Event(), time.time_ns() // 1_000_000
    now = lambda: 1_000_000 + time.time_ns() // 1_000_000 - began  # noqa: E731
    forever = deliver.keep_delivering(database, {"local": platform}, now, Limits, deliver.allows, wake)
    delivering = asyncio.create_task(forever)
    await asyncio.sleep(0.1)
    await add(database, "told")
    wake.set()
    await until(lambda: platform.arrived == ["told"])
    await database.run(lambda db: outbox.add(db, "local", "feed", "due", {}, "x", now() + 300, now() + HOUR, now()))
    wake.set()
    await until(lambda: platform.arrived == ["told", "due"])  # before the 30 s after which it would look anyway
    delivering.cancel()
    with pytest.raises(asyncio.CancelledError):
        await delivering


async def test_where_the_platform_knows_a_key_the_same_row_is_sent_again_under_it(database: Database) -> None:
    class Keyed(Platform):
        capability = Capability(key_ms=300_000)

    post_id = await add(database)
    platform, clock = Keyed("garbled"), Clock()
    await deliver_due(database, {"local": platform}, clock)
    clock.now += 5_000
    assert await deliver_due(database, {"local": platform}, clock) == 1
    assert platform.keys == [post_id, post_id]


async def test_after_the_key_is_forgotten_people_decide_instead(database: Database) -> None:
    class Keyed(Platform):
        capability = Capability(key_ms=300_000)

    await add(database)
    platform, clock = Keyed("garbled"), Clock()
    await deliver_due(database, {"local": platform}, clock)
    clock.now += 270_001  # an attempt begun now might arrive after the platform has forgotten the key
    await deliver_due(database, {"local": platform}, clock)
    assert await states(database) == ["review"]
    assert (len(platform.keys), len(platform.told)) == (1, 1)


async def test_nothing_is_sent_before_the_moment_that_the_platform_names(database: Database) -> None:
    await add(database)
    platform, clock = Platform("not before"), Clock()
    await deliver_due(database, {"local": platform}, clock)
    assert await database.run(lambda db: outbox.earliest(db, ["local"])) == 1_000_000 + 900_000
    clock.now += 899_999
    assert await deliver_due(database, {"local": platform}, clock) == 0
    clock.now += 1
    assert await deliver_due(database, {"local": platform}, clock) == 1


async def test_refused_credentials_pause_the_account_with_one_notice(database: Database) -> None:
    await add(database, "a"), await add(database, "b"), await add(database, "c", account="other")
    platform, clock = Platform("unauthorized"), Clock()
    assert await deliver_due(database, {"local": platform}, clock) == 1
    clock.now += 600_000
    assert await deliver_due(database, {"local": platform}, clock) == 0
    assert await states(database) == ["queued", "queued", "posted"]
    assert len(platform.told) == 1
    await database.run(lambda db: accounts.resume(db, "local", "feed"))
    assert await deliver_due(database, {"local": platform}, clock) == 2


@pytest.mark.parametrize(("since", "end"), [(1_000_000, "posted"), (0, "rejected"), (None, "review")])
async def test_a_text_that_the_platform_calls_a_duplicate_is_looked_for(
    database: Database, since: int | None, end: str
) -> None:
    class Held(Platform):
        async def find(self, post: Post) -> Found | None:
            return None if since is None else Found("r0", since)

    await add(database)
    platform, clock = Held("duplicate"), Clock()
    await deliver_due(database, {"local": platform}, clock)
    clock.now += 5_000
    await deliver_due(database, {"local": platform}, clock)
    assert await states(database) == [end]
    assert platform.arrived == []


async def test_an_answer_without_an_id_leaves_it_unknown(database: Database) -> None:
    class Vague(Platform):
        async def _answer(self, post: Post, word: str) -> str:
            self.arrived.append(post.cause_key)
            return ""

    await add(database)
    await deliver_due(database, {"local": Vague()}, Clock())
    assert await states(database) == ["unknown"]


WORDS = st.sampled_from(["ok", "lost", "garbled", "cancelled", "not sent", "refused"])


@settings(max_examples=25, deadline=None)
@given(st.lists(WORDS, max_size=12), st.lists(st.sampled_from(["fails", "works"]), max_size=12).map(tuple))
def test_whatever_the_platform_does_everything_ends_and_nothing_arrives_twice(
    sends: list[str], looks: tuple[str, ...]
) -> None:
    async def story(folder: Path) -> None:
        database, clock, platform = Database(folder), Clock(), Platform(*sends, looks=looks)
        try:
            for cause, account in (("a", "one"), ("b", "one"), ("c", "two")):
                await add(database, cause, account)
            for _ in range(12):
                await deliver_due(database, {"local": platform}, clock)
                clock.now += 700_000
            assert len(platform.arrived) == len(set(platform.arrived))
            for post in await posts(database):
                assert post.state in (PostState.POSTED, PostState.REJECTED, PostState.MISSED, PostState.REVIEW)
                if post.state is not PostState.REVIEW:
                    assert (post.state is PostState.POSTED) == (post.cause_key in platform.arrived)
        finally:
            database.close()

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(story(Path(folder)))


# --- kill -9 ----------------------------------------------------------------------------------------------------------

# Forks one bot per step n, which kills itself at its nth step: every SQL statement that writes is one, and so is every
# moment before and after the voice speaks and something arrives. Then it starts again (and may be killed again), and
# at last it runs to its end.
CRASHES = """
import asyncio, itertools, json, os, random, shutil, signal, sqlite3, sys
from pathlib import Path
from bot.domain import Capability, Found
from bot.flows.deliver import deliver_due
from bot.flows.fire import Spoken, fire_due
from bot.platforms.local.poster import LocalPoster
from bot.store import outbox, personas, runs, schedules, timelines
from bot.store.database import Database

HOUR, NOW = 3_600_000, 1_780_315_200_000
work, kind, deaths, every = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])

class Outside:
    platform = "local"
    capability = Capability(searchable=True)
    def __init__(self, file, step):
        self.file, self.step = file, step
    async def send(self, post):
        self.step()
        with self.file.open("a") as out:
            out.write(post.cause_key + "\\n")
        self.step()
        return (await self.find(post)).remote_id
    async def find(self, post):
        lines = self.file.read_text().splitlines() if self.file.exists() else []
        return Found(f"line {lines.index(post.cause_key)}", NOW) if post.cause_key in lines else None

def people(db):
    timelines.hold(db, "jo", None, [], now=1)
    persona = personas.create(db, ["jo"], now=1)
    personas.promote(db, persona.id, runs.begin(db, persona.id, "quick", 1, "abc", now=1))
    for account in ("one", "one", "two"):
        schedules.add(db, persona.id, "local", account, "every 3600s", "UTC", "so", NOW - HOUR, NOW)

async def bot(folder, dies_at, now):
    steps = itertools.count()
    def step(what="UPDATE"):
        if isinstance(what, str) and what.split()[0] not in ("BEGIN", "INSERT", "UPDATE", "COMMIT"):
            return  # it changes nothing, so dying there is dying at the step before
        if next(steps) == dies_at:
            os.kill(os.getpid(), signal.SIGKILL)
    async def imitate(persona, prompt, seed):
        step()
        return Spoken(f"said with {seed}", {})
    database = Database(folder)
    await database.run(lambda db: db.conn.set_trace_callback(step))
    await database.run(lambda db: outbox.recover(db, now))
    await fire_due(database, imitate, now, 2 * HOUR)
    poster = LocalPoster(database, step, lambda: now) if kind == "local" else Outside(folder / "outside", step)
    await deliver_due(database, {"local": poster}, lambda: now)
    database.close()

def forked(work):
    pid = os.fork()
    if pid == 0:
        try:
            work()
            os._exit(0)
        except BaseException:
            import traceback
            traceback.print_exc()
            os._exit(1)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert code in (0, -signal.SIGKILL), code
    return code == 0

def template():
    database = Database(work / "template")
    database._thread.submit(database._transact, people).result()
    database.close()

def ends(folder):
    connection = sqlite3.connect(folder / "mockingbird.db")
    rows = connection.execute("SELECT cause_key, state FROM outbox ORDER BY cause_key").fetchall()
    said = [key for (key,) in connection.execute("SELECT cause_key FROM feed JOIN outbox ON outbox.id = outbox_id")]
    (feed,) = connection.execute("SELECT count(*) FROM feed").fetchone()
    healthy = connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
    connection.close()
    if kind == "outside":
        said = (folder / "outside").read_text().splitlines()
        feed = len(said)
    return {"states": [state for _, state in rows], "said": sorted(said) == [key for key, _ in rows] and feed == 3,
            "healthy": healthy}

forked(template)
chance, stories = random.Random(7), []
for n in itertools.count(step=every):  # with more deaths, fewer first ones: chance chooses the others
    folder = work / f"at-{n}"
    shutil.copytree(work / "template", folder)
    unkilled = forked(lambda: asyncio.run(bot(folder, n, NOW)))
    for death in range(1, deaths):
        later = chance.randrange(40)
        forked(lambda: asyncio.run(bot(folder, later, NOW + 1000 * death)))
    forked(lambda: asyncio.run(bot(folder, None, NOW + 10_000)))
    stories.append({"n": n, **ends(folder)})
    shutil.rmtree(folder)
    if unkilled:
        break
print(json.dumps(stories))
"""


@pytest.mark.parametrize(("kind", "deaths", "every"), [("local", 1, 6), ("outside", 2, 6)])
def test_killed_at_any_step_everything_is_said_exactly_once(tmp_path: Path, kind: str, deaths: int, every: int) -> None:
    command = [sys.executable, "-c", CRASHES, str(tmp_path), kind, str(deaths), str(every)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=dict(os.environ))
    assert done.returncode == 0, done.stderr
    stories = json.loads(done.stdout)
    assert len(stories) > 40 // every
    for story in stories:
        n = story["n"]
        assert story == {"n": n, "states": ["posted"] * 3, "said": True, "healthy": True}
