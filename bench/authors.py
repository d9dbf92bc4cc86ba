"""Whom is imitated: timelines from a folder, split by time before any recipe sees them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bench.metrics import folded
from bot.errors import did_you_mean
from training import clean
from training.corpus import Piece, build_corpus
from training.recipe import STANDARD
from training.timeline import Tweet, read_tweets

SUFFIX = ".jsonl.gz"
SPLIT = replace(STANDARD, held_out=0.1)  # more than a training holds out: enough to measure by
FEWEST_TWEETS = 20  # older ones; with fewer there is nothing to train on and to hold out


@dataclass(frozen=True)
class Author:
    """`older` is all that a system may see: tweets as they were written, retweets left out, oldest first. `held_out`
    are the texts that all are measured with, and `known` those of the older tweets, both cleaned by `mended`. With a
    limit `older` and `known` hold the newest of them only; the classifier learns from `all_known`."""

    handle: str
    older: tuple[Tweet, ...]
    held_out: tuple[Piece, ...]
    known: tuple[str, ...]
    all_known: tuple[str, ...]


def find_authors(folder: Path, wanted: Sequence[str]) -> dict[str, Path]:
    """The files `<handle>.jsonl.gz` of the wanted authors, of all if none is named; SystemExit says what is missing."""
    files = {path.name.removesuffix(SUFFIX): path for path in sorted(folder.glob(f"*{SUFFIX}"))}
    if not files:
        raise SystemExit(f"{folder} holds no timelines: each must be a file <handle>{SUFFIX}.")
    spelled = {handle.lower(): handle for handle in files}
    for name in wanted:
        if name.lower() not in spelled:
            raise SystemExit(f'{folder} has no timeline of "{name}"{did_you_mean(name, files)}.')
    chosen = dict.fromkeys(spelled[name.lower()] for name in wanted) or files
    return {handle: files[handle] for handle in chosen}


def read_author(handle: str, path: Path, limit: int | None = None) -> Author:
    """Reads one author; `limit` keeps only so many of the newest older tweets. SystemExit if too few are left."""
    tweets = in_order(read_tweets(path, handle))
    held_out = build_corpus({handle: tweets}, SPLIT).held_out
    older = before(tweets, [piece.text for piece in held_out])
    chosen = older[-limit:] if limit else older
    author = Author(handle, tuple(chosen), held_out, usable_texts(chosen), usable_texts(older))
    if len(author.known) < FEWEST_TWEETS:
        raise SystemExit(
            f"@{handle} has only {len(author.known)} usable tweets to learn from; {FEWEST_TWEETS} are needed."
        )
    return author


def usable_texts(tweets: Iterable[Tweet]) -> tuple[str, ...]:
    """The different texts, cleaned by `mended`, that are long enough to learn from."""
    cleaned = (clean.mended(tweet.text) for tweet in tweets)
    return tuple(dict.fromkeys(text for text in cleaned if not clean.holds_too_little(text)))


def in_order(tweets: Iterable[Tweet]) -> list[Tweet]:
    """Each tweet once, retweets left out, oldest first: as the store gives them to a training."""
    once = {tweet.id: tweet for tweet in tweets if not tweet.is_retweet}
    return sorted(once.values(), key=lambda tweet: (tweet.created_at or 0, number(tweet.id), tweet.id))


def number(tweet_id: str) -> int:
    return int(tweet_id) if tweet_id.isdecimal() else 0


def before(tweets: Sequence[Tweet], held_out: Sequence[str]) -> list[Tweet]:
    """The tweets that are older than every held-out text, without those that are one of them in another dress: equal
    but for case and white space by our cleaning, or equal by the original's."""
    texts = [clean.mended(tweet.text) for tweet in tweets]
    kept_back = set(held_out)
    newest = [tweet for tweet, text in zip(tweets, texts, strict=True) if text in kept_back]
    ours = {folded(text) for text in held_out}
    theirs = {folded(clean.huggingtweets(tweet.text)) for tweet in newest}
    border = next((at for at, text in enumerate(texts) if text in kept_back), len(tweets))
    return [
        tweet
        for tweet, text in zip(tweets[:border], texts, strict=False)
        if folded(text) not in ours and folded(clean.huggingtweets(tweet.text)) not in theirs
    ]
