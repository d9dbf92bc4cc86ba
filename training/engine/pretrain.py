"""Pre-trains the small bundled base from openly licensed text: tokenizer, data, model, resumable, on one machine.

    python -m training.engine.pretrain --text FOLDER --out FOLDER --work FOLDER [--tokens N] [--start FOLDER]

`--text` holds one `GROUP.txt.zst` per group (one short text a line) and a SOURCES.md whose table says which lines
come from which source. `--start` goes on from the weights and the tokenizer of an earlier base. The result is a plain
GPT-2 folder: config.json, model.safetensors (half precision), tokenizer.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import shutil
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from models.engine.device import has_fast_bf16
from models.engine.gpt2 import GPT2
from models.engine.shape import GPT2Config
from training.engine.base import write_base, write_card
from training.engine.data import padded
from training.engine.loss import IGNORED, next_token_nll, token_nll
from training.engine.rows import make_rows, plan_rows
from training.engine.text import make_tokenizer, read_sources, tokenise

SAVE_EVERY_S = 120.0


@dataclass(frozen=True)
class Settings:
    """Every number that decides the weights."""

    vocab_size: int = 8192
    n_layer: int = 6
    n_embd: int = 256
    n_head: int = 4
    n_positions: int = 1024
    tokens: int = 16_000_000
    batch_tokens: int = 8192  # of a step, padding included
    longest_row: int = 256
    long_share: float = 0.1  # of the batches hold windows of the full context: neighbouring texts of one document
    matrix_lr: float = 0.01  # Muon, for the hidden matrices
    other_lr: float = 0.003  # AdamW, for embeddings, norms and biases
    warmup: float = 0.02
    decay: float = 0.35  # the last part of the run, over which the rates fall to zero
    weight_decay: float = 0.05
    seed: int = 20260
    started_from: str = ""  # sha256 of the weights gone on from


def main(given: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--text", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True, help="tokenised text and the state to resume from")
    parser.add_argument("--tokens", type=int, default=Settings.tokens)
    parser.add_argument("--start", type=Path, help="an earlier base to go on from, rates halved, decay from the middle")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    arguments = parser.parse_args(given)
    if not (arguments.text / "SOURCES.md").is_file():
        parser.exit(1, f"There is no text to pre-train on in {arguments.text}: the committed base stays as it is.\n")
    torch.set_num_threads(arguments.threads)
    settings = Settings(tokens=arguments.tokens)
    if arguments.start:
        settings = replace(
            settings,
            matrix_lr=settings.matrix_lr / 2,
            other_lr=settings.other_lr / 2,
            decay=0.6,
            seed=settings.seed + 1,
            started_from=hashlib.sha256((arguments.start / "model.safetensors").read_bytes()).hexdigest(),
        )
    # A folder for each set of settings: what one pre-training left is nothing that another could go on from.
    work = arguments.work / hashlib.sha256(json.dumps(asdict(settings)).encode()).hexdigest()[:12]
    work.mkdir(parents=True, exist_ok=True)
    if arguments.start:
        shutil.copy(arguments.start / "tokenizer.json", work)
    # The texts are chosen by the first seed whatever is gone on from: what is held out stays held out.
    tokenizer = make_tokenizer(arguments.text, work / "tokenizer.json", settings.vocab_size, Settings.seed)
    stream, held_out = tokenise(arguments.text, tokenizer, work, Settings.seed)
    rows = make_rows(arguments.text, tokenizer, work, Settings.seed, settings.longest_row)
    batches = Batches(stream, *rows, settings)
    model = train(start_model(settings, arguments.start), batches, held_out, work, settings)
    made = asdict(settings)
    if arguments.start:
        made["before"] = json.loads((arguments.start / "pretraining.json").read_text(encoding="utf-8"))
    write_base(model, work / "tokenizer.json", arguments.out, made)
    sources = read_sources((arguments.text / "SOURCES.md").read_text(encoding="utf-8"))
    write_card(arguments.out, model.config, sources, held_out_nll(model, held_out))


def start_model(settings: Settings, folder: Path | None) -> GPT2:
    """Fresh weights, or those of `folder`."""
    if folder:
        return GPT2.load(folder)
    config = GPT2Config(
        settings.vocab_size, settings.n_positions, settings.n_embd, settings.n_layer, settings.n_head, dropout=0.0
    )
    return GPT2(config).initialise(torch.Generator().manual_seed(settings.seed))


class Batches:
    """The batch of every step: a function of the step alone, so that resuming needs no state."""

    def __init__(self, stream: Tensor, rows: Tensor, starts: Tensor, settings: Settings) -> None:
        self.stream, self.rows, self.settings = stream, rows, settings
        self.starts = starts.tolist()
        self.plan = plan_rows(self.starts, settings.batch_tokens, settings.seed)
        self.windows = window_starts(stream, 0, settings.n_positions)

    def __len__(self) -> int:
        """The steps of one pass over the rows."""
        return len(self.plan)

    def at(self, step: int) -> tuple[Tensor, Tensor]:
        """Inputs and targets (rows, time) of a step."""
        rng = random.Random(f"{self.settings.seed} {step}")
        if rng.random() < self.settings.long_share:
            length = self.settings.n_positions
            places = rng.sample(range(len(self.windows)), self.settings.batch_tokens // length)
            chosen = [self.windows[place] for place in places]
            window = torch.stack([self.stream[place : place + length + 1] for place in chosen]).long()
            return window[:, :-1], window[:, 1:]
        batch = self.plan[step % len(self.plan)]
        return padded([(self.rows[self.starts[row] : self.starts[row + 1]].tolist(), 1) for row in batch], "cpu")


def window_starts(ids: Tensor, end: int, length: int) -> list[int]:
    """Positions where a window of `length` may begin: always at a text's first token, so that what stands at
    position 0 in training is what stands there when a tweet is generated."""
    ends = (ids == end).nonzero().flatten()
    starts: list[int] = []
    reach = 0
    for place in ends.tolist():
        if place >= reach and place + length + 1 <= len(ids):
            starts.append(place)
            reach = place + length - length // 16
    return starts


def train(model: GPT2, batches: Batches, held_out: Tensor, work: Path, settings: Settings) -> GPT2:
    """Runs or resumes the pre-training; a state is saved every two minutes."""
    model.eval()  # no dropout: no text is seen twice
    matrices = [p for name, p in model.named_parameters() if p.ndim == 2 and name.startswith("h.")]
    others = [p for name, p in model.named_parameters() if not (p.ndim == 2 and name.startswith("h."))]
    muon = torch.optim.Muon(matrices, lr=settings.matrix_lr, weight_decay=settings.weight_decay)
    adam = torch.optim.AdamW(others, lr=settings.other_lr, betas=(0.9, 0.95), weight_decay=0.0, fused=True)
    steps = settings.tokens // settings.batch_tokens
    step = resume(work, model, muon, adam)
    print(json.dumps({**asdict(settings), "steps": steps, "from": step, "steps_a_pass": len(batches)}), flush=True)
    saved, began = time.monotonic(), time.monotonic()
    first = step
    while step < steps:
        rate = schedule(step / steps, settings)
        for optimiser, peak in ((muon, settings.matrix_lr), (adam, settings.other_lr)):
            for group in optimiser.param_groups:
                group["lr"] = peak * rate
        inputs, targets = batches.at(step)
        with torch.autocast("cpu", torch.bfloat16, enabled=has_fast_bf16()):
            loss = next_token_nll(model, model(inputs), targets) / (targets != IGNORED).sum()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimiser in (muon, adam):
            optimiser.step()
            optimiser.zero_grad()
        step += 1
        if step % 20 == 0:
            speed = (step - first) * settings.batch_tokens / (time.monotonic() - began)
            print(f"step {step}/{steps} loss {loss.item():.4f} rate {rate:.3f} {speed:.0f} tokens/s", flush=True)
        if time.monotonic() - saved > SAVE_EVERY_S or step == steps:
            save(work, model, muon, adam, step)
            saved = time.monotonic()
        if step % 200 == 0 or step == steps:
            print(f"step {step} held-out {held_out_nll(model, held_out):.4f} nats a token", flush=True)
    return model


def schedule(done: float, settings: Settings) -> float:
    """Warm-up, a plateau, then a straight fall to zero (Hu et al. 2024, "MiniCPM", section 4)."""
    return min(1.0, done / settings.warmup + 1e-3, (1.0 - done) / settings.decay)


@torch.no_grad()
def held_out_nll(model: GPT2, ids: Tensor) -> float:
    """Mean nats a token on the held-out texts, each read alone."""
    ends = (ids == 0).nonzero().flatten().tolist()
    rows = [ids[a : min(b, a + 128)].long() for a, b in zip(ends, [*ends[1:], len(ids)], strict=True)]
    rows.sort(key=len)
    total, count = 0.0, 0
    for start in range(0, len(rows), 64):
        group = rows[start : start + 64]
        longest = len(group[-1]) + 1
        inputs, targets = torch.zeros(len(group), longest, dtype=torch.long), torch.full((len(group), longest), IGNORED)
        for line, row in enumerate(group):
            inputs[line, : len(row)] = row
            targets[line, : len(row)] = torch.cat([row[1:], row.new_zeros(1)])
        total += token_nll(model, model(inputs), targets).sum().item()
        count += int((targets != IGNORED).sum())
    return total / count


def save(work: Path, model: GPT2, muon: torch.optim.Optimizer, adam: torch.optim.Optimizer, step: int) -> None:
    """Writes the whole state beside the old one, then swaps, so that a kill leaves one of the two."""
    fresh = work / "state.new"
    torch.save({"model": model.state_dict(), "muon": muon.state_dict(), "adam": adam.state_dict(), "step": step}, fresh)
    os.replace(fresh, work / "state")


def resume(work: Path, model: GPT2, muon: torch.optim.Optimizer, adam: torch.optim.Optimizer) -> int:
    """Loads the state left in `work`, if any; returns the number of steps done."""
    path = work / "state"
    if not path.exists():
        return 0
    state = torch.load(path, weights_only=True)
    model.load_state_dict(state["model"])
    muon.load_state_dict(state["muon"])
    adam.load_state_dict(state["adam"])
    return int(state["step"])


if __name__ == "__main__":
    main()
