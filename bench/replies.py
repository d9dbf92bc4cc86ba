"""Replies: does what a persona answers have to do with what was said to it? `make replies`.

The judge sees a reply and ten messages, of which it answers one, and names the one that has most content words in
common with it: TF-IDF (1 + log tf) over lower-cased words without English stop words, idf of the authors' training
tweets, cosine. The figure is how often it names the true one; messages that are equally near share the credit, so
chance is one in ten, also for a reply that shares no word with any. Real replies show how much such a judge can see.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import random
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from sklearn.feature_extraction.text import TfidfVectorizer

from bench.arguments import errors_as_sentences, names, positive
from bench.authors import SPLIT, find_authors, in_order
from bench.systems import Bench, trained_on, written
from bot.config import load_config
from bot.flows.imitate import CONTROL
from bot.hub import find_base
from bot.moderation import Moderator
from models.engine.scoring import nats_and_tokens
from models.engine.voices import Voice, Voices
from models.sampling import Sampling
from models.wire import Generate, Item
from training import clean
from training.corpus import Corpus, Piece, build_corpus
from training.recipe import recipe_named
from training.timeline import Tweet, read_tweets

PRODUCT = load_config(Path(os.devnull), {})  # as it is out of the box
MESSAGES = 10  # that the judge chooses among
REPEATED = 4  # words in a row; three are a common turn of phrase
RECENT = 0.1  # of another's tweets, the newest: what is said to a persona where too few real messages are held out


@dataclass(frozen=True)
class Pair:
    """A reply and what it answers; whose words that is: "self" (a thread), "other", or "retweeted" (the text of a tweet
    that somebody in the folder has retweeted, which no timeline of the product holds)."""

    handle: str
    message: str
    reply: str
    whose: str


def main(given: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="make replies", description="Do replies answer what was said?")
    parser.add_argument("--timelines", type=Path, required=True, help="a folder of <handle>.jsonl.gz")
    parser.add_argument("--authors", type=names, default=(), help="a,b,c; without: only counts real pairs")
    parser.add_argument("--pairs", type=positive, default=50, help="messages that each author answers")
    parser.add_argument("--candidates", type=positive, default=PRODUCT.sampling.candidates, help="to choose among")
    parser.add_argument("--recipe", default="standard")
    parser.add_argument("--base", default=PRODUCT.model.base)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", type=Path, default=Path(".work/replies"), help="where the trainings are kept")
    parser.add_argument("--json", type=Path, help="write all figures, and the generated replies, to this file")
    chosen = parser.parse_args(given)
    with errors_as_sentences():
        compare(chosen)


def compare(chosen: argparse.Namespace) -> None:
    """Measures every author and prints it; raises MockingbirdError, UnreadableFile."""
    if chosen.json:
        chosen.json.parent.mkdir(parents=True, exist_ok=True)
    # Everybody's timelines, whoever is asked for: anyone's tweet may be what a reply answers.
    timelines = {h: in_order(read_tweets(path, h)) for h, path in find_authors(chosen.timelines, ()).items()}
    retweeted = retweeted_texts(find_authors(chosen.timelines, ()).values())
    pairs = {handle: real_pairs(handle, timelines, retweeted) for handle in timelines}
    report: dict[str, Any] = {"pairs": {handle: count(own) for handle, own in pairs.items() if own}, "authors": {}}
    print_counts(report["pairs"])
    authors = find_authors(chosen.timelines, chosen.authors) if chosen.authors else {}
    corpora = {handle: corpus_of(handle, timelines, chosen.recipe) for handle in authors}
    judge = Judge([piece.text for corpus in corpora.values() for piece in corpus.train]) if authors else None
    for handle, corpus in corpora.items():
        assert judge is not None
        said = messages(handle, corpus, pairs[handle], timelines, chosen.pairs, chosen.seed)
        found = measure(handle, corpus, pairs[handle], said, judge, chosen)
        report["authors"][handle] = found
        print_figures(handle, found)
        if chosen.json:
            chosen.json.write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


# --- Real pairs -------------------------------------------------------------------------------------------------------


def retweeted_texts(files: Iterable[Path]) -> dict[str, str]:
    """By id, the originals that timelines keep beside their retweets."""
    found = {}
    for path in files:
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            for line in lines:
                original = json.loads(line).get("x_rt_original")
                if original:
                    found[str(original.get("id"))] = str(original.get("text") or "")
    return found


def real_pairs(
    handle: str, timelines: Mapping[str, Sequence[Tweet]], retweeted: Mapping[str, str] | None = None
) -> list[Pair]:
    """The replies of one author whose message is known, oldest first; both must hold enough to be learnt from."""
    own = {tweet.id: tweet.text for tweet in timelines[handle]}
    others = {tweet.id: tweet.text for tweets in timelines.values() for tweet in tweets}
    pairs = []
    for tweet in timelines[handle]:
        for whose, texts in (("self", own), ("other", others), ("retweeted", retweeted or {})):
            if tweet.reply_to is not None and tweet.reply_to in texts:
                message, reply = clean.mended(texts[tweet.reply_to]), clean.mended(tweet.text)
                if not clean.holds_too_little(message) and not clean.holds_too_little(reply):
                    pairs.append(Pair(handle, message, reply, whose))
                break
    return pairs


def count(pairs: Sequence[Pair]) -> dict[str, int]:
    return {whose: sum(pair.whose == whose for pair in pairs) for whose in ("self", "other", "retweeted")}


def corpus_of(handle: str, timelines: Mapping[str, Sequence[Tweet]], recipe: str) -> Corpus:
    """What the product would learn from, if it held all these timelines, but for the newest tenth."""
    answered = {tweet.id: tweet.text for tweets in timelines.values() for tweet in tweets}
    return build_corpus({handle: timelines[handle]}, replace(recipe_named(recipe), held_out=SPLIT.held_out), answered)


def messages(
    handle: str,
    corpus: Corpus,
    pairs: Sequence[Pair],
    timelines: Mapping[str, Sequence[Tweet]],
    wanted: int,
    seed: int,
) -> list[str]:
    """What is said to the persona, each once: the messages of real pairs whose reply is held out, other people's
    first; then recent tweets of others. None of it was read in training: not what the persona wrote before the
    held-out part, nor a message that stands before an older reply."""
    held_out = {piece.text for piece in corpus.held_out}
    read = {text for piece in corpus.train for text in (piece.text, piece.message)}
    real = [pair for pair in pairs if pair.reply in held_out]
    said = [pair.message for pair in real if pair.whose != "self"] + [p.message for p in real if p.whose == "self"]
    recent = [
        text
        for other, tweets in timelines.items()
        if other != handle
        for tweet in tweets[len(tweets) - int(len(tweets) * RECENT) :]
        if not clean.is_addressed(tweet.text) and not clean.holds_too_little(text := clean.mended(tweet.text))
    ]
    random.Random(seed).shuffle(recent)
    return [text for text in dict.fromkeys([*said, *recent]) if text not in read][:wanted]


# --- The judge --------------------------------------------------------------------------------------------------------


class Judge:
    """Says which of several messages a reply answers, by the content words they share."""

    def __init__(self, texts: Sequence[str]) -> None:
        self.vectors = TfidfVectorizer(stop_words="english", sublinear_tf=True).fit(texts)

    def credit(self, reply: str, message: str, others: Sequence[str]) -> float:
        """1 / k where `message` is among the k that are nearest to the reply, else 0."""
        near = (self.vectors.transform([reply]) @ self.vectors.transform([message, *others]).T).toarray()[0]
        nearest = near >= near.max() - 1e-9
        return float(nearest[0]) / float(nearest.sum())

    def named(self, answers: Sequence[tuple[str, str]], seed: int) -> dict[str, float | int | None]:
        """Of (message, reply) pairs: the mean credit, each message among nine others of them, its standard error, and
        the share of the replies that repeat their message. None with fewer different messages than that."""
        pool = sorted({message for message, _ in answers})
        if len(pool) < MESSAGES:
            return {"share": None, "error": None, "repeats": None, "replies": len(answers)}
        rng = random.Random(seed)
        credits = [
            self.credit(reply, message, rng.sample([text for text in pool if text != message], MESSAGES - 1))
            for message, reply in answers
        ]
        share = sum(credits) / len(credits)
        variance = sum((credit - share) ** 2 for credit in credits) / max(1, len(credits) - 1)
        return {
            "share": share,
            "error": (variance / len(credits)) ** 0.5,
            "repeats": sum(repeats(message, reply) for message, reply in answers) / len(answers),
            "replies": len(answers),
        }


def repeats(message: str, reply: str) -> bool:
    """Whether a reply has REPEATED words in a row from its message."""

    def runs(text: str) -> set[tuple[str, ...]]:
        words = re.findall(r"[\w']+", text.lower())
        return {tuple(words[at : at + REPEATED]) for at in range(len(words) - REPEATED + 1)}

    return not runs(message).isdisjoint(runs(reply))


# --- Answers ----------------------------------------------------------------------------------------------------------


def answers(
    voices: Voices, base: str, checkpoint: str | None, said: Sequence[str], candidates: int, seed: int
) -> list[list[str]]:
    """For each message so many replies, drawn as the product draws, without those that it would not hand out."""
    settings, moderator = PRODUCT.sampling, Moderator.of(PRODUCT.moderation)
    sampling = Sampling(settings.temperature, settings.top_p, settings.top_k, settings.max_tokens)
    requests = [
        Generate(n, base, checkpoint, "", seed + n, sampling, message=said[n // candidates])
        for n in range(candidates * len(said))
    ]
    texts = [CONTROL.sub("", done.text).strip() for done in written(voices.get(base, checkpoint), requests)]
    return [
        [text for text in texts[n * candidates :][:candidates] if moderator.judge(text, "", None, message).accepted]
        for n, message in enumerate(said)
    ]


def gain(voice: Voice, message: str, reply: str) -> float:
    """log p(reply | message) - log p(reply | some message or other), in nats: the reply's pointwise mutual information
    with what it answers (Li et al. 2016, "A diversity-promoting objective function for neural conversation models")."""
    (unanswered, _), (answered, _) = nats_and_tokens([Item(reply, ""), Item(reply, message)], voice)
    return unanswered - answered


def measure(
    handle: str, corpus: Corpus, pairs: Sequence[Pair], said: Sequence[str], judge: Judge, chosen: argparse.Namespace
) -> dict[str, Any]:
    """All figures of one author, and what was generated for them."""
    held_out = {piece.text for piece in corpus.held_out}
    newest = [pair for pair in pairs if pair.reply in held_out]
    figures: dict[str, Any] = {
        "real": judge.named([(pair.message, pair.reply) for pair in pairs], chosen.seed),
        "real_held_out": judge.named([(pair.message, pair.reply) for pair in newest], chosen.seed),
        "corpus": corpus_counts(corpus.train),
        "messages_of_real_pairs": len({pair.message for pair in newest} & set(said)),
        "generated": [],
    }
    bench = Bench(chosen.base, find_base(chosen.base), seed=chosen.seed, device=chosen.device)
    recipe = recipe_named(chosen.recipe)
    folder, _ = trained_on(corpus, (handle,), recipe, bench, chosen.work / f"{handle}-{chosen.recipe}")
    voices = bench.voices()
    base = str(bench.base_folder)
    reader = voices.get(base, None)  # chooses, as in the product
    for name, weights in (("base", None), ("persona", str(folder / "checkpoint"))):
        made = answers(voices, base, weights, said, chosen.candidates, chosen.seed)
        kept = [(message, texts) for message, texts in zip(said, made, strict=True) if texts]
        gains = [[gain(reader, message, text) for text in texts] for message, texts in kept]
        best = [(m, texts[own.index(max(own))]) for (m, texts), own in zip(kept, gains, strict=True)]
        figures[name] = {
            "best": judge.named(best, chosen.seed),
            "first": judge.named([(message, texts[0]) for message, texts in kept], chosen.seed),
            "mean_gain": sum(map(sum, gains)) / max(1, sum(map(len, gains))),
        }
        figures["generated"] += [
            asdict(Pair(name, message, reply, "generated")) | {"first": texts[0]}
            for (message, reply), (_, texts) in zip(best, kept, strict=True)
        ]
    return figures


def corpus_counts(pieces: Sequence[Piece]) -> dict[str, int]:
    return {
        "tweets": sum(not piece.reply for piece in pieces),
        "replies": sum(piece.reply for piece in pieces),
        "with_message": sum(piece.message is not None for piece in pieces),
    }


# --- What people see --------------------------------------------------------------------------------------------------


def print_counts(pairs: Mapping[str, Mapping[str, int]]) -> None:
    for handle, own in pairs.items():
        print(f"@{handle:<16} real pairs: {own['self']} threads, {own['other']} others, {own['retweeted']} retweeted")
    total = {whose: sum(own[whose] for own in pairs.values()) for whose in ("self", "other", "retweeted")}
    print(f"All: {total['self']} threads, {total['other']} others, {total['retweeted']} retweeted", flush=True)


def print_figures(handle: str, found: Mapping[str, Any]) -> None:
    print(f"\n@{handle}: {found['corpus']}, {found['messages_of_real_pairs']} messages of real pairs")
    rows = {
        "real pairs": found["real"],
        "real pairs, held out": found["real_held_out"],
        "persona, best": found["persona"]["best"],
        "persona, first": found["persona"]["first"],
        "base, best": found["base"]["best"],
        "base, first": found["base"]["first"],
    }
    for name, figure in rows.items():
        share, parrots = "-", ""
        if figure["share"] is not None:
            share, parrots = f"{figure['share']:.1%} ± {figure['error']:.1%}", f", {figure['repeats']:.0%} repeat it"
        print(f"  {name:<22} {share:>16}  of {figure['replies']}{parrots}")
    gains = ", ".join(f"{name} {found[name]['mean_gain']:+.2f}" for name in ("persona", "base"))
    print(f"  {'nats that a message gives':<22} {gains}", flush=True)


if __name__ == "__main__":
    main()
