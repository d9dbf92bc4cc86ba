"""The judge of replies names what was answered, and chance is one in ten."""

import gzip
import json
from pathlib import Path

import pytest

from bench.replies import Judge, Pair, answers, corpus_of, gain, main, messages, real_pairs, repeats, retweeted_texts
from models.engine.scoring import nats_and_tokens
from models.engine.voices import Voices
from models.wire import Item
from tests.factories import Shape, make_base
from training.timeline import Tweet

THINGS = (
    *("kettle", "moth", "umbrella", "harbour", "fox", "lamp"),
    *("bakery", "piano", "glacier", "tulip", "walrus", "rocket"),
)
SAID = [f"what do you think of the {thing} over there" for thing in THINGS]
JUDGE = Judge([*SAID, *(f"i like every {thing} that i have seen" for thing in THINGS)])


def test_an_answer_that_takes_up_the_subject_is_told_from_the_others() -> None:
    pairs = [(said, f"no {thing} has ever been mine") for said, thing in zip(SAID, THINGS, strict=True)]
    assert JUDGE.named(pairs, 1) == {"share": 1.0, "error": 0.0, "repeats": 0.0, "replies": 12}
    crossed = [(said, reply) for (said, _), (_, reply) in zip(pairs, pairs[1:] + pairs[:1], strict=True)]
    share = JUDGE.named(crossed, 1)["share"]
    assert share is not None
    assert share < 0.1  # only where the message that it answers is not among the ten


def test_an_answer_that_says_nothing_is_worth_chance() -> None:
    found = JUDGE.named([(said, "yes, and so do you") for said in SAID], 1)
    assert found["share"] == pytest.approx(0.1)
    assert JUDGE.credit("the moth and the fox", SAID[1], [SAID[4], SAID[0]]) == pytest.approx(0.5)


def test_a_parrot_is_told() -> None:
    assert repeats("What do you think of it?", "and what DO you think")
    assert not repeats("What do you think of it?", "do you think so")
    assert not repeats("hm", "hm")
    assert JUDGE.named([(said, said) for said in SAID], 1)["repeats"] == 1.0


def test_too_few_messages_cannot_be_judged() -> None:
    assert JUDGE.named([(said, "the moth") for said in SAID[:9]], 1)["share"] is None


# --- Real pairs -------------------------------------------------------------------------------------------------------


def said(id: int, text: str, handle: str = "jo", reply_to: int | None = None) -> Tweet:
    return Tweet(str(id), text, id, handle, reply_to=None if reply_to is None else str(reply_to))


TIMELINES = {
    "jo": [
        *(said(number, f"a small loaf of bread number {number}") for number in range(30)),
        said(50, "@al two loaves are left", reply_to=70),
        said(51, "@bo the third one is burnt", reply_to=90),
        said(52, "and the fourth one is a brick", reply_to=51),
        said(53, "@cy ok", reply_to=70),
        said(54, "@cy the fifth one is not for you", reply_to=99),
    ],
    "al": [
        said(70, "@jo are there loaves left for me?", "al"),
        *(said(n, f"my moth is {n}", "al") for n in range(100, 119)),
    ],
}


def test_real_pairs_are_the_replies_whose_message_is_somewhere() -> None:
    pairs = real_pairs("jo", TIMELINES, {"90": "how do you like it?", "70": "another text of that id"})
    assert pairs == [
        Pair("jo", "are there loaves left for me?", "two loaves are left", "other"),
        Pair("jo", "how do you like it?", "the third one is burnt", "retweeted"),
        Pair("jo", "the third one is burnt", "and the fourth one is a brick", "self"),
    ]


