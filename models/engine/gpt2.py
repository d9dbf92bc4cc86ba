"""GPT-2 itself: its weights and one forward pass, which training and generation share.

The layout of names and shapes is that of transformers' `GPT2LMHeadModel` (Radford et al. 2019,
"Language Models are Unsupervised Multitask Learners"), so that any such checkpoint loads as it is and
ours load there; tests compare the two.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn

from models.engine.shape import EMBEDDING, GPT2Config, read_weights

# How one layer attends: (layer, query, key, value), each (batch, heads, time, head size) -> the same shape.
# Training passes `causal`; generation passes its key/value cache's method, which also remembers the keys.
Attend = Callable[[int, Tensor, Tensor, Tensor], Tensor]

# Low-rank differences by the name of the weight they add to, e.g. "h.0.attn.c_attn": A is (in, rank) and B is
# (rank, out); or (slices, batch, in, part of the rank) and (slices, batch, part of the rank, out), which gives each row
# a persona of its own and adds the products of the slices one after the other. That of "wte", (vocabulary, rank) and
# (rank, width), counts where tokens are read and where they are predicted.
LowRank = Mapping[str, tuple[Tensor, Tensor]]


def add_low_rank(y: Tensor, x: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """y + x @ A @ B, (batch, time, out); y itself is overwritten if A and B are in slices."""
    a, b = a.to(x.dtype), b.to(x.dtype)
    if a.ndim < 4:
        return y + (x @ a) @ b
    for part_a, part_b in zip(a, b, strict=True):
        y.baddbmm_(x @ part_a, part_b)
    return y


def causal(layer: int, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Every position sees itself and what stands before it."""
    return F.scaled_dot_product_attention(query, key, value, is_causal=True)


class Projection(nn.Module):
    """x @ weight + bias, with the weight stored (in, out) as GPT-2 stores it, plus a low-rank difference."""

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(n_in, n_out))
        self.bias = nn.Parameter(torch.zeros(n_out))
        self.name = ""

    def forward(self, x: Tensor, low_rank: LowRank | None) -> Tensor:
        """(batch, time, in) -> (batch, time, out)."""
        y = F.linear(x, self.weight.t(), self.bias)
        if low_rank is not None and (pair := low_rank.get(self.name)) is not None:
            y = add_low_rank(y, x, *pair)
        return y


