"""Finds the base model that the configuration names; the only user of huggingface_hub."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from bot.errors import BaseUnavailable

BUNDLED = "fledgling"
WANTED = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "vocab.json", "merges.txt")


def find_base(name: str, token: str | None = None) -> Path:
    """`fledgling`, a folder, or a Hub id -> the folder that holds the base. A Hub id that is not in the local cache is
    downloaded, with a progress bar on standard error. Raises BaseUnavailable."""
    if name == BUNDLED:
        return checked(Path(str(files("models") / "base" / BUNDLED)), name)
    if Path(name).is_dir():
        return checked(Path(name).resolve(), name)
    if name.startswith((".", "/", "~")):
        raise BaseUnavailable(base=name, reason="there is no such folder")
    return checked(download(name, token), name)


def checked(folder: Path, name: str) -> Path:
    if needed := lacking(folder):
        raise BaseUnavailable(base=name, reason=f"{folder} has no {needed}")
    return folder


def lacking(folder: Path) -> str | None:
    """The first thing that a base needs and this folder does not hold."""
    for needed in ("config.json", "model.safetensors"):
        if not (folder / needed).is_file():
            return needed
    tokenizers = (("tokenizer.json",), ("vocab.json", "merges.txt"))
    if not any(all((folder / name).is_file() for name in names) for names in tokenizers):
        return "tokenizer.json"
    return None


def download(name: str, token: str | None) -> Path:
    """Takes what the cache has, else the network. The cache may hold a part: another program wanted no more, or a
    download was interrupted."""
    # Imported here: it takes a quarter of a second that `mockingbird --help` must not pay.
    from huggingface_hub import constants, snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        cached = Path(snapshot_download(name, allow_patterns=list(WANTED), local_files_only=True))
        if lacking(cached) is None:
            return cached
    except HFValidationError as error:
        raise BaseUnavailable(base=name, reason="that is no folder and no name on the Hub") from error
    except (LocalEntryNotFoundError, OSError):
        pass
    try:
        return Path(snapshot_download(name, allow_patterns=list(WANTED), token=token))
    except Exception as error:  # httpx, OSError and the Hub's own errors: whatever it was, the base is not there
        # Having no network and no cache is told as the latter, with the former as its cause.
        cause = error.__cause__ if isinstance(error, LocalEntryNotFoundError) and error.__cause__ else error
        why = "downloads are off" if constants.HF_HUB_OFFLINE else f"the Hub said {type(cause).__name__}"
        raise BaseUnavailable(base=name, reason=f"it is not in the local cache, and {why}") from error
