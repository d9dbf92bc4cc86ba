"""The block list: words and phrases that nobody is to say, in whatever disguise."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

import regex

from bot.moderation.copies import SPACELESS_LETTER

_LEET = str.maketrans({"0": "o", "1": "i", "3": "e", "4": "a", "5": "s", "7": "t", "@": "a", "$": "s"})
# Zero-width and direction characters, variation selectors, and the marks that are piled on letters to hide them.
_INVISIBLE = regex.compile(
    r"[\p{Cf}\uFE00-\uFE0F\U000E0100-\U000E01EF\u034F\u0300-\u036F\u0488\u0489\u1AB0-\u1AFF\u1DC0-\u1DFF\u20D0-\u20FF]"
)
_TOKEN = regex.compile(r"[\w@$--_]+", regex.V1)
_SPELLED_OUT = regex.compile(r"(?<![\w@$])[\w@$](?:[^\w@$]{1,2}[\w@$]|_[\w@$]){2,}(?![\w@$])")
_REPEATED = regex.compile(r"(.)\1*", regex.DOTALL)
_SURELY_STRETCHED = 3  # English doubles letters and never trebles them: "niger" stays, "boook" is "book" or "bok"


class BlockList:
    """Words and phrases, matched whole, through the usual disguises."""

    def __init__(self, phrases: Iterable[str]) -> None:
        self._phrases: dict[str, list[tuple[str, ...]]] = {}  # by the skeleton of their first word
        self._spaceless: list[str] = []  # no blank says where a word of these ends, so they are found anywhere
        for phrase in phrases:
            if not (words := tuple(_TOKEN.findall(folded(phrase)))):
                continue
            if SPACELESS_LETTER.search(phrase):
                self._spaceless.append("".join(words))
            else:
                self._phrases.setdefault(_skeleton(words[0]), []).append(words)

    def hits(self, text: str) -> bool:
        if not self._phrases and not self._spaceless:
            return False
        plain = folded(text)
        joined = "".join(_TOKEN.findall(plain)) if self._spaceless else ""
        if any(phrase in joined for phrase in self._spaceless):
            return True
        readings = [_readings(token) for token in _TOKEN.findall(plain)]
        spelled_out = (_TOKEN.findall(found[0]) for found in _SPELLED_OUT.finditer(plain))
        return any(self._begins(readings, start) for start in range(len(readings))) or any(
            self._begins([_readings("".join(letters))], 0) for letters in spelled_out
        )

    def _begins(self, readings: list[set[str]], start: int) -> bool:
        skeletons = {_skeleton(reading) for reading in readings[start]}
        return any(
            len(readings) - start >= len(words)
            and all(
                any(_reads_as(reading, word) for reading in readings[start + place]) for place, word in enumerate(words)
            )
            for skeleton in skeletons
            for words in self._phrases.get(skeleton, ())
        )


def folded(text: str) -> str:
    """Without what nobody sees, in one case and one way of writing each letter."""
    visible: str = _INVISIBLE.sub("", unicodedata.normalize("NFKC", text))
    return visible.casefold()


def _readings(token: str) -> set[str]:
    """The token as it stands, without the @ or $ around it, and both with digits read as letters if it has letters."""
    plain = {token, token.strip("@$")} - {""}
    return plain | {reading.translate(_LEET) for reading in plain if any(char.isalpha() for char in reading)}


def _skeleton(word: str) -> str:
    return str(_REPEATED.sub(r"\1", word))


def _reads_as(reading: str, word: str) -> bool:
    """Whether it is the word, apart from letters that stand more often in a row than any spelling asks for."""
    if reading == word:
        return True
    if _skeleton(reading) != _skeleton(word):
        return False
    runs = zip(_REPEATED.finditer(reading), _REPEATED.finditer(word), strict=True)
    lengths = ((len(said[0]), len(meant[0])) for said, meant in runs)
    return all(said == meant or said >= max(meant, _SURELY_STRETCHED) for said, meant in lengths)
