"""The messages between the bot and its children: JSON objects, each behind its length in four bytes (big-endian)."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from models.sampling import Sampling

HEADER = struct.Struct(">I")
LARGEST = 16 * 2**20  # bytes of one frame; more is a bug or an attack


@dataclass(frozen=True)
class Generate:
    """Asks for one text: `checkpoint` is a folder, or None for the base alone; `base` is the base's folder."""

    id: int
    base: str
    checkpoint: str | None
    prompt: str
    seed: int
    sampling: Sampling
    message: str | None = None  # what is replied to, "" if it is not known; None: the text is no reply
    stream: bool = False  # whether Deltas are sent before the end
    seconds: float | None = None  # after which the request is ended with what it has; None: no limit


@dataclass(frozen=True)
class Item:
    """A text to be scored; `message` is as in Generate."""

    text: str
    message: str | None = None


@dataclass(frozen=True)
class Score:
    """Asks how likely a voice, as in Generate, finds each of these texts."""

    id: int
    base: str
    checkpoint: str | None
    items: list[Item]


@dataclass(frozen=True)
class Cancel:
    """Asks that a request be forgotten; it is not answered."""

    id: int


@dataclass(frozen=True)
class Ready:
    """The child has started and listens."""

    device: str
    threads: int


@dataclass(frozen=True)
class Alive:
    """Sent every second while the worker generates: `steps` only grows while it gets on."""

    steps: int


@dataclass(frozen=True)
class Delta:
    """What a request's text has grown by, in whole characters; Done tells the whole text again, with its last delta."""

    id: int
    text: str


@dataclass(frozen=True)
class Done:
    """The one good end of a request: the prompt (perhaps cut from the left by `cut_tokens`) and what follows it."""

    id: int
    prompt: str
    text: str
    tokens: int
    finished: bool  # False when max_tokens or its time ended it
    cut_tokens: int


@dataclass(frozen=True)
class Scored:
    """The one good end of a Score: -log p of each text in nats, its end included, and how many tokens that are."""

    id: int
    nats: list[float]
    tokens: list[int]


@dataclass(frozen=True)
class Failed:
    """The one bad end of a request; `kind` is "checkpoint", "base", "memory", "deadline" (its time was over before it
    had a text) or "bug"."""

    id: int
    kind: str
    message: str


@dataclass(frozen=True)
class Progress:
    """A hint from the trainer; the run folder is the truth."""

    step: int
    steps: int
    loss: float
    heldout_loss: float | None
    eta_seconds: float


@dataclass(frozen=True)
class Pause:
    """Takes the lease on the machine from the trainer: from its next step border on it computes nothing."""


@dataclass(frozen=True)
class Resume:
    """Gives the trainer the lease back."""


Message = Generate | Score | Cancel | Ready | Alive | Delta | Done | Scored | Failed | Progress | Pause | Resume
KINDS: dict[str, Callable[..., Message]] = {
    kind.__name__: kind
    for kind in (Generate, Score, Cancel, Ready, Alive, Delta, Done, Scored, Failed, Progress, Pause, Resume)
}


def encode(message: Message) -> bytes:
    """One frame; a lone surrogate, which a shell or a JSON text can hold, becomes a question mark."""
    text = json.dumps({"type": type(message).__name__, **asdict(message)}, ensure_ascii=False)
    body = text.encode("utf-8", "replace")
    return HEADER.pack(len(body)) + body


def decode(body: bytes) -> Message:
    """A frame's body (without its length) -> the message; raises ValueError on anything else."""
    fields: dict[str, Any] = json.loads(body)
    try:
        make = KINDS[fields.pop("type")]
        if make is Generate:
            said = fields["sampling"]
            fields["sampling"] = Sampling(**{**said, "bad_words": tuple(said["bad_words"])})
        elif make is Score:
            fields["items"] = [Item(**item) for item in fields["items"]]
        return make(**fields)
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(f"a frame of an unknown kind or with wrong fields: {error}") from error
