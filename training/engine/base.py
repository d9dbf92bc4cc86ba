"""Writes the folder of a freshly pre-trained base: weights, config, tokenizer and card."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from safetensors.torch import save_file

from models.engine.gpt2 import GPT2
from models.engine.shape import GPT2Config
from models.engine.tokenizer import END_OF_TEXT
from training.engine.text import Source


def write_base(model: GPT2, tokenizer: Path, out: Path, settings: Mapping[str, object]) -> None:
    """Writes the folder that transformers and we can load: half-precision weights, config, tokenizer, settings."""
    out.mkdir(parents=True, exist_ok=True)
    shape = model.config
    weights = {
        f"transformer.{name}": tensor.to(torch.float16).contiguous() for name, tensor in model.state_dict().items()
    }
    save_file(weights, out / "model.safetensors", metadata={"format": "pt"})
    config = {
        "architectures": ["GPT2LMHeadModel"],
        "model_type": "gpt2",
        "vocab_size": shape.vocab_size,
        "n_positions": shape.n_positions,
        "n_embd": shape.n_embd,
        "n_layer": shape.n_layer,
        "n_head": shape.n_head,
        "activation_function": "gelu_new",
        "layer_norm_epsilon": 1e-5,
        "resid_pdrop": 0.1,
        "embd_pdrop": 0.1,
        "attn_pdrop": 0.1,
        "bos_token_id": 0,
        "eos_token_id": 0,
        "tie_word_embeddings": True,
        "dtype": "float16",
    }
    (out / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    (out / "tokenizer.json").write_bytes(tokenizer.read_bytes())
    (out / "tokenizer_config.json").write_text(
        json.dumps(
            {
                "tokenizer_class": "PreTrainedTokenizerFast",
                "bos_token": END_OF_TEXT,
                "eos_token": END_OF_TEXT,
                "unk_token": END_OF_TEXT,
                "model_max_length": shape.n_positions,
                "clean_up_tokenization_spaces": False,
            },
            indent=2,
        )
        + "\n",
        encoding="utf-8",
    )
    (out / "pretraining.json").write_text(json.dumps(dict(settings), indent=2) + "\n", encoding="utf-8")


def write_card(out: Path, shape: GPT2Config, sources: Sequence[Source], score: float) -> None:
    """README.md of the base: what it is, how it was made (its pretraining.json), and whose text it learnt from."""
    runs = [json.loads((out / "pretraining.json").read_text(encoding="utf-8"))]
    while "before" in runs[0]:
        runs.insert(0, runs[0]["before"])
    tokens = ", then ".join(f"{one['tokens']:,}" for one in runs)
    rows = [
        f"| {row.group} | {row.repository} | {row.commit[:8]} | {row.licence} "
        f"| {row.first}-{row.last} | {row.share:.0%} | {row.worth:.0%} |"
        for row in sources
        if row.share > 0
    ]
    licences = "CC0, public domain, MIT, CC BY and CC BY-SA"
    card = f"""---
language: en
license: cc-by-sa-4.0
library_name: transformers
pipeline_tag: text-generation
---

# Fledgling

The small GPT-2 that Mockingbird ships, so that a voice can be learnt without any download: {shape.n_layer} layers,
{shape.n_embd} wide, a byte-level BPE of {shape.vocab_size:,} tokens, a context of {shape.n_positions:,} tokens,
half precision. It is a plain `GPT2LMHeadModel` checkpoint and loads with transformers.

It was made by `make base` (`training/engine/pretrain.py`, settings in pretraining.json): {tokens} tokens of
English text, Muon for the hidden matrices and AdamW for the rest, warm-up, plateau and a straight decay. Where there
are two runs, the later one goes on from the earlier one's weights (`--start`) and reads each text alone, a part of them
as a message and its answer, a part in casual dress (lower case, #words, @names, emoji: `training/engine/rows.py`). On
texts kept aside it needs {score:.3f} nats a token. No tweets are in its text. It is far too small to know facts; it is
a place to start from, not a model to ask. It may write wrong or offensive things: its text is ordinary talk, books and
blogs.

## Text

All of it is openly licensed ({licences}); the parts under CC BY-SA are why the weights
carry that licence. Lines still in copyright in countries with a term of life plus 70 years were left out. "Chosen" is
the share of the lines that is there to learn from, "used" how often a chosen one comes up in a later run.

| group | source (on GitHub) | commit | licence, and where it says so | lines | chosen | used |
|---|---|---|---|---|--:|--:|
{chr(10).join(rows)}
"""
    (out / "README.md").write_text(card, encoding="utf-8")
