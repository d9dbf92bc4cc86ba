"""The configuration: config.toml and MOCKINGBIRD__SECTION__KEY variables -> frozen models."""

import difflib
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError

from bot.errors import BadConfig

DEFAULT_FILE = Path("config.toml")
OVERRIDE = "MOCKINGBIRD__"
_YES = ("true", "yes", "on", "1")
_NO = ("false", "no", "off", "0")
_LIMIT = "a whole number from 0 (no limit) to"


class _Frozen(BaseModel):
    # Strict: `threads = "2"` or `top_k = true` is a mistake to be told, not to be guessed around.
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


# A field's description completes the sentence "... but must be ..." when its value is refused.


class ModelSettings(_Frozen):
    """The base model and the worker that speaks."""

    base: str = Field(default="fledgling", min_length=1, description="fledgling, a folder, or a Hub id such as gpt2")
    device: Literal["auto", "cpu", "cuda"] = Field(default="auto", description="auto, cpu or cuda")
    threads: int = Field(default=0, ge=0, le=1024, description="a whole number from 0 (all cores but one) to 1024")
    max_batch: int = Field(default=16, ge=1, le=1024, description="a whole number from 1 to 1024")
    adapters_mb: int = Field(default=512, ge=16, le=1 << 20, description="a whole number of MiB from 16 to 1048576")


class TrainingSettings(_Frozen):
    """How personas are trained unless a command says otherwise."""

    recipe: Literal["quick", "standard", "thorough", "huggingtweets"] = Field(
        default="standard", description="quick, standard, thorough or huggingtweets"
    )
    threads: int = Field(default=0, ge=0, le=1024, description="a whole number from 0 (all cores) to 1024")
    min_characters: int = Field(default=6_000, ge=0, le=10**9, description="a whole number from 0 to 1000000000")
    warn_characters: int = Field(default=40_000, ge=0, le=10**9, description="a whole number from 0 to 1000000000")


class SamplingSettings(_Frozen):
    """How texts are drawn unless a command says otherwise."""

    temperature: float = Field(default=0.8, gt=0, le=10, description="a number above 0, at most 10")
    top_p: float = Field(default=0.95, gt=0, le=1, description="a number above 0, at most 1")
    top_k: int = Field(default=0, ge=0, le=1_000_000, description="a whole number from 0 (no limit) to 1000000")
    max_tokens: int = Field(default=100, ge=1, le=1024, description="a whole number from 1 to 1024")
    tries: int = Field(default=4, ge=1, le=100, description="a whole number from 1 to 100")
    candidates: int = Field(default=4, ge=1, le=64, description="a whole number from 1 (no choice) to 64")


class ModerationSettings(_Frozen):
    """What a text must not be."""

    block_list: str = Field(default="", description="the path of a text file, or empty")
    max_length: int = Field(default=280, ge=1, le=25_000, description="a whole number from 1 to 25000")
    verbatim_words: int = Field(default=8, ge=2, le=100, description="a whole number from 2 to 100")
    allow_mentions: bool = Field(default=False, description="true or false")
    allow_links: bool = Field(default=False, description="true or false")


class PoolSettings(_Frozen):
    """The queue in front of the worker."""

    max_waiting: int = Field(default=1_000, ge=1, le=1_000_000, description="a whole number from 1 to 1000000")
    max_waiting_per_person: int = Field(default=200, ge=1, le=1_000_000, description="a whole number from 1 to 1000000")
    hang_seconds: float = Field(default=30, gt=0, le=86_400, description="a number of seconds above 0, at most 86400")


