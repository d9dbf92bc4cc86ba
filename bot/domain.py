"""The nouns: what travels between the store, the flows and the platforms; times are UTC epoch milliseconds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

OPERATOR = "operator"  # the person who runs the bot
SHELL = "shell"  # the place where they ask


@dataclass(frozen=True)
class Asker:
    """Who asks, and where: "discord:ID" of a person, and of a server or a chat."""

    person: str = OPERATOR
    place: str = SHELL

    @property
    def is_operator(self) -> bool:
        return self == Asker()

    @property
    def sees(self) -> str | None:
        """The only place whose schedules, posts and requests they see and change; None for all of them."""
        return None if self.is_operator else self.place


@dataclass(frozen=True)
class Persona:
    """Who is imitated: one handle, or several mixed (a cyborg)."""

    id: int
    slug: str  # the lower-case handles, sorted, joined by "-"
    handles: tuple[str, ...]
    run_id: int | None  # the run whose checkpoint speaks; None until one was promoted
    place: str = SHELL  # whose it is: seen and used only there
    shared: bool = False  # unless whoever runs the bot lets everybody use it

    @property
    def name(self) -> str:
        """By which it is found from everywhere; what people of its own place call it is the slug."""
        return self.slug if self.place == SHELL else f"{self.place}/{self.slug}"

    def may_speak_for(self, place: str) -> bool:
        """Others' personas are a place's to use only while they are shared; whoever runs the bot may use any."""
        return self.shared or place in (self.place, SHELL)


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

    @property
    def ended(self) -> bool:
        return self.state not in (JobState.QUEUED, JobState.RUNNING)


class RequestState(StrEnum):
    WAITING = "waiting"
    RUNNING = "running"
    ANSWERED = "answered"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True)
class Request:
    """What somebody waits for: an imitation, or a training, which it may share with others' requests."""

    id: int
    kind: str  # "imitate" or "train"
    person: str
    place: str
    asked: Mapping[str, Any]
    state: RequestState
    job_id: int | None
    answer: Mapping[str, Any] | None
    error: str | None  # why it ended without an answer, in words for people
    created_at: int
    started_at: int | None  # the last time
    deadline_at: int | None  # when nobody waits any more

    @property
    def ended(self) -> bool:
        return self.state not in (RequestState.WAITING, RequestState.RUNNING)


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
    quiet: str = ""  # between these wall times of the zone nothing is said, "22:00-07:00"
    jitter_s: int = 0  # an occurrence is up to so much later than its rule says
    max_late_s: int | None = None  # None: as configured
    chance: float = 1.0  # with which an occurrence is spoken at all
    approval: str = "off"  # "always", "first-20" or "off"
    seed: int = 0  # what jitter, chance and random times follow from
    place: str = SHELL  # whose it is


class OccurrenceState(StrEnum):
    DUE = "due"
    QUEUED = "queued"  # its post stands in the outbox
    MISSED = "missed"
    FAILED = "failed"
    SKIPPED = "skipped"  # by its own conditions: chance, quiet hours, a mute


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
    kind: str = "post"  # "post", "reply" or "notice" (of ours, which no persona says)
    parent_id: str | None = None  # what it follows in a thread, which must be posted first
    persona_id: int | None = None
    alternatives: tuple[Mapping[str, Any], ...] = ()  # further candidates of a draft: text, seed, rank
    claimed_at: int | None = None  # the first attempt
    approved_at: int | None = None
    reply_to: str | None = None  # the remote id of what it follows, once that is posted
    place: str = SHELL  # whose it is


class MentionState(StrEnum):
    OPEN = "open"
    ANSWERED = "answered"  # its answer stands in the outbox
    IGNORED = "ignored"


@dataclass(frozen=True)
class Mention:
    """What somebody said to us; or, `unasked`, a message after which we speak by ourselves, of which nothing but its id
    is kept."""

    platform: str
    remote_id: str
    place: str
    account: str
    person: str  # who said it, "discord:ID"; nobody if unasked
    at: int
    text: str = ""  # without our name; empty if nothing else was said
    reply_to: str | None = None  # the remote id of what of ours it answers
    by_name: bool = True  # it names us, or is said to us alone; False: it only answers something of ours
    within: str | None = None  # the account, a channel, of which this one is a thread
    unasked: bool = False
    persona_id: int | None = None  # who answers, once that is decided


@dataclass(frozen=True)
class FeedEntry:
    """What the local platform has published: its counterpart of a message on Discord or a post on X."""

    id: int
    outbox_id: str
    author: str
    text: str
    posted_at: int


class SaidAlready(Exception):
    """The account says or said the same text within 30 days: another one is wanted."""


class NotSent(Exception):
    """A poster raises this when the text surely did not go out and may be tried again, not before `retry_at` if the
    platform named an instant."""

    def __init__(self, reason: str = "it was not sent", retry_at: int | None = None) -> None:
        super().__init__(reason)
        self.retry_at = retry_at


class Refused(Exception):
    """A poster raises this when the platform refused the text for good."""


class Unauthorized(Exception):
    """A poster raises this when the platform refused the account's credentials: nothing was sent or read."""


class Duplicate(Exception):
    """A poster raises this when the platform says that it holds the same text already, perhaps by an earlier try."""


LONGEST_SEND_MS = 30_000  # we wait no longer for an answer


@dataclass(frozen=True)
class Capability:
    """How it can be found out on a platform whether a post arrived, and what that costs."""

    key_ms: int = 0  # so long after the first attempt the platform answers a repeated one with the first one's post
    searchable: bool = False  # `find` can tell
    quiet_ms: int = 0  # a post may still appear so long after we stopped waiting for an answer
    looks: int = 1  # so many looks after that must find nothing before a post counts as absent
    post_micros: int = 0  # the price of one send, in millionths of a dollar
    read_count: int = 1  # what one `find` reads
    read_micros: int = 0  # and its price

    def price(self, post: Post) -> int:
        """The price of sending this post, in millionths of a dollar."""
        return self.post_micros


@dataclass(frozen=True)
class Found:
    """A post that stands on the platform, and since when."""

    remote_id: str
    posted_at: int


class Poster(Protocol):
    """What a platform implements so that the outbox can speak through it."""

    platform: str
    capability: Capability

    async def send(self, post: Post) -> str:
        """Sends once and returns the remote id; raises NotSent, Refused, Unauthorized or Duplicate. Any other exception
        leaves it unknown. `post.id` is the key by which the platform knows a repeated attempt, `post.reply_to` is what
        it follows."""
        ...

    async def find(self, post: Post) -> Found | None:
        """Looks for this text, the newest first, if the capability says searchable; None if it surely is not there.
        One that is older than the first attempt (`post.claimed_at`) is to be returned too: it is not taken for ours."""
        ...
