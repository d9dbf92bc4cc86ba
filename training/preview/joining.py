"""Joining: Arabic letters in their joined forms, for a Pillow that cannot shape text (see fonts.shaping)."""

import functools
import itertools
import unicodedata

MIRRORED = str.maketrans("()[]{}<>«»‹›", ")(][}{><»«›‹")


@functools.cache
def forms() -> dict[tuple[str, str], str]:
    """(form, letters): the character that shows these letters in this form, as Unicode has them for old terminals."""
    found: dict[tuple[str, str], str] = {}
    for code in itertools.chain(range(0xFB50, 0xFDFC), range(0xFE80, 0xFEFD)):
        tag, _, letters = unicodedata.decomposition(chr(code)).partition(" ")
        if tag in ("<isolated>", "<final>", "<initial>", "<medial>"):
            key = "".join(chr(int(letter, 16)) for letter in letters.split())
            if len(key) == 1 or key.startswith("\u0644"):
                found.setdefault((tag, key), chr(code))
    return found


def leftmost_first(text: str) -> str:
    """A right-to-left text of one direction as it is drawn from left to right, its letters joined."""
    letters = [letter for letter in text if letter not in "\u200c\u200d"]
    marks: dict[int, str] = {}
    bases: list[str] = []
    for letter in letters:
        if unicodedata.combining(letter) and bases:
            marks[len(bases) - 1] = marks.get(len(bases) - 1, "") + letter
        elif letter in "\u0622\u0623\u0625\u0627" and bases and bases[-1] == "\u0644":
            bases[-1] += letter  # lam and alef are one sign
        else:
            bases.append(letter)
    drawn = []
    for at, base in enumerate(bases):
        before = at > 0 and ("<initial>", bases[at - 1]) in forms() and ("<final>", base) in forms()
        after = at + 1 < len(bases) and ("<initial>", base) in forms() and ("<final>", bases[at + 1]) in forms()
        tag = {(0, 0): "<isolated>", (1, 0): "<final>", (0, 1): "<initial>", (1, 1): "<medial>"}[before, after]
        drawn.append(marks.get(at, "") + forms().get((tag, base), base.translate(MIRRORED)))
    return "".join(reversed(drawn))
