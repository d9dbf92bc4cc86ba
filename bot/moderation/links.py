"""Mentions and links: whom a text addresses and where it leads."""

from __future__ import annotations

import regex

from bot.tweetlength import urls

# X's handles, Discord's <@123> and <@&123>; "@_@" is a face.
_MENTION = regex.compile(r"(?<![\w+-])[@＠](?P<handle>(?:[!&]?\d{5,}|(?=_*[A-Za-z0-9])[A-Za-z0-9_]+))")
_ADDRESS = regex.compile(
    r"\b(?:[a-z][a-z0-9+.-]{1,20}://|www\.|(?:mailto|magnet|tel|sms):)[^\s<>\"]+", regex.IGNORECASE
)
# A name with one of these ends is a link even without a path; "end.it was" is more often a missing blank.
_ALWAYS_LINK = regex.compile(r"\.(?:com|org|net|edu|gov)$", regex.IGNORECASE)


def mentions(text: str) -> set[str]:
    return {found["handle"].casefold() for found in _MENTION.finditer(text)}


def links(text: str) -> set[str]:
    bare = (text[start:end] for start, end in urls(text))
    names = [name for name in bare if "/" in name or _ALWAYS_LINK.search(name)]
    # A name inside an address is that address: http://b.com/a.com/ is one link.
    addresses = [found[0] for found in _ADDRESS.finditer(text)]
    names = [name for name in names if not any(name in address for address in addresses)]
    return {link.rstrip(".,;:!?)]}'’”…").casefold() for link in (*addresses, *names)}
