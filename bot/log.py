"""The log: single-line records as time, level, logger, message and key=value, without what looks like a secret."""

import json
import logging
import re
from datetime import UTC, datetime
from typing import TextIO

# What every record has; anything else came in through `extra`.
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}

_SECRET_NAME = r"[\w-]*(?:token|secret|password|passwd|api[_-]?key|authorization|cookie)"
_SECRET_KEY = re.compile(_SECRET_NAME, re.IGNORECASE)
_SECRETS = re.compile(
    rf"(?P<kept>\bbearer\s+)[\w.~+/=%-]{{16,}}"
    rf"|(?P<name>\b{_SECRET_NAME}[\"']?\s*[=:]\s*)(?:(?:bearer|basic|bot)\s+)?(?:\"[^\"]*\"|'[^']*'|[^\s,;&\"')}}\]]+)"
    r"|(?P<user>://[^\s/:@]*:)[^\s/@]+(?=@)"
    r"|\b(?:hf|gh[pousr]|github_pat|xox[abp]|sk)[_-][\w-]{16,}"  # Hugging Face, GitHub, Slack, OpenAI
    r"|\b[\w-]{23,28}\.[\w-]{6,7}\.[\w-]{27,}"  # Discord
    r"|(?P<path>/(?:webhooks|interactions)/\d+/)[\w-]{16,}"  # what stands there is all that Discord asks for
    r"|\b\d{5,}-[A-Za-z0-9]{30,}|\bAAAA[\w%]{40,}",  # X: access token, app-only bearer
    re.IGNORECASE,
)
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


class _Line(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        extra = {key: value for key, value in vars(record).items() if key not in _STANDARD}
        if record.exc_info:
            extra["traceback"] = self.formatException(record.exc_info)
        pairs = "".join(f" {key}={_value(key, value)}" for key, value in extra.items())
        line = f"{time} {record.levelname} {record.name} {redacted(record.getMessage())}{pairs}"
        # A message may quote strangers: it must not begin a line of its own or move the terminal's cursor.
        return _UNPRINTABLE.sub(lambda found: ascii(found[0])[1:-1], line)


def setup(level: str, stream: TextIO) -> None:
    """Send every record of `level` (debug, info, warning, error) and above to the stream; a second call replaces."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(_Line())
    root = logging.getLogger()
    for old in [old for old in root.handlers if isinstance(old.formatter, _Line)]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level.upper())


def redacted(text: str) -> str:
    """The text with [redacted] in place of whatever looks like a token, a password or another credential."""
    kept = ("kept", "name", "user", "path")
    return _SECRETS.sub(lambda found: f"{next(filter(None, map(found.group, kept)), '')}[redacted]", text)


def _value(key: str, value: object) -> str:
    text = "[redacted]" if _SECRET_KEY.fullmatch(key) else redacted(str(value))
    return text if re.fullmatch(r"[^\s\"=]+", text) else json.dumps(text, ensure_ascii=False)
