"""Repeats: what an account has said lately, so that a text which readers would take for a repetition is recognised."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence

import regex

from bot.moderation.copies import weighed_words

Run = tuple[str, ...]
Word = tuple[str, int]  # folded, and its weight in half words

ALIKE = 0.6  # of the runs of two words of both texts together
SHORTEST = 8  # half words: four words, or eight letters of a script without blanks; shorter texts must be the same
_RUN = 4  # half words: two words, or four letters of a script without blanks

# Two posts of the same words with different addresses behind them look the same.
_LINK = regex.compile(r"https?://\S+")
_REPEATED = regex.compile(r"(.)\1+", regex.DOTALL)


class Repeats:
    """The recent texts of an account, by the runs of two words that stand in them."""

    def __init__(self, texts: Mapping[str, str] | None = None) -> None:
        self._texts: dict[str, str] = {}  # by the post's id, as are the next two
        self._folds: dict[str, str] = {}
        self._runs: dict[str, frozenset[Run]] = {}
        self._same: Counter[str] = Counter()
        self._holding: dict[Run, set[str]] = {}
        self.keep(texts or {})

    def __len__(self) -> int:
        return len(self._texts)

    def keep(self, texts: Mapping[str, str]) -> None:
        """These texts, by the ids of their posts, are the recent ones now: what else was known is forgotten."""
        for post_id in self._texts.keys() - texts.keys():
            self.forget(post_id)
        for post_id, text in texts.items():
            self.add(post_id, text)

    def add(self, post_id: str, text: str) -> None:
        """One more; a text that was known by this id is replaced."""
        if self._texts.get(post_id) == text:
            return
        if post_id in self._texts:
            self.forget(post_id)
        words = _read(text)
        self._texts[post_id] = text
        self._folds[post_id] = fold = _folded(words, text)
        self._same[fold] += 1
        self._runs[post_id] = _runs(words)
        for run in self._runs[post_id]:
            self._holding.setdefault(run, set()).add(post_id)

    def forget(self, post_id: str) -> None:
        """It is no longer recent."""
        del self._texts[post_id]
        fold = self._folds.pop(post_id)
        self._same[fold] -= 1
        if not self._same[fold]:
            del self._same[fold]
        for run in self._runs.pop(post_id):
            holders = self._holding[run]
            holders.discard(post_id)
            if not holders:
                del self._holding[run]

    def holds_same(self, text: str) -> bool:
        """Whether it is one of these but for case, blanks, punctuation, emoji and links."""
        return _folded(_read(text), text) in self._same

    def hold(self, text: str, prompt: str = "") -> bool:
        """Whether readers would take `text` for one of these: it is the same but for case, blanks, punctuation, emoji
        and links, or most runs of two words are the same. Those of its prompt do not count: it was asked for them."""
        words = _read(text)
        if _folded(words, text) in self._same:
            return True
        asked = _runs(_read(prompt), shortest=0)
        said = _runs(words) - asked
        shared = Counter(post_id for run in said for post_id in self._holding.get(run, ()))
        of_prompt = Counter(post_id for run in asked for post_id in self._holding.get(run, ())) if shared else shared
        return any(
            2 * count >= ALIKE * (len(said) + len(self._runs[post_id]) - of_prompt[post_id])
            for post_id, count in shared.items()
        )


def _read(text: str) -> list[Word]:
    return [(word, weight) for word, _, weight in weighed_words(_LINK.sub(" ", text))]


def _folded(words: Sequence[Word], text: str) -> str:
    """The same for texts whose words are the same; of a text without words what it shows, once."""
    return " ".join(word for word, _ in words) or _REPEATED.sub(
        r"\1", "".join(unicodedata.normalize("NFKC", text).casefold().split())
    )


def _runs(words: Sequence[Word], shortest: int = SHORTEST) -> frozenset[Run]:
    """Every two words that follow each other, of a text of at least four words."""
    if sum(weight for _, weight in words) < shortest:
        return frozenset()
    found: set[Run] = set()
    last = weight = 0
    for first, (_, first_weight) in enumerate(words):
        while last < len(words) and weight < _RUN:
            weight += words[last][1]
            last += 1
        if weight < _RUN:
            break
        found.add(tuple(word for word, _ in words[first:last]))
        weight -= first_weight
    return frozenset(found)
