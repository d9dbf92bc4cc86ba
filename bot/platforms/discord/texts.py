"""Texts: what a persona or a person wrote, as it may stand in a message: it pings nobody and breaks nothing around it.

What is shown is `cleaned(text)`, letter by letter: markdown that would hide a character or change the layout is
escaped, and nothing else is, so that a tweet looks like a tweet. Each function takes a text as it was written, not one
that was prepared already.
"""

from __future__ import annotations

import itertools
import unicodedata
from collections.abc import Callable, Collection, Iterator

import regex

MESSAGE = 2_000  # characters in a message
LABEL, CHOICE = 80, 100  # on a button or in the title of a form; in a list to choose from
QUOTED, QUOTED_LINES = 300, 4
NAME = 80
NOTHING = "…"  # what an empty text is shown as
ELLIPSIS = "…"
UNSHOWABLE = "\ufffd"  # stands for what is joined into one sign of absurd length
MOST_MARKS, MOST_MARKS_ON_A_SIDE = 4, 2  # combining marks on a letter; Burmese needs four, Hebrew three
LONGEST_GRAPHEME = 64  # code points; of a family of emoji about a dozen are needed

_BREAK = "\u200b"  # a blank of no width: what it divides is no mention and no link any more, and looks as before

# --- What is never shown ----------------------------------------------------------------------------------------------

_LINE_ENDS = regex.compile(r"\r\n|[\r\v\f\x1c-\x1e\x85\u2028\u2029]")
_BLANKS = regex.compile(r"[\t\u2800]")
# Controls, half characters, what is invisible, and all that turns the direction of what follows. Joiners stay: emoji
# and several scripts need them; so do marks of direction, which turn nothing.
_UNSEEN = regex.compile(
    r"[\p{Cc}\p{Cs}\u00ad\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b\u202a-\u202e\u2060-\u206f\u3164\ufeff\uffa0"
    r"\ufff0-\ufffb\ufffe\uffff\U000e0000-\U000e007f\U000e0100-\U000e0fff\U0001d173-\U0001d17a&&[^\n]]",
    regex.V1,
)
# The flags of England, Scotland and Wales are spelled with otherwise invisible letters.
_FLAG = regex.compile(r"\U0001f3f4[\U000e0020-\U000e007e]{1,8}\U000e007f")
_MARKS = regex.compile(r"[\p{M}\u200c\u200d]{2,}")
_GRAPHEME = regex.compile(r"\X")
_TRAILING = regex.compile(r"[^\S\n]+$", regex.MULTILINE)
_MANY_LINES = regex.compile(r"\n{3,}")
_VISIBLE = regex.compile(r"[^\s\p{Cf}\p{M}]")

# --- Whom it would ping, where it would lead --------------------------------------------------------------------------

# People, roles, channels, commands, emoji of servers, times, places of a server, soundboards.
_MENTION = regex.compile(
    r"<(?=@[!&]?\d|#\d|/[^\n<>]+:\d|a?:\w+:\d|t:-?\d|id:\w|sound:\d)|@(?=everyone|here)", regex.IGNORECASE
)
_ADDRESS = regex.compile(r":(?=//)|(?<=(?<![a-z])(?:mailto|tel|sms|magnet)):(?=\S)", regex.IGNORECASE)
# Discord shows an invitation for these even without https://.
_INVITE = regex.compile(r"(?<=discord(?:app)?)\.(?=gg|com|new)|(?<=dis)\.(?=gd)", regex.IGNORECASE)

# --- Markdown ---------------------------------------------------------------------------------------------------------

_LINK = regex.compile(r"https?://[^\s<]+", regex.IGNORECASE)
_VANISHING_BACKSLASH = regex.compile(r"\\(?=[^0-9A-Za-z\s])")
_LINE_START = regex.compile(r"^([^\S\n]*)(?:(#{1,3}|-#|[-*]|>(?:>>)?)(?=\s|$)|(\d+)(\.)(?=\s|$))", regex.MULTILINE)
_MARKDOWN = regex.compile(r"[\\*_~|`\[\]]")


def said(text: str, allow_links: bool = False, most: int = MESSAGE) -> str:
    """A text on its own, at most so many characters long, of several lines where it has some; never empty."""
    return _shortened(cleaned(text, allow_links), lambda part: escaped(part, allow_links), most)


def quoted(text: str, most: int = QUOTED) -> str:
    """What somebody said, set off as a quotation of a few lines."""
    lines = [line for line in cleaned(text).split("\n") if line]
    if len(lines) > QUOTED_LINES:
        lines = [*lines[: QUOTED_LINES - 1], lines[QUOTED_LINES - 1] + ELLIPSIS]
    return _shortened("\n".join(lines), lambda part: "\n".join(f"> {line}" for line in escaped(part).split("\n")), most)


