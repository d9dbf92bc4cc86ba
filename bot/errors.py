"""Every error that a person may see: a subclass's docstring is its sentence, filled with the facts it is raised with.

Anything else that is raised is a bug and ends in a traceback.
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Iterable


class MockingbirdError(Exception):
    """{reason}"""

    exit_code = 1
    passing = False  # whether the same wish may succeed a little later

    def __init__(self, **facts: object) -> None:
        self.facts = facts
        sentence = inspect.cleandoc(type(self).__doc__ or "").replace("\n", " ")
        super().__init__(sentence.format(**facts))


def did_you_mean(word: str, known: Iterable[str], written: str = '"{}"') -> str:
    """What to put behind an unknown word: the nearest known one as a question, or nothing."""
    spelled = {name.lower(): name for name in known}
    near = difflib.get_close_matches(word.lower(), spelled, n=1)
    return f" (did you mean {written.format(spelled[near[0]])}?)" if near else ""


# Configuration


class BadConfig(MockingbirdError):
    """{source}: {reason}."""


# The data directory


class DataDirectoryHeld(MockingbirdError):
    """Another Mockingbird (process {pid}) is using {folder}: stop it, or choose another folder with --data."""

    exit_code = 3


class DatabaseBusy(MockingbirdError):
    """Another program keeps the database in {folder} locked: end it, or try again in a moment."""

    passing = True


class DataDirectoryUnusable(MockingbirdError):
    """The data directory {folder} cannot be used ({reason}): choose another with --data or MOCKINGBIRD_DATA."""


class DiskFull(MockingbirdError):
    """The disk that holds {folder} is full: free some space and try again; nothing was half-written."""

    passing = True


# Ingest


class ImportRefused(MockingbirdError):
    """{reason}"""


class AuthorUnknown(ImportRefused):
    """{reason}"""


class NeedsPermission(MockingbirdError):
    """Nothing in this file shows that @{handle} gave it, so whoever gives it must have their permission, and say so."""


class UploadTooLarge(MockingbirdError):
    """A file may have {most:,} MB here, and a whole X archive is mostly larger: unzip it, and attach only the file
    tweets.js that lies in its folder data, zipped again if need be. That file does not say whose tweets it holds, so
    fill in handle too, and set permission to True if you have this person's."""


class UploadFailed(MockingbirdError):
    """The file could not be fetched ({reason}): attach it again."""

    passing = True


class InvalidHandle(MockingbirdError):
    """{reason}"""


# People who want to be left alone


class OptedOut(MockingbirdError):
    """@{handle} does not want to be imitated: nothing of theirs is held, learned or spoken."""


class NotOptedOut(MockingbirdError):
    """{who} had not opted out."""


class NothingHeld(MockingbirdError):
    """Nothing is held of @{handle}{nearest}."""


class OperatorOnly(MockingbirdError):
    """Only whoever runs the bot may do that."""


# Personas and training


class UnknownHandle(MockingbirdError):
    """Nothing is held of @{handle}{nearest}:
    import their tweets first with `mockingbird import FILE --handle {handle}`."""


class UnknownPersona(MockingbirdError):
    """There is no persona {persona!r}{nearest}: train one first with `mockingbird train {handles}`."""


class NoCheckpoint(MockingbirdError):
    """{persona} has no promoted checkpoint: train one with `mockingbird train {handles}`."""


class TooLittleText(MockingbirdError):
    """@{handle} has {characters:,} characters in {tweets:,} usable tweets, and a voice needs at least {needed:,} in at
    least {fewest} different ones: import more of their tweets (held: {downloaded:,} downloaded, {retweets:,} retweets,
    {short:,} short, {kept:,} kept)."""


class AdaptersOnly(MockingbirdError):
    """The recipe {recipe} trains adapters only: choose another recipe for --full, or leave --full out."""


class BadWeights(MockingbirdError):
    """{reason}: give one positive number per handle, for instance --weights 2,1."""


class TrainingInterrupted(MockingbirdError):
    """The trainer stopped before it was done ({reason}); the same command goes on where it stopped."""


class TrainingFailed(MockingbirdError):
    """The training failed: {reason}."""


# Models and imitation


class BaseUnavailable(MockingbirdError):
    """The base model {base!r} is not available ({reason}); to use the bundled one, put these two lines in
    config.toml: `[model]` and `base = "fledgling"`."""


class CorruptCheckpoint(MockingbirdError):
    """The checkpoint {checkpoint} is damaged ({reason}): train it again with `mockingbird train {handles}`."""


class PromptRefused(MockingbirdError):
    """The prompt was refused ({reasons}): choose another one."""


class MessageRefused(MockingbirdError):
    """The message to reply to was refused ({reasons}): choose another one."""


class NothingAcceptable(MockingbirdError):
    """Moderation refused every text of {persona} ({reasons}): try another prompt, or another seed."""


