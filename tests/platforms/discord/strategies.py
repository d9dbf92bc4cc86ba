"""Hostile texts: whatever could ping, mark, turn, stack, hide or overflow, mixed with words."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

EXAMPLES = int(os.environ.get("DISCORD_TEXTS", "300"))
many = settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

PARTS = [
    "hello", "jo", "snake_case", "5 * 3", "¯\\_(ツ)_/¯", "é", "नमस्ते", "👩‍👩‍👧‍👦", "🏴󠁧󠁢󠁥󠁮󠁧󠁿", "❤️‍🔥", "<3", ":)", "#tag", "$5", "1.", "2)",
    "@everyone", "@here", "@ann", "<@{person}>", "<@!{person}>", "<@&{role}>", "<#{channel}>", "</imitate:{role}>",
    "<id:customize>", "<id:guide>", "<:smile:{role}>", "<a:wave:{role}>", "<t:1618953630>", "<t:1618953630:R>",
    "https://discord.gg/abc", "discord.gg/abc", "discord.com/invite/abc", "http://evil.example/x_y_z*", "www.x.com",
    "<https://evil.example>", "[free](https://evil.example)", "[a](b)", "mailto:a@b.c", "steam://run/1",
    "*", "**", "***", "_", "__", "~~", "||", "`", "``", "```", "```py\n", "\n```\n", "\\", "\\\\", "\\*", "(", ")", "[", "]",
    "> ", ">>> ", ">", "# ", "## ", "### ", "#", "-# ", "-#", "- ", "* ", "-", "1. ", "12. ", "\n", "\n\n\n\n", "\r\n", "\t", " ",
    "\u202e", "\u202d", "\u202a", "\u202b", "\u202c", "\u2066", "\u2067", "\u2068", "\u2069", "\u200f", "\u200e", "\u061c",
    "שלום", "مرحبا", "z̴̧̛̪̹͔͎̦̪̫͕͇̈́̓̐̍̚a̸̡̢̛̛̗̮̩̺̥̺̭̽̈́͗͌͊͐͘͝l̵̢̛̛͚̜̦͂g̵o", "e\u0301" * 3, "\u0300" * 40, "a" + "\u0363" * 30, "\u200b", "\u200c",
    "\u200d", "\ufeff", "\u2060", "\u00ad", "\u3164", "\u115f", "\u2800", "\x00", "\x07", "\x1b[31m", "\ud800", "\udfff",
    "\u2028", "\u2029", "\x85", "\ufffd", "\U000e0041\U000e0042", "＠everyone", "@\u200beveryone", "\u00a0", "\u3000", "﷽",
]  # fmt: skip

texts = st.lists(
    st.one_of(st.sampled_from(PARTS), st.sampled_from(PARTS), st.text(max_size=8)), min_size=0, max_size=14
).map("".join)
long_texts = st.tuples(texts, st.sampled_from(PARTS), st.integers(50, 500)).map(
    lambda it: (it[0] + it[1] * it[2])[:3000]
)
any_text = st.integers(0, 19).flatmap(lambda number: texts if number else long_texts)
