"""A training does what its recipe says; `huggingtweets` does what the original did."""

import math
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import transformers

from models.engine.gpt2 import GPT2
from models.engine.voices import Base, load_base
from tests.factories import Shape, make_base, sentences, torch_low_rank
from training.corpus import Piece
from training.engine.data import Plan, make_plan, tokenise
from training.engine.evaluate import HeldOut, evaluate, held_out_rows
from training.engine.loop import Tick, Trained, Trainee, Training, learning_rate
from training.recipe import Recipe, recipe_named

ORIGINAL = recipe_named("huggingtweets")
STANDARD = replace(recipe_named("standard"), bf16=False, batch_tokens=128)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_base(tmp_path_factory.mktemp("base"), loud=2.0)


class Trial:
    """A training of invented text in memory, and what became of it."""

    def __init__(self, folder: Path, run: Path, recipe: Recipe, texts: Sequence[str], seed: int = 3) -> None:
        self.base: Base[GPT2] = load_base(folder, GPT2.load)
        self.before = {name: tensor.clone() for name, tensor in self.base.model.state_dict().items()}
        n_positions, marks = self.base.model.config.n_positions, self.base.marks
        tokens = tokenise([Piece("jo", text) for text in texts], self.base.tokenizer, ["jo"])
        self.plan: Plan = make_plan(tokens, [1.0], recipe, seed, marks, n_positions)
        pieces = [Piece("jo", text) for text in sentences(9, seed=8)]
        self.held_out: HeldOut = held_out_rows(pieces, self.base.tokenizer, marks, n_positions)
        self.base_score = evaluate(self.base.model, self.held_out)
        self.trainee = Trainee(self.base.model, recipe, seed)
        self.training = Training(self.trainee, self.plan, self.held_out, run)
        self.ticks: list[tuple[int, float, float | None]] = []

    def run(self) -> Trained:
        return self.training.run(self.hear, lambda: False)

    def hear(self, tick: Tick) -> None:
        self.ticks.append((tick.position.step, tick.loss, tick.held_out_loss))


Try = Callable[..., Trial]


@pytest.fixture
def trial(folder: Path, tmp_path: Path) -> Try:
    def make(recipe: Recipe, texts: Sequence[str] = tuple(sentences(60)), base: Path = folder, **said: object) -> Trial:
        return Trial(base, tmp_path, recipe, texts, **said)  # type: ignore[arg-type]

    return make


# --- huggingtweets ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def long_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_base(tmp_path_factory.mktemp("long"), Shape(1, 16, 2, 1024), loud=2.0)


def test_the_original_takes_a_step_for_every_1024_tokens_of_its_four_epochs(trial: Try, long_base: Path) -> None:
    texts = sentences(110)
    tried = trial(ORIGINAL, texts, long_base)
    epoch = [token for text in texts for token in [*tried.base.tokenizer.encode(text).ids, tried.base.marks.end]]
    tokens = 1 + 4 * len(epoch)
    steps = tokens // 1024
    assert tokens % 1024 > 0
    assert steps >= 5
    trained = tried.run()
    assert trained.position.step == steps == len(tried.ticks)
    assert trained.position.tokens == steps * 1023
    assert tried.training.rates == pytest.approx(
        [1.372e-4 * 0.5 * (1 + math.cos(math.pi * step / steps)) for step in range(steps)], rel=1e-12
    )
    seen = Counter(token for batch in tried.plan.batches for row, _ in batch for token in row)
    whole = Counter({token: 4 * times for token, times in Counter(epoch).items()}) + Counter([tried.base.marks.end])
    assert seen <= whole
    assert whole.total() - seen.total() == tokens % 1024


def test_the_original_trains_every_weight_in_single_precision(trial: Try, long_base: Path) -> None:
    tried = trial(ORIGINAL, sentences(110), long_base)
    trained = tried.run()
    assert not tried.training.bf16
    assert trained.tensors.keys() == tried.before.keys()
    for name, tensor in trained.tensors.items():
        assert tensor.dtype == torch.float32
        changed = (tensor != tried.before[name]).float().mean()
        # Of the positions only the last is never read: what follows it is outside the block.
        assert changed > (0.99 if name != "wpe.weight" else 1022.5 / 1024), name