class NothingFresh(MockingbirdError):
    """All that {persona} wrote had been said on {account} within 30 days: try another prompt."""


class WorkerUnavailable(MockingbirdError):
    """The worker could not answer ({reason}): try again, and look into {log} if it happens again."""

    passing = True


class PoolFull(MockingbirdError):
    """There are already {waiting} requests waiting: try again in a moment."""

    passing = True


class TooManyWaiting(MockingbirdError):
    """You already have {waiting} waiting, as many as one person may: try again when one of them is done."""

    passing = True


class QuotaSpent(MockingbirdError):
    """{who} had {limit} {what} in the last 24 hours, as many as are allowed: the next one is possible in {wait}."""

    passing = True


class UnknownRequest(MockingbirdError):
    """There is no request {request}: it never was, or it ended more than a day ago."""


class RequestCancelled(MockingbirdError):
    """The request was cancelled: {reason}."""


class RequestFailed(MockingbirdError):
    """{reason}"""


class RequestPutOff(MockingbirdError):
    """The bot is stopping: request {request} is kept, and it goes on when the bot runs again."""

    passing = True


# Schedules


class BadSchedule(MockingbirdError):
    """{reason}"""


class UnknownSchedule(MockingbirdError):
    """There is no schedule {schedule}: `mockingbird schedule list` shows them all."""


# The control socket


class BadRequest(MockingbirdError):
    """{reason}."""

    exit_code = 2


class Answered(MockingbirdError):
    """{reason}"""


class BotGone(MockingbirdError):
    """The bot stopped before it answered: look what became of it (`mockingbird queue list`, `mockingbird outbox list`)
    before you ask again."""


class BotSilent(MockingbirdError):
    """The running bot does not answer: ask again, or look into what it does."""

    passing = True


class BotStopping(MockingbirdError):
    """The bot is stopping: ask again when it runs, or once it has ended."""

    passing = True


class OtherVersion(MockingbirdError):
    """The running bot is of version {theirs}, this command of version {ours}: restart the bot."""


class Unexpected(MockingbirdError):
    """Something unexpected went wrong; the bot's log describes it at reference {reference}."""


# The outbox


class UnknownPlatform(MockingbirdError):
    """There is no platform {platform!r}{nearest}: nothing could be said there."""


class UnknownAccount(MockingbirdError):
    """There is no account {account}{nearest}: `mockingbird account list` shows them all."""


class UnknownPost(MockingbirdError):
    """There is no post {post}{nearest}: `mockingbird outbox list` shows them."""


class PostNotUnique(MockingbirdError):
    """{post} may mean several posts ({posts}): write more of it."""


class PostRefuses(MockingbirdError):
    """The post {post} {reason}."""


class TextRefused(MockingbirdError):
    """The text was refused ({reasons}): write another one; nothing was changed."""


class NoOtherCandidate(MockingbirdError):
    """No other acceptable candidate was found for the post {post}: edit it, drop it, or try again."""


# What is said now, phrases and mutes


class BadPost(MockingbirdError):
    """{reason}"""


class BadPhrase(MockingbirdError):
    """{reason}"""


class NotBanned(MockingbirdError):
    """{phrase!r} is not banned{nearest}: only what `mockingbird ban-phrase` banned can be allowed again."""


class BadMute(MockingbirdError):
    """{reason}"""


class NotMuted(MockingbirdError):
    """{scope} is not muted."""


class Muted(MockingbirdError):
    """{who} is muted until {until} UTC."""


# Discord


class NoDiscordToken(MockingbirdError):
    """There is no token for Discord: put it into the environment variable that [discord] token_env names, or the path
    of a file that holds it into the variable of that name with _FILE added."""


class NoSessionLeft(MockingbirdError):
    """The bot began {most} sessions with Discord in 24 hours, and Discord takes its token away if there are many more:
    it comes back at {at}. Something ends them early: look into the bot's log."""


class CannotSpeak(MockingbirdError):
    """The bot cannot speak in {channel}: it needs {permissions} there."""


class MayNotWrite(MockingbirdError):
    """You may not write in {channel} yourself, so you cannot make the bot do it."""


class AnswerForgotten(MockingbirdError):
    """This answer is more than 30 days old, was removed, or is not from here: ask again with /imitate."""


class MessageForgotten(MockingbirdError):
    """What this answered is not kept: choose "Answer as ..." in the message's menu again."""


class NotAllowed(MockingbirdError):
    """This is for those who may use /{command} here."""


class MayNotForget(MockingbirdError):
    """Only members with the permission Manage Server may forget somebody here, and who gave their own archive. Anybody
    may ask for it with /optout and the handle."""


class CoolingDown(MockingbirdError):
    """Not so fast: {command} is there for you again in {seconds} s."""

    passing = True
