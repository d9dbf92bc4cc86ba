"""A persona writes what moderation accepts; seeds explain every text; damage is told with what to do about it."""

import shutil
import unicodedata
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from bot.app import App
from bot.config import load_config
from bot.domain import SHELL, Candidate, Verdict
from bot.errors import (
    BaseUnavailable,
    CorruptCheckpoint,
    MessageRefused,
    NoCheckpoint,
    PromptRefused,
    UnknownPersona,
)
from bot.flows.choose import chosen, seeds_of
from bot.flows.imitate import last_words, report
from bot.moderation import Repeats
from bot.pool.protocol import ScoreWish
from bot.store import personas
from bot.tweetlength import weighted_length
from models.checkpoint import Checkpoint, write_checkpoint
from models.wire import Item
from tests.factories import Shape, make_base

PERSONA = "gullwatcher"


@pytest.fixture
def data(tmp_path: Path, trained_data: Path) -> Path:
    return Path(shutil.copytree(trained_data, tmp_path / "data"))


@asynccontextmanager
async def opened(data: Path, environ: dict[str, str], **settings: object) -> AsyncIterator[App]:
    chosen = {f"MOCKINGBIRD__{name}": str(value) for name, value in settings.items()}
    async with App(load_config(None, environ | chosen), data, {}) as app:
        yield app


def block(tmp_path: Path, *texts: str) -> Path:
    """A block list of the longest word of each text."""
    path = tmp_path / "block.txt"
    path.write_text("\n".join(max(text.split(), key=lambda word: sum(map(str.isalpha, word))) for text in texts))
    return path


async def test_the_same_seed_gives_the_same_texts_each_to_be_had_alone(data: Path, environ: dict[str, str]) -> None:
    async with opened(data, environ) as app:
        several = await app.imitator.imitate(PERSONA, "the gull", 5, 7, app.sampling)
        assert await app.imitator.imitate("@GullWatcher", " the \n gull ", 5, 7, app.sampling) == several
        assert len(several.accepted) == 5
        assert len({candidate.text for candidate in several.candidates}) == 5
        assert all(candidate.text.startswith("the gull") for candidate in several.candidates)
        for candidate in several.candidates[1::2]:
            alone = await app.imitator.imitate(PERSONA, "the gull", 1, candidate.seed, app.sampling)
            assert alone.candidates == (candidate,)


async def test_no_text_holds_what_would_move_a_cursor_or_ring_a_bell(data: Path, environ: dict[str, str]) -> None:
    async with opened(data, environ) as app:
        done = await app.imitator.imitate(PERSONA, "", 24, 7, replace(app.sampling, temperature=2.0))
    written = {character for candidate in done.candidates for character in candidate.text}
    assert len(written) > 50
    assert {character for character in written - {"\n"} if unicodedata.category(character) == "Cc"} == set()


async def test_refused_candidates_are_replaced_by_later_seeds(
    data: Path, environ: dict[str, str], tmp_path: Path
) -> None:
    async with opened(data, environ, SAMPLING__CANDIDATES=1) as app:
        free = (await app.imitator.imitate(PERSONA, "", 12, 7, app.sampling)).accepted
    blocked = block(tmp_path, free[1].text, free[2].text)
    async with opened(data, environ, MODERATION__BLOCK_LIST=blocked, SAMPLING__CANDIDATES=1) as app:
        kept = (await app.imitator.imitate(PERSONA, "", 5, 7, app.sampling)).accepted
    expected = [text for text in free if text in kept]
    assert len(kept) == 5
    assert list(kept) == expected[:5]
    assert not {free[1].seed, free[2].seed} & {candidate.seed for candidate in kept}


async def test_when_the_tries_run_out_what_was_refused_is_shown_behind_what_was_not(
    data: Path, environ: dict[str, str], tmp_path: Path
) -> None:
    async with opened(data, environ, SAMPLING__CANDIDATES=1) as app:
        free = (await app.imitator.imitate(PERSONA, "", 3, 7, app.sampling)).accepted
    blocked = block(tmp_path, free[0].text)
    once = {"SAMPLING__TRIES": 1, "SAMPLING__CANDIDATES": 1}
    async with opened(data, environ, MODERATION__BLOCK_LIST=blocked, **once) as app:
        done = await app.imitator.imitate(PERSONA, "", 3, 7, app.sampling)
    assert done.accepted == tuple(text for text in done.candidates if text.verdict.accepted)
    assert done.candidates[-1].verdict.reasons == ("blocked",)
    assert len(done.candidates) == 3
    assert done.reasons == "blocked"


