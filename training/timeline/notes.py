"""Notes: the full texts of long posts, which an X archive keeps apart from the tweets that hold their beginnings."""

import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace

from training import clean
from training.timeline.errors import UnreadableFile
from training.timeline.objects import ytd_objects
from training.timeline.record import epoch_ms, field, is_record
from training.timeline.stream import MIB
from training.timeline.tweet import Tweet

MOST_NOTE_BYTES = 64 * MIB  # long posts are held in memory, because they come in another file than their tweets
NOTE_KINDS = ("note_tweet", "note_tweets")  # as a file of an X archive calls what it holds
_KEY = 40


class Notes:
    """The long posts of one archive, to be found by their second and by their beginning."""

    def __init__(self) -> None:
        self._by_second: defaultdict[int, list[str]] = defaultdict(list)
        self._by_beginning: defaultdict[str, list[str]] = defaultdict(list)

    def read(self, name: str, pieces: Iterator[bytes]) -> None:
        held = 0
        for record in ytd_objects(name, pieces, *NOTE_KINDS):
            note = record.get("noteTweet")
            core = note.get("core") if is_record(note) else None
            text = field(core, "text") if is_record(core) else None
            if not is_record(note) or text is None:
                continue
            held += sys.getsizeof(text)
            if held > MOST_NOTE_BYTES:
                raise UnreadableFile(
                    f"{name} holds more long posts than fit in memory; remove it to import without them."
                )
            self._by_beginning[_bare(text)[:_KEY]].append(text)
            if (written := epoch_ms(field(note, "createdAt"))) is not None:
                self._by_second[written // 1000].append(text)

    def completed(self, tweet: Tweet) -> Tweet:
        """The tweet with its full text if a note has it, and else as it was."""
        if tweet.is_retweet or not self._by_beginning:
            return tweet
        cut = _bare(tweet.text)
        for note in self._of_that_moment(tweet.created_at):
            # A thread is posted within one second, so time alone would mix its tweets up.
            if cut and _bare(note).startswith(cut[:20]):
                return replace(tweet, text=note)
        if len(cut) >= _KEY and ("…" in tweet.text or len(tweet.text) >= 200):
            for note in self._by_beginning.get(cut[:_KEY], ()):
                if _bare(note).startswith(cut):
                    return replace(tweet, text=note)
        return tweet

    def _of_that_moment(self, created_at: int | None) -> Iterator[str]:
        if created_at is not None:
            second = created_at // 1000
            for near in (second, second - 1, second + 1):
                yield from self._by_second.get(near, ())


def _bare(text: str) -> str:
    """A text for comparing: the tweet has escapes, short links, mentions and an ellipsis where its note has not."""
    return " ".join(clean.mended(text).split()).rstrip("… ")
