"""A tweet, whoever's file it came from, and the counts of many."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from training import clean
from training.timeline.errors import BadHandle


@dataclass(frozen=True, slots=True)
class Tweet:
    """One thing that a person wrote; `created_at` in UTC epoch milliseconds, `handle` as the file spells it, no @;
    `reply_to` is the id of the tweet that it answers; `signed`: it comes from an X archive whose account.js names the
    handle."""

    id: str
    text: str
    created_at: int | None
    handle: str | None
    display_name: str | None = None
    is_retweet: bool = False
    reply_to: str | None = None
    lang: str | None = None
    signed: bool = field(default=False, compare=False)


@dataclass(frozen=True, slots=True)
class Counts:
    """A timeline in huggingtweets' four numbers: downloaded = retweets + short + kept."""

    downloaded: int
    retweets: int
    short: int
    kept: int


def check_handle(raw: str) -> str:
    """The handle without blanks and its leading @, case kept; BadHandle if X could not have given it."""
    handle = raw.strip().removeprefix("@")
    if not re.fullmatch(r"[A-Za-z0-9_]{1,15}", handle):
        raise BadHandle(
            f"{raw[:40]!r} is not a handle: give 1 to 15 letters, digits or underscores, such as @some_name."
        )
    return handle


def count(tweets: Iterable[Tweet]) -> Counts:
    """Count as huggingtweets does; a tweet whose id was already met is not counted again."""
    seen: set[str] = set()
    retweets = short = 0
    for tweet in tweets:
        if tweet.id in seen:
            continue
        seen.add(tweet.id)
        if tweet.is_retweet:
            retweets += 1
        elif clean.is_short(clean.huggingtweets(tweet.text)):
            short += 1
    return Counts(len(seen), retweets, short, kept=len(seen) - retweets - short)