# --- Of several candidates one is taken -------------------------------------------------------------------------------


async def each(data: Path, environ: dict[str, str], seed: int, message: str | None) -> list[Candidate]:
    """The candidates for the text of this seed, each made by itself."""
    async with opened(data, environ, SAMPLING__CANDIDATES=1) as app:
        made = [
            await app.imitator.imitate(PERSONA, "the gull", 1, number, app.sampling, message)
            for number in seeds_of(seed, 4)
        ]
    return [done.candidates[0] for done in made]


@pytest.mark.parametrize("message", [None, "where is the kettle?"])
async def test_the_most_characteristic_candidate_is_taken_and_the_answer_that_fits_its_message_best(
    data: Path, environ: dict[str, str], message: str | None
) -> None:
    base, checkpoint = Path(environ["MOCKINGBIRD__MODEL__BASE"]), data / "runs" / "1" / "checkpoint"
    compared = 0
    for seed in range(7, 11):
        candidates = await each(data, environ, seed, message)
        assert all(found.rank is None and found.verdict.accepted for found in candidates)
        if [found.seed for found in candidates] != seeds_of(seed, 4):
            continue  # one was refused, and the text of another seed stands for it
        compared += 1
        async with opened(data, environ) as app:
            done = await app.imitator.imitate(PERSONA, "the gull", 1, seed, app.sampling, message)
            assert done.message == message
            items = tuple(Item(found.text, message) for found in candidates)
            ours = await app.pool.score(ScoreWish(base, checkpoint if message is None else None, items))
            if message is None:
                other = await app.pool.score(ScoreWish(base, None, items))
                gains = [(b - 2 * a) / n for a, b, n in zip(ours.nats, other.nats, ours.tokens, strict=True)]
            else:
                plain = tuple(Item(found.text, "") for found in candidates)
                other = await app.pool.score(ScoreWish(base, None, plain))
                gains = [b - a for a, b in zip(ours.nats, other.nats, strict=True)]
        best = candidates[gains.index(max(gains))]
        assert len(set(gains)) == 4
        assert done.candidates == (replace(best, seed=seed, rank=max(gains)),)
    assert compared >= 2


async def test_what_moderation_refuses_is_not_taken_however_characteristic(
    data: Path, environ: dict[str, str], tmp_path: Path
) -> None:
    async with opened(data, environ) as app:
        first = (await app.imitator.imitate(PERSONA, "the gull", 1, 8, app.sampling)).candidates[0]
    blocked = block(tmp_path, first.text)
    async with opened(data, environ, MODERATION__BLOCK_LIST=blocked) as app:
        done = await app.imitator.imitate(PERSONA, "the gull", 1, 8, app.sampling)
        spoken = await app.speaker.speak(done.persona, "the gull", 8, None, Repeats({}))
    second = done.candidates[0]
    assert second.verdict.accepted
    # What it was taken from goes along: what is acceptable, the best first, and why the rest is not.
    assert len(done.others) == 3
    others = sorted((other for other in done.others if other.verdict.accepted), key=lambda other: -(other.rank or 0))
    assert [other["text"] for other in spoken.alternatives] == [other.text for other in others]
    assert (spoken.text, spoken.cause["rank"]) == (second.text, second.rank)
    assert spoken.cause["refused"] == [list(o.verdict.reasons) for o in done.others if not o.verdict.accepted] != []
    assert second.text != first.text
    assert second.seed == first.seed
    assert first.rank is not None
    assert second.rank is not None
    assert second.rank < first.rank


