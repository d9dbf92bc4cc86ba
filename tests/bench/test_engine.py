"""The engine's benchmark does the same work with everyone, and says of every figure what it is or why it is not."""

import asyncio
import json
import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM, AutoTokenizer

from bench import engine, lag, limits, material, parts, peers
from bench.apart import Apart, Missing
from bench.engine import FIGURES, NAMED, PARTS, measure, missing, parse, report, table
from bench.material import PROMPT_TOKENS, Material, random_base
from bench.ours import Worker
from bench.parts import QUICK, Contest, Contestant, take_turns
from bot.hub import find_base
from bot.pool.protocol import ScoreWish
from models.engine.gpt2 import GPT2
from models.engine.tokenizer import marks_of
from models.engine.voices import load_base
from models.wire import Item
from training.engine.evaluate import evaluate, held_out_rows

PLAN = replace(QUICK, rounds=2, personas=9, tokens=5, threads=1)
SHAPE = {"vocab_size": 8_200, "n_positions": 64, "n_embd": 16, "n_layer": 1, "n_head": 1}


@pytest.fixture(autouse=True)
def _without_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "PAUSE", 0.0)


@pytest.fixture(scope="module")
def stuff(tmp_path_factory: pytest.TempPathFactory) -> Material:
    work = tmp_path_factory.mktemp("bench")
    return Material("tiny", random_base(work / "base", find_base("fledgling"), SHAPE), work)


# --- The material -----------------------------------------------------------------------------------------------------


def test_a_random_base_reads_as_the_bundled_one_and_its_further_tokens_cannot_be_typed(stuff: Material) -> None:
    bundled = Tokenizer.from_file(str(find_base("fledgling") / "tokenizer.json"))
    text = "the kettle sings <spare 8199> twice"
    assert stuff.tokenizer.encode(text).ids == bundled.encode(text).ids
    assert stuff.tokenizer.decode([8199]) == "<spare 8199>"


def test_a_random_base_is_one_that_transformers_reads_whole(stuff: Material) -> None:
    model, told = AutoModelForCausalLM.from_pretrained(stuff.base, output_loading_info=True)
    assert not any(told.values())
    assert stuff.read_weights == sum(p.numel() for p in model.parameters()) - SHAPE["n_positions"] * SHAPE["n_embd"]


def test_prompts_are_different_and_of_the_promised_length(stuff: Material) -> None:
    prompts = stuff.prompts(8)
    assert len(set(prompts)) == 8
    assert {1 + len(stuff.tokenizer.encode(prompt).ids) for prompt in prompts} == {PROMPT_TOKENS}


def test_a_merged_model_says_what_the_base_says_with_the_adapter(stuff: Material) -> None:
    first, other = stuff.personas(2)
    item = Item("the kettle sings and my moth counts buttons")

    async def nats(worker: Worker, base: Path, checkpoint: Path | None) -> float:
        return (await worker.pool.score(ScoreWish(base, checkpoint, (item,)))).nats[0]

    async def of_all(worker: Worker) -> list[float]:
        asked = [(stuff.base, first), (stuff.merged, None), (stuff.base, other), (stuff.base, None)]
        return [await nats(worker, *each) for each in asked]

    with Worker("cpu", 1, stuff.work / "worker.log") as worker:
        adapted, merged, strange, base = worker.runner.run(of_all(worker))
    # In 8 bits the two are not the same to the last digit.
    assert abs(adapted - merged) < 0.1 * min(abs(strange - merged), abs(base - merged))


def test_trainings_of_a_mix_get_its_texts_as_one_persons() -> None:
    corpus = material.corpus_of(["lighthousejo", "ProfPettigrew"], 100)
    assert len(corpus.train) == 100
    assert {piece.handle for piece in (*corpus.train, *corpus.held_out)} == {"lighthousejo"}
    assert {piece.text for piece in corpus.train}.isdisjoint(piece.text for piece in corpus.held_out)


# --- Turns ------------------------------------------------------------------------------------------------------------


def test_contestants_take_turns_at_going_first() -> None:
    said: list[str] = []

    def contestant(name: str) -> Contestant:
        return lambda: said.append(name) or 7

    found = take_turns({name: contestant(name) for name in "ab"}, 7, PLAN)
    assert "".join(said) == "baabba"
    assert {name: len(seconds) for name, seconds in found.items()} == {"a": 2, "b": 2}


def test_who_makes_fewer_tokens_than_the_others_is_found_out() -> None:
    with pytest.raises(ValueError, match="b made 6 tokens, not 7"):
        take_turns({"a": lambda: 7, "b": lambda: 6}, 7, PLAN)


def test_a_ratio_is_of_medians_and_larger_where_the_peer_is_slower(stuff: Material) -> None:
    times = {"run": {"ours": [1.0, 2.0, 9.0], "them": [8.0, 3.0, 8.0]}}
    assert Contest(stuff, PLAN, times=times, figures={"lag": 5.0}).all_figures == {"run_vs_them": 4.0, "lag": 5.0}


# --- The peers --------------------------------------------------------------------------------------------------------


