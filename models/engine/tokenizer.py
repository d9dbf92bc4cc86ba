"""The tokenizer of a base: byte-level BPE read from its folder, and the ids of its marks."""

from __future__ import annotations

from pathlib import Path

from tokenizers import Tokenizer
from tokenizers.implementations import ByteLevelBPETokenizer

from models.prompt import END_OF_TEXT, REPLY, Marks

REPLY_TOKEN = chr(256 + ord(REPLY))  # how byte-level BPE spells a control character


def load_tokenizer(folder: Path) -> Tokenizer:
    """Reads tokenizer.json, or GPT-2's older vocab.json and merges.txt.

    A tokenizer.json can carry the padding and truncation of whoever saved it; they would fall on every text unseen.
    """
    whole = folder / "tokenizer.json"
    if whole.exists():
        tokenizer = Tokenizer.from_file(str(whole))
        tokenizer.no_padding()
        tokenizer.no_truncation()
    else:
        pair = ByteLevelBPETokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"))
        pair.add_special_tokens([END_OF_TEXT])
        tokenizer = pair._tokenizer
    tokenizer.encode_special_tokens = True  # who types <|endoftext|> has typed thirteen characters, not an end
    return tokenizer


def marks_of(tokenizer: Tokenizer) -> Marks:
    """The ids of the end-of-text and the reply token; raises ValueError if the tokenizer lacks one."""
    end, reply = tokenizer.token_to_id(END_OF_TEXT), tokenizer.token_to_id(REPLY_TOKEN)
    if end is None or reply is None:
        raise ValueError(f"the tokenizer has no token for {END_OF_TEXT if end is None else 'the byte 1e'}")
    return Marks(end, reply)
