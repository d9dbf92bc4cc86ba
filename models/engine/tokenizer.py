"""The tokenizer of a base: byte-level BPE read from its folder, and the id of the end-of-text token."""

from __future__ import annotations

from pathlib import Path

from tokenizers import Tokenizer
from tokenizers.implementations import ByteLevelBPETokenizer

END_OF_TEXT = "<|endoftext|>"


def load_tokenizer(folder: Path) -> tuple[Tokenizer, int]:
    """Reads tokenizer.json, or GPT-2's older vocab.json and merges.txt; returns it with the end-of-text id.

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
    end = tokenizer.token_to_id(END_OF_TEXT)
    if end is None:
        raise ValueError(f"the tokenizer in {folder} has no {END_OF_TEXT} token")
    return tokenizer, end
