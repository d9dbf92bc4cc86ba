"""All that can happen between the wish and the remote id, tried exhaustively on the functions that are shipped.

From every state each possible next event is tried: what the platform answers (or leaves unanswered), a kill at every
moment at which the database or the platform could have changed, what people decide, time passing until somebody wakes
up. States that are the same are visited once. The tree is walked inside nested savepoints of one database in memory.
"""

import asyncio
import contextlib
import dataclasses
import logging
import sqlite3
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any, TypeVar, cast

import pytest
import sqlite_utils

from bot.domain import Capability, Duplicate, Found, NotSent, Post, PostState, Refused, Unauthorized
from bot.flows import deliver
from bot.store import accounts, decisions, outbox
from bot.store.database import Database
from bot.store.ledger import DAY_MS, Limits
from bot.store.migrations import migrations
from tests.threads import add_thread

T = TypeVar("T")
MINUTE, HOUR, START = 60_000, 3_600_000, 1_000_000_000

X = Capability(searchable=True, quiet_ms=10 * MINUTE, looks=2, post_micros=15_000, read_count=10, read_micros=10_000)
LOCAL = Capability(searchable=True)
KEY = Capability(key_ms=5 * MINUTE, quiet_ms=20_000)
KEY_AND_SEARCH = Capability(key_ms=5 * MINUTE, searchable=True, quiet_ms=20_000)
NEITHER = Capability(quiet_ms=10 * MINUTE)


@dataclass(frozen=True)
class Standing:
    """What stands on the platform."""

    text: str
    remote_id: str
    posted_at: int
    reply_to: str | None


@dataclass(frozen=True)
class World:
    """All but the database: the clock, what the platform holds or will still apply, and what may yet go wrong."""

    now: int = START
    held: tuple[Standing, ...] = ()
    late: tuple[tuple[int, str, str, str | None], ...] = ()  # when it applies, and then the key, the text, reply_to
    keys: tuple[tuple[str, str, int], ...] = ()  # key, remote id, since
    kills: int = 3
    faults: int = 3
    refusals: int = 0  # clear answers other than yes
    decisions: int = 0  # of people, about what is in review

    def apply(self, key: str, text: str, reply_to: str | None, known_ms: int) -> tuple["World", str]:
        """The platform takes a request, or recognises its key."""
        for known, remote_id, since in self.keys:
            if known == key and self.now - since < known_ms:
                return self, remote_id
        remote_id = f"r{len(self.held) + 1}"
        held = (*self.held, Standing(text, remote_id, self.now, reply_to))
        return replace(self, held=held, keys=(*self.keys, (key, remote_id, self.now))), remote_id

    def until(self, now: int, known_ms: int) -> "World":
        """Time passes, and what comes late comes."""
        world = self
        for at, key, text, reply_to in sorted(self.late):
            if at <= now:
                world, _ = replace(world, now=at).apply(key, text, reply_to, known_ms)
        return replace(world, now=now, late=tuple(late for late in self.late if late[0] > now))


@dataclass
class Memory:
    """Runs transactions as Database does, in a savepoint."""

    db: sqlite_utils.Database

    async def run(self, fn: Callable[[sqlite_utils.Database], T]) -> T:
        self.db.execute("SAVEPOINT step")
        try:
            result = fn(self.db)
        except BaseException:
            self.db.execute("ROLLBACK TO step")
            self.db.execute("RELEASE step")
            raise
        self.db.execute("RELEASE step")
        return result


@dataclass
class Platform:
    """Does to a send, and to a look, what the event says."""

    capability: Capability
    latest: int  # a request may be applied so long after it was sent
    world: World
    outcome: str
    platform: str = "x"

    async def send(self, post: Post) -> str:
        key = post.id
        match self.outcome:
            case "not sent":
                raise NotSent("no route")
            case "not before":
                raise NotSent("429", self.world.now + 15 * MINUTE)
            case "refused":
                raise Refused("no")
            case "unauthorized":
                raise Unauthorized("401")
            case "duplicate":
                raise Duplicate("403")
            case "lost":
                raise ConnectionResetError
            case "late":
                at = self.world.now + self.latest - 1
                self.world = replace(self.world, late=(*self.world.late, (at, key, post.text, post.reply_to)))
                raise TimeoutError
        self.world, remote_id = self.world.apply(key, post.text, post.reply_to, self.capability.key_ms)
        if self.outcome == "applied":
            raise ConnectionResetError
        return remote_id

    async def find(self, post: Post) -> Found | None:
        if self.outcome == "fails":
            raise OSError("503")
        same = [standing for standing in self.world.held if standing.text == post.text]
        return Found(same[-1].remote_id, same[-1].posted_at) if same else None