class QuotaSettings(_Frozen):
    """How many imitations and trainings people may ask for; a day is the last 24 hours."""

    max_waiting: int = Field(default=1_000, ge=1, le=1_000_000, description="a whole number from 1 to 1000000")
    waiting_per_person: int = Field(default=5, ge=0, le=1_000_000, description=f"{_LIMIT} 1000000")
    imitations_per_person_per_day: int = Field(default=200, ge=0, le=1_000_000, description=f"{_LIMIT} 1000000")
    imitations_per_place_per_day: int = Field(default=2_000, ge=0, le=1_000_000, description=f"{_LIMIT} 1000000")
    trainings_per_person_per_day: int = Field(default=5, ge=0, le=1_000_000, description=f"{_LIMIT} 1000000")
    trainings_per_place_per_day: int = Field(default=20, ge=0, le=1_000_000, description=f"{_LIMIT} 1000000")


class AheadSettings(_Frozen):
    """What is kept ready for those who ask without a prompt."""

    texts: int = Field(default=10, ge=0, le=1_000, description="a whole number from 0 (none) to 1000")
    personas: int = Field(default=16, ge=1, le=10_000, description="a whole number from 1 to 10000")


class ScheduleSettings(_Frozen):
    """How long what a schedule says may wait."""

    max_late_minutes: int = Field(default=120, ge=1, le=525_600, description="a whole number from 1 to 525600 (a year)")
    approval_hours: int = Field(default=24, ge=1, le=8_784, description="a whole number from 1 to 8784 (a year)")


class ReplySettings(_Frozen):
    """How often what people say to a persona is answered."""

    per_person: int = Field(default=20, ge=0, le=1_000_000, description=f"{_LIMIT} 1000000")
    minutes: int = Field(default=10, ge=1, le=1_440, description="a whole number from 1 to 1440")
    per_person_per_day: int = Field(default=200, ge=0, le=1_000_000, description=f"{_LIMIT} 1000000")
    max_late_minutes: int = Field(default=10, ge=1, le=1_440, description="a whole number from 1 to 1440")


class LimitSettings(_Frozen):
    """What no account may exceed in any hour, 24 hours or 31 days, whatever is tried again; 0 = no limit."""

    posts_per_hour: int = Field(
        default=0, ge=0, le=1_000_000, description="a whole number from 0 (no limit) to 1000000"
    )
    posts_per_day: int = Field(default=0, ge=0, le=1_000_000, description="a whole number from 0 (no limit) to 1000000")
    dollars_per_day: float = Field(default=1.0, ge=0, le=1_000_000, description="a number from 0 (no limit) to 1000000")
    reads_per_month: int = Field(
        default=0, ge=0, le=10**9, description="a whole number from 0 (no limit) to 1000000000"
    )


class HubSettings(_Frozen):
    """How the Hugging Face Hub is reached."""

    token_env: str = Field(
        default="HF_TOKEN",
        pattern=r"^[A-Z_][A-Z0-9_]{0,63}$",
        description="the name of an environment variable: capital letters, digits and underscores",
    )


class DiscordSettings(_Frozen):
    """How Discord is reached, and what it is asked for."""

    token_env: str = Field(
        default="DISCORD_TOKEN",
        pattern=r"^[A-Z_][A-Z0-9_]{0,63}$",
        description="the name of an environment variable: capital letters, digits and underscores",
    )
    message_content: bool = Field(default=False, description="true or false")
    cooldown_seconds: float = Field(default=2.0, ge=0, le=3_600, description="a number from 0 to 3600")
    max_upload_mb: int = Field(default=25, ge=1, le=500, description="a whole number of MiB from 1 to 500")
    contact: str = Field(default="", max_length=200, description="at most 200 characters, or empty")
    api_base: str = Field(
        default="", pattern=r"^(https?://[^\s?#]+)?$", description="an address that begins with http(s)://, or empty"
    )
    gateway_url: str = Field(
        default="", pattern=r"^(wss?://[^\s?#]+)?$", description="an address that begins with ws(s)://, or empty"
    )


