"""Spoken: a rule that is stored, and a length of time, as people write them."""

from __future__ import annotations

UNITS = ((86_400, "d"), (3_600, "h"), (60, "m"), (1, "s"))


def rule(stored: str) -> str:
    """A rule as people write it."""
    kind, _, rest = stored.partition(" ")
    words = rest.split()
    if kind == "every":
        return f"every {duration(int(rest.removesuffix('s')))}"
    if kind == "calendar":
        return f"every {words[0]} at {words[1]}" + (f", from {words[2]} on" if len(words) > 2 else "")
    if kind == "random":
        return f"{words[0]} times a day between {words[1]}, at least {duration(int(words[2].removesuffix('s')))} apart"
    return stored


def duration(seconds: int) -> str:
    """As people write it: 90s, 30m, 1h, 2d."""
    size, unit = next((size, unit) for size, unit in UNITS if seconds % size == 0)
    return f"{seconds // size}{unit}"
