"""What the engine and its peers are measured on: models, personas, prompts and tweets, made here without a download."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer

import bot
from bench.authors import SPLIT, in_order
from bench.peers import quiet_transformers
from bot.cli.demo import PEOPLE
from models.checkpoint import Checkpoint, read_checkpoint, sha256, write_checkpoint
from models.engine.shape import EMBEDDING, GPT2Config
from training.corpus import Corpus, Piece, build_corpus
from training.timeline import Tweet, read_tweets

GPT2_SMALL = {"vocab_size": 50_257, "n_positions": 1024, "n_embd": 768, "n_layer": 12, "n_head": 12}
# Random weights leave every token nearly as likely as any other, which no trained model does: top-p 0.95 would keep
# most of the vocabulary. With this scale of its last norm GPT-2's shape keeps some five hundred tokens.
LOUD = 7.5
RANK = 16  # as the recipe `standard` has it, for the projections and the embedding
SMALL_RANK = 8  # of the many personas that are in memory at once
PROMPT_TOKENS = 6  # the end-of-text that begins every text counted
HELD_OUT = 40  # texts at most, by which a training is judged


@dataclass(frozen=True)
class Material:
    """A base folder and what is made of it in the folder `work`, each when it is first asked for."""

    name: str
    base: Path
    work: Path

    def personas(self, count: int) -> list[Path]:
        """So many adapters of the product's own shape, all different."""
        folders = [self.work / f"persona-{number}" for number in range(count)]
        for number, folder in enumerate(folders):
            if not folder.exists():
                write_adapter(folder, self.base, self.base_sha256, number, RANK)
        return folders

    def many(self, count: int) -> list[Path]:
        """So many folders of one adapter of a small rank in 16 bits: a worker cannot tell that they hold the same."""
        first, *others = [self.work / f"small-{number}" for number in range(count)]
        write_adapter(first, self.base, self.base_sha256, 0, SMALL_RANK)
        for folder in others:
            shutil.copytree(first, folder, copy_function=os.link)
        return [first, *others]

    @cached_property
    def base_sha256(self) -> str:
        return sha256(self.base / "model.safetensors")

    @cached_property
    def merged(self) -> Path:
        """The first persona merged into the base: a model of its own, as transformers writes it."""
        return merge(self.base, self.personas(1)[0], self.work / "merged")

    @cached_property
    def tokenizer(self) -> Tokenizer:
        return Tokenizer.from_file(str(self.base / "tokenizer.json"))

    @property
    def prompt(self) -> str:
        return self.prompts(1)[0]

    def prompts(self, count: int) -> list[str]:
        """So many prompts of PROMPT_TOKENS tokens, from the demo's tweets."""
        found: dict[str, None] = {}
        for tweet in (tweet for handle in PEOPLE for tweet in tweets_of(handle)):
            ids = self.tokenizer.encode(tweet.text).ids[: PROMPT_TOKENS - 1]
            text = self.tokenizer.decode(ids)
            if len(ids) == PROMPT_TOKENS - 1 and self.tokenizer.encode(text).ids == ids:
                found[text] = None
            if len(found) == count:
                break
        return list(found)

    @property
    def read_weights(self) -> int:
        """How many weights a step must read whatever it computes: all but the table of positions."""
        held = load_file(self.base / "model.safetensors")
        return sum(tensor.numel() for name, tensor in held.items() if not name.endswith("wpe.weight"))


# --- Models -----------------------------------------------------------------------------------------------------------


def random_base(folder: Path, like: Path, shape: Mapping[str, int]) -> Path:
    """Writes a GPT-2 with random weights, and the tokenizer of another base with further tokens up to its vocabulary;
    those stand for no text that could be typed."""
    transformers = quiet_transformers(torch.get_num_threads())
    said = json.loads((like / "config.json").read_text(encoding="utf-8"))
    torch.manual_seed(0)
    model = transformers.GPT2LMHeadModel(transformers.GPT2Config.from_dict({**said, **shape, "dtype": "float32"}))
    with torch.no_grad():
        model.transformer.ln_f.weight.fill_(LOUD)
    model.save_pretrained(folder)
    tokenizer = json.loads((like / "tokenizer.json").read_text(encoding="utf-8"))
    vocabulary = tokenizer["model"]["vocab"]
    vocabulary |= {f"<spare {number}>": number for number in range(len(vocabulary), shape["vocab_size"])}
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer, ensure_ascii=False), encoding="utf-8")
    shutil.copyfile(like / "tokenizer_config.json", folder / "tokenizer_config.json")
    return folder


def write_adapter(folder: Path, base: Path, base_sha256: str, seed: int, rank: int) -> None:
    """A random adapter of every projection and of the embedding, small beside the base's weights, in 16 bits as the
    trainer writes it."""
    folder.mkdir(parents=True)
    generator = torch.Generator().manual_seed(seed)
    tensors = {}
    for name, (n_in, n_out) in GPT2Config.read(base).adaptable.items():
        into, out = (0.01, n_out**-0.5) if name == EMBEDDING else (n_in**-0.5, 0.01)
        tensors[f"{name}.lora_A"] = (torch.randn(n_in, rank, generator=generator) * into).half()
        tensors[f"{name}.lora_B"] = (torch.randn(rank, n_out, generator=generator) * out).half()
    save_file(tensors, folder / "adapter.safetensors")
    write_checkpoint(folder, Checkpoint("adapter", "bench", base_sha256, rank, float(rank)))


def merge(base: Path, adapter: Path, folder: Path) -> Path:
    """Writes the base plus the adapter's difference as a model that knows of no adapters."""
    checkpoint = read_checkpoint(adapter)
    held = load_file(base / "model.safetensors")
    weights = {name: tensor.float() for name, tensor in held.items()}
    pairs = load_file(adapter / "adapter.safetensors")
    for name in (key.removesuffix(".lora_A") for key in pairs if key.endswith(".lora_A")):
        product = pairs[f"{name}.lora_A"].float() @ pairs[f"{name}.lora_B"].float()
        weights[f"transformer.{name}.weight"] += product * (checkpoint.alpha / checkpoint.rank)
    folder.mkdir(parents=True)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    config: dict[str, Any] = json.loads((base / "config.json").read_text(encoding="utf-8"))
    (folder / "config.json").write_text(json.dumps({**config, "dtype": "float32"}), encoding="utf-8")
    for file in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(base / file, folder / file)
    return folder


# --- Tweets -----------------------------------------------------------------------------------------------------------


def tweets_of(handle: str) -> list[Tweet]:
    """The tweets of one of the demo's invented people, oldest first."""
    return in_order(read_tweets(Path(bot.__file__).parent / "demo" / f"{handle}.jsonl", handle))


def corpus_of(handles: Sequence[str], most: int | None = None) -> Corpus:
    """These people's texts as one person's, none of them as a reply: what all trainings are given alike. `most` keeps
    only so many of the newest to train on."""
    found = build_corpus({handle: tweets_of(handle) for handle in handles}, SPLIT)

    def plain(pieces: Sequence[Piece]) -> tuple[Piece, ...]:
        return tuple(replace(piece, handle=handles[0], reply=False, message=None) for piece in pieces)

    return Corpus(plain(found.train[-most:] if most else found.train), plain(found.held_out)[:HELD_OUT])