@dataclass
class Exploration:
    """Walks the tree; `known_ms` and `latest` are what the platform does, `capability` is what it says of itself."""

    capability: Capability
    latest: int
    limits: Limits = Limits()  # noqa: RUF009 (it is frozen)
    expiring: bool = False  # whether it may become too late; else nobody ever gets there
    seen: set[Any] = field(default_factory=set)
    ends: Counter[str] = field(default_factory=Counter)
    wrong: Counter[str] = field(default_factory=Counter)
    depth: int = 0

    def __post_init__(self) -> None:
        self.db = sqlite_utils.Database(sqlite3.connect(":memory:", isolation_level=None))
        template().conn.backup(self.db.conn)
        self.memory = cast(Database, Memory(self.db))
        self.loop = asyncio.new_event_loop()

    # --- machinery

    @contextlib.contextmanager
    def undone(self) -> Iterator[None]:
        self.depth += 1
        name = f"at{self.depth}"
        self.db.execute(f"SAVEPOINT {name}")
        try:
            yield
        finally:
            self.db.execute(f"ROLLBACK TO {name}")
            self.db.execute(f"RELEASE {name}")
            self.depth -= 1

    def do(self, work: Awaitable[T]) -> T:
        return self.loop.run_until_complete(cast(Any, work))

    def rows(self) -> list[dict[str, Any]]:
        return list(self.db.query("SELECT * FROM outbox WHERE kind <> 'notice' ORDER BY id"))

    def run(self, world: World) -> "Exploration":
        try:
            self.visit(world)
        finally:
            self.loop.close()
            self.db.conn.close()
        return self

    # --- the tree

    def visit(self, world: World) -> None:
        rows = self.rows()
        state = self.canonical(world, rows)
        if state in self.seen:
            return
        self.seen.add(state)
        self.check(world, rows)
        if world.kills:  # before the next commit: nothing but the kill happened
            self.restart(world)
        self.people(world, rows)
        with self.undone():
            self.turn(world)

    def turn(self, world: World) -> None:
        capabilities = {"x": self.capability}
        limits, forbids = self.limits, deliver.allows
        taken = self.do(deliver.take_next(self.memory, capabilities, lambda: world.now, limits, forbids))
        if taken is None:
            self.rest(world)
            return
        if world.kills:  # after the claim's commit, and during a look
            self.restart(world)
        if taken.state is PostState.UNKNOWN:
            self.settle(world, taken, "sees")
            if world.faults:
                self.settle(replace(world, faults=world.faults - 1), taken, "fails")
            return
        self.settle(world, taken, "ok")
        if world.kills:  # after the platform took it, but before that is written down; and still on its way
            self.restart(world.apply(taken.id, taken.text, taken.reply_to, self.capability.key_ms)[0])
            if self.latest:
                at = world.now + self.latest - 1
                self.restart(replace(world, late=(*world.late, (at, taken.id, taken.text, taken.reply_to))))
        if world.refusals:
            for outcome in ("not sent", "not before", "refused", "unauthorized"):
                self.settle(replace(world, refusals=world.refusals - 1), taken, outcome)
        if world.faults:
            for outcome in ("applied", "lost", "duplicate", *(("late",) if self.latest else ())):
                self.settle(replace(world, faults=world.faults - 1), taken, outcome)

    def settle(self, world: World, taken: Post, outcome: str) -> None:
        platform = Platform(self.capability, self.latest, world, outcome)
        with self.undone():
            self.do(deliver.settle(self.memory, platform, taken, lambda: world.now))
            self.visit(platform.world)

    def restart(self, world: World) -> None:
        later = replace(world, kills=world.kills - 1).until(world.now, self.capability.key_ms)
        with self.undone():
            outbox.recover(self.db, later.now)
            outbox.expire(self.db, later.now)
            self.visit(later)

    def rest(self, world: World) -> None:
        """Nothing is to be done now: whoever sleeps until `earliest` must find something then."""
        rows = self.rows()
        asked = {row["id"] for row in rows if row["state"] == "review"}  # what follows these waits for people too
        waiting = [
            row
            for row in rows
            if row["state"] in ("draft", "queued", "sending", "unknown") and row["parent_id"] not in asked
        ]
        if not waiting:
            self.end(world)
            return
        wake = outbox.earliest(self.db, ["x"])
        if wake is None or wake <= world.now:
            self.wrong["sleeps for ever" if wake is None else "does not sleep"] += 1
            return
        later = world.until(wake, self.capability.key_ms)
        with self.undone():
            outbox.expire(self.db, later.now)
            self.visit(later)

    def people(self, world: World, rows: list[dict[str, Any]]) -> None:
        """Approve and drop drafts, resume the account, and answer truly, once the platform is still, what is asked."""
        acts: list[tuple[World, Callable[[], object]]] = []
        for row in rows:
            name = row["id"]
            if row["state"] == "draft" and (row["parent_id"] is None or world.decisions):
                acts.append((world, lambda name=name: decisions.approve(self.db, name, world.now, HOUR)))
                acts.append((world, lambda name=name: decisions.drop(self.db, name, world.now)))
            if row["state"] == "review" and world.decisions and not world.late:
                mine = [found for found in world.held if found.text == row["text"] and found.posted_at >= START]
                after = replace(world, decisions=world.decisions - 1)
                if mine:
                    remote = mine[0].remote_id
                    acts.append(
                        (after, lambda name=name, remote=remote: decisions.confirm(self.db, name, remote, world.now))
                    )
                else:
                    acts.append((after, lambda name=name: decisions.retry(self.db, name, world.now, HOUR)))
                    acts.append((after, lambda name=name: decisions.drop(self.db, name, world.now)))
        if self.db.execute("SELECT 1 FROM accounts WHERE paused_at IS NOT NULL").fetchone():
            acts.append((world, lambda: accounts.resume(self.db, "x", "me")))
        for after, act in acts:
            with self.undone():
                act()
                self.visit(after)

    def canonical(self, world: World, rows: list[dict[str, Any]]) -> Any:
        """Two states are the same if nothing that follows can tell them apart: moments count from now, and of those
        long past only that they are."""
        now = world.now

        def age(at: int | None, most: int) -> int | None:
            return None if at is None else min(now - at, most)

        same = ("state", "attempts", "ambiguous", "looks", "absent", "duplicate", "remote_id")
        longest = {"doubt_at": 2 * HOUR, "claimed_at": self.capability.key_ms, "not_before": 0}
        if self.expiring:
            longest["expires_at"] = 0
        posts = [
            (*(row[name] for name in same), *(age(row[name], most) for name, most in longest.items())) for row in rows
        ]
        keys = [(key, remote_id, age(since, self.capability.key_ms)) for key, remote_id, since in world.keys]
        held = [(standing.text, standing.remote_id, standing.reply_to) for standing in world.held]
        late = sorted((at - now, key) for at, key, _, _ in world.late)
        paused = self.db.execute("SELECT paused_at IS NOT NULL FROM accounts").fetchall()
        if self.limits.posts_per_day:
            booked = self.db.execute("SELECT kind, count, at FROM ledger").fetchall()
            paused += [(kind, count, age(at, DAY_MS)) for kind, count, at in booked]
            paused += [(age(at, 0),) for (at,) in self.db.execute("SELECT capped_until FROM accounts").fetchall()]
        budgets = (world.kills, world.faults, world.refusals, world.decisions)
        return (*budgets, *posts, *keys, *held, *late, *paused)

    # --- what must hold

    def check(self, world: World, rows: list[dict[str, Any]]) -> None:
        """At every moment: nothing stands twice, what counts as posted stands there, what ended unsaid does not."""
        texts = Counter(standing.text for standing in world.held if standing.posted_at >= START)
        if max(texts.values(), default=0) > 1:
            self.wrong["duplicate"] += 1
        held = {standing.remote_id: standing for standing in world.held}
        by_id = {row["id"]: row for row in rows}
        for row in rows:
            standing = held.get(row["remote_id"])
            if row["state"] == "posted":
                if standing is None or standing.text != row["text"]:
                    self.wrong["posted, but it does not stand there"] += 1
                elif row["parent_id"] and standing.reply_to != by_id[row["parent_id"]]["remote_id"]:
                    self.wrong["it follows another post"] += 1
            elif row["state"] in ("rejected", "missed", "cancelled") and texts[row["text"]]:
                self.wrong[f"{row['state']}, but it stands there"] += 1
            if row["state"] in ("rejected", "missed", "cancelled") and any(t[2] == row["text"] for t in world.late):
                self.wrong[f"{row['state']}, but it may still arrive"] += 1
            if row["state"] in ("rejected", "missed", "review") and not self.told(row["id"]):
                self.wrong[f"{row['state']}, and nobody is told"] += 1
        if self.limits.posts_per_day:
            since = world.now - DAY_MS
            sent = "SELECT count(*) FROM outbox_log WHERE state = 'sending' AND at > ?"
            unsent = "SELECT count(*) FROM outbox_log WHERE at > ? AND detail IN ('no route', '429', '401')"
            used = self.db.execute(sent, [since]).fetchone()[0] - self.db.execute(unsent, [since]).fetchone()[0]
            if used > self.limits.posts_per_day:
                self.wrong["more than the limit"] += 1

    def told(self, post_id: str) -> bool:
        about = "SELECT 1 FROM outbox WHERE kind = 'notice' AND json_extract(cause, '$.about') = ?"
        return self.db.execute(about, [post_id]).fetchone() is not None

    def end(self, world: World) -> None:
        """At last, when all that was on its way has arrived."""
        rows = self.rows()
        self.ends[" ".join(row["state"] for row in rows)] += 1
        self.check(world.until(world.now + self.latest, self.capability.key_ms), rows)