def test_what_is_said_to_a_persona_was_not_read_in_training() -> None:
    corpus = corpus_of("jo", TIMELINES, "standard")
    assert [piece.text for piece in corpus.held_out] == [
        "the third one is burnt",
        "and the fourth one is a brick",
        "the fifth one is not for you",
    ]
    assert corpus.train[-1].message == "are there loaves left for me?"
    pairs = real_pairs("jo", TIMELINES, {"90": "how do you like it?"})
    asked = messages("jo", corpus, pairs, TIMELINES, 3, seed=0)
    assert asked[:2] == ["how do you like it?", "the third one is burnt"]
    assert asked[2:] in (["my moth is 117"], ["my moth is 118"])
    assert messages("jo", corpus, pairs, TIMELINES, 1, seed=0) == ["how do you like it?"]


def test_originals_stand_beside_retweets(tmp_path: Path) -> None:
    rows = [
        {"id": "1", "text": "RT @al: a", "x_rt_original": {"id": "7", "text": "a long one"}},
        {"id": "2", "text": "b"},
    ]
    with gzip.open(tmp_path / "jo.jsonl.gz", "wt", encoding="utf-8") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)
    assert retweeted_texts([tmp_path / "jo.jsonl.gz"]) == {"7": "a long one"}


# --- Answers ----------------------------------------------------------------------------------------------------------


def test_each_message_gets_its_own_answers_whoever_else_is_answered(tmp_path: Path) -> None:
    base = str(make_base(tmp_path, Shape(n_layer=1, n_positions=256)))
    voices = Voices("cpu", 1, 0)
    both = answers(voices, base, None, ["the kettle sings", "nobody asked"], 3, seed=5)
    assert all(1 <= len(texts) <= 3 for texts in both)  # some that random weights write are refused
    assert answers(voices, base, None, ["the kettle sings"], 3, seed=5) == both[:1]
    assert answers(voices, base, None, ["the lamp hums"], 3, seed=5) != both[:1]


def test_the_gain_is_what_the_message_tells_of_the_reply(tmp_path: Path) -> None:
    base = str(make_base(tmp_path))
    voice = Voices("cpu", 1, 0).get(base, None)
    nats = {said: nats_and_tokens([Item("so do i", said)], voice)[0][0] for said in ("", "the kettle sings")}
    assert gain(voice, "the kettle sings", "so do i") == pytest.approx(nats[""] - nats["the kettle sings"])
    assert gain(voice, "", "so do i") == 0.0


@pytest.mark.long
def test_every_author_is_measured_beside_the_base_and_the_file_holds_what_was_said(
    tmp_path: Path, tiny_base: Path
) -> None:
    for handle, thing in (("jo", "loaf"), ("al", "moth")):
        with gzip.open(tmp_path / f"{handle}.jsonl.gz", "wt", encoding="utf-8") as file:
            for number in range(130):
                day = f"2025-01-{1 + number // 24:02}T{number % 24:02}:00:00Z"
                said = {
                    "id": f"{len(handle)}{number}{len(thing)}",
                    "text": f"every {thing} i have seen, number {number}",
                }
                file.write(json.dumps({**said, "created_at": day, "author_handle": handle}) + "\n")
    table = tmp_path / "made" / "replies.json"
    common = [
        "--timelines",
        str(tmp_path),
        "--base",
        str(tiny_base),
        "--device",
        "cpu",
        "--work",
        str(tmp_path / "work"),
    ]
    main(
        [*common, "--authors", "Jo, ", "--pairs", "11", "--candidates", "2", "--recipe", "quick", "--json", str(table)]
    )
    (found,) = json.loads(table.read_text("utf-8"))["authors"].values()
    for name in ("base", "persona"):
        assert found[name]["best"]["replies"] == found[name]["first"]["replies"] > 0
    assert found["real"]["share"] is None  # nobody answers anybody here
    assert {pair["handle"] for pair in found["generated"]} == {"base", "persona"}
    assert all("moth" in pair["message"] and pair["reply"] for pair in found["generated"])
    with pytest.raises(SystemExit, match="there is no such folder"):
        main([*common, "--base", "./nowhere", "--authors", "jo"])
