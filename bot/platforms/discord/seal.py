"""Seal: an interaction's token is a credential, so it stands in the database encrypted, by a key that does not."""

from __future__ import annotations

import os
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_BYTES = 32
NONCE_BYTES = 12  # as NIST SP 800-38D wants it


class Seal:
    """AES-256-GCM; `about`, such as the id of its row, is what a sealed token cannot be moved away from."""

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)

    def close(self, token: str, about: str) -> bytes:
        nonce = os.urandom(NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, token.encode(), about.encode())

    def open(self, sealed: bytes, about: str) -> str | None:
        """The token, or None if this key did not seal it: the key file was removed, or the row was changed."""
        try:
            return self._cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], about.encode()).decode()
        except InvalidTag:
            return None


def read_key(file: Path) -> bytes:
    """The key in this file, which is made, readable by its owner only, if there is none. One process at a time."""
    if not file.exists():
        new = file.with_suffix(".new")
        new.unlink(missing_ok=True)
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as opened:
            opened.write(AESGCM.generate_key(256))
            opened.flush()
            os.fsync(opened.fileno())
        new.rename(file)
    key = file.read_bytes()
    if len(key) != KEY_BYTES:
        raise ValueError(f"{file} holds no key: remove it, and what it sealed is forgotten")
    return key