class Config(_Frozen):
    """Every setting of Mockingbird."""

    model: ModelSettings = ModelSettings()
    training: TrainingSettings = TrainingSettings()
    sampling: SamplingSettings = SamplingSettings()
    moderation: ModerationSettings = ModerationSettings()
    pool: PoolSettings = PoolSettings()
    quota: QuotaSettings = QuotaSettings()
    ahead: AheadSettings = AheadSettings()
    schedule: ScheduleSettings = ScheduleSettings()
    replies: ReplySettings = ReplySettings()
    limits: LimitSettings = LimitSettings()
    hub: HubSettings = HubSettings()
    discord: DiscordSettings = DiscordSettings()


def load_config(path: Path | None, environ: Mapping[str, str]) -> Config:
    """Read the file, then the variables that win over it; BadConfig says the first mistake.

    The file is `path`, else the one that MOCKINGBIRD_CONFIG names, else ./config.toml if there is one, else none.
    """
    file = _file(path, environ)
    raw = _read(file) if file is not None else {}
    _check_names(raw, str(file))
    sources: dict[tuple[str, str], str] = {}
    for variable, section, key, value in _overrides(environ):
        raw[section] = {**raw.get(section, {}), key: value}
        sources[section, key] = variable
    try:
        return Config.model_validate(raw)
    except ValidationError as error:
        section, key = (str(part) for part in error.errors()[0]["loc"][:2])
        source = sources.get((section, key), str(file))
        raise BadConfig(source=source, reason=_refused(section, key, raw[section][key])) from None


def changes(old: Config, new: Config) -> list[str]:
    """The settings that differ, as section.key."""
    return [
        f"{section}.{key}"
        for section, kind in _sections().items()
        for key in kind.model_fields
        if getattr(getattr(old, section), key) != getattr(getattr(new, section), key)
    ]


def keeping(old: Config, new: Config, settings: Iterable[str]) -> Config:
    """The new configuration with the old one's values of these settings."""
    kept: dict[str, dict[str, Any]] = {}
    for setting in settings:
        section, _, key = setting.partition(".")
        kept.setdefault(section, {})[key] = getattr(getattr(old, section), key)
    return new.model_copy(
        update={section: getattr(new, section).model_copy(update=values) for section, values in kept.items()}
    )


def secret(name: str, environ: Mapping[str, str]) -> SecretStr | None:
    """The secret in the variable `name`, or in the file that `name`_FILE names; None if neither is set."""
    if value := environ.get(name, "").strip():
        return SecretStr(value)
    variable = f"{name}_FILE"
    if not (file := environ.get(variable, "").strip()):
        return None
    value = _text(Path(file), source=variable).strip()
    if not value:
        raise BadConfig(source=variable, reason=f"the file {file} is empty")
    return SecretStr(value)


# --- The file ---------------------------------------------------------------------------------------------------------


def _file(path: Path | None, environ: Mapping[str, str]) -> Path | None:
    if path is not None:
        return path
    if named := environ.get("MOCKINGBIRD_CONFIG"):
        return Path(named)
    return DEFAULT_FILE if DEFAULT_FILE.exists() else None


def _text(file: Path, source: str) -> str:
    try:
        content = file.read_bytes()
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise BadConfig(source=source, reason=f"the file {str(file)!r} cannot be read ({why})") from None
    try:
        return content.decode("utf-8-sig")  # Windows editors like to begin a file with a byte order mark
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise BadConfig(source=source, reason=f"the file {str(file)!r} is not UTF-8 text (line {line})") from None


def _read(file: Path) -> dict[str, Any]:
    text = _text(file, source=str(file))
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise BadConfig(source=str(file), reason="it is not valid TOML: it nests too deeply") from None
    except ValueError as error:  # tomllib lets some others than TOMLDecodeError through, for instance of dates
        last_line = f"at line {text.rstrip().count(chr(10)) + 1}, the end of the document"
        why = " ".join(str(error).split()).replace("at end of document", last_line)
        raise BadConfig(source=str(file), reason=f"it is not valid TOML: {why}") from None


# --- The overrides ----------------------------------------------------------------------------------------------------


