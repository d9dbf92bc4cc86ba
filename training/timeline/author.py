"""The one author whose tweets are taken from a file that may hold those of several."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import islice

from training.timeline.errors import NeedsHandle, UnreadableFile
from training.timeline.tweet import Tweet


def of_one_author(tweets: Iterator[Tweet], name: str, wanted: str | None) -> Iterator[Tweet]:
    authors: dict[str, str] = {}
    unnamed, kept = False, 0
    for tweet in tweets:
        if tweet.handle is None:
            unnamed = True
        elif len(authors) < 3:
            authors.setdefault(tweet.handle.lower(), tweet.handle)
        if unnamed and wanted is None:
            raise NeedsHandle(f"{name} does not say who wrote every tweet; name the author with --handle.")
        if unnamed and authors:
            raise UnreadableFile(f"{name} says who wrote some tweets, but not all; fill the author in or take him out.")
        if len(authors) > 1 and wanted is None:
            raise _several(name, authors, tweets)
        if wanted is None or unnamed or (tweet.handle or "").lower() == wanted.lower():
            kept += 1
            yield replace(tweet, handle=wanted) if unnamed else tweet
    if authors and not kept:
        raise UnreadableFile(f"{name} holds no tweets of @{wanted}, only of {_ats(authors)}; check --handle.")


def _several(name: str, authors: dict[str, str], rest: Iterator[Tweet]) -> NeedsHandle:
    for tweet in islice(rest, 10_000):  # enough to name a third if there is one
        if tweet.handle and len(authors) < 3:
            authors.setdefault(tweet.handle.lower(), tweet.handle)
    return NeedsHandle(f"{name} holds tweets of several people ({_ats(authors)}); choose one with --handle.")


def _ats(authors: Mapping[str, str]) -> str:
    return ", ".join(f"@{author}" for author in authors.values()) + (", ..." if len(authors) > 2 else "")
