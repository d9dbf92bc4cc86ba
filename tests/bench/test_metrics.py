"""Each measure is what its formula says, on texts for which the answer can be told by hand."""

import pytest

from bench import metrics
from bot.moderation import ShingleIndex

TEA = [f"A cup of tea, a slice of toast and window number {n}." for n in range(40)]
SEA = [f"GULLS!!! the sea shouts back at gull {n} 🌊🌊 #sea" for n in range(40)]
LONG = "Nobody told the lamp that morning had come so it hummed on."


def test_a_text_is_given_to_the_author_whose_texts_are_like_it() -> None:
    classifier = metrics.train_classifier({"tea": TEA, "sea": SEA})
    assert metrics.attribution(classifier, "tea", TEA) == 1.0
    assert metrics.attribution(classifier, "tea", SEA) == 0.0
    assert (
        metrics.attribution(classifier, "sea", ["GULLS!!! the sea 🌊 #sea", "A slice of toast, a cup of tea."]) == 0.5
    )
    assert metrics.attribution(classifier, "sea", []) is None


def test_only_the_newest_texts_of_an_author_are_learnt_from() -> None:
    changed = SEA + TEA * (metrics.CLASS_TEXTS // len(TEA) + 1)  # wrote of the sea long ago
    classifier = metrics.train_classifier({"changed": changed, "sea": SEA})
    assert metrics.attribution(classifier, "sea", SEA) == 1.0


def test_verbatim_is_eight_words_in_a_row_and_exact_is_the_whole_text() -> None:
    index, known = ShingleIndex([LONG]), {metrics.folded(LONG)}
    seven = "Nobody told the lamp that morning had gone."
    eight = "Well: nobody told the lamp that morning had come!"
    shouted = LONG.upper().replace(" ", "\n", 1)
    texts = [LONG, shouted, eight, seven]
    assert metrics.verbatim(index, texts) == 0.75
    assert metrics.exact(known, texts) == 0.5
    assert metrics.verbatim(index, []) is metrics.exact(known, []) is None


def test_refused_is_what_moderation_refuses() -> None:
    texts = [LONG, "hello @somebody", "call me at 212-555-0123", "the kettle sings"]
    assert metrics.refused(ShingleIndex([LONG]), texts) == 0.75
    assert metrics.refused(ShingleIndex([]), ["the kettle sings"]) == 0.0


def test_distinct2_counts_different_pairs_over_a_fixed_number_of_texts() -> None:
    assert metrics.distinct2(["a b c", "A  b d"], of=2) == 3 / 4  # ab bc ab bd
    assert metrics.distinct2(["a b c", "a b d", "x y"], of=2) == 3 / 4
    assert metrics.distinct2(["a b c"], of=2) is None
    assert metrics.distinct2(["a", "b"], of=2) is None


def test_form_is_nothing_between_equals_and_a_distance_between_others() -> None:
    assert set(metrics.form(SEA, SEA[::-1]).values()) == {0.0}
    assert set(metrics.form([], SEA).values()) == {None}
    found = metrics.form(["aa 🌊", "aaaaaa #x @y B"], ["aa", "aaaa"])
    assert found["form_length"] == pytest.approx((2 + 10) / 2)  # 4 and 14 against 2 and 4, sorted pair by pair
    assert found["form_length_share"] == pytest.approx(6 / 3)
    assert found["form_emoji"] == found["form_hashtags"] == found["form_mentions"] == 0.5
    assert found["form_capitals"] == pytest.approx((1 / 9) / 2)
    assert found["form_lines"] == 0.0


def test_punctuation_is_compared_by_each_marks_share_of_the_characters() -> None:
    assert metrics.marks(["ab!", "c"]) == {"": 0.75, "!": 0.25}
    assert metrics.form(["ab!c"], ["ab?c"])["form_punctuation"] == pytest.approx(0.25)
    assert metrics.form(["a!"], ["aa"])["form_punctuation"] == pytest.approx(0.5)


@pytest.mark.parametrize(("text", "count"), [("tea", 0), ("👩‍👩‍👧 🇫🇷", 2), ("☀️☀", 1), ("#1 © 2", 0)])
def test_an_emoji_is_what_people_count_as_one(text: str, count: int) -> None:
    assert metrics.emoji(text) == count


def test_means_and_ratios_are_of_the_figures_that_exist() -> None:
    assert metrics.mean([1.0, None, 2.0]) == 1.5
    assert metrics.mean([None]) is None
    assert metrics.ratio(1.0, 4.0) == 0.25
    assert metrics.ratio(1.0, 0.0) is metrics.ratio(None, 1.0) is None