def test_what_is_apart_answers_from_a_process_of_its_own() -> None:
    apart = Apart(list, "kettle")
    assert apart.call("count", "t") == 2
    with pytest.raises(Missing, match="'z' is not in list"):
        apart.call("index", "z")


@pytest.mark.parametrize(
    ("make", "argument", "reason"),
    [
        (peers.library, "no_such_peer", "no_such_peer cannot be imported"),
        (int, "kettle", "invalid literal for int"),
        (os._exit, 3, "its process ended with status 3"),
    ],
)
def test_it_is_told_why_a_peer_cannot_be_had(make: Callable[..., object], argument: object, reason: str) -> None:
    with pytest.raises(Missing, match=reason):
        Apart(make, argument)


def test_transformers_makes_as_many_tokens_as_are_wanted(stuff: Material) -> None:
    them = peers.Transformers(stuff.merged, "cpu", torch.get_num_threads())
    assert them.texts(stuff.prompt, 3, 5) == them.generated(stuff.prompt, 3, 5) == 3 * 5


def test_a_recipes_loss_is_measured_as_ours_is(stuff: Material) -> None:
    pieces = material.corpus_of(["lighthousejo"], 1).held_out[:5]
    model, tokenizer = (made.from_pretrained(stuff.base) for made in (AutoModelForCausalLM, AutoTokenizer))
    base = load_base(stuff.base, GPT2.load)
    ours = evaluate(base.model, held_out_rows(pieces, base.tokenizer, marks_of(base.tokenizer), SHAPE["n_positions"]))
    assert peers.loss_of(model, tokenizer, [piece.text for piece in pieces]) == pytest.approx(ours.loss, rel=1e-4)


# --- Limits -----------------------------------------------------------------------------------------------------------


def test_few_rows_are_limited_by_reading_and_many_by_computing() -> None:
    machine = {"read_gb_s": 10.0, "gflops": {"fp32": 100.0, "int8": 400.0}}
    assert limits.least_ms(100_000_000, 1, machine, "cpu") == pytest.approx(10.0)
    assert limits.least_ms(100_000_000, 1, machine, "cuda") == pytest.approx(20.0)
    assert limits.least_ms(100_000_000, 32, machine, "cpu") == pytest.approx(16.0)


async def test_a_loop_that_is_held_up_is_late() -> None:
    asyncio.get_running_loop().call_later(0.02, time.sleep, 0.1)
    lags = await lag.lateness(0.2, lambda: False)
    assert lags[-1] > 50
    assert lags == sorted(lags)


# --- The whole --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "device",
    [
        "cpu",
        pytest.param(
            "cuda",
            marks=[
                pytest.mark.gpu,
                pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device"),
            ],
        ),
    ],
)
def test_every_figure_is_there_or_it_is_said_why(stuff: Material, device: str) -> None:
    contest = Contest(stuff, replace(PLAN, rounds=1), device)
    chosen = [parts.adapters_32, parts.adapter_switch]
    told: list[int] = []
    measure([contest], chosen, lambda: told.append(len(contest.took)))
    contest.until = time.monotonic() - 1.0
    measure([contest], [parts.loop_lag], lambda: None)
    assert told == [1, 2]

    found = json.loads(json.dumps(report([contest])))
    assert {figure for figure in FIGURES if found[figure] is not None} == {"adapters_32_vs_merged", "adapter_switch_ms"}
    seconds = found["seconds"]["adapters_32"]
    assert found["adapters_32_vs_merged"] == seconds["merged"] / seconds["ours"]
    assert len(found["models"]["tiny"]["times"]["adapters_32"]["ours"]) == 1
    assert found["skipped"]["adapters_32_vs_peft"] == "peft takes too long for --quick"
    assert found["skipped"]["loop_lag_p99_ms"] == "the time was over"
    assert found["skipped"]["worker_first_token_s"] == engine.NOT_ASKED
    assert set(found["skipped"]) == {figure for figure in FIGURES if found[figure] is None}

    assert table(found).row_count == 2
    assert set(missing(found)) == {
        "tiny, no adapters_32_vs_peft: peft takes too long for --quick",
        "tiny, no loop_lag_p99_ms: the time was over",
    }


def test_a_part_that_fails_costs_only_its_own_figures(stuff: Material) -> None:
    contest = Contest(Material("broken", stuff.base / "nowhere", stuff.work / "none"), PLAN)
    measure([contest], [parts.adapter_switch], lambda: None)
    assert "No such file" in contest.skipped["adapter_switch_ms"]
    assert contest.all_figures == {}


def test_only_parts_that_exist_can_be_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert parse(["--json", "f", "--parts", "loop_lag,imitate_5"]).parts == (parts.imitate_5, parts.loop_lag)
    assert parse(["--json", "f"]).parts == tuple(PARTS)
    with pytest.raises(SystemExit):
        parse(["--json", "f", "--parts", "imitate_6"])
    said = " ".join(capsys.readouterr().err.split())
    assert f"imitate_6 is none of {', '.join(NAMED)}" in said