@pytest.mark.parametrize("found", [True, False])
async def test_a_persona_of_its_own_weights_is_ranked_if_its_base_can_be_found(
    data: Path, environ: dict[str, str], found: bool
) -> None:
    folder, base = data / "runs" / "1", Path(environ["MOCKINGBIRD__MODEL__BASE"])
    shutil.rmtree(folder / "checkpoint")
    make_base(folder / "checkpoint", Shape(n_positions=128), seed=5)
    write_checkpoint(folder / "checkpoint", Checkpoint("model", "tiny", "00"))
    spec = (folder / "run.json").read_text().replace('"method": "adapter"', '"method": "full"')
    assert '"full"' in spec
    (folder / "run.json").write_text(spec if found else spec.replace(str(base), "/nowhere/gone"))
    async with opened(data, environ) as app:
        alone = await app.imitator.imitate(PERSONA, "", 2, 7, app.sampling)
        reply = await app.imitator.imitate(PERSONA, "", 2, 7, app.sampling, "tea?")
    assert [candidate.rank is not None for candidate in alone.accepted] == [found] * 2
    assert [candidate.rank is not None for candidate in reply.accepted] == [True] * 2


NO, YES = Verdict(("blocked",)), Verdict()


@pytest.mark.parametrize(
    ("made", "index"),
    [
        ([(YES, 0.1), (YES, 0.3), (YES, 0.2)], 1),
        ([(NO, None), (YES, -5.0), (YES, -6.0)], 1),
        ([(YES, 0.2), (YES, 0.2)], 0),
        ([(YES, None), (YES, None)], 0),
        ([(YES, None), (YES, -9.0)], 1),
        ([(NO, None), (NO, None)], 0),
    ],
)
def test_the_highest_rank_wins_and_of_equals_the_first(made: list[tuple[Verdict, float | None]], index: int) -> None:
    candidates = [Candidate(str(number), 7, verdict, rank) for number, (verdict, rank) in enumerate(made)]
    assert chosen(candidates) is candidates[index]


def test_the_first_seed_of_a_text_is_its_own_and_the_others_differ() -> None:
    assert seeds_of(7, 1) == [7]
    seeds = [number for seed in range(50) for number in seeds_of(seed, 4)]
    assert len(set(seeds)) == 200
    assert seeds[::4] == list(range(50))
    assert all(0 <= number < 2**63 for number in seeds)


# --- What cannot be imitated ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("message", "why"), [("call me at 555-0123", "personal data"), (" @jo \u200b https://t.co/a1", "it holds no words")]
)
async def test_a_refused_message_starts_no_worker(data: Path, environ: dict[str, str], message: str, why: str) -> None:
    async with opened(data, environ) as app:
        with pytest.raises(MessageRefused, match=rf"The message to reply to was refused \({why}\)"):
            await app.imitator.imitate(PERSONA, "", 5, 7, app.sampling, message)
        assert app.pool.worker_pid is None


async def test_a_refused_prompt_starts_no_worker(data: Path, environ: dict[str, str]) -> None:
    async with opened(data, environ) as app:
        with pytest.raises(PromptRefused, match=r"The prompt was refused \(personal data\)"):
            await app.imitator.imitate(PERSONA, "call me at 555-0123", 5, 7, app.sampling)
        assert app.pool.worker_pid is None


async def test_a_prompt_that_is_too_long_loses_its_beginning(data: Path, environ: dict[str, str]) -> None:
    prompt = " ".join(f"rain{number}" for number in range(200))
    async with opened(data, environ, MODERATION__MAX_LENGTH=25_000) as app:
        done = await app.imitator.imitate(PERSONA, prompt, 2, 7, app.sampling)
    assert done.cut
    assert 0 < len(done.prompt) < len(prompt)
    assert prompt.endswith(done.prompt)
    assert all(candidate.text.startswith(done.prompt) for candidate in done.candidates)


@pytest.mark.parametrize("name", ["gulwatcher", "nobody at all", ""])
async def test_an_unknown_persona_is_told(data: Path, environ: dict[str, str], name: str) -> None:
    async with opened(data, environ) as app:
        with pytest.raises(UnknownPersona) as caught:
            await app.imitator.imitate(name, "", 1, 7, app.sampling)
    assert ("did you mean" in str(caught.value)) == (name == "gulwatcher")


