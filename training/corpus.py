"""Cleaned, split and fingerprinted text made from timelines at one moment."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from training import clean
from training.recipe import Recipe
from training.timeline import Tweet


@dataclass(frozen=True)
class Piece:
    """One text of one handle."""

    handle: str
    text: str


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
            digest.update(json.dumps([[piece.handle, piece.text] for piece in part]).encode())
        return digest.hexdigest()


def build_corpus(timelines: Mapping[str, Sequence[Tweet]], recipe: Recipe) -> Corpus:
    """`timelines` holds, by handle, the tweets without retweets, oldest first.

    The newest tenth of each handle's different texts is held out, but for those that stand among the older ones of
    another: people rename accounts and import both archives, and neither handle may be left with nothing to learn
    from. What is held out is trained on as nobody's. If that leaves nothing (each one's newest are old to another),
    one text is held out, of all who have it. So a handle of three different texts or more always has one to train on.
    """
    usable = {handle: usable_texts(tweets, recipe) for handle, tweets in timelines.items()}
    distinct = {handle: list(dict.fromkeys(texts)) for handle, texts in usable.items()}
    newest: list[str] = []
    older: set[str] = set()
    for texts in distinct.values():
        border = len(texts) - max(1, int(len(texts) * recipe.held_out)) if texts else 0
        newest += texts[border:]
        older.update(texts[:border])
    # A held-out text that was trained on, as another handle's too, would measure memory, not voice.
    kept_back = set(newest) - older or set(newest[-1:])
    train = [Piece(handle, text) for handle, texts in usable.items() for text in texts if text not in kept_back]
    held_out = [Piece(handle, text) for handle, texts in distinct.items() for text in texts if text in kept_back]
    return Corpus(tuple(train), tuple(held_out))


def usable_texts(tweets: Sequence[Tweet], recipe: Recipe) -> list[str]:
    """The cleaned texts that are long enough to learn from; of duplicates the oldest stays."""
    if recipe.cleaning == "huggingtweets":
        cleaned = [clean.huggingtweets(tweet.text) for tweet in tweets]
        texts = [text for text in cleaned if not clean.is_short(text)]
    else:
        cleaned = [clean.mended(tweet.text) for tweet in tweets]
        texts = [text for text in cleaned if not clean.holds_too_little(text)]
    return list(dict.fromkeys(texts)) if recipe.remove_duplicates else texts


def write_corpus(corpus: Corpus, folder: Path) -> None:
    """Writes train.jsonl and held_out.jsonl, a line `{"handle", "text"}` a piece."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, pieces in (("train", corpus.train), ("held_out", corpus.held_out)):
        with open(folder / f"{name}.jsonl", "w", encoding="utf-8") as file:
            for piece in pieces:
                file.write(json.dumps({"handle": piece.handle, "text": piece.text}, ensure_ascii=False) + "\n")


def read_corpus(folder: Path) -> Corpus:
    """Reads what `write_corpus` wrote."""

    def part(name: str) -> tuple[Piece, ...]:
        # Not splitlines(): JSON leaves U+2028 and its like as they are, and splitlines() would cut there.
        with open(folder / f"{name}.jsonl", encoding="utf-8", newline="\n") as file:
            return tuple(Piece(**json.loads(line)) for line in file)

    return Corpus(part("train"), part("held_out"))
