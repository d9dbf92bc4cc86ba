"""The judge: gives every reason to refuse a text or a prompt."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import regex

from bot.config import ModerationSettings
from bot.domain import Verdict
from bot.errors import BadConfig
from bot.moderation.blocklist import BlockList
from bot.moderation.copies import ShingleIndex
from bot.moderation.links import links, mentions
from bot.moderation.personal import holds_personal_data
from bot.tweetlength import weighted_length

_SUBSTANCE = regex.compile(r"[\p{L}\p{N}\p{Extended_Pictographic}\p{Regional_Indicator}]")


@dataclass(frozen=True)
class Moderator:
    """Refuses by the settings and the block list; the same text always gets the same verdict."""

    settings: ModerationSettings
    block_list: BlockList

    @classmethod
    def of(cls, settings: ModerationSettings) -> Moderator:
        """With the built-in list and the user's; BadConfig if that file cannot be read."""
        built_in = resources.files("bot").joinpath("blocklist.txt").read_text("utf-8")
        own = _read_list(Path(settings.block_list)) if settings.block_list else ""
        return cls(settings, BlockList([*_phrases(built_in), *_phrases(own)]))

    def judge(self, text: str, prompt: str, sources: ShingleIndex | None, message: str | None = None) -> Verdict:
        """The verdict on a text that begins with its prompt; `sources` are the training tweets, `message` is what the
        text replies to."""
        border = len(prompt) if text.startswith(prompt) else 0
        allowed = self.settings
        refusals = {
            "blocked": self.block_list.hits(text),
            "verbatim": sources is not None and sources.holds_run_of(text, border),
            "echo": message is not None and ShingleIndex([message], allowed.verbatim_words).holds_run_of(text, border),
            "personal data": holds_personal_data(text),
            "mention": not allowed.allow_mentions and not mentions(text) <= mentions(prompt),
            "link": not allowed.allow_links and not links(text) <= links(prompt),
            "too long": weighted_length(text) > allowed.max_length,
            "empty": not _SUBSTANCE.search(text, border),
        }
        return Verdict(tuple(reason for reason, applies in refusals.items() if applies))

    def judge_prompt(self, prompt: str) -> Verdict:
        """The verdict on what somebody asks a persona to go on from."""
        refusals = {"blocked": self.block_list.hits(prompt), "personal data": holds_personal_data(prompt)}
        return Verdict(tuple(reason for reason, applies in refusals.items() if applies))


def _phrases(content: str) -> Iterator[str]:
    lines = (line.strip() for line in content.splitlines())
    return (line for line in lines if line and not line.startswith("#"))


def _read_list(file: Path) -> str:
    try:
        return file.read_text("utf-8-sig")
    except (OSError, ValueError) as error:
        why = "it is not UTF-8 text" if isinstance(error, UnicodeDecodeError) else getattr(error, "strerror", error)
        raise BadConfig(
            source="moderation.block_list", reason=f"the file {str(file)!r} cannot be read ({why})"
        ) from None
