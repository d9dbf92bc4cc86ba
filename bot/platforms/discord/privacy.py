"""Privacy: what is kept of people, why, for how long, and how they are forgotten; in their words."""

from __future__ import annotations

TEXT = """
**What is kept of whom**
- Of the people who are imitated: the tweets that somebody gave with /train, who gave them, on what grounds (the \
person's own X archive, or a permission that the giver says to have) and when, and what was learned from them. It is \
used to write texts like theirs, in this server or chat only, until somebody forgets it with /forget.
- Of those who use commands: what they asked and were answered, for 30 days, so that the buttons work and the answer \
survives a restart; their thumbs up or down stay with the text that they are about, until its persona is forgotten, so \
that better ones can be chosen; and how much they asked for in the last day, so that all have a turn.
- Of those who write to the bot: it reads what mentions it, what replies to it and direct messages. The text is \
removed once it is answered; that it was answered stays, so that nobody is answered twice.
- What the personas have said, so that they do not say it again, until they are forgotten.

**What is not done**
Nothing that people write on Discord is ever learned from. Nothing is given to anybody else: all of it is computed and \
kept on the machine of whoever runs this bot. Every text is marked as an AI imitation.

**How to be forgotten**
- /forget removes a handle from this server or chat: tweets, what was learned, texts, all of it, at once and for good. \
Members with Manage Server may, and who gave their own archive. Messages that were sent stay until somebody deletes \
them; the answer lists them.
- /optout: the bot never answers, quotes or hears you again, anywhere; with a handle it asks those who look after this \
place to forget that handle.
- {operator}
""".strip()

REACH = "Whoever runs this bot can forget a handle everywhere, and see to it that it is never imitated again{contact}"


def text(contact: str) -> str:
    return TEXT.format(operator=reach(contact))


def reach(contact: str) -> str:
    """How to reach whoever runs the bot, in a sentence."""
    return REACH.format(contact=f": {contact}" if contact else ".")
