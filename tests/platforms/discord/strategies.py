"""Hostile texts: whatever could ping, mark, turn, stack, hide or overflow, mixed with words."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

EXAMPLES = int(os.environ.get("DISCORD_TEXTS", "200"))
many = settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

PERSON, ROLE, CHANNEL = "111111111111111111", "222222222222222222", "333333333333333333"
PARTS = [
    "hello", "jo", "snake_case", "5 * 3", "¯\\_(ツ)_/¯", "é", "नमस्ते", "tiếng Việt", "<3", ":)", "#tag", "$5", "1.",
    "2)", "\U0001f469\u200d\U0001f469\u200d\U0001f467", "\u2764\ufe0f\u200d\U0001f525", "\U0001f1eb\U0001f1f7",
    "\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",
    "@everyone", "@here", "@ann", f"<@{PERSON}>", f"<@!{PERSON}>", f"<@&{ROLE}>", f"<#{CHANNEL}>", f"</imitate:{ROLE}>",
    "<id:customize>", "<id:guide>", f"<:smile:{ROLE}>", f"<a:wave:{ROLE}>", "<t:1618953630>", "<t:1618953630:R>",
    "<@", PERSON, ">", "@", "everyone", "here", "<t:", "://", "https", "discord.", "gg/abc",
    "https://discord.gg/abc", "discord.gg/abc", "discord.com/invite/abc", "http://evil.example/x_y_z*", "www.x.com",
    "<https://evil.example>", "[free](https://evil.example)", "[a](b)", "mailto:a@b.c", "steam://run/1",
    "*", "**", "***", "_", "__", "~~", "||", "`", "``", "```", "```py\n", "\n```\n", "\\", "\\\\", "\\*", "(", ")",
    "[", "]", "> ", ">>> ", "# ", "## ", "### ", "#", "-# ", "-#", "- ", "* ", "-", "1. ", "12. ", "\n", "\n\n\n\n",
    "\r\n", "\t", " ", "\u202e", "\u202d", "\u202a", "\u202b", "\u202c", "\u2066", "\u2067", "\u2068", "\u2069",
    "\u200f", "\u200e", "\u061c", "שלום", "مرحبا", "e\u0301" * 3, "\u0300" * 40, "a" + "\u0363" * 30,
    "z" + "\u0334\u0327\u031b\u032a\u0339\u0354\u034e\u0326" * 3, "\u200b", "\u200c", "\u200d", "\ufeff", "\u2060",
    "\u00ad", "\u3164", "\u115f", "\u2800", "\x00", "\x07", "\x1b[31m", "\ud800", "\udfff", "\u2028", "\u2029", "\x85",
    "\ufffd", "\U000e0041\U000e0042", "＠everyone", "@\u200beveryone", "\u00a0", "\u3000", "﷽",
]  # fmt: skip

part = st.one_of(st.sampled_from(PARTS), st.sampled_from(PARTS), st.text(max_size=8))
# Of few different parts, so that what opens something is also there to close it.
few = st.lists(part, min_size=1, max_size=3).flatmap(lambda parts: st.lists(st.sampled_from(parts), max_size=10))
texts = st.one_of(st.lists(part, max_size=14), few).map("".join)
short_texts = st.one_of(st.lists(part, max_size=6), few).map("".join).map(lambda text: text[:80])
repeated = st.tuples(texts, st.sampled_from(PARTS), st.integers(50, 500))
long_texts = repeated.map(lambda it: (it[0] + it[1] * it[2])[:3000])
any_text = st.integers(0, 19).flatmap(lambda number: texts if number else long_texts)
