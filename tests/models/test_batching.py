"""Continuous batching changes when a text is made, never which text."""

import os
import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import count, pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from models.engine.batching import Row, Running
from models.engine.cpu import CpuSlots
from models.engine.gpu import GpuModel, GpuSlots
from models.engine.sampler import Draw, draw_token
from models.engine.slots import ROWS, Model, Slots
from models.engine.voices import Voice, Voices
from models.prompt import prompt_tokens
from models.sampling import Sampling
from models.wire import Done, Failed, Generate
from tests.factories import ExactVoices, Shape, make_adapter, make_base, sentences

GREEDY = Sampling(top_k=1)
BUNDLED = Path(__file__).parents[2] / "models" / "base" / "fledgling"


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_base(tmp_path_factory.mktemp("tiny"))


class TorchVoices(Voices):
    """Speaks as on a GPU, on the processor."""

    def _read_model(self, folder: Path, graph: Path | None) -> Model:
        return GpuModel.load(folder, "cpu", torch.float32)


@pytest.fixture(scope="module", params=[ExactVoices, TorchVoices])
def exact(request: pytest.FixtureRequest) -> Voices:
    voices: Voices = request.param("cpu", 2, 2**30)
    return voices


@pytest.fixture(scope="module", params=[Voices, TorchVoices])
def held(request: pytest.FixtureRequest) -> Voices:
    voices: Voices = request.param("cpu", 2, 2**30)
    return voices


def ask(
    base: Path,
    checkpoint: Path | None = None,
    prompt: str = "",
    seed: int = 0,
    id: int = 1,
    message: str | None = None,
    **said: object,
) -> Generate:
    sampling = said.pop("sampling", None) or Sampling(**said)  # type: ignore[arg-type]
    assert isinstance(sampling, Sampling)
    return Generate(id, str(base), str(checkpoint) if checkpoint else None, prompt, seed, sampling, message)


def voice_of(held: Voices, request: Generate) -> Voice:
    return held.get(request.base, request.checkpoint)


def tokens_alone(held: Voices, request: Generate) -> list[int]:
    running = Running()
    running.join(request, voice_of(held, request))
    (row,) = running.batches[0].rows
    together(running)
    return row.tokens


def alone(held: Voices, request: Generate) -> Done:
    running = Running()
    running.join(request, voice_of(held, request))
    while True:
        for done in running.step():
            assert not running
            return done


def recomputed(held: Voices, request: Generate, room: int) -> tuple[list[int], bool]:
    """The tokens of a request by the book: the whole sequence is read anew for every token, without a cache."""
    voice = voice_of(held, request)
    message = None if request.message is None else voice.tokens(request.message)
    prompt = voice.tokens(request.prompt)
    tokens, cut = prompt_tokens(prompt, voice.marks, room, message=message)
    bad_words = [voice.tokens(space + word) for word in request.sampling.bad_words for space in ("", " ")]
    made: list[int] = []
    while len(made) < request.sampling.max_tokens:
        slots = voice.model.slots(1)
        slots.put(0, voice.low_rank)
        draw = Draw(request.sampling, request.seed, len(made), prompt[cut:] + made, bad_words)
        token = draw_token(slots.read(0, [tokens + made])[0, 0], draw, voice.marks)
        if token == voice.marks.end:
            return made, True
        made.append(token)
    return made, False


@pytest.mark.parametrize("adapted", [False, True])
@pytest.mark.parametrize("prompt", ["", "t", "the kettle sings and my moth counts buttons"])
@pytest.mark.parametrize(
    "sampling",
    [
        GREEDY,
        Sampling(max_tokens=40),
        Sampling(1.3, 1.0, 20, 30, 12),
        Sampling(repetition_penalty=1.3, bad_words=("the kettle", "moth", "umbrella")),
    ],
)
def test_a_cache_gives_the_tokens_that_reading_everything_anew_gives(
    sampling: Sampling, prompt: str, adapted: bool, tiny: Path, exact: Voices, tmp_path: Path
) -> None:
    checkpoint = make_adapter(tmp_path, tiny, rank=20) if adapted else None
    for seed in range(3):
        request = ask(tiny, checkpoint, prompt, seed, sampling=Sampling(**{**vars(sampling), "max_tokens": 30}))
        tokens, finished = recomputed(exact, request, room=64 - 30)
        done = alone(exact, request)
        text = voice_of(exact, request).tokenizer.decode(tokens).replace("\ufffd", "")
        assert done == Done(1, prompt, text, len(tokens), finished, 0)


