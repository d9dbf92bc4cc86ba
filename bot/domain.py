"""The nouns: what travels between the store, the flows and the platforms; times are UTC epoch milliseconds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol


@dataclass(frozen=True)
class Persona:
    """Who is imitated: one handle, or several mixed (a cyborg)."""

    id: int
    slug: str  # the lower-case handles, sorted, joined by "-"
    handles: tuple[str, ...]
    run_id: int | None  # the run whose checkpoint speaks; None until one was promoted


class JobState(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True)
class Job:
    """A queued training. Its run folder is named by its run's id once it has started."""

    id: int
    persona_id: int
    recipe: str
    weights: tuple[float, ...]
    seed: int
    state: JobState
    run_id: int | None
    error: str | None


@dataclass(frozen=True)
class Verdict:
    """What moderation said of a text, with its reasons for refusing."""

    reasons: tuple[str, ...] = ()

    @property
    def accepted(self) -> bool:
        return not self.reasons


@dataclass(frozen=True)
class Candidate:
    """A generated text with its verdict; the seed makes it again."""

    text: str
    seed: int
    verdict: Verdict
    rank: float | None = None  # how characteristic it is (bot/flows/choose.py); None where it was not ranked


@dataclass(frozen=True)
class Schedule:
    """A standing wish: this persona, that place, these times."""

    id: int
    persona_id: int
    platform: str
    account: str
    rule: str  # "every 3600s" or "cron 0 9 * * mon-fri"
    zone: str  # IANA name; what the rule's wall times mean
    prompt: str
    anchor: int  # the instant from which an interval counts
    next_due: int | None  # None when no further occurrence will come
    paused: bool


class OccurrenceState(StrEnum):
    DUE = "due"
    QUEUED = "queued"  # its post stands in the outbox
    MISSED = "missed"
    FAILED = "failed"


@dataclass(frozen=True)
class Occurrence:
    """One due moment of a schedule; (schedule_id, wall_key) is unique, so it happens at most once."""

    id: int
    schedule_id: int
    wall_key: str
    due_at: int
    state: OccurrenceState
    reason: str | None = None  # why nothing was said


class PostState(StrEnum):
    DRAFT = "draft"
    QUEUED = "queued"
    SENDING = "sending"
    POSTED = "posted"
    REJECTED = "rejected"
    UNKNOWN = "unknown"
    REVIEW = "review"
    MISSED = "missed"
    CANCELLED = "cancelled"


@dataclass(frozen=True)
class Post:
    """One row of the outbox: what is to be said, and, once said, its remote id."""

    id: str
    platform: str
    account: str
    cause_key: str  # unique per account: what made us say it
    text: str
    state: PostState
    due_at: int
    expires_at: int
    attempts: int
    remote_id: str | None
    error: str | None
    cause: Mapping[str, Any] = field(default_factory=dict)  # persona, checkpoint, prompt, seed, sampling, ...


@dataclass(frozen=True)
class FeedEntry:
    """What the local platform has published: its counterpart of a message on Discord or a post on X."""

    id: int
    outbox_id: str
    author: str
    text: str
    posted_at: int


class NotSent(Exception):
    """A poster raises this when the text surely did not go out and may be tried again."""


class Refused(Exception):
    """A poster raises this when the platform refused the text for good."""


class Poster(Protocol):
    """What a platform implements so that the outbox can speak through it."""

    platform: str

    async def send(self, post: Post) -> str:
        """Sends once and returns the remote id; raises NotSent or Refused. Any other exception leaves it unknown."""
        ...

    async def find(self, post: Post) -> str | None:
        """Looks whether an earlier `send` of this post arrived; returns its remote id, or None if it surely did not."""
        ...