def _overrides(environ: Mapping[str, str]) -> Iterator[tuple[str, str, str, Any]]:
    """(variable, section, key, value) of each override, its text turned into the setting's type where it can be."""
    for variable in sorted(environ):
        if not variable.startswith(OVERRIDE):
            continue
        section, _, key = variable.removeprefix(OVERRIDE).lower().partition("__")
        if not key:
            raise BadConfig(
                source=variable, reason="it names no setting: such a variable is called MOCKINGBIRD__SECTION__KEY"
            )
        _check_names({section: {key: environ[variable]}}, variable)
        yield variable, section, key, _coerced(environ[variable], _sections()[section].model_fields[key].annotation)


def _coerced(text: str, kind: object) -> object:
    """The text as bool, int or float; unchanged, and so refused by the model, when it is none."""
    plain = text.strip()
    if kind is bool:
        return {**dict.fromkeys(_YES, True), **dict.fromkeys(_NO, False)}.get(plain.lower(), text)
    if kind is int or kind is float:
        try:
            return kind(plain)
        except ValueError:
            return text
    return text


# --- The sentences ----------------------------------------------------------------------------------------------------


def _sections() -> dict[str, type[BaseModel]]:
    kinds = {name: field.annotation for name, field in Config.model_fields.items()}
    return {name: kind for name, kind in kinds.items() if isinstance(kind, type) and issubclass(kind, BaseModel)}


def _check_names(raw: Mapping[str, object], source: str) -> None:
    """BadConfig for the first secret or unknown name; values are not shown, because they may be secrets."""
    for name in _all_names(raw):
        if re.search(r"(token|secret|password|key)$", name, re.IGNORECASE):
            reason = (
                f'{_shown(name)} looks like a secret, which does not belong here: write `token_env = "NAME"` instead'
            )
            raise BadConfig(source=source, reason=f"{reason}, with the name of the environment variable that holds it")
    sections = _sections()
    settings = [f"{section}.{key}" for section, kind in sections.items() for key in kind.model_fields]
    for section, content in raw.items():
        if section not in sections:
            homeless = [setting for setting in settings if setting.endswith(f".{section}")]
            hint = _hint(section, sections, homeless, "the sections are")
            raise BadConfig(source=source, reason=f"there is no section [{_shown(section)}] ({hint})")
        if not isinstance(content, Mapping):
            raise BadConfig(
                source=source, reason=f"{section} must be a section: write [{section}] on a line of its own"
            )
        known = sections[section].model_fields
        for key in content:
            if key not in known:
                elsewhere = [setting for setting in settings if setting.endswith(f".{key}")]
                hint = _hint(key, known, elsewhere, f"the settings of [{section}] are")
                raise BadConfig(source=source, reason=f"there is no setting {_shown(f'{section}.{key}')} ({hint})")


def _all_names(raw: Mapping[str, object]) -> Iterator[str]:
    for name, content in raw.items():
        yield name
        inside = content if isinstance(content, list) else [content]
        for table in inside:
            if isinstance(table, Mapping):
                yield from _all_names(table)


def _hint(name: str, known: Mapping[str, object], elsewhere: list[str], introduction: str) -> str:
    if elsewhere:
        return f"did you mean {elsewhere[0]}?"
    if near := difflib.get_close_matches(name.lower(), known, n=1):
        return f"did you mean {near[0]}?"
    return f"{introduction} {', '.join(known)}"


def _refused(section: str, key: str, value: object) -> str:
    expected = _sections()[section].model_fields[key].description
    # Somebody may have put the secret itself where its variable's name belongs.
    said = "is refused: it" if key.endswith("_env") else f"is {_shown(repr(value))} but"
    return f"{section}.{key} {said} must be {expected}"


def _shown(text: str) -> str:
    """Short and on one line."""
    line = " ".join(text.split())
    printable = "".join(char if char.isprintable() else "?" for char in line)
    return printable if len(printable) <= 60 else f"{printable[:60]}…"