@pytest.mark.parametrize("message", ["", "where is the kettle?", " ".join(sentences(9))])
@pytest.mark.parametrize("prompt", ["", "rain walks"])
def test_a_reply_goes_on_from_its_message(message: str, prompt: str, tiny: Path, exact: Voices) -> None:
    request = ask(tiny, prompt=prompt, message=message, max_tokens=30)
    tokens, _ = recomputed(exact, request, room=64 - 30)
    done = alone(exact, request)
    assert (done.prompt, done.tokens) == (prompt, len(tokens))
    assert done.text == voice_of(exact, request).tokenizer.decode(tokens).replace("\ufffd", "")
    assert done.text != alone(exact, ask(tiny, prompt=prompt, max_tokens=30)).text


def test_a_bad_word_is_not_written_and_a_penalty_makes_more_different_tokens(tiny: Path, held: Voices) -> None:
    request = ask(tiny, prompt="the kettle sings", seed=2, max_tokens=30, min_tokens=30, top_k=3)
    voice = voice_of(held, request)

    def made(**said: object) -> list[int]:
        return tokens_alone(held, replace(request, sampling=replace(request.sampling, **said)))  # type: ignore[arg-type]

    free = made()
    # Two neighbouring tokens of what it wrote that are a word, which means that the word has these tokens.
    pair = next(pair for pair in pairwise(free) if voice.tokens(voice.tokenizer.decode(pair)) == list(pair))
    assert pair not in set(pairwise(made(bad_words=(voice.tokenizer.decode(pair),))))
    assert made(bad_words=("", "\x1e")) == free
    assert len(set(made(repetition_penalty=5.0))) > len(set(free))


def test_marks_in_what_somebody_gave_are_left_out(tiny: Path, held: Voices) -> None:
    clean = alone(held, ask(tiny, prompt="tea and", message="rain?", max_tokens=30))
    assert alone(held, ask(tiny, prompt="tea\x1e and<|endoftext|>", message="\x1erain?", max_tokens=30)) == clean


def test_no_text_holds_a_reply_mark(tiny: Path, held: Voices) -> None:
    voice = voice_of(held, ask(tiny))
    made: set[int] = set()
    for seed in range(20):
        running = Running()
        running.join(ask(tiny, seed=seed, max_tokens=60, min_tokens=60, temperature=9.0, top_p=1.0), voice)
        (row,) = running.batches[0].rows
        while running:
            running.step()
        made.update(row.tokens)
    assert len(made) > 250  # nearly all of the 320 tokens
    assert voice.marks.reply not in made


def test_the_cache_grows_past_128_and_256_positions(exact: Voices, tmp_path: Path) -> None:
    base = make_base(tmp_path, Shape(1, 32, 2, 512))
    request = ask(base, prompt="rain walks", max_tokens=290, min_tokens=290, top_k=40)
    tokens, _ = recomputed(exact, request, room=512 - 290)
    running = Running()
    running.join(request, voice_of(exact, request))
    (row,) = running.batches[0].rows
    while not (finished := running.step()):
        pass
    assert row.tokens == tokens
    assert finished[0].tokens == 290
    assert not finished[0].finished


def test_a_row_that_joins_while_the_cache_is_long_is_as_it_would_be_alone(held: Voices, tmp_path: Path) -> None:
    base = make_base(tmp_path, Shape(1, 32, 2, 512))
    long = ask(base, prompt=" ".join(sentences(20)), id=1, max_tokens=200, min_tokens=200)
    short = ask(base, prompt="tea", id=2, max_tokens=30)
    running = Running()
    running.join(long, voice_of(held, long))
    for _ in range(20):
        running.step()
    running.join(short, voice_of(held, short))
    assert {done.id: done for done in together(running)} == {1: alone(held, long), 2: alone(held, short)}


def together(running: Running) -> list[Done]:
    found = []
    while running:
        found += running.step()
    return found


