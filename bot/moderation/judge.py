"""The judge: gives every reason to refuse a text or a prompt."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
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
from bot.moderation.repeats import Repeats
from bot.tweetlength import weighted_length

_SUBSTANCE = regex.compile(r"[\p{L}\p{N}\p{Extended_Pictographic}\p{Regional_Indicator}]")


@dataclass(frozen=True)
class Moderator:
    """Refuses by the settings and the block list; the same text always gets the same verdict."""

    settings: ModerationSettings
    block_list: BlockList
    banned: BlockList = field(default_factory=lambda: BlockList(()))

    @classmethod
    def of(cls, settings: ModerationSettings) -> Moderator:
        """With the built-in list and the user's; BadConfig if that file cannot be read."""
        built_in = resources.files("bot").joinpath("blocklist.txt").read_text("utf-8")
        own = _read_list(Path(settings.block_list)) if settings.block_list else ""
        return cls(settings, BlockList([*_phrases(built_in), *_phrases(own)]))

    def banning(self, phrases: Iterable[str]) -> Moderator:
        """Another one, which refuses these phrases too and no others that were banned before."""
        return replace(self, banned=BlockList(phrases))

    def judge(
        self,
        text: str,
        prompt: str,
        sources: ShingleIndex | None,
        message: str | None = None,
        recent: Repeats | None = None,
    ) -> Verdict:
        """The verdict on a text that begins with its prompt; `sources` are the training tweets, `message` is what the
        text replies to, `recent` is what its account has said lately."""
        border = len(prompt) if text.startswith(prompt) else 0
        allowed = self.settings
        refusals = {
            "blocked": self._blocks(text),
            "verbatim": sources is not None and sources.holds_run_of(text, border),
            "echo": message is not None and ShingleIndex([message], allowed.verbatim_words).holds_run_of(text, border),
            "repeats": recent is not None and recent.hold(text, prompt),
            "personal data": holds_personal_data(text),
            "mention": not allowed.allow_mentions and not mentions(text) <= mentions(prompt),
            "link": not allowed.allow_links and not links(text) <= links(prompt),
            "too long": weighted_length(text) > allowed.max_length,
            "empty": not _SUBSTANCE.search(text, border),
        }
        return Verdict(tuple(reason for reason, applies in refusals.items() if applies))

    def judge_text(self, text: str, prompt: str = "", recent: Repeats | None = None) -> Verdict:
        """The verdict on a text that a person wrote, in place of one that was made for `prompt`: they may well say what
        the prompt or a tweet says, but it goes out under the same settings."""
        verdict = self.judge(text, prompt, None, recent=recent)
        has_substance = _SUBSTANCE.search(text) is not None
        return Verdict(tuple(reason for reason in verdict.reasons if reason != "empty" or not has_substance))

    @property
    def longest_prompt(self) -> int:
        """As X counts; a quarter of the length is kept for what is to be said."""
        return self.settings.max_length * 3 // 4

    def leaves_room(self, prompt: str) -> bool:
        """Whether a text may begin with all of this prompt."""
        return weighted_length(prompt) <= self.longest_prompt

    def judge_prompt(self, prompt: str) -> Verdict:
        """The verdict on what somebody asks a persona to go on from."""
        refusals = {"blocked": self._blocks(prompt), "personal data": holds_personal_data(prompt)}
        return Verdict(tuple(reason for reason, applies in refusals.items() if applies))

    def _blocks(self, text: str) -> bool:
        return self.block_list.hits(text) or self.banned.hits(text)

    def forbids(self, text: str) -> str | None:
        """Why a text that was accepted earlier may not be said now, in words: a phrase of it was banned since."""
        return self.in_words(Verdict(("blocked",)), text)[0] if self._blocks(text) else None

    def in_words(self, verdict: Verdict, text: str) -> tuple[str, ...]:
        """The reasons of a verdict on `text` as people understand them."""
        length, most, run = weighted_length(text), self.settings.max_length, self.settings.verbatim_words
        said = {
            "blocked": "it holds a blocked or banned phrase",
            "verbatim": f"it holds {run} or more words in a row of one training tweet",
            "echo": f"it holds {run} or more words in a row of the message that it answers",
            "repeats": "the account has said nearly the same lately",
            "personal data": "it holds a mail address or telephone number",
            "mention": "it mentions somebody, which moderation.allow_mentions does not allow",
            "link": "it holds a link, which moderation.allow_links does not allow",
            "too long": f"it is {length:,} characters long, counted the way X does, and {most:,} are allowed",
            "empty": "it says nothing",
        }
        return tuple(said[reason] for reason in verdict.reasons)


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
