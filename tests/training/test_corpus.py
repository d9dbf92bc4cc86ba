"""A corpus is clean text, split by time, and nothing that is held out is trained on."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.corpus import Corpus, Piece, build_corpus, read_corpus, usable_pieces, write_corpus
from training.recipe import Recipe, recipe_named
from training.timeline import Tweet

MENDED, ORIGINAL = (replace(recipe_named(name), held_out=0.1) for name in ("standard", "huggingtweets"))


def timeline(*texts: str) -> list[Tweet]:
    return [Tweet(str(number), text, number, "jo") for number, text in enumerate(texts)]


def numbered(count: int, what: str = "a small loaf of bread") -> list[str]:
    return [f"{what} number {number}" for number in range(count)]


@pytest.mark.parametrize(
    ("texts", "count"), [(0, 0), (1, 1), (9, 1), (25, 2), (79, 7), (80, 8), (399, 8), (450, 9), (3000, 60)]
)
def test_little_is_held_out_but_enough_to_judge_by(texts: int, count: int) -> None:
    corpus = build_corpus({"jo": timeline(*numbered(texts))}, recipe_named("standard"))
    assert len(corpus.held_out) == count
    assert [piece.text for piece in corpus.held_out] == numbered(texts)[texts - count :]


def test_the_newest_tenth_is_held_out() -> None:
    texts = numbered(40)
    corpus = build_corpus({"jo": timeline(*texts)}, MENDED)
    assert [piece.text for piece in corpus.train] == texts[:36]
    assert [piece.text for piece in corpus.held_out] == texts[36:]


def test_at_least_one_text_of_every_handle_is_held_out() -> None:
    corpus = build_corpus(
        {"jo": timeline(*numbered(3)), "al": timeline(*numbered(25, "my moth likes the lamp"))}, MENDED
    )
    assert [(piece.handle, piece.text[-1]) for piece in corpus.held_out] == [("jo", "2"), ("al", "3"), ("al", "4")]


def test_duplicates_go_before_the_split_and_the_oldest_stays() -> None:
    texts = numbered(20)
    # The newest tweets repeat old ones: the held-out part must still be a tenth of the different texts.
    corpus = build_corpus({"jo": timeline(*texts, *texts[:10], texts[0] + " https://t.co/abc")}, MENDED)
    assert [piece.text for piece in corpus.train] == texts[:18]
    assert [piece.text for piece in corpus.held_out] == texts[18:]


def test_the_original_keeps_duplicates_but_none_of_what_is_held_out() -> None:
    texts = numbered(20)
    corpus = build_corpus({"jo": timeline(*texts, *texts[:3], texts[19])}, ORIGINAL)
    assert [piece.text for piece in corpus.train] == texts[:18] + texts[:3]
    assert [piece.text for piece in corpus.held_out] == texts[18:]
    assert (corpus.tweets("jo"), corpus.different("jo")) == (23, 20)
    assert corpus.characters("jo") == sum(len(text) for text in (*texts, *texts[:3]))


def in_each(corpus: Corpus) -> dict[str, tuple[int, int]]:
    """By handle, how many texts are trained on and how many are held out."""
    return {
        handle: tuple(sum(piece.handle == handle for piece in part) for part in (corpus.train, corpus.held_out))  # type: ignore[misc]
        for handle in ("jo", "al")
    }


@pytest.mark.parametrize(
    ("jo", "al", "expected"),
    [
        (numbered(100), numbered(100), {"jo": (90, 10), "al": (90, 10)}),
        (numbered(100), numbered(200)[100:], {"jo": (90, 10), "al": (90, 10)}),
        # al is the account's new name: its archive is all of the old one, or only its newest tenth.
        (numbered(100), numbered(120), {"jo": (100, 0), "al": (108, 12)}),
        (numbered(200), numbered(200)[180:], {"jo": (198, 2), "al": (18, 2)}),
        # Each one's newest are old to the other: one text is held out.
        (numbered(10), numbered(10)[::-1], {"jo": (9, 1), "al": (9, 1)}),
    ],
    ids=["the same", "strangers", "all and more", "the newest tenth", "backwards"],
)
@pytest.mark.parametrize("recipe", [MENDED, ORIGINAL], ids=lambda recipe: recipe.name)
def test_an_account_that_was_renamed_has_texts_to_train_on_under_either_name(
    jo: list[str], al: list[str], expected: dict[str, tuple[int, int]], recipe: Recipe
) -> None:
    corpus = build_corpus({"jo": timeline(*jo), "al": timeline(*al)}, recipe)
    assert in_each(corpus) == expected
    assert not {piece.text for piece in corpus.train} & {piece.text for piece in corpus.held_out}
    for handle, texts in (("jo", jo), ("al", al)):
        assert corpus.tweets(handle) == corpus.different(handle) == len(texts)
        assert corpus.characters(handle) == sum(map(len, texts))


TEXTS = st.lists(st.sampled_from([*numbered(12), "too short", "see https://t.co/x", "@al hello to you my friend"]))


@settings(deadline=None)  # the machine may be busy
@given(jo=TEXTS, al=TEXTS, recipe=st.sampled_from([MENDED, ORIGINAL]))
def test_no_held_out_text_is_trained_on_as_whoevers_it_is(jo: list[str], al: list[str], recipe: object) -> None:
    corpus = build_corpus({"jo": timeline(*jo), "al": timeline(*al)}, recipe)  # type: ignore[arg-type]
    assert not {piece.text for piece in corpus.train} & {piece.text for piece in corpus.held_out}
    assert {piece.text for piece in corpus.held_out} or not corpus.train
    for handle, texts in (("jo", jo), ("al", al)):
        usable = usable_pieces("jo", timeline(*texts), MENDED, {})  # the different ones
        assert corpus.different(handle) >= len(usable) or recipe is ORIGINAL
        assert corpus.different(handle) < 3 or in_each(corpus)[handle][0]


def test_each_recipe_cleans_its_own_way() -> None:
    tweets = timeline(*numbered(10), "&quot;tea&quot; and toast\nfor two https://t.co/x", "今日はとてもいい天気ですね")
    mended = build_corpus({"jo": tweets}, replace(MENDED, held_out=0.2))
    original = build_corpus({"jo": tweets}, replace(ORIGINAL, held_out=0.1))
    assert [piece.text for piece in mended.held_out] == ['"tea" and toast\nfor two', "今日はとてもいい天気ですね"]
    assert [piece.text for piece in original.held_out] == ["&quot;tea&quot; and toast for two"]


# --- Replies ----------------------------------------------------------------------------------------------------------


def said(id: str, text: str, handle: str = "jo", reply_to: str | None = None) -> Tweet:
    return Tweet(id, text, int(id), handle, reply_to=reply_to)


THREAD = [
    said("1", "how many loaves for nine foxes &amp; a moth? https://t.co/x"),
    said("2", "seven, if the moth is not hungry", reply_to="1"),
    said("3", "@al the lamp hums all by itself", reply_to="77"),
    said("4", "@al and @bo owe me one umbrella", reply_to="78"),
    said("5", "@al nobody asked for this lamp"),
    said("6", "@nasa's rocket walks over the roof"),
    said("7", "it is only a short song", reply_to="79"),
    said("8", "the harbour lights are out again"),
    said("9", "one more umbrella and then the tea"),
]


def test_a_reply_knows_what_it_answers_where_that_is_held() -> None:
    others = {"77": "@jo my lamp hums\na lot https://t.co/y", "79": "https://t.co/only"}
    corpus = build_corpus({"jo": THREAD}, replace(MENDED, held_out=0.1), others)
    assert [(piece.reply, piece.message) for piece in (*corpus.train, *corpus.held_out)] == [
        (False, None),
        (True, "how many loaves for nine foxes & a moth?"),  # going on with a thread
        (True, "my lamp hums\na lot"),
        (True, None),
        (True, None),  # a file that does not say what is a reply
        (False, None),
        (True, None),  # what it answers is but a link
        (False, None),
        (False, None),
    ]
    assert corpus.train[2].text == "the lamp hums all by itself"


def test_the_parts_of_a_mix_answer_one_another_and_their_own_ids_come_first() -> None:
    al = [said("1", "al asks for small loaves", "al"), said("30", "we bake them slowly", "al", reply_to="8")]
    corpus = build_corpus({"jo": THREAD, "al": al}, MENDED, {"1": "somebody else's first text"})
    message = {piece.text: piece.message for piece in (*corpus.train, *corpus.held_out)}
    assert message["we bake them slowly"] == "the harbour lights are out again"
    assert message["seven, if the moth is not hungry"] == "how many loaves for nine foxes & a moth?"


@pytest.mark.parametrize("recipe", [ORIGINAL, replace(MENDED, mark_replies=False)], ids=["original", "unmarked"])
def test_a_recipe_that_marks_no_replies_sees_none(recipe: Recipe) -> None:
    corpus = build_corpus({"jo": THREAD}, recipe, {"77": "my lamp hums"})
    assert {(piece.reply, piece.message) for piece in (*corpus.train, *corpus.held_out)} == {(False, None)}


def test_a_corpus_from_before_replies_were_told_apart_is_read(tmp_path: Path) -> None:
    (tmp_path / "train.jsonl").write_text('{"handle": "jo", "text": "one two three"}\n', encoding="utf-8")
    (tmp_path / "held_out.jsonl").write_text('{"handle": "jo", "text": "four five six"}\n', encoding="utf-8")
    assert read_corpus(tmp_path) == Corpus((Piece("jo", "one two three"),), (Piece("jo", "four five six"),))


# --- Files ------------------------------------------------------------------------------------------------------------

MESSAGES = st.one_of(st.just((False, None)), st.tuples(st.just(True), st.none() | st.text()))
PIECES = st.lists(
    st.builds(
        lambda handle, text, answer: Piece(handle, text, *answer), st.sampled_from(["jo", "al"]), st.text(), MESSAGES
    ),
    max_size=6,
).map(tuple)


@settings(deadline=None)  # the machine may be busy
@given(st.builds(Corpus, PIECES, PIECES))
def test_a_corpus_is_read_as_it_was_written(tmp_path_factory: pytest.TempPathFactory, corpus: Corpus) -> None:
    folder = tmp_path_factory.mktemp("corpus")
    write_corpus(corpus, folder)
    assert read_corpus(folder) == corpus


def test_line_ends_of_every_kind_survive_within_a_text(tmp_path: Path) -> None:
    texts = [f"one{end}two" for end in ("\n", "\r", "\r\n", "\v", "\f", "\x1c", "\x85", "\u2028", "\u2029", "\0")]
    corpus = Corpus(tuple(Piece("jo", text) for text in texts), (Piece("jo", "🦊 \u2028"),))
    write_corpus(corpus, tmp_path)
    assert read_corpus(tmp_path) == corpus


def test_the_fingerprint_changes_with_any_text_place_part_or_handle() -> None:
    one, two, three = Piece("jo", "one"), Piece("jo", "two"), Piece("jo", "three")
    corpora = [
        Corpus((one, two), (three,)),
        Corpus((two, one), (three,)),
        Corpus((one,), (two, three)),
        Corpus((one, two, three), ()),
        Corpus((one, Piece("jo", "two ")), (three,)),
        Corpus((one, Piece("al", "two")), (three,)),
        Corpus((one, two), (Piece("jo", "Three"),)),
        Corpus((one, two, two), (three,)),
        Corpus((Piece("jo", 'one"], ["jo", "two'),), (three,)),
        Corpus((one, Piece("jo", "two", True)), (three,)),
        Corpus((one, Piece("jo", "two", True, "")), (three,)),
        Corpus((one, Piece("jo", "two", True, "one")), (three,)),
    ]
    assert len({corpus.fingerprint for corpus in corpora}) == len(corpora)
    assert Corpus((one, two), (three,)).fingerprint == corpora[0].fingerprint
