"""One training: from a base and a plan of batches to weights, resumable at any step."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.engine.device import has_fast_bf16
from models.engine.gpt2 import EMBEDDING, GPT2, Attend, LowRank, Projection, causal
from training.engine.data import Plan, padded
from training.engine.evaluate import HeldOut, Score, evaluate
from training.engine.loss import next_token_nll
from training.engine.state import Position, load_state, save_state
from training.recipe import Recipe

SAVE_SECONDS = 10.0  # at least, between two states; 0 saves one after every step


class Stopped(Exception):
    """The training was asked to stop; its state is saved."""


@dataclass(frozen=True)
class Tick:
    """What the loop tells after a step."""

    position: Position
    steps: int
    loss: float
    held_out_loss: float | None


@dataclass(frozen=True)
class Trained:
    """The weights that were trained, by name, and how it went."""

    tensors: dict[str, Tensor]
    score: Score
    position: Position


class Trainee:
    """A base model with what is to be trained of it: all its weights, or low-rank differences of its projections."""

    def __init__(self, model: GPT2, recipe: Recipe, seed: int) -> None:
        self.model, self.recipe = model, recipe
        torch.manual_seed(seed)
        for module in model.modules():
            if isinstance(module, nn.Dropout) and recipe.dropout is not None:
                module.p = recipe.dropout
        self.parameters: dict[str, nn.Parameter] = {}
        self.low_rank: dict[str, tuple[nn.Parameter, nn.Parameter]] = {}
        if recipe.method == "full":
            self.parameters = dict(model.named_parameters())
        else:
            model.requires_grad_(False)
            self._add_low_rank(seed)

    def _add_low_rank(self, seed: int) -> None:
        """One of A and B is drawn, the other is zero (Hu et al. 2021, "LoRA"): training starts exactly at the base."""
        generator = torch.Generator().manual_seed(seed)
        for name, module in self.model.named_modules():
            if isinstance(module, Projection):
                n_in, n_out = module.weight.shape
                a = torch.randn(n_in, self.recipe.rank, generator=generator) / n_in**0.5
                self._add(name, a, torch.zeros(self.recipe.rank, n_out))
        if rank := self.recipe.embedding_rank:
            n_tokens, width = self.model.wte.weight.shape
            self._add(
                EMBEDDING, torch.zeros(n_tokens, rank), torch.randn(rank, width, generator=generator) / width**0.5
            )

    def _add(self, name: str, a: Tensor, b: Tensor) -> None:
        device = self.model.wte.weight.device
        self.low_rank[name] = nn.Parameter(a.to(device)), nn.Parameter(b.to(device))
        self.parameters[f"{name}.lora_A"], self.parameters[f"{name}.lora_B"] = self.low_rank[name]

    def differences(self) -> LowRank | None:
        """The low-rank pairs as the forward pass takes them, scaled by alpha / rank."""
        if not self.low_rank:
            return None
        scale = self.recipe.alpha / self.recipe.rank
        return {name: (a, b * scale) for name, (a, b) in self.low_rank.items()}

    def attend(self) -> Attend:
        """Causal attention, with the base's dropout on its weights where the recipe keeps that. A recipe's own is for
        the residual stream alone: a random number for every two tokens more than halves the speed."""
        rate = self.model.config.dropout
        if self.recipe.dropout is not None or not rate:
            return causal
        return lambda _, query, key, value: F.scaled_dot_product_attention(
            query, key, value, is_causal=True, dropout_p=rate
        )


def learning_rate(recipe: Recipe, step: int, steps: int) -> float:
    """Linear warm-up, then half a cosine to zero (Loshchilov and Hutter 2017, "SGDR", without restarts)."""
    warmup = int(recipe.warmup * steps)
    if step < warmup:
        return recipe.learning_rate * (step + 1) / (warmup + 1)
    return recipe.learning_rate * 0.5 * (1.0 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))


class Training:
    """Owns the optimiser and the position; `run` goes on from wherever the run folder's newest state is."""

    def __init__(
        self, trainee: Trainee, plan: Plan, held_out: HeldOut, run: Path, save_seconds: float = SAVE_SECONDS
    ) -> None:
        self.trainee, self.plan, self.held_out, self.folder = trainee, plan, held_out, run
        self.save_seconds = save_seconds
        recipe = trainee.recipe
        self.optimiser = torch.optim.AdamW(
            trainee.parameters.values(),
            lr=recipe.learning_rate,
            betas=recipe.betas,
            eps=recipe.epsilon,
            weight_decay=recipe.weight_decay,
            fused=True,
        )
        self.position = Position()
        self.best: dict[str, Tensor] = {}
        self.device = str(trainee.model.wte.weight.device)
        self.bf16 = recipe.bf16 and (self.device != "cpu" or has_fast_bf16())
        self.rates: list[float] = []  # the learning rate of every step taken here

    def run(self, tell: Callable[[Tick], None], stop: Callable[[], bool]) -> Trained:
        """Trains to the end of the plan; raises Stopped after saving when `stop` says so."""
        self._resume()
        trainee, steps = self.trainee, len(self.plan.batches)
        trainee.model.train()
        saved, save_cost, before = time.monotonic(), 0.0, self.position.seconds
        began = time.monotonic()
        while self.position.step < steps:
            loss = self._step(steps)
            epoch_loss = self._after_epoch() if self.position.step in self.plan.epoch_ends else None
            now = time.monotonic()
            self.position.seconds = before + now - began
            stopping = stop()
            # At most a twentieth of the time goes into saving, unless every step is to be saved.
            pause = max(self.save_seconds, 20.0 * save_cost) if self.save_seconds else 0.0
            if stopping or now - saved > pause:
                save_state(self.folder, self.position, self._tensors())
                saved = time.monotonic()
                save_cost = saved - now
            tell(Tick(self.position, steps, loss, epoch_loss))
            if stopping:
                raise Stopped
        if trainee.recipe.keep_best and self.best:
            self._put(self.best)
        score = evaluate(trainee.model, self.held_out, trainee.differences())
        return Trained({name: p.detach() for name, p in trainee.parameters.items()}, score, self.position)

    def _step(self, steps: int) -> float:
        """One optimiser step; returns the batch's mean loss in nats a token."""
        trainee = self.trainee
        rate = learning_rate(trainee.recipe, self.position.step, steps)
        self.rates.append(rate)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        inputs, targets = padded(self.plan.batches[self.position.step], self.device)
        count = int((targets >= 0).sum())
        with torch.autocast(self.device.split(":")[0], torch.bfloat16, enabled=self.bf16):
            low_rank = trainee.differences()
            hidden = trainee.model(inputs, attend=trainee.attend(), low_rank=low_rank)
            loss = next_token_nll(trainee.model, hidden, targets, low_rank) / count
        loss.backward()
        nn.utils.clip_grad_norm_(trainee.parameters.values(), trainee.recipe.clip)
        self.optimiser.step()
        self.optimiser.zero_grad()
        self.position.step += 1
        self.position.tokens += count
        return loss.item()

    def _after_epoch(self) -> float:
        """Scores the held-out part and remembers the weights if they are the best so far."""
        trainee = self.trainee
        loss = evaluate(trainee.model, self.held_out, trainee.differences()).loss
        self.position.losses.append(loss)
        if loss < self.position.best_loss:
            self.position.best_loss = loss
            if trainee.recipe.keep_best:
                self.best = {name: p.detach().clone() for name, p in trainee.parameters.items()}
        return loss

    def _tensors(self) -> dict[str, Tensor]:
        """Weights, moments and the best weights so far, by name."""
        found = {f"weight.{name}": p.detach() for name, p in self.trainee.parameters.items()}
        for name, parameter in self.trainee.parameters.items():
            for moment, value in self.optimiser.state[parameter].items():
                found[f"{moment}.{name}"] = value
        return found | {f"best.{name}": value for name, value in self.best.items()}

    def _resume(self) -> None:
        held = load_state(self.folder, self.device)
        if held is None:
            return
        self.position, tensors = held
        self._put(
            {name.removeprefix("weight."): value for name, value in tensors.items() if name.startswith("weight.")}
        )
        self.best = {name.removeprefix("best."): value for name, value in tensors.items() if name.startswith("best.")}
        for name, parameter in self.trainee.parameters.items():
            self.optimiser.state[parameter] = {
                moment: tensors[f"{moment}.{name}"] for moment in ("step", "exp_avg", "exp_avg_sq")
            }

    @torch.no_grad()
    def _put(self, tensors: dict[str, Tensor]) -> None:
        for name, parameter in self.trainee.parameters.items():
            parameter.copy_(tensors[name])