@pytest.mark.parametrize(("most", "room"), [(20, 44), (62, 2), (500, 2)])
def test_a_prompt_longer_than_the_context_is_cut_from_the_left(most: int, room: int, tiny: Path, exact: Voices) -> None:
    prompt = " ".join(sentences(10, seed=4))
    request = ask(tiny, prompt=prompt, seed=8, max_tokens=most, min_tokens=500)
    tokenizer = voice_of(exact, request).tokenizer
    ids = tokenizer.encode(prompt).ids
    done = alone(exact, request)
    tokens, _ = recomputed(exact, ask(tiny, prompt=prompt, seed=8, max_tokens=min(most, 62), min_tokens=500), room)
    assert done.cut_tokens == len(ids) + 1 - room
    assert prompt.endswith(done.prompt)
    assert done.prompt == tokenizer.decode(ids[1 - room :])
    assert done.text == tokenizer.decode(tokens).replace("\ufffd", "")
    assert done.tokens == min(most, 62)


def test_a_cut_inside_a_character_shows_no_broken_character(tiny: Path, held: Voices) -> None:
    for extra in ("", "a", "b", "c d"):
        done = alone(held, ask(tiny, prompt="🦊" * 40 + extra, max_tokens=20))
        assert done.cut_tokens > 0
        assert set(done.prompt) <= set("🦊" + extra)


def test_a_text_never_holds_half_a_character(tiny: Path, held: Voices) -> None:
    texts = [alone(held, ask(tiny, seed=seed, max_tokens=40, temperature=3.0, top_p=1.0)).text for seed in range(10)]
    assert "\ufffd" not in "".join(texts)
    assert any(not text.isascii() for text in texts)


def test_a_text_is_said_to_be_finished_only_if_the_model_ended_it(tiny: Path, held: Voices) -> None:
    ends = [alone(held, ask(tiny, seed=seed, max_tokens=50, top_p=1.0, temperature=5.0)) for seed in range(30)]
    assert {done.finished for done in ends} == {True, False}
    assert all(done.finished == (done.tokens < 50) for done in ends)


def test_pieces_are_whole_characters_and_the_beginning_of_the_text(tiny: Path, held: Voices) -> None:
    requests = [ask(tiny, id=id, seed=id, max_tokens=40, temperature=3.0, top_p=1.0) for id in range(8)]
    requests = [replace(request, stream=request.id != 7) for request in requests]
    running = Running()
    for request in requests:
        running.join(request, voice_of(held, request))
    told: dict[int, list[str]] = {request.id: [] for request in requests}
    while running:
        for done in running.step():
            assert done.text.startswith("".join(told[done.id]))
        for delta in running.deltas():
            assert delta.text
            told[delta.id].append(delta.text)
    assert told.pop(7) == []
    assert all(len(deltas) > 10 for deltas in told.values())
    assert "\ufffd" not in "".join(map("".join, told.values()))
    assert any(not delta.isascii() for deltas in told.values() for delta in deltas)


def test_a_request_whose_time_is_over_ends_with_what_it_has_and_disturbs_no_other(tiny: Path, held: Voices) -> None:
    short, long = ask(tiny, id=1, max_tokens=30, min_tokens=30), ask(tiny, id=2, seed=5, max_tokens=40)
    running = Running()
    for request, until in ((short, 7.0), (long, 9.0), (replace(long, id=3), 7.0)):
        running.join(request, voice_of(held, request), until)
    running.leave(3)
    failed = running.overdue(7.0)
    assert [type(end) for end in failed] == [Failed]
    assert failed[0].id == 1
    running.join(short, voice_of(held, short), 8.0)
    for _ in range(5):
        assert running.step() == []
        assert running.overdue(7.9) == []
    (ended,) = running.overdue(8.0)
    assert isinstance(ended, Done)
    assert (ended.id, ended.tokens, ended.finished) == (1, 5, False)
    assert alone(held, short).text.startswith(ended.text)
    assert ended.text
    assert together(running) == [alone(held, long)]


