"""What tests of both engines share: tiny random models written as real folders, and invented text."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from torch import nn

from models.checkpoint import Checkpoint, read_checkpoint, sha256, write_checkpoint
from models.engine.cpu import CpuModel
from models.engine.gpt2 import GPT2, Projection
from models.engine.shape import GPT2Config
from models.engine.slots import Model
from models.engine.voices import Voices, read_low_rank

VOCABULARY = 320
WORDS = """
the kettle sings and my moth counts buttons while rain walks over a roof of tin we bake seven small loaves
nobody asked for this lamp but it hums a slow song about harbour lights every fox in town owes me one umbrella
""".split()  # noqa: SIM905


def sentences(count: int, seed: int = 0, fewest: int = 4, most: int = 12) -> list[str]:
    """Invented texts, all different: a function of their number and a seed."""
    rng = random.Random(seed)
    return [f"{' '.join(rng.choices(WORDS, k=rng.randint(fewest, most)))} no {n}" for n in range(count)]


@cache
def tokenizer_json() -> str:
    """A byte-level BPE, made as the bundled base's is; 0 is the end of text."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY, special_tokens=["<|endoftext|>"], initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(sentences(200), trainer)
    written: str = tokenizer.to_str()
    return written


@dataclass(frozen=True)
class Shape:
    """The numbers of a tiny GPT-2."""

    n_layer: int = 2
    n_embd: int = 32
    n_head: int = 2
    n_positions: int = 64


TINY = Shape()


def make_base(
    folder: Path, shape: Shape = TINY, seed: int = 0, dropout: float = 0.1, loud: float = 5.0, **said: Any
) -> Path:
    """Writes a random GPT-2 into `folder`; `loud` scales its weights, so that it prefers some tokens to others;
    `said` goes into config.json."""
    folder.mkdir(parents=True, exist_ok=True)
    config = {
        "architectures": ["GPT2LMHeadModel"],
        "model_type": "gpt2",
        "vocab_size": VOCABULARY,
        **vars(shape),
        "activation_function": "gelu_new",
        "layer_norm_epsilon": 1e-5,
        **{f"{place}_pdrop": dropout for place in ("resid", "embd", "attn")},
        "bos_token_id": 0,
        "eos_token_id": 0,
        **said,
    }
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    save_file(random_weights(shape, seed, loud), folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "tokenizer.json").write_text(tokenizer_json(), encoding="utf-8")
    tokens = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<|endoftext|>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(tokens), encoding="utf-8")
    return folder


def random_weights(shape: Shape, seed: int = 0, loud: float = 5.0) -> dict[str, torch.Tensor]:
    """By the names that transformers writes; biases and norms are random too, so that a forgotten one shows."""
    generator = torch.Generator().manual_seed(seed)
    model = GPT2(GPT2Config(VOCABULARY, **vars(shape))).initialise(generator)
    noise = {name: 0.05 * torch.randn(tensor.shape, generator=generator) for name, tensor in model.state_dict().items()}
    return {
        f"transformer.{name}": tensor + noise[name] if tensor.ndim == 1 else tensor * loud
        for name, tensor in model.state_dict().items()
    }


def make_adapter(
    folder: Path,
    base: Path,
    seed: int = 0,
    rank: int = 4,
    alpha: float = 8.0,
    strength: float = 0.3,
    embedding: bool = True,
    **said: Any,
) -> Path:
    """Writes a random adapter of every projection and, unless said otherwise, of the token embedding of `base` as a
    checkpoint; `said` goes into checkpoint.json."""
    folder.mkdir(parents=True, exist_ok=True)
    generator = torch.Generator().manual_seed(seed)
    tensors = {}
    for name, module in GPT2(GPT2Config.read(base)).named_modules():
        if isinstance(module, Projection | nn.Embedding) and name != "wpe" and (embedding or name != "wte"):
            n_in, n_out = module.weight.shape
            tensors[f"{name}.lora_A"] = torch.randn(n_in, rank, generator=generator) / n_in**0.5
            tensors[f"{name}.lora_B"] = torch.randn(rank, n_out, generator=generator) * strength
    save_file(tensors, folder / "adapter.safetensors")
    facts = {"base": "tiny", "base_sha256": sha256(base / "model.safetensors"), "rank": rank, "alpha": alpha, **said}
    write_checkpoint(folder, Checkpoint("adapter", **facts))
    return folder


class ExactVoices(Voices):
    """Without rounding matrices to 8 bits, which makes much of the last bit in which a text read at once may differ
    from one read token by token."""

    def _read_model(self, folder: Path, graph: Path | None) -> Model:
        return CpuModel.load(folder, self.threads, graph, bits=32)


def torch_low_rank(folder: Path) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """A checkpoint's adapter as a worker holds it, for the model in torch."""
    pairs = read_low_rank(folder, read_checkpoint(folder))
    return {name: (torch.from_numpy(a).float(), torch.from_numpy(b).float()) for name, (a, b) in pairs.items()}