def name(text: str, most: int = NAME) -> str:
    """A name, or another short text, between words of ours: one line, of which nothing can join with what is around."""

    def shape(part: str) -> str:
        marks = {*_line_starts(part), *(found.start() for found in _MARKDOWN.finditer(part))}
        return _isolated(_with_backslashes(part, marks))

    return _shortened(" ".join(cleaned(text).split()), shape, most)


def label(text: str, most: int = LABEL) -> str:
    """What stands where there is no markdown: on a button, in the title of a form, in a list to choose from."""
    return _shortened(" ".join(cleaned(text).split()), _isolated, most)


def cleaned(text: str, allow_links: bool = False) -> str:
    """What is shown of a text: without what nobody can see, with few marks on each letter, and divided by a blank of no
    width wherever it would ping somebody or, unless they are allowed, lead somewhere."""
    text = _BLANKS.sub(" ", _LINE_ENDS.sub("\n", text))
    parts = _FLAG.split(text)
    flags = [*_FLAG.findall(text), ""]
    text = "".join(_UNSEEN.sub("", part) + flag for part, flag in zip(parts, flags, strict=True))
    text = _MARKS.sub(lambda found: _thinned(found[0]), unicodedata.normalize("NFD", text))
    text = unicodedata.normalize("NFC", text)
    text = "".join(part if len(part) <= LONGEST_GRAPHEME else UNSHOWABLE for part in _GRAPHEME.findall(text))
    text = _MENTION.sub(rf"\g<0>{_BREAK}", text)
    if not allow_links:
        text = _INVITE.sub(rf"\g<0>{_BREAK}", _ADDRESS.sub(rf"\g<0>{_BREAK}", text))
    text = _MANY_LINES.sub("\n\n", _TRAILING.sub("", text)).strip()
    return text if _VISIBLE.search(text) else NOTHING


def escaped(text: str, allow_links: bool = False) -> str:
    """A cleaned text in which no markdown takes effect. What stands alone, such as one asterisk, is no markdown."""
    marks = {
        *_line_starts(text),
        *_if_paired(text, "*"),
        *_if_paired(text, "_"),
        *_if_paired(text, "`"),
        *_if_paired(text, "~~"),
        *_if_paired(text, "||"),
        *(_places(text, "[") if "](" in text else ()),
        *(found.start() for found in _VANISHING_BACKSLASH.finditer(text)),
    }
    if allow_links:  # an address is taken as it is, and a backslash would break it
        marks -= {place for found in _LINK.finditer(text) for place in range(*found.span())}
    return _with_backslashes(text, marks)


def units(text: str) -> int:
    """The length as JavaScript counts, in which an emoji is two: Discord counts code points, which are never more."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def _line_starts(text: str) -> Iterator[int]:
    """What would make a line a heading, an entry of a list or a quotation."""
    return (found.start(group) for found in _LINE_START.finditer(text) for group in (2, 4) if found[group])


def _with_backslashes(text: str, places: Collection[int]) -> str:
    return "".join(f"\\{letter}" if place in places else letter for place, letter in enumerate(text))


def _if_paired(text: str, mark: str) -> set[int]:
    """Where each character of this mark stands, if two of it can enclose something."""
    if text.count(mark) < 2:
        return set()
    if len(mark) == 1:
        return _places(text, mark)
    runs = regex.finditer(rf"{regex.escape(mark[0])}{{2,}}", text)
    return {place for run in runs for place in range(*run.span())}


def _places(text: str, letter: str) -> set[int]:
    return {place for place, other in enumerate(text) if other == letter}


def _thinned(marks: str) -> str:
    """A stack of combining marks, as high as some language needs it."""
    kept: list[str] = []
    for mark in marks:
        side = unicodedata.combining(mark)
        same = sum(unicodedata.combining(other) == side for other in kept)
        if len(kept) < MOST_MARKS and (not side or same < MOST_MARKS_ON_A_SIDE):
            kept.append(mark)
    return "".join(kept)


def _isolated(text: str) -> str:
    """So that letters written from right to left do not turn around what stands beside them."""
    return (
        f"\u2068{text}\u2069"
        if any(unicodedata.bidirectional(letter) in ("R", "AL", "AN") for letter in text)
        else text
    )


def _shortened(text: str, shape: Callable[[str], str], most: int) -> str:
    """The shape of as much of a text as fits, and an ellipsis if that is not all of it."""
    whole = shape(text)
    if units(whole) <= most:
        return whole
    ends = list(itertools.islice(_ends(text), most))
    low, high = 0, len(ends)  # so many graphemes fit; so many do not, or there are no more
    while low < high:
        middle = (low + high + 1) // 2
        if units(shape(text[: ends[middle - 1]].rstrip() + ELLIPSIS)) <= most:
            low = middle
        else:
            high = middle - 1
    kept = text[: ends[low - 1]].rstrip() if low else ""
    return shape(kept + ELLIPSIS)


def _ends(text: str) -> Iterator[int]:
    return (found.end() for found in _GRAPHEME.finditer(text))
