"""A small reading of Discord's markdown, after the rules of its clients (simple-markdown): what a message looks like.

It is the tests' own, written from the rules and not from our code, so that the two can disagree.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

ESCAPE = re.compile(r"\\([^0-9A-Za-z\s])")
FENCE = re.compile(r"```(?:([a-z0-9_+\-.#]+?)\n)?\n*([^\n].*?)\n*```", re.I | re.S)
QUOTE_REST = re.compile(r" *>>> +(.*)", re.S)
QUOTE = re.compile(r" *>(?!>>) +([^\n]*)")
HEADING = re.compile(r" *#{1,3}\s+((?:\\.|[^\n])+?)#*\s*(?:\n|$)")
SUBTEXT = re.compile(r" *-#\s+((?:\\.|[^\n])+?)\s*(?:\n|$)")
ITEM = re.compile(r"[^\S\n]*(?:[*-]|\d+\.)\s+([^\n]*)")
# Tried in this order at every place of a line.
SPANS = [
    ("code", re.compile(r"(`+)(.*?[^`])\1(?!`)", re.S)),
    ("link", re.compile(r"\[((?:\[[^\]]*\]|[^\[\]])*)\]\(\s*<?((?:[^\s\\]|\\.)*?)>?\s*\)", re.S)),
    ("address", re.compile(r"https?://[^\s<]+[^<.,:;\"')\]\s]", re.I)),
    ("mention", re.compile(r"<(?:@[!&]?\d+|#\d+|/[^\n<>:]+:\d+|a?:\w+:\d+|id:\w+)>|@everyone|@here")),
    ("time", re.compile(r"<t:-?\d+(?::[tTdDfFR])?>")),
    ("strong", re.compile(r"\*\*((?:\\.|[^\\])+?)\*\*(?!\*)", re.S)),
    ("underline", re.compile(r"__((?:\\.|[^\\])+?)__(?!_)", re.S)),
    ("emphasis", re.compile(r"_((?:__|\\.|[^\\_])+?)_", re.S)),
    ("emphasis", re.compile(r"\*(?=\S)((?:\*\*|\\.|\s+(?:\\.|[^\s*\\]|\*\*)|[^\s*\\])+?)\*(?!\*)", re.S)),
    ("strike", re.compile(r"~~((?:\\.|[^\\])+?)~~", re.S)),
    ("spoiler", re.compile(r"\|\|((?:\\.|[^\\])+?)\|\|", re.S)),
]


@dataclass(frozen=True)
class Shown:
    """What is read, and what was made of it: "quote", "item", "strong", ... in their order."""

    text: str
    marks: tuple[str, ...]


def shown(source: str) -> Shown:
    text, marks, place, line_start = "", [], 0, True
    while place < len(source):
        if line_start and (block := _block(source, place)):
            kind, inner, place = block
            marks.append(kind)
            text, marks = _add(text, marks, shown_inline(inner) if kind == "fence" else shown(inner))
            if place < len(source) and source[place - 1] != "\n" and source[place] == "\n":
                place += 1
            text += "\n" if place < len(source) else ""
            continue
        if found := ESCAPE.match(source, place):
            text, place, line_start = text + found[1], found.end(), False
        elif found := FENCE.match(source, place):
            text, place, line_start = text + found[2], found.end(), False
            marks.append("fence")
        elif span := _span(source, place):
            kind, inner, place = span
            marks.append(kind)
            literal = kind in ("code", "address", "mention", "time")
            text, marks = _add(text, marks, Shown(inner, ()) if literal else shown_inline(inner))
            line_start = False
        else:
            text, line_start = text + source[place], source[place] == "\n"
            place += 1
    return Shown(text, tuple(marks))


def shown_inline(source: str) -> Shown:
    """Inside a line nothing begins a block: a letter is put before it, which is taken off again."""
    inner = shown(f"x{source}")
    return Shown(inner.text[1:], inner.marks)


def _add(text: str, marks: list[str], more: Shown) -> tuple[str, list[str]]:
    return text + more.text, [*marks, *more.marks]


def _block(source: str, place: int) -> tuple[str, str, int] | None:
    rules = [("quote", QUOTE_REST), ("quote", QUOTE), ("subtext", SUBTEXT), ("heading", HEADING), ("item", ITEM)]
    for kind, rule in rules:
        if found := rule.match(source, place):
            return kind, found[1], found.end()
    return None


def _span(source: str, place: int) -> tuple[str, str, int] | None:
    for kind, rule in SPANS:
        if found := rule.match(source, place):
            whole = kind in ("address", "mention", "time")
            return kind, found[0] if whole else found[2 if kind == "code" else 1], found.end()
    return None