@cache
def template() -> sqlite_utils.Database:
    db = sqlite_utils.Database(sqlite3.connect(":memory:", isolation_level=None))
    migrations.apply(db)
    return db


def explore(
    capability: Capability,
    world: World,
    *texts: str,
    latest: int | None = None,
    thread: bool = False,
    draft: bool = False,
    lasts_ms: int = 1_000 * HOUR,
    limits: Limits = Limits(),  # noqa: B008
) -> Exploration:
    late = capability.quiet_ms if latest is None else latest
    exploration = Exploration(capability, late, limits, expiring=lasts_ms < 1_000 * HOUR)
    db = exploration.db
    if thread:
        add_thread(db, "x", "me", "a", {}, texts, START, START + lasts_ms, START, draft)
    else:
        for text in texts:
            outbox.add(db, "x", "me", text, {}, text, START, START + lasts_ms, START, draft=draft)
    return exploration.run(world)


CAPABILITIES = {"x": X, "local": LOCAL, "key": KEY, "key and search": KEY_AND_SEARCH, "neither": NEITHER}


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)


@pytest.mark.parametrize(
    ("name", "fewest"), [("x", 4_000), ("local", 900), ("key", 1_400), ("key and search", 3_900), ("neither", 60)]
)
def test_whatever_happens_a_post_is_said_at_most_once_and_never_lost(name: str, fewest: int) -> None:
    """Three kills and three answers that leave it open, in every order."""
    explored = explore(CAPABILITIES[name], World(), "one")
    print(f"{name}: {len(explored.seen)} states, {dict(explored.ends)}")
    assert explored.wrong == {}
    assert len(explored.seen) > fewest
    assert set(explored.ends) == {"posted", "review"}


