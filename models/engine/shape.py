"""The shape of a GPT-2, and the weights of one as they stand in its folder; knows neither torch nor ONNX Runtime."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

Array = TypeVar("Array", bound=Any)  # of numpy or of torch

EMBEDDING = "wte"

# What config.json may not say otherwise: the variants that transformers knows of and we would compute wrongly.
PLAIN = {
    "activation_function": "gelu_new",
    "scale_attn_weights": True,
    "scale_attn_by_inverse_layer_idx": False,
    "add_cross_attention": False,
    "tie_word_embeddings": True,
}


@dataclass(frozen=True)
class GPT2Config:
    """The numbers of config.json that decide shapes; dropout is used in training only."""

    vocab_size: int
    n_positions: int
    n_embd: int
    n_layer: int
    n_head: int
    layer_norm_epsilon: float = 1e-5
    dropout: float = 0.1

    @classmethod
    def read(cls, folder: Path) -> GPT2Config:
        """Reads `folder`/config.json; raises ValueError when it does not describe a GPT-2."""
        raw = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        if raw.get("model_type") != "gpt2":
            raise ValueError(f"{folder} holds a model of type {raw.get('model_type')!r}, not a GPT-2")
        for name, plain in PLAIN.items():
            if raw.get(name, plain) != plain:
                raise ValueError(f"{folder} holds a GPT-2 whose {name} is {raw[name]!r}; only {plain!r} is supported")
        try:
            return cls(
                vocab_size=raw["vocab_size"],
                n_positions=raw.get("n_positions", 1024),
                n_embd=raw["n_embd"],
                n_layer=raw["n_layer"],
                n_head=raw["n_head"],
                layer_norm_epsilon=raw.get("layer_norm_epsilon", 1e-5),
                dropout=raw.get("resid_pdrop", 0.1),
            )
        except KeyError as error:
            raise ValueError(f"{folder / 'config.json'} does not say {error}") from error

    @property
    def projections(self) -> dict[str, tuple[int, int]]:
        """(in, out) of every projection by its name."""
        width = self.n_embd
        shapes = {"attn.c_attn": 3 * width, "attn.c_proj": width, "mlp.c_fc": 4 * width, "mlp.c_proj": width}
        return {
            f"h.{layer}.{name}": (4 * width if name == "mlp.c_proj" else width, n_out)
            for layer in range(self.n_layer)
            for name, n_out in shapes.items()
        }

    @property
    def adaptable(self) -> dict[str, tuple[int, int]]:
        """(in, out) of every weight that an adapter may add to: the projections and the token embedding."""
        return self.projections | {EMBEDDING: (self.vocab_size, self.n_embd)}

    @property
    def weights(self) -> dict[str, tuple[int, ...]]:
        """The shape of every weight by its name, as in a checkpoint but for the prefix "transformer."."""
        width = self.n_embd
        found: dict[str, tuple[int, ...]] = {
            "wte.weight": (self.vocab_size, width),
            "wpe.weight": (self.n_positions, width),
        }
        for name, shape in self.projections.items():
            found |= {f"{name}.weight": shape, f"{name}.bias": shape[1:]}
        for name in [*(f"h.{layer}.ln_{number}" for layer in range(self.n_layer) for number in (1, 2)), "ln_f"]:
            found |= {f"{name}.weight": (width,), f"{name}.bias": (width,)}
        return found


def read_weights(folder: Path, config: GPT2Config, load_file: Callable[[Path], dict[str, Array]]) -> dict[str, Array]:
    """The weights of `folder`/model.safetensors by their names, as numpy or torch arrays by either's `load_file`.
    Raises ValueError when one is missing or of the wrong shape."""
    # Old GPT-2 files carry the causal mask as a buffer and some carry the tied head twice.
    found = {
        name.removeprefix("transformer."): value for name, value in load_file(folder / "model.safetensors").items()
    }
    for name, shape in config.weights.items():
        if name not in found:
            raise ValueError(f"{folder} lacks the weight {name} that its config.json asks for")
        if tuple(found[name].shape) != shape:
            raise ValueError(
                f"in {folder} the weight {name} has the shape {tuple(found[name].shape)}, where its config.json asks "
                f"for {shape}"
            )
    return {name: found[name] for name in config.weights}


def low_rank_pairs(tensors: Mapping[str, Array], scale: float) -> dict[str, tuple[Array, Array]]:
    """ "<weight>.lora_A" and "<weight>.lora_B", as adapters are stored -> (A, B * scale) by the name of the weight."""
    names = sorted(name.removesuffix(".lora_A") for name in tensors if name.endswith(".lora_A"))
    # Multiplied only if need be: numpy takes long for numbers of 16 bits.
    return {
        name: (
            tensors[f"{name}.lora_A"],
            tensors[f"{name}.lora_B"] if scale == 1.0 else tensors[f"{name}.lora_B"] * scale,
        )
        for name in names
    }
