"""How well the base predicts people it has never seen: `make base-quality ARGS="--timelines DIR --authors a,b"`.

Bits a byte of every author's held-out tweets (the newest tenth of those that can be learnt from), the
end of each text counted as one byte, each text read alone; beside it what a counted model of bytes needs that learnt
from the same text as the base (characters.py: 6 bytes of context, modified Kneser-Ney), and both for lines of that
text that neither has seen.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench import characters
from bench.arguments import errors_as_sentences, names
from bench.authors import SPLIT, find_authors, in_order
from bench.characters import CONTEXT, Characters
from bot.hub import find_base
from models.checkpoint import sha256
from models.engine.gpt2 import GPT2
from models.engine.tokenizer import load_tokenizer, marks_of
from training.corpus import Piece, build_corpus
from training.engine.evaluate import evaluate, held_out_rows
from training.engine.pretrain import Settings
from training.engine.text import HELD_OUT_EVERY, shuffled, texts
from training.timeline import read_tweets

UNSEEN = "held-out lines"  # no handle: handles hold no blanks


@dataclass(frozen=True)
class Result:
    """Bits a byte by both models, of so many texts of one kind; `bytes` holds one for the end of each."""

    texts: int
    bytes: int
    base: float
    characters: float


def main(argv: Sequence[str] | None = None) -> None:
    asked = parse(argv)
    if not (asked.text / "SOURCES.md").is_file():
        raise SystemExit(f"{asked.text} holds no text that a base learns from: there is nothing to compare with.")
    files = find_authors(asked.timelines, asked.authors)
    with errors_as_sentences():
        base = find_base(asked.base)
        authors = {
            handle: build_corpus({handle: in_order(read_tweets(path, handle))}, SPLIT).held_out
            for handle, path in files.items()
        }
    learnt, unseen = split(list(texts(asked.text, Settings.seed)))
    counts = counted(learnt, asked.work)
    scored = measure({**authors, UNSEEN: [Piece("", text) for text in unseen]}, base, counts)
    own = scored.pop(UNSEEN)
    if asked.json:
        asked.json.parent.mkdir(parents=True, exist_ok=True)
        asked.json.write_text(json.dumps(report(scored, own, base, learnt), indent=1) + "\n", encoding="utf-8")
    Console().print(table(scored, own))


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make base-quality", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--timelines", type=Path, required=True, help="a folder of <handle>.jsonl.gz")
    parser.add_argument("--authors", type=names, default=(), help="a,b,c (default: all of the folder)")
    parser.add_argument("--text", type=Path, required=True, help="the text that the base learnt from")
    parser.add_argument("--base", default="fledgling", help="fledgling, a folder, or a Hub id such as gpt2")
    parser.add_argument("--work", type=Path, default=Path(".work/characters"), help="where the counted model is kept")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    return parser.parse_args(argv)


def split(lines: Sequence[str]) -> tuple[list[str], list[str]]:
    """What the base may have learnt from, and what its pre-training held out, by the same rule."""
    order = shuffled(len(lines), Settings.seed)
    held_out = set(order[::HELD_OUT_EVERY])
    return [line for at, line in enumerate(lines) if at not in held_out], [lines[at] for at in sorted(held_out)]


def counted(lines: Sequence[str], work: Path) -> Characters:
    """Counts the lines, or loads what was counted of just these lines by this very code."""
    digest = hashlib.sha256(Path(characters.__file__).read_bytes())
    for line in lines:
        digest.update(line.encode() + b"\n")
    path = work / f"{digest.hexdigest()[:16]}.npz"
    if not path.exists():
        print(f"Counting {len(lines):,} texts: a minute or two, once ...", file=sys.stderr, flush=True)
        work.mkdir(parents=True, exist_ok=True)
        for old in work.glob("*.npz"):
            old.unlink()
        Characters.learn(lines).save(path)
    return Characters.load(path)


def measure(kinds: Mapping[str, Sequence[Piece]], base: Path, counts: Characters) -> dict[str, Result]:
    """Scores the texts of every kind by both models; those that do not fit into the base's window by neither."""
    tokenizer = load_tokenizer(base)
    model, marks = GPT2.load(base), marks_of(tokenizer)
    results = {}
    for kind, pieces in kinds.items():
        room = model.config.n_positions - 1  # the end of the text is predicted too
        fitting = [piece for piece in pieces if len(tokenizer.encode(piece.text).ids) <= room]
        if not fitting:
            continue
        held_out = held_out_rows(fitting, tokenizer, marks, model.config.n_positions, replies=False)
        scored = evaluate(model, held_out).bits_per_byte
        lines = [piece.text for piece in fitting]
        results[kind] = Result(len(lines), held_out.bytes, scored, counts.bits(lines) / held_out.bytes)
        print(f"{kind}: base {scored:.4f}, characters {results[kind].characters:.4f}", file=sys.stderr, flush=True)
    return results


def mean(results: Sequence[Result]) -> Result:
    """Each author counts the same."""
    return averaged(results, [1.0] * len(results))


def total(results: Sequence[Result]) -> Result:
    """Each byte counts the same."""
    return averaged(results, [result.bytes for result in results])


def averaged(results: Sequence[Result], weights: Sequence[float]) -> Result:
    def of(figures: Sequence[float]) -> float:
        return sum(figure * weight for figure, weight in zip(figures, weights, strict=True)) / sum(weights)

    return Result(
        sum(result.texts for result in results),
        sum(result.bytes for result in results),
        of([result.base for result in results]),
        of([result.characters for result in results]),
    )


def report(authors: Mapping[str, Result], own: Result, base: Path, learnt: Sequence[str]) -> dict[str, Any]:
    """What --json holds: all figures, and what they are figures of."""
    return {
        "base": sha256(base / "model.safetensors"),
        "characters": {"context": CONTEXT, "texts": len(learnt), "bytes": sum(len(line.encode()) for line in learnt)},
        "authors": {handle: asdict(result) for handle, result in authors.items()},
        "mean": asdict(mean([*authors.values()])),
        "total": asdict(total([*authors.values()])),
        "held_out_lines": asdict(own),
    }


def table(authors: Mapping[str, Result], own: Result) -> Table:
    shown = Table(title="Bits a byte; the base / the counted model: below 1 the base is better")
    for heading in ("author", "texts", "bytes", "base", f"{CONTEXT} bytes, Kneser-Ney", "ratio"):
        shown.add_column(heading, justify="left" if heading == "author" else "right")
    results = [*authors.values()]
    ends = {"mean of the authors": mean(results), "all bytes alike": total(results), "held-out lines": own}
    for group in (authors, ends):
        for name, result in group.items():
            figures = [f"{figure:.3f}" for figure in (result.base, result.characters, result.base / result.characters)]
            shown.add_row(name, f"{result.texts:,}", f"{result.bytes:,}", *figures)
        shown.add_section()
    return shown


if __name__ == "__main__":
    main()
