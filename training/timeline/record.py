"""A record, one JSON object or CSV row in whichever spelling, and how it is read as a tweet."""

import hashlib
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import TypeGuard

from training.timeline.errors import BadHandle, UnreadableFile, some
from training.timeline.tweet import Tweet, check_handle

Record = Mapping[str, object]

ID = ("id_str", "id", "tweet_id")
TEXT = ("full_text", "text", "tweet")
DATE = ("created_at", "timestamp", "date")
AUTHOR = ("author_handle", "author", "username", "screen_name", "user", "handle")
_RETWEET_FLAGS = ("retweeted", "is_retweet", "isretweet")
_RETWEETED = ("retweeted_status", "retweeted_status_id_str", "retweeted_status_id")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_X_DATE = re.compile(r"\w{3} (\w{3}) (\d\d) (\d\d:\d\d:\d\d) ([+-]\d{4}) (\d{4})")
_SURROGATE = re.compile("[\ud800-\udfff]")


def tweet_of(record: Record, where: str, author: str | None = None, display_name: str | None = None) -> Tweet:
    """Read v1.1, v2 and CSV names alike; `author` is who the archive belongs to, for records that need not say."""
    record = _unwrapped(record)
    short_text, note = field(record, *TEXT), record.get("note_tweet")
    text = (field(note, "text") if is_record(note) else None) or short_text
    if text is None:
        if not set(record) & set(TEXT):
            hint = " (`jq -c '.data[]'` takes the tweets out of a page of the API)" if "data" in record else ""
            raise UnreadableFile(f"{where} has the fields {some(record)}; it needs {' or '.join(TEXT)}{hint}.")
        text = ""
    created_at = epoch_ms(field(record, *DATE))
    if author is None:
        author, display_name = _author(record, where)
    return Tweet(
        id=_id(record, text, created_at),
        text=text,
        created_at=created_at,
        handle=author,
        display_name=display_name,
        is_retweet=(short_text or text).startswith("RT @") or text.startswith("RT @") or _is_flagged(record),
        reply_to=_referenced(record, "replied_to")
        or field(record, "in_reply_to_status_id_str", "in_reply_to_status_id"),
        lang=field(record, "lang"),
    )


def _unwrapped(record: Record) -> Record:
    """What an archive wraps up: a tweet, or a long post, which has other names for the same."""
    tweet, note = record.get("tweet"), record.get("noteTweet")
    if is_record(tweet):
        return tweet
    if is_record(note) and is_record(core := note.get("core")):
        return {"id": note.get("noteTweetId"), "text": core.get("text"), "created_at": note.get("createdAt")}
    return record


def is_record(value: object) -> TypeGuard[Record]:
    return isinstance(value, dict)


def field(record: Record, *keys: str) -> str | None:
    """The first of these fields that holds a text or a whole number, less lone surrogates, which no database takes."""
    for key in keys:
        value = record.get(key)
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)
        if isinstance(value, str) and value:
            if _SURROGATE.search(value):
                return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
            return value
    return None


def handle_in_file(username: str, where: str) -> str:
    try:
        return check_handle(username)
    except BadHandle as error:
        raise UnreadableFile(
            f"{where} names the author {username[:40]!r}, which is not a handle; put handles there, or remove "
            "that column and name the author with --handle."
        ) from error


def epoch_ms(date: str | None) -> int | None:
    """UTC epoch milliseconds of X's own form, of ISO 8601 or of an epoch; None where it is neither."""
    date = (date or "").strip()
    if re.fullmatch(r"\d{9,10}|\d{12,13}", date):
        return int(date) if len(date) > 10 else int(date) * 1000
    try:
        if found := _X_DATE.fullmatch(date):
            month, day, time, zone, year = found.groups()
            date = f"{year}-{_MONTHS.index(month) + 1:02}-{day}T{time}{zone}"
        moment = datetime.fromisoformat(re.sub(r" (?=[+-]\d\d:?\d\d$| ?UTC$)", "", date).replace("UTC", "Z"))
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return (moment - _EPOCH) // timedelta(milliseconds=1)
    except (ValueError, OverflowError):
        return None


def _id(record: Record, text: str, created_at: int | None) -> str:
    """The file's id; without a usable one a hash of text and time, so that importing twice changes nothing."""
    given = (field(record, *ID) or "").strip()
    # A spreadsheet turns ids into 1.05E+18, the same for many tweets.
    if given and len(given) <= 64 and not re.fullmatch(r"\d+([.,]\d+)?[eE]\+?\d+", given):
        return given
    return "x" + hashlib.sha256(f"{created_at}\0{text}".encode()).hexdigest()[:20]


def _author(record: Record, where: str) -> tuple[str | None, str | None]:
    display_name = field(record, "author_name", "display_name")
    for key in AUTHOR:
        value = record.get(key)
        if is_record(value):
            username = field(value, "username", "screen_name")
            display_name = display_name or field(value, "name")
        else:
            username = field(record, key)
        if username:
            return handle_in_file(username, where), display_name
    return None, display_name


def _is_flagged(record: Record) -> bool:
    flagged = any(str(record.get(key)).strip().lower() in ("true", "t", "yes", "1") for key in _RETWEET_FLAGS)
    return flagged or any(record.get(key) for key in _RETWEETED) or _referenced(record, "retweeted") is not None


def _referenced(record: Record, kind: str) -> str | None:
    references = record.get("referenced_tweets")
    for reference in references if isinstance(references, list) else ():
        if is_record(reference) and reference.get("type") == kind:
            return field(reference, "id") or ""
    return None
