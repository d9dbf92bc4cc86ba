"""Cleaning: a tweet as X stores it -> the text a model learns from, the original's way or mended."""

import html
import re
import unicodedata

FEWEST_WORDS = 3
FEWEST_SPACELESS_LETTERS = 8

# --- The original's way, to the letter (recipe `huggingtweets`) -------------------------------------------------------


def huggingtweets(text: str) -> str:
    """Clean as borisdayma/huggingtweets did (commit 0fa9b93), faults included; `mended` is the better one."""
    for entity, character in (("&amp;", "&"), ("&lt;", "<"), ("&gt;", ">")):
        text = text.replace(entity, character)
    for scheme in ("http:", "https:"):
        # The order decides which neighbouring blank goes with the URL, so it is part of the behaviour.
        for url in (rf" {scheme}\S+", rf"{scheme}\S+ ", rf"\n{scheme}\S+ ", rf"\n{scheme}\S+", rf"{scheme}\S+"):
            text = re.sub(url, "", text)
    return " ".join(text.split())


def is_short(cleaned: str) -> bool:
    """Whether a text cleaned by `huggingtweets` has fewer than 3 words free of links, mentions and hashtags."""
    return _plain_words(cleaned) < FEWEST_WORDS


def _plain_words(cleaned: str) -> int:
    return sum(not any(mark in word for mark in ("http", "@", "#")) for word in cleaned.lower().split())


# --- Our way (every other recipe) -------------------------------------------------------------------------------------

# Scripts that put no blank between words: Thai, Lao, Tibetan, Myanmar, Khmer, kana, Han (Hangul does use blanks).
_SPACELESS = (
    "\u0e01-\u0e4e\u0e81-\u0ece\u0f40-\u0fbc\u1000-\u109f\u1780-\u17d3\u3005-\u3007\u3041-\u30fa\u30fc-\u30ff"
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003fffd"
)
_SPACELESS_LETTER = re.compile(f"[{_SPACELESS}]")
_TAG_OR_MENTION = re.compile(r"[@#＠＃]\w+")

# Only entities that end in a semicolon: html.unescape alone would also turn `?a=1&copy=2` into `?a=1©=2`.
_ENTITY = re.compile(r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")

_LINE_END = re.compile("\r\n|[\r\v\f\x1c-\x1e\x85\u2028\u2029]")
_BLANKS = re.compile(r"[^\S\n]+")

# Joiners are spelling inside emoji (families, flags) and between letters of joining scripts (Persian, Indic).
_EMOJI = "\u2190-\u21ff\u2300-\u27bf\u2900-\u297f\u2b00-\u2bff\ufe0f\U0001f000-\U0001faff"
_JOINING = "\u0600-\u06ff\u0750-\u077f\u08a0-\u08ff\u0900-\u0dff\u1000-\u109f\u1780-\u17ff\ufb50-\ufdff\ufe70-\ufefc"
_INVISIBLE = re.compile(
    "(\U0001f3f4[\U000e0020-\U000e007e]+\U000e007f"
    f"|(?<=[{_EMOJI}])\u200d(?=[{_EMOJI}])|(?<=[{_JOINING}])[\u200c\u200d](?=[{_JOINING}]))"
    "|[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u034f\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f"
    "\ud800-\udfff\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]"
)

# A link ends at white space, at a quote or at a letter of a script without blanks, which often follows it directly.
_NOT_LINK = rf"\s<>\"“”「」『』（）【】、。{_SPACELESS}"
_SHORTENED = r"(?:t\.co|pic\.(?:twitter|x)\.com)/[A-Za-z0-9]+"
_LINK = rf"(?:https?://t\.co/[A-Za-z0-9]+…?|https?://[^{_NOT_LINK}]+|https?:?/{{0,2}}…|(?<![\w.@&/-]){_SHORTENED}…?)"
_LINK_ALONE = re.compile(rf" ?{_LINK}", re.IGNORECASE)
_LINK_IN_BRACKETS = re.compile(
    rf" ?[(\[（【“] ?(?:https?://[^{_NOT_LINK}()\[\]]+|{_SHORTENED}) ?[)\]）】”]", re.IGNORECASE
)
_CLOSERS = {")": "(", "]": "[", "}": "{"}
_PUNCTUATION = ".,;:!?'’*_~|"

# A reply's mentions are put in front by the app and end in a blank; `@nasa's rocket` is a sentence and stays.
_LEADING_MENTIONS = re.compile(r"(?:[@＠][A-Za-z0-9_]{1,20}[,:;]?(?:\s+|$))+")


def mended(text: str) -> str:
    """Clean without the original's faults; line breaks stay, links and a reply's leading mentions go.

    The result is NFC, has no lone surrogates and no invisible characters apart from joiners that are spelling,
    no blanks at the ends of its lines, and at most one empty line in a row.
    """
    text = _ENTITY.sub(lambda entity: html.unescape(entity[0]), text)
    text = _INVISIBLE.sub(lambda found: found[1] or "", _LINE_END.sub("\n", text))
    text = _BLANKS.sub(" ", unicodedata.normalize("NFC", text))
    text = "\n".join(_lines_without_links(text)).strip()
    text = _LEADING_MENTIONS.sub("", text, count=1) if text[:1] in ("@", "＠") else text
    return re.sub(r"\n{3,}", "\n\n", text).strip()


def is_addressed(text: str) -> bool:
    """Whether a text as X stores it begins with mentions that `mended` takes away: it is said to somebody."""
    return _LEADING_MENTIONS.match(text.lstrip()) is not None


def holds_too_little(cleaned: str) -> bool:
    """Whether a mended text teaches nothing: under 3 words, and under 8 letters of scripts that have no word blanks."""
    if _plain_words(cleaned) >= FEWEST_WORDS:
        return False
    return len(_SPACELESS_LETTER.findall(_TAG_OR_MENTION.sub(" ", cleaned))) < FEWEST_SPACELESS_LETTERS


def _lines_without_links(text: str) -> list[str]:
    kept = []
    for line in text.split("\n"):
        bare = _LINK_ALONE.sub(_after_link, _LINK_IN_BRACKETS.sub(" ", line))
        bare = _BLANKS.sub(" ", bare).strip()
        # A line that was nothing but links goes with them; an empty line that the author typed stays.
        if bare or not line.strip():
            kept.append(bare)
    return kept


def _after_link(link: re.Match[str]) -> str:
    """What stays where a link was: punctuation that belongs to the sentence, or one blank."""
    url = link[0].rstrip("…")  # The ellipsis of a cut link is the source's, not the author's.
    if "/" not in url:
        return " "  # `https:…`, a link cut within its scheme: its colon is no punctuation.
    end = len(url)
    surplus = {closer: url.count(closer) - url.count(opener) for closer, opener in _CLOSERS.items()}
    while end and (url[end - 1] in _PUNCTUATION or surplus.get(url[end - 1], 0) > 0):
        end -= 1
        if url[end] in surplus:
            surplus[url[end]] -= 1
    following = link.string[link.end() : link.end() + 2]
    sentence_goes_on = following[:1] in (".", ",", ";", "!", "?", ")", "]") and following[1:2] in ("", " ")
    return url[end:] or ("" if following and sentence_goes_on else " ")
