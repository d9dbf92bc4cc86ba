"""Moderation: judges a generated text or a prompt and gives every reason to refuse it."""

import hashlib
import unicodedata
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import regex

from bot.config import ModerationSettings
from bot.domain import Verdict
from bot.errors import BadConfig
from bot.tweetlength import urls, weighted_length

# Scripts that put no blank between words: there a letter counts as half a word.
_SPACELESS = r"\p{Han}\p{Hiragana}\p{Katakana}ー\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}\p{Tibetan}"
_WORD = regex.compile(rf"[{_SPACELESS}]|[\w--_--[{_SPACELESS}]]+(?:['’ʼ][\w--_--[{_SPACELESS}]]+)*", regex.V1)
_SPACELESS_LETTER = regex.compile(rf"[{_SPACELESS}]", regex.V1)
_APOSTROPHES = regex.compile("['’ʼ]")
_SUBSTANCE = regex.compile(r"[\p{L}\p{N}\p{Extended_Pictographic}\p{Regional_Indicator}]")


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
        words = list(_words(text))
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


def _words(text: str) -> Iterator[tuple[str, int, int]]:
    """(word, where it ends, its weight in half words): case-folded, without punctuation and apostrophes."""
    for found in _WORD.finditer(text):
        word = unicodedata.normalize("NFKC", _APOSTROPHES.sub("", found[0])).casefold()
        yield word, found.end(), 1 if _SPACELESS_LETTER.fullmatch(found[0]) else 2


# --- Mentions and links -----------------------------------------------------------------------------------------------

# X's handles, Discord's <@123> and <@&123>; "@_@" is a face.
_MENTION = regex.compile(r"(?<![\w+-])[@＠](?P<handle>(?:[!&]?\d{5,}|(?=_*[A-Za-z0-9])[A-Za-z0-9_]+))")
_ADDRESS = regex.compile(
    r"\b(?:[a-z][a-z0-9+.-]{1,20}://|www\.|(?:mailto|magnet|tel|sms):)[^\s<>\"]+", regex.IGNORECASE
)
# A name with one of these ends is a link even without a path; "end.it was" is more often a missing blank.
_ALWAYS_LINK = regex.compile(r"\.(?:com|org|net|edu|gov)$", regex.IGNORECASE)


def _mentions(text: str) -> set[str]:
    return {found["handle"].casefold() for found in _MENTION.finditer(text)}


def _links(text: str) -> set[str]:
    bare = (text[start:end] for start, end in urls(text))
    names = [name for name in bare if "/" in name or _ALWAYS_LINK.search(name)]
    # A name inside an address is that address: http://b.com/a.com/ is one link.
    addresses = [found[0] for found in _ADDRESS.finditer(text)]
    names = [name for name in names if not any(name in address for address in addresses)]
    return {link.rstrip(".,;:!?)]}'’”…").casefold() for link in (*addresses, *names)}


# --- Personal data ----------------------------------------------------------------------------------------------------

_EMAIL = regex.compile(
    r"(?<![\w.+@-])[\w.+-]{1,64}+(?:@|\s?[\[(]at[\])]\s?)(?:[\w-]{1,63}(?:\.|\s?[\[(]dot[\])]\s?))+\p{L}{2,}"
    r"|\b[\w.+-]{1,64}+ at (?!(?:a|an|the|this|that|my|your) )[\w-]{1,63} dot (?:com|org|net|edu|gov|co|io|de|fr|uk)\b",
    regex.IGNORECASE,
)
# Dates and times, so that their digits do not join with others into something that looks like a number to call.
_DATE_OR_TIME = regex.compile(
    r"(?<!\d)(?:\d{4}([-./])\d{1,2}\1\d{1,2}|\d{1,2}([-./])\d{1,2}\2(?:\d{4}|\d{2}))(?![\d./-]*\d)|(?<!\d)\d{1,2}:\d{2}(?::\d{2})?(?!\d)"
)
_NOT_INSIDE_NUMBER = r"(?<![\d\p{Sc}#])(?<!\d[.,:/-])"
_NUMBER_ENDS = r"(?![\d%\p{Sc}]|[.,:/-]\d)"
_AREA = r"[2-9]\d{2}"
_PHONE = regex.compile(
    # international, 8 to 15 digits (ITU-T E.164): +49 (0)30 901820, +1-212-555-0123
    rf"(?<![\w+])(?:\+|00(?=[ 1-9]))[ ]?(?P<international>[1-9](?:[ .()/-]{{0,3}}\d){{7,14}}){_NUMBER_ENDS}"
    # North American: (212) 555-0123, 212.555.0123, 1-212-555-0123, and 2125550123
    rf"|{_NOT_INSIDE_NUMBER}(?:1[ .-]?)?(?:\({_AREA}\)[ ]?|{_AREA}[ .-]){_AREA}[ .-]\d{{4}}{_NUMBER_ENDS}"
    rf"|{_NOT_INSIDE_NUMBER}{_AREA}{_AREA}\d{{4}}{_NUMBER_ENDS}"
    # national with a leading zero, in groups of two or more: 06 12 34 56 78, 07911 123456, 0151/23456789
    rf"|{_NOT_INSIDE_NUMBER}(?P<national>\(?0[1-9]\d{{0,10}}\)?(?:[ ./-]{{0,2}}\d{{2,}})*){_NUMBER_ENDS}"
    # Indian mobile: 98765 43210
    rf"|{_NOT_INSIDE_NUMBER}[6-9]\d{{4}}[ -]\d{{5}}{_NUMBER_ENDS}"
    # seven digits, where the words before them say what they are: call me at 555-0123
    rf"|\b(?i:call|text|phone|tel|cell|mobile|whatsapp|fax)\b[^\d\n]{{0,12}}\d{{3}}[ .-]\d{{4}}{_NUMBER_ENDS}"
)
_FEWEST_DIFFERENT_DIGITS = 3  # "+100000000 aura" is no number to call
_NATIONAL_DIGITS = range(9, 13)


