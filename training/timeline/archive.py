"""An X archive: its tweets, completed by its long posts and signed by its account."""

import re
from collections.abc import Iterator
from dataclasses import replace

from training.timeline.errors import GET_ARCHIVE, NeedsHandle, UnreadableFile, some
from training.timeline.members import Members
from training.timeline.notes import Notes
from training.timeline.objects import ytd_objects, ytd_tweets
from training.timeline.record import field, handle_in_file, is_record, tweet_of
from training.timeline.tweet import Tweet

_TWEET_FILES = ("data/tweets.js", "data/tweet.js")
_LONE_FILES = ("tweets.js", "tweet.js")  # zipped without the rest


def read_archive(name: str, members: Members, handle: str | None) -> Iterator[Tweet]:
    data, files = _tweet_files(name, members.names)
    author, display_name = handle, None
    signed = f"{data}account.js" in members.names
    if signed:
        author, display_name = _account(f"{name}/data/account.js", members.chunks(f"{data}account.js"))
        if handle is not None and handle.lower() != author.lower():
            raise UnreadableFile(
                f"{name} is the archive of @{author}, not of @{handle}; give --handle {author}, or none."
            )
    if author is None:
        raise NeedsHandle(f"{name} has no data/account.js to say whose archive it is; name the author with --handle.")
    notes = Notes()
    if f"{data}note-tweet.js" in members.names:
        notes.read(f"{name}/data/note-tweet.js", members.chunks(f"{data}note-tweet.js"))
    for file in files:
        label = f"{name}/{file}"
        for where, record in ytd_tweets(label, members.chunks(file)):
            tweet = tweet_of(record, f"{label}, {where}", author, display_name)
            yield notes.completed(replace(tweet, signed=signed))


def _tweet_files(name: str, names: list[str]) -> tuple[str, list[str]]:
    """The folder inside that holds the archive's data (people zip their unpacked folder again, or a part of it), and
    its tweet files in order."""
    found = _places(names, _TWEET_FILES) or _places(names, _LONE_FILES)
    if not found:
        hint = "unpack it and give its tweets.csv" if "tweets.csv" in names else GET_ARCHIVE
        held = f"it holds {some(names)}" if names else "it holds nothing"
        raise UnreadableFile(f"{name} has no data/tweets.js ({held}), so it is no X archive; {hint}.")
    root, file = min(found, key=lambda place: (len(place[0]), "tweets.js" not in place[1]))
    first = root + file
    part = re.compile(re.escape(first.removesuffix(".js")) + r"-part([0-9]{1,6})\.js")
    parts = sorted({(int(match[1]), member) for member in names if (match := part.fullmatch(member))})
    return first.removesuffix(file.rpartition("/")[2]), [first, *(member for _, member in parts)]


def _places(names: list[str], files: tuple[str, ...]) -> list[tuple[str, str]]:
    return [(member.removesuffix(file), file) for member in names for file in files if _is_at(member, file)]


def _is_at(member: str, file: str) -> bool:
    return (member == file or member.endswith(f"/{file}")) and not member.startswith("__MACOSX/")


def _account(name: str, pieces: Iterator[bytes]) -> tuple[str, str | None]:
    for record in ytd_objects(name, pieces, "account"):
        account = record.get("account")
        if is_record(account) and (username := field(account, "username")):
            return handle_in_file(username, name), field(account, "accountDisplayName")
    raise UnreadableFile(f"{name} names no username; {GET_ARCHIVE}.")