@pytest.mark.parametrize("name", CAPABILITIES)
def test_so_it_is_with_clear_refusals_what_people_decide_and_an_old_post_that_says_the_same(name: str) -> None:
    before = Standing("one", "r1", START - 40 * DAY_MS, None)
    world = World(held=(before,), kills=1, faults=1, refusals=1, decisions=1)
    explored = explore(CAPABILITIES[name], world, "one")
    assert explored.wrong == {}
    assert len(explored.seen) > 90
    assert {"posted", "rejected", "review"} <= set(explored.ends)


def test_so_it_is_when_it_becomes_too_late() -> None:
    explored = explore(X, World(kills=1, faults=1, refusals=1), "one", lasts_ms=15 * MINUTE)
    assert explored.wrong == {}
    assert {"posted", "rejected", "missed", "review"} <= set(explored.ends)


@pytest.mark.parametrize("name", ["local", "x", "key"])
def test_so_it_is_with_a_thread_whose_parts_stand_in_order(name: str) -> None:
    """Smaller bounds: one kill, one answer that leaves it open, one refusal."""
    explored = explore(CAPABILITIES[name], World(kills=1, faults=1, refusals=1), "one", "two", thread=True)
    assert explored.wrong == {}
    assert {"posted posted", "rejected cancelled", "posted rejected"} <= set(explored.ends)


def test_so_it_is_with_a_draft_that_somebody_approves_drops_or_forgets() -> None:
    """Smaller bounds, as with a thread."""
    explored = explore(X, World(kills=1, faults=1), "one", draft=True, lasts_ms=HOUR)
    assert explored.wrong == {}
    assert {"posted", "cancelled", "missed", "review"} <= set(explored.ends)


def test_so_it_is_at_a_limit_which_retries_do_not_exceed_either() -> None:
    """Smaller bounds; two posts of which one a day may be sent."""
    limits = Limits(posts_per_day=1, micros_per_day=1_000_000)
    explored = explore(X, World(kills=1, faults=1), "one", "two", limits=limits)
    assert explored.wrong == {}
    assert "posted posted" in explored.ends


def test_the_exploration_sees_what_a_weaker_rule_would_do() -> None:
    """As if a post that one look does not find could not arrive any more."""
    hasty = dataclasses.replace(X, quiet_ms=0, looks=1)
    explored = explore(hasty, World(kills=1, faults=1), "one", latest=X.quiet_ms)
    assert explored.wrong["duplicate"] > 0