async def test_a_persona_without_a_checkpoint_is_told(data: Path, environ: dict[str, str]) -> None:
    async with opened(data, environ) as app:
        await app.database.run(lambda db: db.execute("UPDATE personas SET run_id = NULL"))
        assert [found.run_id for found in await app.database.run(personas.every)] == [None]
        with pytest.raises(NoCheckpoint, match="train one with `mockingbird train gullwatcher`"):
            await app.imitator.imitate(PERSONA, "", 1, 7, app.sampling)


# --- Damage -----------------------------------------------------------------------------------------------------------


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda run: flip(run / "checkpoint" / "adapter.safetensors"), "adapter.safetensors has changed"),
        (lambda run: (run / "checkpoint" / "adapter.safetensors").unlink(), "adapter.safetensors is missing"),
        (lambda run: (run / "checkpoint" / "manifest.json").unlink(), "its manifest is missing"),
        (lambda run: shutil.rmtree(run), "run.json"),
        (lambda run: (run / "run.json").write_text("{}"), "recipe"),
        (lambda run: (run / "run.json").write_bytes(b"\xff"), "utf-8"),
        (lambda run: (run / "corpus" / "train.jsonl").write_text('{"handle": "jo", "te'), "Unterminated"),
    ],
    ids=["flipped byte", "no weights", "no manifest", "no run", "empty run.json", "bytes", "cut corpus"],
)
async def test_a_damaged_checkpoint_is_told_with_how_to_train_it_again(
    data: Path, environ: dict[str, str], damage: Callable[[Path], object], reason: str
) -> None:
    damage(data / "runs" / "1")
    async with opened(data, environ) as app:
        with pytest.raises(CorruptCheckpoint) as caught:
            await app.imitator.imitate(PERSONA, "", 2, 7, app.sampling)
    assert "The checkpoint 1 is damaged" in str(caught.value)
    assert reason in str(caught.value)
    assert str(caught.value).endswith("train it again with `mockingbird train gullwatcher`.")


async def test_a_base_that_is_gone_is_named_as_the_configuration_named_it(data: Path, environ: dict[str, str]) -> None:
    spec = data / "runs" / "1" / "run.json"
    spec.write_text(spec.read_text().replace(environ["MOCKINGBIRD__MODEL__BASE"], "/nowhere/gone"))
    async with opened(data, environ) as app:
        with pytest.raises(BaseUnavailable, match="The base model '/nowhere/gone' is not available"):
            await app.imitator.imitate(PERSONA, "", 1, 7, app.sampling)


async def test_a_base_named_by_a_relative_folder_is_found_from_anywhere(data: Path, environ: dict[str, str]) -> None:
    spec = data / "runs" / "1" / "run.json"
    spec.write_text(
        spec.read_text().replace(f'"base": "{environ["MOCKINGBIRD__MODEL__BASE"]}"', '"base": "bases/tiny"')
    )
    assert '"base": "bases/tiny"' in spec.read_text()
    async with opened(data, environ) as app:
        assert len((await app.imitator.imitate(PERSONA, "", 1, 7, app.sampling)).accepted) == 1


@pytest.mark.parametrize("text", ["one two three", "x" * 5_000, "日本語" * 200, " ".join(["word"] * 100_000)])
def test_the_end_of_a_long_prompt_is_kept_as_long_as_fits(text: str) -> None:
    kept = last_words(text, 210)
    assert text.endswith(kept)
    assert 0 < weighted_length(kept) <= 210
    if kept != text:
        assert weighted_length(kept) > 200


# --- As a request -----------------------------------------------------------------------------------------------------


async def test_a_request_is_answered_with_what_the_imitator_makes(data: Path, environ: dict[str, str]) -> None:
    async with opened(data, environ) as app:
        asked = {"persona": PERSONA, "prompt": "the gull", "n": 2, "seed": 7, "max_tokens": 20, "top_p": None}
        request = await app.desk.ask("imitate", "ann", SHELL, asked, 1)
        answer = await app.desk.wait(request.id)
        done = await app.imitator.imitate(PERSONA, "the gull", 2, 7, replace(app.sampling, max_tokens=20))
        assert answer == report(done)
        assert [found["text"] for found in answer["candidates"]] == [found.text for found in done.accepted]
        asked = {"persona": "nobody"}
        with pytest.raises(UnknownPersona):
            await app.desk.wait((await app.desk.ask("imitate", "ann", SHELL, asked, 1)).id)
