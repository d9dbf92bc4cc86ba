"""The oracle: what the outbox believes is compared with what the platform has accepted."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bot.domain import Capability
from bot.store import ledger
from bot.store.ledger import Limits
from tests.servers.platform import Accepted, Request
from tests.servers.poster import TOO_MANY

ENDED = ("posted", "rejected", "missed", "cancelled")
GIVEN_UP = ("rejected", "missed", "review")  # of which the owner must hear


@dataclass(frozen=True)
class Row:
    """One row of the outbox, read without the bot's own code."""

    id: str
    platform: str
    account: str
    cause_key: str
    kind: str
    text: str
    state: str
    remote_id: str | None
    parent_id: str | None
    attempts: int
    error: str | None
    log: tuple[tuple[str, int, str | None], ...]  # all that it was, in order: state, since when, why

    @property
    def states(self) -> tuple[str, ...]:
        return tuple(state for state, _, _ in self.log)

    @property
    def changed_at(self) -> int:
        return self.log[-1][1]


@dataclass
class Findings:
    """What is wrong at the end of a sequence; all three are to stay empty or 0."""

    duplicates: int = 0
    silent_losses: int = 0
    lies: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return not (self.duplicates or self.silent_losses or self.lies)

    def add(self, other: Findings) -> None:
        self.duplicates += other.duplicates
        self.silent_losses += other.silent_losses
        self.lies += other.lies


def rows(data: Path) -> list[Row]:
    """The outbox of a data directory, the oldest first."""
    with closing(sqlite3.connect(f"file:{data}/mockingbird.db?mode=ro", uri=True)) as connection:
        connection.row_factory = sqlite3.Row
        logged: dict[str, list[tuple[str, int, str | None]]] = {}
        for entry in connection.execute("SELECT outbox_id, state, at, detail FROM outbox_log ORDER BY id"):
            logged.setdefault(entry["outbox_id"], []).append((entry["state"], entry["at"], entry["detail"]))
        found = connection.execute("SELECT * FROM outbox ORDER BY created_at, rowid").fetchall()
    return [_row(entry, logged[entry["id"]]) for entry in found]


def _row(entry: sqlite3.Row, log: Sequence[tuple[str, int, str | None]]) -> Row:
    held: dict[str, Any] = {name: entry[name] for name in Row.__dataclass_fields__ if name in entry.keys()}  # noqa: SIM118
    return Row(**held, log=tuple(log))


def is_told_of(row: Row, outbox: Sequence[Row]) -> int:
    """How many notices that were said are about this row."""
    return sum(other.kind == "notice" and other.state == "posted" and row.id in other.text for other in outbox)


def judge(outbox: Sequence[Row], accepted: Sequence[Accepted]) -> Findings:
    """The outbox at the end, when nobody has anything left to do or to decide, against the platform's record."""
    found = Findings()
    spoken = {row.id: row for row in outbox if row.kind != "notice"}
    for row_id, times in Counter(post.row for post in accepted).items():
        if times > 1:
            found.duplicates += times - 1
            found.lies.append(
                f"{row_id} stands there {times} times: {[post for post in accepted if post.row == row_id]}"
            )
        if row_id not in spoken:
            found.lies.append(f"{row_id} stands on the platform but not in the outbox")
    by_row = {post.row: (place, post) for place, post in reversed(list(enumerate(accepted)))}
    for row in spoken.values():
        place, post = by_row.get(row.id, (-1, None))
        if row.state not in ENDED:
            found.silent_losses += 1
            found.lies.append(f"{row.id} ended as {row.state} after {row.states}: {row.error}")
        elif row.state == "posted":
            _compare(row, place, post, by_row, found)
        elif post is not None:
            found.lies.append(f"{row.id} is {row.state} after {row.states} but stands on the platform as {post.id}")
        given_up = [state for state in row.states if state in GIVEN_UP]
        if (told := is_told_of(row, outbox)) != len(given_up):
            found.silent_losses += told < len(given_up)
            found.lies.append(f"{row.id} was {row.states} and the owner was told {told} times: {row.error}")
    return found


def _compare(
    row: Row, place: int, post: Accepted | None, by_row: dict[str, tuple[int, Accepted]], found: Findings
) -> None:
    if post is None:
        found.lies.append(f"{row.id} is posted after {row.states} but does not stand on the platform")
        found.silent_losses += 1
        return
    believed = (row.account, row.text, row.remote_id)
    if believed != (post.account, post.text, post.id):
        found.lies.append(f"{row.id} is believed to be {believed} but is {post}")
    if row.parent_id is not None:
        before, parent = by_row.get(row.parent_id, (len(by_row) + place + 1, None))
        if parent is None or before > place or post.reply_to != parent.id:
            found.lies.append(f"{row.id} follows {row.parent_id} ({parent}) but is {post}")
    elif post.reply_to is not None:
        found.lies.append(f"{row.id} follows nothing but is {post}")


def obstinate(requests: Sequence[Request], outbox: Sequence[Row]) -> list[str]:
    """Where the bot, knowing better, asked again: before a limit of the platform was reset, or after a refusal for good
    without a word of the owner."""
    found = []
    logs = {row.id: row.log for row in outbox}
    for account in {request.account for request in requests}:
        own = [request for request in requests if (request.kind, request.account) == ("post", account)]
        for place, request in enumerate(own):
            log, later = logs[request.row], own[place + 1 :]
            knows_limit = any((at, detail) == (request.at, TOO_MANY) for _, at, detail in log)
            if knows_limit and any(other.at < request.reset_at for other in later):
                found.append(f"{account} was to wait until {request.reset_at} and something was sent before")
            is_final = any(at == request.at and state == "rejected" for state, at, _ in log)
            if is_final and any(other.row == request.row for other in later):
                found.append(f"{request.row} was refused for good and sent again")
    return found


def over_limit(requests: Sequence[Request], limits: Limits, capability: Capability) -> list[str]:
    """Where the requests that arrived used up more than an account may. What was answered with 401 or 429 costs
    nothing."""
    counted = [request for request in requests if request.answer.split()[0] not in ("401", "429")]
    found = []
    for account in {request.account for request in counted}:
        own = [request for request in counted if request.account == account]
        posts = [(request.at, 1) for request in own if request.kind == "post"]
        reads = [(request.at, capability.read_count) for request in own if request.kind == "read"]
        prices = {"post": capability.post_micros, "read": capability.read_micros}
        money = [(request.at, prices[request.kind]) for request in own]
        for name, most, span_ms, used in (
            ("posts an hour", limits.posts_per_hour, ledger.HOUR_MS, posts),
            ("posts a day", limits.posts_per_day, ledger.DAY_MS, posts),
            ("micros a day", limits.micros_per_day, ledger.DAY_MS, money),
            ("reads a month", limits.reads_per_month, ledger.MONTH_MS, reads),
        ):
            if most and (sum_ := most_within(used, span_ms)) > most:
                found.append(f"{account} used {sum_} {name}, not {most}")
    return found


def most_within(used: Sequence[tuple[int, int]], span_ms: int) -> int:
    """How much was used up within a span of time, at most."""
    return max((sum(much for at, much in used if start <= at < start + span_ms) for start, _ in used), default=0)
