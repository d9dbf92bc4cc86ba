"""Cleaned, split and fingerprinted text made from timelines at one moment."""

from __future__ import annotations

import hashlib
import json
from collections import ChainMap
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, astuple, dataclass, replace
from pathlib import Path
from types import MappingProxyType

from training import clean
from training.recipe import Recipe
from training.timeline import Tweet

FEWEST_HELD_OUT = 8  # whether a training is any better than its base must not hang on two tweets


@dataclass(frozen=True)
class Piece:
    """One text of one handle; `reply` if it answers something, `message` what it answers, where that is known."""

    handle: str
    text: str
    reply: bool = False
    message: str | None = None


@dataclass(frozen=True)
class Corpus:
    """What is trained on and what is held out, oldest first within each handle. Each different text of a handle stands
    in one of the two, so the counts are those of what the person has, whatever else is in the mix."""

    train: tuple[Piece, ...]
    held_out: tuple[Piece, ...]

    def characters(self, handle: str) -> int:
        """The usable characters of one handle, the held-out part included."""
        return sum(len(piece.text) for piece in (*self.train, *self.held_out) if piece.handle == handle)

    def tweets(self, handle: str) -> int:
        return sum(piece.handle == handle for piece in (*self.train, *self.held_out))

    def different(self, handle: str) -> int:
        """How many different texts a handle has."""
        return len({piece.text for piece in (*self.train, *self.held_out) if piece.handle == handle})

    @property
    def fingerprint(self) -> str:
        """sha256 over every text in its place: equal corpora have equal fingerprints."""
        digest = hashlib.sha256()
        for part in (self.train, self.held_out):
            digest.update(json.dumps([astuple(piece) for piece in part]).encode())
        return digest.hexdigest()


def build_corpus(
    timelines: Mapping[str, Sequence[Tweet]], recipe: Recipe, answered: Mapping[str, str] = MappingProxyType({})
) -> Corpus:
    """`timelines` holds, by handle, the tweets without retweets, oldest first; `answered`, by id, texts of others that
    they may have answered.

    The newest few of each handle's different texts is held out, but for those that stand among the older ones of
    another: people rename accounts and import both archives, and neither handle may be left with nothing to learn
    from. What is held out is trained on as nobody's. If that leaves nothing (each one's newest are old to another),
    one text is held out, of all who have it. So a handle of three different texts or more always has one to train on.
    """
    by_id = {handle: {tweet.id: tweet.text for tweet in tweets} for handle, tweets in timelines.items()}
    usable = {
        # Their own come first: ids that are not X's may stand in several timelines.
        handle: usable_pieces(handle, tweets, recipe, ChainMap(by_id[handle], *by_id.values(), dict(answered)))
        for handle, tweets in timelines.items()
    }
    distinct = {handle: first_of_each(pieces) for handle, pieces in usable.items()}
    newest: list[str] = []
    older: set[str] = set()
    for pieces in distinct.values():
        texts = [piece.text for piece in pieces]
        kept = len(texts) - held_out_count(len(texts), recipe.held_out)
        newest += texts[kept:]
        older.update(texts[:kept])
    # A held-out text that was trained on, as another handle's too, would measure memory, not voice.
    kept_back = set(newest) - older or set(newest[-1:])
    train = [piece for pieces in usable.values() for piece in pieces if piece.text not in kept_back]
    held_out = [piece for pieces in distinct.values() for piece in pieces if piece.text in kept_back]
    return Corpus(tuple(train), tuple(held_out))


def held_out_count(texts: int, share: float) -> int:
    """How many of so many texts are held out: the share, at least FEWEST_HELD_OUT unless that is more than a tenth, and
    at least one."""
    return min(texts, max(1, int(texts * share), min(FEWEST_HELD_OUT, texts // 10)))


def usable_pieces(handle: str, tweets: Sequence[Tweet], recipe: Recipe, known: Mapping[str, str]) -> list[Piece]:
    """The cleaned texts that are long enough to learn from; of duplicates the oldest stays. `known` are texts that may
    have been answered, by id."""
    pieces = []
    for tweet in tweets:
        if recipe.cleaning == "huggingtweets":
            text = clean.huggingtweets(tweet.text)
            usable = not clean.is_short(text)
        else:
            text = clean.mended(tweet.text)
            usable = not clean.holds_too_little(text)
        if usable:
            reply, message = answer(tweet, known) if recipe.mark_replies else (False, None)
            pieces.append(Piece(handle, text, reply, message))
    return first_of_each(pieces) if recipe.remove_duplicates else pieces


def answer(tweet: Tweet, known: Mapping[str, str]) -> tuple[bool, str | None]:
    """Whether a tweet is a reply, and the cleaned text of what it answers, where that is among the `known`.

    Going on with a thread is answering oneself: that, too, starts from something said. Many files do not say what is
    a reply; then it is what begins with mentions.
    """
    reply = tweet.reply_to is not None or clean.is_addressed(tweet.text)
    message = known.get(tweet.reply_to) if tweet.reply_to is not None else None
    return reply, (clean.mended(message) or None) if message is not None else None


def first_of_each(pieces: Sequence[Piece]) -> list[Piece]:
    """One piece of each different text, the first."""
    found: dict[str, Piece] = {}
    for piece in pieces:
        found.setdefault(piece.text, piece)
    return list(found.values())


def write_corpus(corpus: Corpus, folder: Path) -> None:
    """Writes train.jsonl and held_out.jsonl, a line `{"handle", "text"}` a piece, with `"reply"` and `"message"` where
    they are not the default."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, pieces in (("train", corpus.train), ("held_out", corpus.held_out)):
        with open(folder / f"{name}.jsonl", "w", encoding="utf-8") as file:
            for piece in pieces:
                said = {key: value for key, value in asdict(piece).items() if value is not None and value is not False}
                file.write(json.dumps(said, ensure_ascii=False) + "\n")


def drop_messages(folder: Path, texts: Collection[str]) -> bool:
    """Takes these texts out of a corpus that was written, where they stand as what others answered; whether any did."""
    corpus = read_corpus(folder)

    def without(pieces: tuple[Piece, ...]) -> tuple[Piece, ...]:
        return tuple(replace(piece, message=None) if piece.message in texts else piece for piece in pieces)

    kept = Corpus(without(corpus.train), without(corpus.held_out))
    if kept == corpus:
        return False
    fresh = folder.with_name("corpus.new")
    write_corpus(kept, fresh)
    for file in fresh.iterdir():
        file.replace(folder / file.name)
    fresh.rmdir()
    return True


def read_corpus(folder: Path) -> Corpus:
    """Reads what `write_corpus` wrote, also before replies were told apart."""

    def part(name: str) -> tuple[Piece, ...]:
        # Not splitlines(): JSON leaves U+2028 and its like as they are, and splitlines() would cut there.
        with open(folder / f"{name}.jsonl", encoding="utf-8", newline="\n") as file:
            return tuple(Piece(**json.loads(line)) for line in file)

    return Corpus(part("train"), part("held_out"))
