"""How often do people repeat themselves, as moderation sees it? `python -P -m bench.repeats --timelines DIR`.

Each usable tweet of a timeline, cleaned as for training, is held against the author's up to 1,000 tweets of the 30 days
before it: it is the same but for case and punctuation, or nearly the same, or new. And each new one of eight words or
more with one of its words replaced by another is held against itself: that one must be recognised.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections import deque
from dataclasses import asdict, dataclass
from pathlib import Path

from bench.arguments import errors_as_sentences, names
from bench.authors import find_authors, in_order
from bot.moderation import Repeats
from training import clean
from training.timeline import Tweet, read_tweets

MONTH_MS = 30 * 86_400_000
MOST = 1_000
FEWEST_WORDS = 8  # of a text of which one word is replaced


@dataclass(frozen=True)
class Found:
    """Shares of an author's usable tweets, the share of the changed ones that is recognised, and the processor time of
    one judgement."""

    handle: str
    tweets: int
    same: float
    near: float
    changed_recognised: float
    median_ms: float
    slowest_hundredth_ms: float


def look(handle: str, tweets: list[Tweet], seed: int) -> Found:
    """Goes through one timeline."""
    rng = random.Random(seed)
    recent: deque[tuple[str, int]] = deque()
    index = Repeats()
    seen = same = near = changed = recognised = 0
    took = []
    for tweet in tweets:
        text, at = clean.mended(tweet.text), tweet.created_at or 0
        if clean.holds_too_little(text):
            continue
        seen += 1
        while recent and (len(recent) >= MOST or recent[0][1] < at - MONTH_MS):
            index.forget(recent.popleft()[0])
        begin = time.thread_time()
        held = index.hold(text)
        took.append(time.thread_time() - begin)
        if held:
            exact = index.holds_same(text)
            same, near = same + exact, near + (not exact)
        elif len(words := text.split()) >= FEWEST_WORDS:
            words[rng.randrange(len(words))] = "periwinkle"
            changed += 1
            recognised += Repeats({"": text}).hold(" ".join(words))
        index.add(tweet.id, text)
        recent.append((tweet.id, at))
    took.sort()
    return Found(
        handle,
        seen,
        same / max(seen, 1),
        near / max(seen, 1),
        recognised / max(changed, 1),
        1000 * took[len(took) // 2] if took else 0.0,
        1000 * took[len(took) * 99 // 100] if took else 0.0,
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -P -m bench.repeats", description=__doc__)
    parser.add_argument("--timelines", type=Path, required=True, help="a folder of <handle>.jsonl.gz")
    parser.add_argument("--authors", type=names, default=(), help="handles, separated by commas; all if left out")
    parser.add_argument("--json", type=Path, help="where the figures are written")
    asked = parser.parse_args()
    found = []
    for handle, path in find_authors(asked.timelines, asked.authors).items():
        found.append(look(handle, in_order(read_tweets(path, handle)), seed=1))
        print(
            "{handle:16} {tweets:5}  same {same:6.2%}  near {near:6.2%}  changed ones recognised"
            " {changed_recognised:6.2%}  {median_ms:.3f} ms, slowest hundredth {slowest_hundredth_ms:.3f} ms".format(
                **asdict(found[-1])
            ),
            flush=True,
        )
    if asked.json:
        asked.json.write_text(json.dumps([asdict(author) for author in found], indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    with errors_as_sentences():
        main()