# --- The promise: whoever its neighbours are, the same request gives the same text ------------------------------------


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Wide enough for the matrix kernels that real bases meet: the bundled base, or random weights of its shape."""
    if (BUNDLED / "model.safetensors").is_file():
        return BUNDLED
    return make_base(tmp_path_factory.mktemp("wide"), Shape(6, 256, 4, 1024))


@pytest.fixture(scope="module")
def crowd(wide: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Generate]:
    """21 requests: five adapters of several ranks, one without the embedding, and the bare base in turn, prompts from
    none to more than one stride of the cache, some of them of replies."""
    folder = tmp_path_factory.mktemp("adapters")
    adapters = [
        make_adapter(folder / str(n), wide, seed=n, rank=rank, strength=0.05 * (8 / rank) ** 0.5, embedding=n != 3)
        for n, rank in enumerate((16, 48, 8, 16, 20))
    ]
    texts = sentences(200, seed=6)
    crowd = []
    for id in range(21):
        prompt = " ".join(texts[id : id + id % 7 * (3 if id % 4 else 1)])
        checkpoint = [*adapters, None][id % 6]
        message = [None, None, texts[id]][id % 3]
        crowd.append(ask(wide, checkpoint, prompt, id * 31, id, message, max_tokens=6 + id % 9, min_tokens=2))
    return crowd


def mingled(held: Voices, crowd: Sequence[Generate], seed: int) -> dict[int, Done]:
    """All requests at once: they come at random times in random order, and a few of further ones are called off."""
    rng = random.Random(seed)
    waiting = list(crowd)
    rng.shuffle(waiting)
    running = Running()
    found: dict[int, Done] = {}
    strangers = count(1000)
    while waiting or running:
        for _ in range(rng.choice([0, 0, 1, 2, 5])):
            if waiting:
                request = waiting.pop()
                running.join(request, voice_of(held, request))
        if waiting and rng.random() < 0.3:
            like = rng.choice(crowd)
            stranger = Generate(next(strangers), like.base, like.checkpoint, "called off", 1, Sampling(max_tokens=40))
            running.join(stranger, voice_of(held, stranger))
        if rng.random() < 0.3 and (here := [row.request.id for b in running.batches for row in b.rows]):
            for id in here:
                if id >= 1000:
                    running.leave(id)
        for done in running.step():
            if done.id < 1000:
                assert done.id not in found
                found[done.id] = done
    return found


@pytest.mark.parametrize("number", [1, 2])
def test_the_same_request_gives_the_same_text_alone_and_in_any_company(
    number: int, crowd: list[Generate], held: Voices
) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        threaded = type(held)("cpu", number, 2**30)
        expected = {request.id: alone(threaded, request) for request in crowd}
        assert len({done.text for done in expected.values()}) > 15
        assert mingled(threaded, crowd, seed=number) == expected
    finally:
        torch.set_num_threads(before)


@pytest.fixture(scope="module")
def small_crowd(held: Voices, tmp_path_factory: pytest.TempPathFactory) -> list[Generate]:
    """18 short requests to the bundled base: adapters of four ranks, one without the embedding, and none. In torch,
    whose every step computes all rows, to a random base of one layer."""
    folder = tmp_path_factory.mktemp("small")
    small = isinstance(held, TorchVoices)
    base = make_base(folder / "base", Shape(n_layer=1)) if small else BUNDLED
    strength = 1.2 if small else 0.15
    adapters = [
        make_adapter(folder / str(rank), base, rank, rank, strength=strength / rank**0.5, embedding=rank != 20)
        for rank in (4, 16, 20, 48)
    ]
    samplings = [
        Sampling(max_tokens=3),
        Sampling(1.5, 1.0, max_tokens=5, min_tokens=3),
        Sampling(1.0, 0.9, 12, 4, 4, repetition_penalty=1.4, bad_words=("tea", "the kettle")),
    ]
    texts = sentences(18, seed=8)
    crowd = []
    for id in range(18):
        prompt = texts[id][: id % 5 * 9]
        message = texts[-id] if id % 4 == 3 else None
        crowd.append(ask(base, [*adapters, None][id % 5], prompt, id, id, message, sampling=samplings[id % 3]))
    return crowd


def step_by_step(held: Voices, crowd: Sequence[Generate], rng: random.Random) -> Iterator[tuple[int, Row, bool]]:
    """A few requests that come, and are called off, at random times: each with its id, its row, whether it ended."""
    running = Running()
    waiting = rng.sample(crowd, rng.randint(2, 4))
    here: dict[int, Row] = {}
    while waiting or running:
        for request in [waiting.pop() for _ in range(min(rng.choice([0, 1, 2, 5]), len(waiting)))]:
            running.join(request, voice_of(held, request))
            here |= {row.request.id: row for batch in running.batches for row in batch.rows}
        if here and rng.random() < 0.1:
            id = rng.choice(list(here))
            running.leave(id)
            yield id, here.pop(id), False
        for done in running.step():
            assert done.tokens == len(here[done.id].tokens)
            yield done.id, here.pop(done.id), True
    assert not here


def test_token_ids_are_those_of_the_request_alone_in_many_interleavings(
    small_crowd: list[Generate], held: Voices
) -> None:
    expected = {request.id: tokens_alone(held, request) for request in small_crowd}
    assert len(set(map(tuple, expected.values()))) > 12
    ended = called_off = 0
    interleavings = int(os.environ.get("INTERLEAVINGS", "60"))  # make interleavings: 1,000
    for number in range(interleavings):
        for id, row, finished in step_by_step(held, small_crowd, random.Random(number)):
            whole = expected[id]
            assert row.tokens == (whole if finished else whole[: len(row.tokens)]), f"interleaving {number}"
            ended += finished
            called_off += not finished
    assert ended > 2 * interleavings
    assert called_off > interleavings / 5


def row_bits(running: Running, id: int) -> NDArray[np.float32]:
    """All the values that a request has left in its slot: they depend on everything that was computed for it."""
    for batch in running.batches:
        for index, row in enumerate(batch.rows):
            if row.request.id == id:
                return slot_bits(batch.slots, index)
    raise AssertionError("it is not running")


def slot_bits(slots: Slots, index: int) -> NDArray[np.float32]:
    if isinstance(slots, CpuSlots):
        return slots.values[:, index, :, : slots.lengths[index]].copy()
    assert isinstance(slots, GpuSlots)
    return slots.cache.values[:, index, :, : slots.cache.lengths[index]].numpy().copy()


@pytest.mark.parametrize("like", [0, 1, 3, 4, 5])  # ranks 16, 48, 16 without the embedding, 20, and no adapter
def test_not_one_bit_of_a_row_depends_on_its_place_or_its_neighbours(
    like: int, crowd: list[Generate], held: Voices
) -> None:
    asked = Generate(
        500, crowd[like].base, crowd[like].checkpoint, "rain walks over", 9, Sampling(max_tokens=50, min_tokens=50)
    )
    running = Running()
    running.join(asked, voice_of(held, asked))
    for _ in range(12):
        running.step()
    expected = row_bits(running, 500)
    # Others of every adapter come first, the longest with hundreds of positions, so the row is not the first one.
    company = Running()
    for request in [*crowd[2:6], ask(Path(asked.base), None, " ".join(sentences(90)), id=99, max_tokens=40), crowd[0]]:
        company.join(request, voice_of(held, request))
    company.step()
    company.leave(0)
    company.join(asked, voice_of(held, asked))
    (batch,) = company.batches
    assert [row.request.id for row in batch.rows].index(500) > 2
    for step in range(12):
        if step == 4:  # the widest adapter of all comes, and goes
            company.join(replace(crowd[1], id=98), voice_of(held, crowd[1]))
            assert company.batches == [batch]
        if step == 8:
            company.leave(98)
        company.step()
    assert np.array_equal(row_bits(company, 500), expected)


def test_not_one_bit_of_a_rows_logits_depends_on_how_wide_its_neighbours_adapters_are(
    crowd: list[Generate], held: Voices
) -> None:
    voices = [voice_of(held, request) for request in crowd[:6]]

    def logits(slots: Slots) -> NDArray[np.float32]:
        for slot in range(7):
            slots.read(slot, [[40 + slot, 8]])
        return slots.step(range(50, 57))[3].copy()

    seen = []
    for voice in voices:
        slots = voice.model.slots(7)
        for slot in range(7):
            slots.put(slot, voice.low_rank if slot == 3 else {})
        expected = logits(slots)
        for slot, other in zip((0, 1, 2, 3, 4, 5, 6), [*voices[:3], voice, *voices[3:]], strict=True):
            slots.put(slot, other.low_rank)
        assert np.array_equal(logits(slots), expected)
        slots.move(0, 1)  # the widest has left
        slots.put(3, voice.low_rank)
        assert np.array_equal(logits(slots), expected)
        seen.append(expected)
    assert all(not np.allclose(one, other) for one, other in pairwise(seen))


def test_a_prompt_that_many_begin_with_is_read_once(
    tiny: Path, held: Voices, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Five candidates of one persona, then one of another with the same prompt."""
    adapters = [make_adapter(tmp_path / str(seed), tiny, seed) for seed in range(2)]
    requests = [ask(tiny, adapters[id == 5], "the kettle sings", id, id, max_tokens=20) for id in range(6)]
    running = Running()
    for request in requests:
        running.join(request, voice_of(held, request))
    (batch,) = running.batches
    read: list[tuple[int, int]] = []
    really = batch.slots.read

    def watched(first: int, texts: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        read.append((first, len(texts)))
        return really(first, texts)

    monkeypatch.setattr(batch.slots, "read", watched)
    made = {done.id: done for done in together(running)}
    assert read == [(0, 1), (5, 1)]
    assert made == {request.id: alone(held, request) for request in requests}


def test_prompts_of_one_length_are_read_in_one_go_and_those_called_off_leave_no_hole(tiny: Path, held: Voices) -> None:
    crowd = [ask(tiny, prompt=word, id=id, seed=id, max_tokens=30, min_tokens=9) for id, word in enumerate("abcdefgh")]
    running = Running()
    for request in crowd[:4]:
        running.join(request, voice_of(held, request))
    running.step()
    for request in crowd[4:]:
        running.join(request, voice_of(held, request))
    for id in (1, 3, 6):  # two that are on their way while others have not begun, and one of these
        running.leave(id)
    assert {done.id: done for done in together(running)} == {id: alone(held, crowd[id]) for id in (0, 2, 4, 5, 7)}


def test_more_requests_than_rows_make_a_further_batch_and_leave_none_behind(tiny: Path, held: Voices) -> None:
    running = Running()
    for id in range(ROWS + 1):
        request = ask(tiny, id=id, max_tokens=5)
        running.join(request, voice_of(held, request))
    assert len(running.batches) == 2
    for id in range(ROWS + 1):
        running.leave(id)
    assert not running


@pytest.mark.parametrize("adapted", [False, True])
def test_an_adapter_gone_mad_spoils_no_text_but_its_own(
    adapted: bool, tiny: Path, held: Voices, tmp_path: Path
) -> None:
    mad = make_adapter(tmp_path / "mad", tiny, rank=20, strength=float("nan"))
    sane = make_adapter(tmp_path / "sane", tiny, seed=5)
    running = Running()
    first, broken = ask(tiny, sane, "tea", id=1, max_tokens=30, min_tokens=30), ask(tiny, mad, "rain on tin", id=2)
    for request in (broken, first):
        running.join(request, voice_of(held, request))
    for _ in range(10):
        running.step()
    running.leave(2)
    # Takes the row that was left.
    later = ask(tiny, sane if adapted else None, "", seed=3, id=3, max_tokens=25, min_tokens=25)
    running.join(later, voice_of(held, later))
    assert {done.id: done for done in together(running)} == {1: alone(held, first), 3: alone(held, later)}


def test_where_a_step_fails_the_batchs_requests_end_and_others_go_on(
    tiny: Path, held: Voices, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = make_base(tmp_path, seed=7)
    first, second = ask(tiny, id=1, max_tokens=20), ask(other, id=2, max_tokens=20)
    running = Running()
    for request in (first, second):
        running.join(request, voice_of(held, request))
    monkeypatch.setattr(running.batches[0].slots, "read", out_of_memory)
    (broken,) = running.step()
    assert isinstance(broken, Failed)
    assert (broken.id, broken.kind) == (1, "memory")
    assert together(running) == [alone(held, second)]
    assert alone(held, first).tokens


def out_of_memory(*_: object, **__: object) -> None:
    raise MemoryError


def test_slots_that_found_no_room_can_grow_later(tiny: Path, held: Voices, monkeypatch: pytest.MonkeyPatch) -> None:
    slots = voice_of(held, ask(tiny)).model.slots(2)
    slots.put(0, {})
    slots.read(0, [[1, 2, 3]])
    expected = slot_bits(slots, 0)
    grow = slots.cache.reserve if isinstance(slots, GpuSlots) else slots._reserve  # type: ignore[attr-defined]
    library, name = (torch, "cat") if isinstance(slots, GpuSlots) else (np, "zeros")
    calls, really = count(), getattr(library, name)
    with monkeypatch.context() as patch:
        patch.setattr(library, name, lambda *said, **more: out_of_memory() if next(calls) else really(*said, **more))
        with pytest.raises(MemoryError):
            grow(500)
    grow(500)
    assert np.array_equal(slot_bits(slots, 0), expected)