class Attention(nn.Module):
    def __init__(self, config: GPT2Config, layer: int) -> None:
        super().__init__()
        self.layer = layer
        self.n_head = config.n_head
        self.c_attn = Projection(config.n_embd, 3 * config.n_embd)
        self.c_proj = Projection(config.n_embd, config.n_embd)

    def forward(self, x: Tensor, attend: Attend, low_rank: LowRank | None) -> Tensor:
        batch, time, width = x.shape
        heads = self.c_attn(x, low_rank).view(batch, time, 3, self.n_head, width // self.n_head)
        query, key, value = heads.permute(2, 0, 3, 1, 4)
        mixed = attend(self.layer, query, key, value)
        out: Tensor = self.c_proj(mixed.transpose(1, 2).reshape(batch, time, width), low_rank)
        return out


class FeedForward(nn.Module):
    def __init__(self, config: GPT2Config) -> None:
        super().__init__()
        self.c_fc = Projection(config.n_embd, 4 * config.n_embd)
        self.c_proj = Projection(4 * config.n_embd, config.n_embd)

    def forward(self, x: Tensor, low_rank: LowRank | None) -> Tensor:
        out: Tensor = self.c_proj(F.gelu(self.c_fc(x, low_rank), approximate="tanh"), low_rank)
        return out


class Block(nn.Module):
    def __init__(self, config: GPT2Config, layer: int) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(config.n_embd, eps=config.layer_norm_epsilon)
        self.attn = Attention(config, layer)
        self.ln_2 = nn.LayerNorm(config.n_embd, eps=config.layer_norm_epsilon)
        self.mlp = FeedForward(config)
        self.drop = nn.Dropout(config.dropout)

    def forward(self, x: Tensor, attend: Attend, low_rank: LowRank | None) -> Tensor:
        x = x + self.drop(self.attn(self.ln_1(x), attend, low_rank))
        return x + self.drop(self.mlp(self.ln_2(x), low_rank))


class GPT2(nn.Module):
    """The transformer and its tied head."""

    def __init__(self, config: GPT2Config) -> None:
        super().__init__()
        self.config = config
        # From a tensor, because drawing a random table that is replaced at once takes a second for GPT-2's.
        self.wte = nn.Embedding.from_pretrained(torch.empty(config.vocab_size, config.n_embd), freeze=False)
        self.wpe = nn.Embedding(config.n_positions, config.n_embd)
        self.drop = nn.Dropout(config.dropout)
        self.h = nn.ModuleList(Block(config, layer) for layer in range(config.n_layer))
        self.ln_f = nn.LayerNorm(config.n_embd, eps=config.layer_norm_epsilon)
        for name, module in self.named_modules():
            if isinstance(module, Projection):
                module.name = name

    def forward(
        self,
        ids: Tensor,
        positions: Tensor | None = None,
        attend: Attend = causal,
        low_rank: LowRank | None = None,
    ) -> Tensor:
        """Token ids (batch, time) -> final hidden states (batch, time, width); positions count from 0 if not given."""
        if positions is None:
            positions = torch.arange(ids.shape[1], device=ids.device)
        x = self.wte(ids) + self.wpe(positions)
        if low_rank is not None and (pair := low_rank.get(EMBEDDING)) is not None:
            a, b = (part.to(x.dtype) for part in pair)
            row = torch.arange(len(ids), device=ids.device)[:, None]
            for part_a, part_b in zip(a, b, strict=True) if a.ndim == 4 else [(a, b)]:
                # The rows of A that the ids name: one table for all, or one each. Not `a[ids]`, whose gradient adds up
                # in whatever order the threads come.
                rows = F.embedding(ids, part_a) if part_a.ndim == 2 else part_a[row, ids]
                x = x + rows @ part_b
        x = self.drop(x)
        for block in self.h:
            x = block(x, attend, low_rank)
        out: Tensor = self.ln_f(x)
        return out

    def logits(self, hidden: Tensor, low_rank: LowRank | None = None) -> Tensor:
        """Hidden states (batch, time, width) -> logits (batch, time, vocabulary) in the precision of `hidden`; the
        head is the token embedding, as in GPT-2."""
        found = F.linear(hidden, self.wte.weight.to(hidden.dtype))
        if low_rank is not None and (pair := low_rank.get(EMBEDDING)) is not None:
            a, b = pair
            found = add_low_rank(found, hidden, b.mT, a.mT)
        return found

    def initialise(self, generator: torch.Generator) -> GPT2:
        """Fresh weights as GPT-2 draws them: N(0, 0.02), residual projections scaled by 1/sqrt(2 layers)."""
        residual = 0.02 / (2 * self.config.n_layer) ** 0.5
        with torch.no_grad():
            for name, parameter in self.named_parameters():
                if name.endswith("bias"):
                    parameter.zero_()
                elif ".ln_" in name or name.startswith("ln_f"):
                    parameter.fill_(1.0)
                else:
                    parameter.normal_(0.0, residual if "c_proj" in name else 0.02, generator=generator)
        return self

    @classmethod
    def load(cls, folder: Path, device: str = "cpu", dtype: torch.dtype = torch.float32) -> GPT2:
        """Loads a folder with config.json and model.safetensors, as transformers or we wrote it. Raises ValueError when
        weights are missing or of the wrong shape."""
        config = GPT2Config.read(folder)
        model = cls(config)
        model.load_state_dict(read_weights(folder, config, load_file))
        return model.to(device=device, dtype=dtype)
