"""What is measured of generated texts: each a pure function whose docstring is its formula."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from itertools import pairwise

import regex
from scipy.stats import wasserstein_distance
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.svm import LinearSVC

from bot.config import ModerationSettings
from bot.moderation import Moderator, ShingleIndex

CLASS_TEXTS = 1_500  # of one author, the newest: with more, the prolific would be named too often
DISTINCT_TEXTS = 100  # distinct2 falls as texts are added, so it is always taken over the same number

_EMOJI = regex.compile(r"\p{Emoji_Presentation}|\p{Extended_Pictographic}\ufe0f")
_HASHTAG = regex.compile(r"(?<![\w&])[#＃](?=\w*\p{L})\w+")
_MENTION = regex.compile(r"(?<![\w.+-])[@＠][A-Za-z0-9_]{1,15}")
_MARK = regex.compile(r"\p{P}")


# --- Whose words are these? -------------------------------------------------------------------------------------------


def train_classifier(texts: Mapping[str, Sequence[str]]) -> Pipeline:
    """Learns to tell authors (two or more) from their texts, oldest first, of which the newest CLASS_TEXTS count:
    TF-IDF (with 1 + log tf) of 2 to 5 characters in a row, and a linear support vector machine with balanced
    classes."""
    pairs = [(text, author) for author, own in texts.items() for text in own[-CLASS_TEXTS:]]
    classifier = make_pipeline(
        TfidfVectorizer(analyzer="char", ngram_range=(2, 5), sublinear_tf=True, max_features=300_000),
        LinearSVC(class_weight="balanced", random_state=0),
    )
    return classifier.fit([text for text, _ in pairs], [author for _, author in pairs])


def attribution(classifier: Pipeline, author: str, texts: Sequence[str]) -> float | None:
    """Texts that the classifier gives to `author` / all texts."""
    if not texts:
        return None
    return share(str(named) == author for named in classifier.predict(texts))


def attribution_uncopied(classifier: Pipeline, author: str, index: ShingleIndex, texts: Sequence[str]) -> float | None:
    """Texts that the classifier gives to `author` and that are not `verbatim` / all texts: a system that pastes the
    author's own words is attributed well, and says nothing new."""
    if not texts:
        return None
    named = classifier.predict(texts)
    return share(str(name) == author and not index.holds_run_of(text) for name, text in zip(named, texts, strict=True))


# --- Copies -----------------------------------------------------------------------------------------------------------


def verbatim(index: ShingleIndex, texts: Sequence[str]) -> float | None:
    """Texts with at least as many words in a row as the index's (8) that stand in one training tweet / all texts."""
    return share(index.holds_run_of(text) for text in texts)


def exact(known: Collection[str], texts: Sequence[str]) -> float | None:
    """Texts that are a training tweet from end to end, but for case and white space / all texts; `known` are the
    training tweets as `folded` gives them."""
    return share(folded(text) in known for text in texts)


def folded(text: str) -> str:
    """The text without regard to case and to what white space stands between its words."""
    return " ".join(text.casefold().split())


def refused(index: ShingleIndex, texts: Sequence[str]) -> float | None:
    """Texts that moderation, by its default settings, refuses for whatever reason / all texts."""
    moderator = Moderator.of(ModerationSettings())
    return share(not moderator.judge(text, "", index).accepted for text in texts)


def distinct2(texts: Sequence[str], of: int = DISTINCT_TEXTS) -> float | None:
    """Different pairs of neighbouring words / all such pairs (Li et al. 2016), over the first `of` texts; None with
    fewer texts or no pairs. Words are folded."""
    if len(texts) < of:
        return None
    pairs = Counter(pair for text in texts[:of] for pair in pairwise(folded(text).split()))
    return len(pairs) / pairs.total() if pairs else None


# --- Form -------------------------------------------------------------------------------------------------------------


def emoji(text: str) -> int:
    """Characters, as people count them, that show as emoji."""
    return sum(bool(_EMOJI.search(character)) for character in regex.findall(r"\X", text))


def capitals(text: str) -> float:
    """Upper-case letters / letters that have a case; 0 without any."""
    cased = [character for character in text if character.isupper() or character.islower()]
    return sum(map(str.isupper, cased)) / max(1, len(cased))


# What is counted of each text; the distance is between the distributions of these numbers.
PROFILES: Mapping[str, Callable[[str], float]] = {
    "length": len,
    "emoji": emoji,
    "hashtags": lambda text: len(_HASHTAG.findall(text)),
    "mentions": lambda text: len(_MENTION.findall(text)),
    "lines": lambda text: 1 + text.count("\n"),
    "capitals": capitals,
}


def form(texts: Sequence[str], real: Sequence[str]) -> dict[str, float | None]:
    """How far texts are from real ones in form; 0 is alike, None where there is nothing to compare.

    Of a count a text (length in characters, emoji, hashtags, mentions, lines, share of capitals): the 1-Wasserstein
    distance, the area between the two cumulative distributions, in the count's own unit. `length_share` is that of
    length / mean length of the real ones. Of punctuation: half the sum, over all marks and "no mark", of
    |share of the characters here - share there|, the total variation distance.
    """
    names = [*PROFILES, "length_share", "punctuation"]
    if not texts or not real:
        return {f"form_{name}": None for name in names}
    found = {
        name: float(wasserstein_distance([count(text) for text in texts], [count(text) for text in real]))
        for name, count in PROFILES.items()
    }
    mean_length = sum(map(len, real)) / len(real)
    found["length_share"] = found["length"] / max(1.0, mean_length)
    found["punctuation"] = total_variation(marks(texts), marks(real))
    return {f"form_{name}": found[name] for name in names}


def marks(texts: Iterable[str]) -> dict[str, float]:
    """Each punctuation mark's share of all characters; the rest of them stand under the empty string."""
    characters = Counter(mark if _MARK.fullmatch(mark) else "" for text in texts for mark in text)
    return {mark: count / characters.total() for mark, count in characters.items()}


def total_variation(one: Mapping[str, float], other: Mapping[str, float]) -> float:
    """Half the sum of |p - q| over everything that stands in either distribution."""
    return sum(abs(one.get(key, 0.0) - other.get(key, 0.0)) for key in {*one, *other}) / 2


# --- Arithmetic -------------------------------------------------------------------------------------------------------


def share(answers: Iterable[bool]) -> float | None:
    """How many are true / how many there are; None of none."""
    held = list(answers)
    return sum(held) / len(held) if held else None


def mean(values: Iterable[float | None]) -> float | None:
    """Of the figures that exist; None if there are none."""
    held = [value for value in values if value is not None]
    return sum(held) / len(held) if held else None


def ratio(one: float | None, other: float | None) -> float | None:
    """one / other, where both exist and the other is not nothing."""
    return one / other if one is not None and other else None