@pytest.mark.parametrize("layers", [1, 2])
def test_the_original_is_what_a_plain_loop_with_the_librarys_parts_makes(
    layers: int, trial: Try, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """AdamW, clipping and the cosine as the library has them, on the library's own model; dropout off to compare."""
    base = make_base(tmp_path_factory.mktemp("calm"), Shape(layers, 32, 2, 64), dropout=0.0, loud=4.0)
    tried = trial(ORIGINAL, sentences(30), base)
    reference = transformers.GPT2LMHeadModel.from_pretrained(base, dtype=torch.float32).train()
    optimiser = torch.optim.AdamW(reference.parameters(), lr=1.372e-4, weight_decay=0.0, fused=False)
    steps = len(tried.plan.batches)
    schedule = transformers.get_cosine_schedule_with_warmup(optimiser, 0, steps)
    norms, losses = [], []
    for batch in tried.plan.batches:
        ids = torch.tensor([row for row, _ in batch])
        assert ids.shape == (1, 64)
        loss = reference(ids, labels=ids).loss
        loss.backward()
        norms.append(torch.nn.utils.clip_grad_norm_(reference.parameters(), 1.0).item())
        optimiser.step()
        schedule.step()
        optimiser.zero_grad()
        losses.append(loss.item())
    assert min(norms) > 1.0  # so clipping mattered
    assert max(norms) > 1.2 * min(norms)
    trained = tried.run()
    assert [loss for _, loss, _ in tried.ticks] == pytest.approx(losses, rel=1e-4)
    for name, tensor in reference.transformer.state_dict().items():
        moved = (tensor - tried.before[name]).abs().max()
        assert moved > 5e-4
        assert (trained.tensors[name] - tensor).abs().max() < 0.02 * moved, name


def test_the_original_keeps_the_dropout_of_its_base_also_within_attention(
    trial: Try, tmp_path_factory: pytest.TempPathFactory
) -> None:
    base = make_base(tmp_path_factory.mktemp("wet"), dropout=0.25)
    trainee = trial(ORIGINAL, base=base).trainee
    rates = {module.p for module in trainee.model.modules() if isinstance(module, torch.nn.Dropout)}
    assert rates == {0.25}
    value = torch.ones(1, 2, 40, 16)
    mixed = trainee.attend()(0, value, value, value)
    assert (mixed == 0).any() or mixed.std() > 0  # without dropout, averages of ones are ones
    assert mixed.mean() == pytest.approx(1.0, abs=0.1)


def test_other_recipes_drop_nothing(trial: Try) -> None:
    trainee = trial(STANDARD).trainee.model.train()
    ids = torch.tensor([[1, 2, 3]])
    assert torch.equal(trainee(ids), trainee(ids))


@pytest.mark.parametrize(("recipe", "decay"), [(ORIGINAL, 0.0), (STANDARD, 1.0), (recipe_named("standard-full"), 0.0)])
def test_only_adapters_decay_for_what_they_decay_to_is_the_base(recipe: Recipe, decay: float, trial: Try) -> None:
    (group,) = trial(recipe).training.optimiser.param_groups
    assert (group["weight_decay"], group["betas"], group["eps"]) == (decay, (0.9, 0.999), 1e-8)


# --- Adapters ---------------------------------------------------------------------------------------------------------


def test_an_adapter_starts_exactly_at_the_base_and_leaves_its_weights_alone(trial: Try) -> None:
    tried = trial(STANDARD)
    assert evaluate(tried.base.model, tried.held_out, tried.trainee.differences()) == tried.base_score
    trained = tried.run()
    for name, tensor in tried.base.model.state_dict().items():
        assert torch.equal(tensor, tried.before[name])
    assert len(trained.tensors) == 2 * (2 * 4 + 1)  # pairs for two layers of four projections and the embedding
    assert all(tensor.abs().max() > 0 for tensor in trained.tensors.values())
    assert trained.score.loss < tried.base_score.loss - 0.1


def test_the_checkpoint_of_an_adapter_speaks_as_it_was_trained(trial: Try, folder: Path, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    from models.checkpoint import Checkpoint, write_checkpoint

    tried = trial(replace(STANDARD, rank=3, alpha=12.0))
    trained = tried.run()
    made = tmp_path / "made"
    made.mkdir()
    save_file({name: tensor.contiguous() for name, tensor in trained.tensors.items()}, made / "adapter.safetensors")
    write_checkpoint(made, Checkpoint("adapter", "tiny", tried.base.sha256, 3, 12.0))
    low_rank = torch_low_rank(made)
    score = evaluate(tried.base.model, tried.held_out, low_rank)
    assert score.loss == pytest.approx(trained.score.loss, rel=1e-4)  # adapters are read in 16 bits
    assert score.loss != pytest.approx(tried.base_score.loss, rel=1e-2)


def test_the_seed_decides_the_weights(trial: Try) -> None:
    one, two = (trial(STANDARD).run().tensors for _ in range(2))
    other = trial(replace(STANDARD, dropout=0.1)).run().tensors
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert not any(torch.equal(one[name], other[name]) for name in one)


# --- Rates, epochs ----------------------------------------------------------------------------------------------------


def test_the_rate_warms_up_in_a_line_then_falls_by_half_a_cosine() -> None:
    recipe = replace(STANDARD, warmup=0.1, learning_rate=1.0)
    rates = [learning_rate(recipe, step, 100) for step in range(100)]
    assert rates[:10] == pytest.approx([(step + 1) / 11 for step in range(10)])
    assert rates[10] == 1.0
    assert rates[55] == pytest.approx(0.5)
    assert 0 < rates[99] < 0.001
    assert learning_rate(recipe, 0, 1) == 1.0


def test_the_held_out_part_is_scored_after_every_epoch(trial: Try) -> None:
    tried = trial(STANDARD)
    trained = tried.run()
    scored = {step: loss for step, _, loss in tried.ticks if loss is not None}
    assert tuple(scored) == tried.plan.epoch_ends
    assert list(scored.values()) == trained.position.losses
    assert [step for step, _, _ in tried.ticks] == list(range(1, len(tried.plan.batches) + 1))


def test_members_end_as_one_adapter_that_is_their_mean(trial: Try) -> None:
    alone = [trial(STANDARD, seed=seed) for seed in (3, 4)]
    tensors = [tried.run().tensors for tried in alone]
    both = trial(replace(STANDARD, members=2), seed=3)
    trained = both.run()
    assert both.plan.batches == alone[0].plan.batches + alone[1].plan.batches
    assert len(trained.position.losses) == 2 * math.ceil(STANDARD.epochs)
    for name in (key.removesuffix(".lora_A") for key in trained.tensors if key.endswith(".lora_A")):
        mean = sum(found[f"{name}.lora_A"] @ found[f"{name}.lora_B"] for found in tensors) / 2
        ours = (
            trained.tensors[f"{name}.lora_A"] @ trained.tensors[f"{name}.lora_B"] / 2
        )  # alpha / rank: the rank is double
        torch.testing.assert_close(ours, mean)
    assert trained.score == evaluate(
        both.base.model, both.held_out, both.trainee.differences_of(trained.tensors, members=2)
    )


def test_time_spent_waiting_is_no_training_time_and_changes_no_weight(trial: Try) -> None:
    undisturbed, disturbed = trial(STANDARD).run(), trial(STANDARD)
    waited: list[float] = []

    def wait() -> float:
        began = time.monotonic()
        time.sleep(0.05)
        waited.append(time.monotonic() - began)
        return waited[-1]

    began = time.monotonic()
    trained = disturbed.training.run(disturbed.hear, lambda: False, wait)
    assert 0 < trained.position.seconds <= time.monotonic() - began - sum(waited[:-1])
    assert len(waited) == len(disturbed.plan.batches) > 5
    assert all(torch.equal(trained.tensors[name], tensor) for name, tensor in undisturbed.tensors.items())
