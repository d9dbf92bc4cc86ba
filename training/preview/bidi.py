"""Order: in which direction each character of a mixed line is read (the Unicode bidirectional algorithm, UAX 9).

We order a line ourselves because it is drawn with several fonts, and because Pillow's own ordering needs a library of
the system (FriBiDi) that may be absent. Formatting characters must be gone: without them there is one paragraph level,
and nobody's name turns round what stands beside it.
"""

import unicodedata
from collections.abc import Sequence

NEUTRAL = {"B", "S", "WS", "ON"}
BRACKETS = dict(zip("([{⟨〈《「『【", ")]}⟩〉》」』】", strict=True))
CLOSING = {close: open for open, close in BRACKETS.items()}


def base_level(clusters: Sequence[str]) -> int:
    """1 when the first letter is one of a right-to-left script, else 0."""
    for cluster in clusters:
        kind = unicodedata.bidirectional(cluster[0])
        if kind in ("L", "R", "AL"):
            return int(kind != "L")
    return 0


def levels(clusters: Sequence[str], base: int) -> list[int]:
    """The level of each cluster; odd is right to left."""
    outside = "R" if base else "L"
    kinds = [kind(cluster) for cluster in clusters]
    for at, after in enumerate(kinds[1:]):
        if clusters[at] in ("@", "#") and after == "L":  # a mention is one word, as platforms show it
            kinds[at] = "L"
    kinds = weak(kinds, outside)
    brackets(clusters, kinds, outside)
    neutral(kinds, outside)
    step = {"L": base % 2, "R": 1 - base % 2, "EN": 2 - base % 2, "AN": 2 - base % 2}
    return [base + step[kind] for kind in kinds]


def kind(cluster: str) -> str:
    if len(cluster) > 1 and cluster[-1] == "\u20e3":  # a digit in a key, which is an emoji
        return "ON"
    found = unicodedata.bidirectional(cluster[0])
    return "ON" if found in ("NSM", "BN") else found or "L"


def weak(kinds: list[str], outside: str) -> list[str]:
    """Rules W2 to W7."""
    strong = outside
    for at, kind in enumerate(kinds):
        if kind in ("L", "R", "AL"):
            strong = kind
        elif kind == "EN" and strong == "AL":
            kinds[at] = "AN"
    kinds = ["R" if kind == "AL" else kind for kind in kinds]
    for at in range(1, len(kinds) - 1):
        before, after = kinds[at - 1], kinds[at + 1]
        if before == after and (
            (kinds[at] == "CS" and before in ("EN", "AN")) or (kinds[at] == "ES" and before == "EN")
        ):
            kinds[at] = before
    at = 0
    while at < len(kinds):
        end = at
        while end < len(kinds) and kinds[end] == "ET":
            end += 1
        if end > at:
            number = "EN" in (kinds[at - 1] if at else "", kinds[end] if end < len(kinds) else "")
            kinds[at:end] = ["EN" if number else "ON"] * (end - at)
        at = end + 1
    strong = outside
    for at, kind in enumerate(kinds):
        if kind in ("ES", "CS"):
            kinds[at] = "ON"
        elif kind in ("L", "R"):
            strong = kind
        elif kind == "EN" and strong == "L":
            kinds[at] = "L"
    return kinds


def brackets(clusters: Sequence[str], kinds: list[str], outside: str) -> None:
    """Rule N0: both brackets of a pair look the same way."""
    waiting: list[int] = []
    pairs = []
    for at, cluster in enumerate(clusters):
        if kinds[at] == "ON" and cluster in BRACKETS:
            waiting.append(at)
        elif kinds[at] == "ON" and cluster in CLOSING:
            for place in reversed(range(len(waiting))):
                if clusters[waiting[place]] == CLOSING[cluster]:
                    pairs.append((waiting[place], at))
                    del waiting[place:]
                    break
    for first, last in sorted(pairs):
        inside = {direction(kind) for kind in kinds[first + 1 : last]} - {""}
        if outside in inside:
            kinds[first] = kinds[last] = outside
        elif inside:
            before = next((found for kind in reversed(kinds[:first]) if (found := direction(kind))), outside)
            kinds[first] = kinds[last] = before if before in inside else outside


def direction(kind: str) -> str:
    return "" if kind in NEUTRAL else "L" if kind == "L" else "R"


def neutral(kinds: list[str], outside: str) -> None:
    """Rules N1 and N2: what has no direction takes that of both its sides, or the paragraph's."""
    at = 0
    while at < len(kinds):
        end = at
        while end < len(kinds) and kinds[end] in NEUTRAL:
            end += 1
        if end > at:
            before = direction(kinds[at - 1]) if at else outside
            after = direction(kinds[end]) if end < len(kinds) else outside
            kinds[at:end] = [before if before == after else outside] * (end - at)
        at = end + 1


def visual(levels: Sequence[int]) -> list[int]:
    """The places of a line's clusters from left to right (rule L2)."""
    order = list(range(len(levels)))
    for level in range(max(levels, default=0), 0, -1):
        at = 0
        while at < len(order):
            end = at
            while end < len(order) and levels[order[end]] >= level:
                end += 1
            order[at:end] = reversed(order[at:end])
            at = end + 1
    return order
