"""Personal data: mail addresses and telephone numbers."""

from __future__ import annotations

import unicodedata

import regex

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


def holds_personal_data(text: str) -> bool:
    text = unicodedata.normalize("NFKC", text)
    if _EMAIL.search(text):
        return True
    return any(_is_phone(found) for found in _PHONE.finditer(_DATE_OR_TIME.sub(" date ", text)))


def _is_phone(found: regex.Match[str]) -> bool:
    digits = [char for char in found[0] if char.isdecimal()]
    if found["international"]:
        return len(set(digits)) >= _FEWEST_DIFFERENT_DIGITS
    return found["national"] is None or len(digits) in _NATIONAL_DIGITS