def _holds_personal_data(text: str) -> bool:
    text = unicodedata.normalize("NFKC", text)
    if _EMAIL.search(text):
        return True
    return any(_is_phone(found) for found in _PHONE.finditer(_DATE_OR_TIME.sub(" date ", text)))


def _is_phone(found: regex.Match[str]) -> bool:
    digits = [char for char in found[0] if char.isdecimal()]
    if found["international"]:
        return len(set(digits)) >= _FEWEST_DIFFERENT_DIGITS
    return found["national"] is None or len(digits) in _NATIONAL_DIGITS


# --- The block list ---------------------------------------------------------------------------------------------------

_LEET = str.maketrans({"0": "o", "1": "i", "3": "e", "4": "a", "5": "s", "7": "t", "@": "a", "$": "s"})
# Zero-width and direction characters, variation selectors, and the marks that are piled on letters to hide them.
_INVISIBLE = regex.compile(
    r"[\p{Cf}\uFE00-\uFE0F\U000E0100-\U000E01EF\u034F\u0300-\u036F\u0488\u0489\u1AB0-\u1AFF\u1DC0-\u1DFF\u20D0-\u20FF]"
)
_TOKEN = regex.compile(r"[\w@$--_]+", regex.V1)
_SPELLED_OUT = regex.compile(r"(?<![\w@$])[\w@$](?:[^\w@$]{1,2}[\w@$]|_[\w@$]){2,}(?![\w@$])")
_REPEATED = regex.compile(r"(.)\1*", regex.DOTALL)
_SURELY_STRETCHED = 3  # English doubles letters and never trebles them: "niger" stays, "boook" is "book" or "bok"


class _BlockList:
    """Words and phrases, matched whole, through the usual disguises."""

    def __init__(self, phrases: Iterable[str]) -> None:
        self._phrases: dict[str, list[tuple[str, ...]]] = {}  # by the skeleton of their first word
        for phrase in phrases:
            if words := tuple(_TOKEN.findall(_folded(phrase))):
                self._phrases.setdefault(_skeleton(words[0]), []).append(words)

    def hits(self, text: str) -> bool:
        folded = _folded(text)
        readings = [_readings(token) for token in _TOKEN.findall(folded)]
        spelled_out = (_TOKEN.findall(found[0]) for found in _SPELLED_OUT.finditer(folded))
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


def _folded(text: str) -> str:
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


# --- The judge --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Moderator:
    """Refuses by the settings and the block list; the same text always gets the same verdict."""

    settings: ModerationSettings
    block_list: _BlockList

    @classmethod
    def of(cls, settings: ModerationSettings) -> "Moderator":
        """With the built-in list and the user's; BadConfig if that file cannot be read."""
        built_in = resources.files("bot").joinpath("blocklist.txt").read_text("utf-8")
        own = _read_list(Path(settings.block_list)) if settings.block_list else ""
        return cls(settings, _BlockList([*_phrases(built_in), *_phrases(own)]))

    def judge(self, text: str, prompt: str, sources: ShingleIndex | None) -> Verdict:
        """The verdict on a text that begins with its prompt; `sources` are the training tweets."""
        border = len(prompt) if text.startswith(prompt) else 0
        allowed = self.settings
        refusals = {
            "blocked": self.block_list.hits(text),
            "verbatim": sources is not None and sources.holds_run_of(text, border),
            "personal data": _holds_personal_data(text),
            "mention": not allowed.allow_mentions and not _mentions(text) <= _mentions(prompt),
            "link": not allowed.allow_links and not _links(text) <= _links(prompt),
            "too long": weighted_length(text) > allowed.max_length,
            "empty": not _SUBSTANCE.search(text, border),
        }
        return Verdict(tuple(reason for reason, applies in refusals.items() if applies))

    def judge_prompt(self, prompt: str) -> Verdict:
        """The verdict on what somebody asks a persona to go on from."""
        refusals = {"blocked": self.block_list.hits(prompt), "personal data": _holds_personal_data(prompt)}
        return Verdict(tuple(reason for reason, applies in refusals.items() if applies))


def _phrases(content: str) -> Iterator[str]:
    lines = (line.strip() for line in content.splitlines())
    return (line for line in lines if line and not line.startswith("#"))


def _read_list(file: Path) -> str:
    try:
        return file.read_text("utf-8-sig")
    except (OSError, ValueError) as error:
        why = "it is not UTF-8 text" if isinstance(error, UnicodeDecodeError) else getattr(error, "strerror", error)
        raise BadConfig(
            source="moderation.block_list", reason=f"the file {str(file)!r} cannot be read ({why})"
        ) from None
