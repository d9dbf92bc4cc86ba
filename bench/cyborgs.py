"""How should a persona of two people be made? `make cyborgs ARGS="--timelines DIR --pairs a+b,c+d --json FILE"`.

A row is a way to get one voice for two authors, measured on the held-out texts of both (split as authors.py does; the
figure is the mean of the two): `base`; `own`, each author's own adapter on that author's texts, which is no cyborg but
the mark to reach; `trained` on the mix, as the product does it; `averaged`, the mean of the two own adapters, without
any training of its own; `labelled`, trained on the mix with "@handle: " before every text. What is labelled is scored
after its label, whose own bits do not count: so it is told who speaks, and the others are not.

Whether a voice speaks as both is asked of a classifier that knows the two and a stranger; `real`, the held-out texts,
shows how well that can be told.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from rich import box
from rich.console import Console
from rich.table import Table
from sklearn.pipeline import Pipeline

from bench import metrics
from bench.arguments import errors_as_sentences, positive
from bench.authors import Author, find_authors, read_author
from bench.imitation import WIDTH, working_folder
from bench.systems import Bench, Reader, predict, reader_of, trained, trained_on, unprompted, voice_of
from bot.hub import find_base
from bot.pool.child import cores
from training import run
from training.clean import mended
from training.corpus import Corpus, build_corpus
from training.engine.evaluate import either_way, row_nats
from training.recipe import STANDARD

Row = dict[str, Any]
Pair = tuple[Author, Author]
HEADINGS = ("bits/byte", "of first", "of second", "train s", "steps", "as first", "as second", "as neither")


def main(argv: Sequence[str] | None = None) -> None:
    asked = parse(argv)
    files = find_authors(asked.timelines, [handle for pair in asked.pairs for handle in pair])
    spelled = {handle.lower(): handle for handle in files}
    stranger = asked.stranger or next((name for name in find_authors(asked.timelines, ()) if name not in files), None)
    if stranger is None or stranger.lower() in spelled:
        raise SystemExit("A stranger is needed: somebody of the folder who is in none of the pairs.")
    files |= find_authors(asked.timelines, [stranger])
    with errors_as_sentences():
        base = find_base(asked.base)
        authors = {handle: read_author(handle, path) for handle, path in files.items()}
        bench = Bench(asked.base, base, asked.tweets, asked.seed, asked.device, asked.threads)
        other = authors[list(files)[-1]]
        rows: list[Row] = []
        for one, two in asked.pairs:
            with working_folder(asked.work) as work:
                for row in measure((authors[spelled[one.lower()]], authors[spelled[two.lower()]]), other, bench, work):
                    rows.append(row)
                    if asked.json:
                        asked.json.parent.mkdir(parents=True, exist_ok=True)
                        run.write_json(asked.json, {"base": base.name, "stranger": other.handle, "rows": rows})
    Console(width=WIDTH).print(table(rows, other.handle))


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make cyborgs", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--timelines", type=Path, required=True, help="a folder of <handle>.jsonl.gz")
    parser.add_argument("--pairs", type=pairs, required=True, help="a+b,c+d")
    parser.add_argument("--stranger", help="whom the classifier knows besides (default: the folder's first)")
    parser.add_argument("--tweets", type=positive, default=40, help="how many each voice writes (default: 40)")
    parser.add_argument("--base", default="fledgling", help="fledgling, a folder, or a Hub id such as gpt2")
    parser.add_argument("--seed", type=int, default=0, help="of the trainings, and of the first text (default: 0)")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--threads", type=int, default=0, help="0: as many as the product takes (default)")
    parser.add_argument("--work", type=Path, help="keep trainings here, and use those that are there")
    parser.add_argument("--json", type=Path, help="write the rows, which hold no texts, to this file")
    return parser.parse_args(argv)


def pairs(text: str) -> tuple[tuple[str, str], ...]:
    """ "a+b,c+d" -> (("a", "b"), ("c", "d"))."""
    found = []
    for said in text.split(","):
        handles = [name.strip().removeprefix("@") for name in said.split("+")]
        if len(handles) != 2 or not all(handles) or handles[0].lower() == handles[1].lower():
            raise argparse.ArgumentTypeError(f'"{said}" is no pair such as "a+b"')
        found.append((handles[0], handles[1]))
    return tuple(found)


def measure(pair: Pair, stranger: Author, bench: Bench, work: Path) -> Iterator[Row]:
    """The rows of one pair; raises MockingbirdError."""
    torch.set_num_threads(bench.threads or max(1, cores() - 1))
    name = "+".join(author.handle for author in pair)
    classifier = metrics.train_classifier({author.handle: author.all_known for author in (*pair, stranger)})

    def row(system: str, readers: Sequence[Reader], costs: Sequence[Row] = (), *, speaks: bool = False) -> Row:
        print(f"{name}: {system} ...", file=sys.stderr, flush=True)
        score = predict_labelled if system == "labelled" else predict
        each = [score(reader, author)["bits_per_byte"] for reader, author in zip(readers, pair, strict=True)]
        texts = unprompted(voice_of(readers[0], bench), bench, bench.sampling(system)).texts if speaks else ()
        return as_row(pair, system, each, costs, shares(classifier, pair, texts))

    yield row("base", [reader_of(None, bench)] * 2)
    learnt = [trained(STANDARD.name, author, bench, work) for author in pair]
    own = [reader_of(folder / "checkpoint", bench) for folder, _ in learnt]
    yield row("own", own, [cost for _, cost in learnt])
    mix = build_corpus({author.handle: author.older for author in pair}, STANDARD)
    for system, corpus in (("trained", mix), ("labelled", labelled(mix))):
        handles = (pair[0].handle, pair[1].handle)
        folder, cost = trained_on(corpus, handles, STANDARD, bench, work / f"{name}-{system}")
        reader = reader_of(folder / "checkpoint", bench)
        yield row(system, [reader] * 2, [cost], speaks=system == "trained")
    yield row("averaged", [averaged(own, (0.5, 0.5))] * 2, speaks=True)
    said = [shares(classifier, pair, [piece.text for piece in author.held_out]) for author in pair]
    yield as_row(pair, "real", [None, None], (), [metrics.mean(column) for column in zip(*said, strict=True)])


def as_row(
    pair: Pair, system: str, each: Sequence[float | None], costs: Sequence[Row], said: Sequence[float | None]
) -> Row:
    return {
        "pair": [author.handle for author in pair],
        "system": system,
        "bits_per_byte": metrics.mean(each),
        "bits_per_byte_of": list(each),
        **{name: sum(cost[name] for cost in costs) if costs else None for name in ("train_seconds", "train_steps")},
        "attribution": dict(zip(("first", "second", "neither"), said, strict=True)),
    }


# --- Voices of two ----------------------------------------------------------------------------------------------------


def averaged(readers: Sequence[Reader], weights: Sequence[float]) -> Reader:
    """The weighted sum of adapters of one base: low-rank products add up when A's are joined along the rank and B's,
    scaled, as well."""
    low_rank = {
        name: (
            torch.cat([reader.low_rank[name][0] for reader in readers], dim=1),
            torch.cat([w * reader.low_rank[name][1] for reader, w in zip(readers, weights, strict=True)], dim=0),
        )
        for name in readers[0].low_rank
    }
    return replace(readers[0], low_rank=low_rank)


def labelled(corpus: Corpus) -> Corpus:
    """Every text with its speaker before it, the held-out ones too."""
    return Corpus(
        *(
            tuple(replace(piece, text=f"{label(piece.handle)} {piece.text}") for piece in part)
            for part in (corpus.train, corpus.held_out)
        )
    )


def label(handle: str) -> str:
    """Without the blank, which is the beginning of the next token."""
    return f"@{handle}:"


def predict_labelled(reader: Reader, author: Author) -> dict[str, float | int]:
    """As `predict`, of the texts after their label: p(text | label) = p(label, text) / p(label), each the sum of both
    ways to begin. The blank between costs bits and counts as no byte."""
    start: list[int] = reader.tokenizer.encode(label(author.handle)).ids
    encodings = reader.tokenizer.encode_batch([f"{label(author.handle)} {piece.text}" for piece in author.held_out])
    assert all(encoding.ids[: len(start)] == start for encoding in encodings)
    room = reader.model.config.n_positions - 2
    low_rank = reader.low_rank or None
    nats = either_way(reader.model, [encoding.ids[:room] for encoding in encodings], reader.marks, low_rank)
    ways = [([reader.marks.end, *start], 1), ([reader.marks.end, reader.marks.reply, *start], 1)]
    of_label = -torch.tensor(row_nats(reader.model, ways, low_rank), dtype=torch.float64).neg().logsumexp(0).item()
    size = sum(sum(map(len, encoding.tokens[len(start) : room])) for encoding in encodings)  # an end for each blank
    return {"bits_per_byte": (nats - len(encodings) * of_label) / math.log(2) / size, "held_out_bytes": size}


def shares(classifier: Pipeline, pair: Pair, texts: Sequence[str]) -> list[float | None]:
    """Of the texts, cleaned once more: what share is given to the first, to the second, to neither."""
    cleaned = [mended(text) for text in texts]
    one, two = (metrics.attribution(classifier, author.handle, cleaned) for author in pair)
    return [one, two, None if one is None or two is None else 1 - one - two]


def table(rows: Sequence[Row], stranger: str) -> Table:
    made = Table(title=f"Cyborgs (neither: @{stranger})", title_justify="left", box=box.SIMPLE, padding=(0, 1, 0, 0))
    for heading in ("pair", "system"):
        made.add_column(heading, no_wrap=True)
    for heading in HEADINGS:
        made.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        if row["system"] == "base" and row is not rows[0]:
            made.add_section()
        bits = [cell(value, "{:.3f}") for value in (row["bits_per_byte"], *row["bits_per_byte_of"])]
        spent = [cell(row["train_seconds"], "{:.1f}"), cell(row["train_steps"], "{}")]
        said = [cell(value, "{:.0%}") for value in row["attribution"].values()]
        name = "+".join(f"@{handle}" for handle in row["pair"]) if row["system"] == "base" else ""
        made.add_row(name, row["system"], *bits, *spent, *said)
    return made


def cell(value: float | None, form: str) -> str:
    return "-" if value is None else form.format(value)


if __name__ == "__main__":
    main()
