"""One training: from a base and a plan of batches to weights, resumable at any step."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.engine.device import has_fast_bf16
from models.engine.gpt2 import GPT2, Attend, LowRank, Projection, causal
from models.engine.shape import EMBEDDING, low_rank_pairs
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
        self.model, self.recipe, self.seed = model, recipe, seed
        torch.manual_seed(seed)
        for module in model.modules():
            if isinstance(module, nn.Dropout) and recipe.dropout is not None:
                module.p = recipe.dropout
        self.parameters: dict[str, nn.Parameter] = {}
        if recipe.method == "full":
            self.parameters = dict(model.named_parameters())
        else:
            model.requires_grad_(False)
            self.parameters = {name: nn.Parameter(value) for name, value in self._drawn(seed).items()}

    def _drawn(self, seed: int) -> dict[str, Tensor]:
        """One of A and B is drawn, the other is zero (Hu et al. 2021, "LoRA"): training starts exactly at the base."""
        generator = torch.Generator().manual_seed(seed)
        found = {}
        for name, module in self.model.named_modules():
            if isinstance(module, Projection):
                n_in, n_out = module.weight.shape
                found[f"{name}.lora_A"] = torch.randn(n_in, self.recipe.rank, generator=generator) / n_in**0.5
                found[f"{name}.lora_B"] = torch.zeros(self.recipe.rank, n_out)
        if rank := self.recipe.embedding_rank:
            n_tokens, width = self.model.wte.weight.shape
            found[f"{EMBEDDING}.lora_A"] = torch.zeros(n_tokens, rank)
            found[f"{EMBEDDING}.lora_B"] = torch.randn(rank, width, generator=generator) / width**0.5
        return {name: value.to(self.model.wte.weight.device) for name, value in found.items()}

    @torch.no_grad()
    def begin_again(self, member: int) -> None:
        """Starts the next adapter of several."""
        torch.manual_seed(self.seed + member)
        for name, value in self._drawn(self.seed + member).items():
            self.parameters[name].copy_(value)

    def differences(self) -> LowRank | None:
        """The low-rank pairs as the forward pass takes them; None where all weights are trained."""
        return self.differences_of(self.parameters)

    def differences_of(self, tensors: Mapping[str, Tensor], members: int = 1) -> LowRank | None:
        """The same of the tensors of an adapter that `members` were joined to."""
        if self.recipe.method == "full":
            return None
        return low_rank_pairs(tensors, self.recipe.alpha / (self.recipe.rank * members))

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
        self.members: list[dict[str, Tensor]] = []  # what those that are done have ended with
        self.device = str(trainee.model.wte.weight.device)
        self.bf16 = recipe.bf16 and (self.device != "cpu" or has_fast_bf16())
        self.rates: list[float] = []  # the learning rate of every step taken here

    def run(
        self, tell: Callable[[Tick], None], stop: Callable[[], bool], wait: Callable[[], float] = lambda: 0.0
    ) -> Trained:
        """Trains to the end of the plan; raises Stopped after saving when `stop` says so. Between two steps `wait` may
        take its time; it returns the seconds, which do not count as training."""
        self._resume()
        trainee, steps = self.trainee, len(self.plan.batches)
        trainee.model.train()
        saved, save_cost, before = time.monotonic(), 0.0, self.position.seconds
        began, waited = time.monotonic(), 0.0
        while self.position.step < steps:
            loss = self._step()
            epoch_loss = self._after_epoch() if self.position.step in self.plan.epoch_ends else None
            if self.position.step in self.plan.member_ends[:-1]:
                self._next_member()
            self.position.seconds = before + time.monotonic() - began - waited
            tell(Tick(self.position, steps, loss, epoch_loss))
            waited += wait()
            stopping, now = stop(), time.monotonic()
            # At most a twentieth of the time goes into saving, unless every step is to be saved.
            pause = max(self.save_seconds, 20.0 * save_cost) if self.save_seconds else 0.0
            if stopping or now - saved > pause:
                save_state(self.folder, self.position, self._tensors())
                saved = time.monotonic()
                save_cost = saved - now
            if stopping:
                raise Stopped
        tensors = joined([*self.members, self._weights()])
        score = evaluate(trainee.model, self.held_out, trainee.differences_of(tensors, trainee.recipe.members))
        return Trained(tensors, score, self.position)

    def _step(self) -> float:
        """One optimiser step; returns the batch's mean loss in nats a token."""
        trainee = self.trainee
        ends = (0, *self.plan.member_ends)
        start, end = ends[len(self.members) : len(self.members) + 2]
        rate = learning_rate(trainee.recipe, self.position.step - start, end - start)
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
        """Scores the held-out part."""
        loss = evaluate(self.trainee.model, self.held_out, self.trainee.differences()).loss
        self.position.losses.append(loss)
        return loss

    def _next_member(self) -> None:
        self.members.append({name: tensor.clone() for name, tensor in self._weights().items()})
        self.trainee.begin_again(len(self.members))
        self.optimiser.state.clear()

    def _weights(self) -> dict[str, Tensor]:
        return {name: parameter.detach() for name, parameter in self.trainee.parameters.items()}

    def _tensors(self) -> dict[str, Tensor]:
        """Weights, moments and the members that are done, by name."""
        found = {f"weight.{name}": tensor for name, tensor in self._weights().items()}
        for name, parameter in self.trainee.parameters.items():
            for moment, value in self.optimiser.state[parameter].items():
                found[f"{moment}.{name}"] = value
        for number, member in enumerate(self.members):
            found |= {f"member{number}.{name}": value for name, value in member.items()}
        return found

    def _resume(self) -> None:
        held = load_state(self.folder, self.device)
        if held is None:
            return
        self.position, tensors = held
        done = sum(end <= self.position.step for end in self.plan.member_ends[:-1])
        self.members = [
            {name: tensors[f"member{number}.{name}"] for name in self.trainee.parameters} for number in range(done)
        ]
        for name, parameter in self.trainee.parameters.items():
            with torch.no_grad():
                parameter.copy_(tensors[f"weight.{name}"])
            if f"step.{name}" in tensors:  # a member that has made no step has none
                self.optimiser.state[parameter] = {
                    moment: tensors[f"{moment}.{name}"] for moment in ("step", "exp_avg", "exp_avg_sq")
                }


def joined(members: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    """The mean of what adapters add is an adapter too: the sum of all A B is [A A ...] [B; B; ...], and alpha / rank
    divides it by their number, as the rank is so many times as large. Of one member: itself."""
    if len(members) == 1:
        return members[0]
    return {
        name: torch.cat([member[name] for member in members], dim=1 if name.endswith(".lora_A") else 0)
        for name in members[0]
    }
