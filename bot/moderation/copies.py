"""Copies: which runs of words stand in the training tweets, so that a text that repeats them is recognised."""

from __future__ import annotations

import hashlib
import unicodedata
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator

import regex

# Scripts that put no blank between words: there a letter counts as half a word.
_SPACELESS = r"\p{Han}\p{Hiragana}\p{Katakana}ー\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}\p{Tibetan}"
_WORD = regex.compile(rf"[{_SPACELESS}]|[\w--_--[{_SPACELESS}]]+(?:['’ʼ][\w--_--[{_SPACELESS}]]+)*", regex.V1)
SPACELESS_LETTER = regex.compile(rf"[{_SPACELESS}]", regex.V1)
_APOSTROPHES = regex.compile("['’ʼ]")


class ShingleIndex:
    """Which runs of words stand in the training tweets: eight bytes for each, the same whatever the tweets' order."""

    def __init__(self, texts: Iterable[str], words: int = 8) -> None:
        if words < 1:
            raise ValueError("a run has at least one word")
        self.words = words
        self._hashes = array("Q", sorted({run for text in texts for run, _ in self._runs(text)}))

    def __len__(self) -> int:
        return len(self._hashes)

    def holds_run_of(self, text: str, start: int = 0) -> bool:
        """Whether `words` or more words in a row, all of them ending behind `start`, stand in one training tweet."""
        return any(first_end > start and self._has(run) for run, first_end in self._runs(text))

    def _has(self, run: int) -> bool:
        place = bisect_left(self._hashes, run)
        return place < len(self._hashes) and self._hashes[place] == run

    def _runs(self, text: str) -> Iterator[tuple[int, int]]:
        """(hash, end of its first word) of each shortest run that weighs as much as `words` words."""
        words = list(weighed_words(text))
        last = weight = 0
        for first, (_, end, first_weight) in enumerate(words):
            while last < len(words) and weight < 2 * self.words:
                weight += words[last][2]
                last += 1
            if weight < 2 * self.words:
                return
            run = "\n".join(word for word, _, _ in words[first:last]).encode("utf-8", "surrogatepass")
            yield int.from_bytes(hashlib.blake2b(run, digest_size=8).digest(), "big"), end
            weight -= first_weight


def weighed_words(text: str) -> Iterator[tuple[str, int, int]]:
    """(word, where it ends, its weight in half words): case-folded, without punctuation and apostrophes."""
    for found in _WORD.finditer(text):
        word = unicodedata.normalize("NFKC", _APOSTROPHES.sub("", found[0])).casefold()
        yield word, found.end(), 1 if SPACELESS_LETTER.fullmatch(found[0]) else 2
