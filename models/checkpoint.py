"""What a checkpoint folder holds: weights, checkpoint.json, and a manifest of every file's size and checksum."""

from __future__ import annotations

import hashlib
import json
import os
import zlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

MANIFEST = "manifest.json"


class DamagedCheckpoint(ValueError):
    """A folder whose manifest is missing or does not fit its files."""


@dataclass(frozen=True)
class Checkpoint:
    """checkpoint.json: how the weights beside it are to be used."""

    kind: str  # "adapter": adapter.safetensors on top of the base; "model": a whole model of its own
    base: str  # the base's name as the configuration gave it
    base_sha256: str  # of the base's model.safetensors: an adapter fits no other
    rank: int = 0
    alpha: float = 0.0  # the low-rank product is scaled by alpha / rank


def write_checkpoint(folder: Path, checkpoint: Checkpoint) -> None:
    """Writes checkpoint.json and, last, the manifest; the weights are there already."""
    (folder / "checkpoint.json").write_text(json.dumps(asdict(checkpoint), indent=2) + "\n", encoding="utf-8")
    write_manifest(folder)


def read_checkpoint(folder: Path) -> Checkpoint:
    """Verifies the folder against its manifest and reads checkpoint.json; raises DamagedCheckpoint."""
    listed = verify(folder)
    if "checkpoint.json" not in listed or not any(name.endswith(".safetensors") for name in listed):
        raise DamagedCheckpoint("its manifest names no weights, or not checkpoint.json")
    try:
        raw: dict[str, Any] = json.loads((folder / "checkpoint.json").read_text(encoding="utf-8"))
        return Checkpoint(**raw)
    except (OSError, ValueError, TypeError) as error:
        raise DamagedCheckpoint(f"checkpoint.json cannot be read: {error}") from error


def write_manifest(folder: Path) -> None:
    """Syncs every file of the folder to the disk, then writes the manifest: where it stands, the folder is whole."""
    files = {}
    for path in sorted(folder.iterdir()):
        if path.name != MANIFEST:
            files[path.name] = {"bytes": path.stat().st_size, "crc32": crc32(path)}
            sync(path)
    path = folder / MANIFEST
    path.write_text(json.dumps({"files": files}, indent=2) + "\n", encoding="utf-8")
    sync(path)
    sync(folder)


def verify(folder: Path) -> frozenset[str]:
    """The names in the manifest; raises DamagedCheckpoint unless each is there, whole and unchanged."""
    try:
        files = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["files"]
        # The checksum tells damage as well as a hash, ten times as fast; older versions wrote a hash.
        listed = [
            (name, facts["bytes"], *((crc32, facts["crc32"]) if "crc32" in facts else (sha256, facts["sha256"])))
            for name, facts in files.items()
        ]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DamagedCheckpoint("its manifest is missing or unreadable") from error
    for name, size, check, expected in listed:
        path = folder / name
        if not path.is_file():
            raise DamagedCheckpoint(f"{name} is missing")
        if path.stat().st_size != size or check(path) != expected:
            raise DamagedCheckpoint(f"{name} has changed since it was written")
    return frozenset(files)


def publish(fresh: Path, final: Path) -> None:
    """Renames a finished folder into place: it is there whole or not at all."""
    os.rename(fresh, final)
    sync(final.parent)


def sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def crc32(path: Path) -> int:
    return zlib.crc32(path.read_bytes())


def sync(path: Path) -> None:
    """Makes what was written to a file or folder survive a power cut."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
