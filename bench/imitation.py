"""How well each system imitates: `make imitation ARGS="--timelines DIR --authors a,b --json FILE"`.

Every author's newest tenth of texts is held out, and no system sees it. Each system learns from the older tweets and
writes as many as are wanted, unprompted; what it wrote is cleaned once more as the held-out texts are (`mended`: what
is measured is the voice, not how a recipe cleans) and measured as metrics.py says. `real`, the held-out tweets
themselves, is the ceiling.

The file gets a row as soon as it is made, so an interrupted table goes on where it was. It holds no texts.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from sklearn.pipeline import Pipeline

from bench import metrics
from bench.arguments import errors_as_sentences, names, positive
from bench.authors import Author, find_authors, read_author
from bench.systems import DEFAULT, Bench, Made, make, recipe_of, settings_of
from bot.errors import MockingbirdError
from bot.hub import find_base
from bot.moderation import ShingleIndex
from models.checkpoint import sha256
from training import run
from training.clean import mended

Row = dict[str, Any]
# In this order, in every row; None where a figure does not exist.
FIGURES = (
    *("bits_per_byte", "attribution", "attribution_uncopied", "verbatim", "exact", "refused", "distinct2"),
    *(f"form_{name}" for name in (*metrics.PROFILES, "length_share", "punctuation")),
    *("made", "seconds", "tokens_per_second", "train_seconds", "fixed_seconds", "train_tokens_per_second"),
    *("train_steps", "peak_memory_mb", "checkpoint_bytes", "held_out_bytes"),
)
Columns = Mapping[str, tuple[str, str]]  # of a table: heading -> figure, how it is written
VOICE: Columns = {
    "bits/byte": ("bits_per_byte", "{:.3f}"),
    "attributed": ("attribution", "{:.0%}"),
    "uncopied": ("attribution_uncopied", "{:.0%}"),
    "verbatim": ("verbatim", "{:.1%}"),
    "exact": ("exact", "{:.1%}"),
    "refused": ("refused", "{:.1%}"),
    "distinct2": ("distinct2", "{:.3f}"),
    "length off": ("form_length_share", "{:.0%}"),
    "made": ("made", "{:.0f}"),
}
COST: Columns = {
    "train s": ("train_seconds", "{:.1f}"),
    "fixed s": ("fixed_seconds", "{:.1f}"),
    "memory MB": ("peak_memory_mb", "{:.0f}"),
    "checkpoint MB": ("checkpoint_bytes", "{:.2f}"),
    "write s": ("seconds", "{:.1f}"),
    "tokens/s": ("tokens_per_second", "{:.0f}"),
}
WIDTH = 128  # of the tables, also where the output is no terminal or a narrow one
RIVAL = "huggingtweets"


def main(argv: Sequence[str] | None = None) -> None:
    asked = parse(argv)
    files = find_authors(asked.timelines, asked.authors)
    for system in asked.systems:
        recipe_of(system)
    with errors_as_sentences():
        base = find_base(asked.base)
        authors = {handle: read_author(handle, path, asked.limit) for handle, path in files.items()}
    chosen = {name: getattr(asked, name) for name in ("temperature", "top_p", "top_k", "candidates")}
    bench = Bench(
        base=asked.base,
        base_folder=base,
        tweets=asked.tweets,
        seed=asked.seed,
        device=asked.device,
        threads=asked.threads,
        overrides=tuple((name, value) for name, value in chosen.items() if value is not None),
    )
    with errors_as_sentences():
        _ = bench.config
    rows = measure(authors, asked.systems, bench, asked)
    wanted = [row for row in rows if row["author"] in authors and row["system"] in asked.systems]
    console = Console(width=WIDTH)
    for table in tables(wanted, authors):
        console.print(table)
    tell_comparisons(console, summarise(wanted))
    if failed := [row for row in wanted if row["error"]]:
        raise SystemExit("\n".join(f"{row['system']} for @{row['author']}: {row['error']}" for row in failed))


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make imitation", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--timelines", type=Path, required=True, help="a folder of <handle>.jsonl.gz")
    parser.add_argument("--authors", type=names, default=(), help="a,b,c (default: all of the folder)")
    parser.add_argument("--systems", type=names, default=DEFAULT, help=f"default: {','.join(DEFAULT)}")
    parser.add_argument("--tweets", type=positive, default=200, help="how many each system writes (default: 200)")
    parser.add_argument("--limit", type=positive, help="learn from so many of each author's newest tweets only")
    parser.add_argument("--base", default="fledgling", help="fledgling, a folder, or a Hub id such as gpt2")
    parser.add_argument("--seed", type=int, default=0, help="of the trainings, and of the first text (default: 0)")
    parser.add_argument("--temperature", type=float, help="this and the next three: instead of the product's default")
    parser.add_argument("--top-p", type=float)
    parser.add_argument("--top-k", type=int)
    parser.add_argument("--candidates", type=positive, help="of the system product, for each text")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--threads", type=int, default=0, help="0: as many as the product takes (default)")
    parser.add_argument("--work", type=Path, help="keep trainings here, and use those that are there")
    parser.add_argument("--json", type=Path, required=True, help="the rows; those that it holds are not made again")
    parser.add_argument("--fresh", action="store_true", help="forget the rows that the file holds")
    parser.add_argument("--show", type=positive, default=0, help="print so many texts of each new row")
    return parser.parse_args(argv)


# --- Rows -------------------------------------------------------------------------------------------------------------


def measure(
    authors: Mapping[str, Author], systems: Sequence[str], bench: Bench, asked: argparse.Namespace
) -> list[Row]:
    """All rows of the file, the missing ones made first."""
    settings = settings_for(authors, bench, asked.limit)
    rows = [] if asked.fresh else held_rows(asked.json, settings)
    classifier = None
    if len(authors) > 1:
        classifier = metrics.train_classifier({author.handle: author.all_known for author in authors.values()})
    for author in authors.values():
        missing = [system for system in systems if not has(rows, author, system, bench)]
        if not missing:
            continue
        with working_folder(asked.work) as work:
            for system in missing:
                print(f"@{author.handle}: {system} ...", file=sys.stderr, flush=True)
                row = made_row(system, author, bench, work, classifier, asked.show)
                rows = [held for held in rows if (held["author"], held["system"]) != (author.handle, system)] + [row]
                asked.json.parent.mkdir(parents=True, exist_ok=True)
                run.write_json(asked.json, {"rows": rows, "summary": summarise(rows), "settings": settings})
    return rows


def made_row(system: str, author: Author, bench: Bench, work: Path, classifier: Pipeline | None, show: int) -> Row:
    """Makes one row; of what went wrong in a way that people may see, it holds the sentence."""
    row: Row = {"author": author.handle, "system": system, "error": None, **dict.fromkeys(FIGURES)}
    row["made_with"] = settings_of(system, bench)
    try:
        made = make(system, author, bench, work)
    except MockingbirdError as error:
        return row | {"error": str(error)}
    for text in made.texts[:show]:
        print(f"  {author.handle} {system}: {text!r}")
    return row | figures(made, author, classifier, bench.tweets)


def figures(made: Made, author: Author, classifier: Pipeline | None, wanted: int) -> Row:
    """Everything that is measured of what was made."""
    texts = [mended(text) for text in made.texts]
    index = ShingleIndex(author.known)
    known = {metrics.folded(text) for text in author.known}
    return {
        **made.figures,
        "made": len(texts),
        "attribution": metrics.attribution(classifier, author.handle, texts) if classifier else None,
        "attribution_uncopied": metrics.attribution_uncopied(classifier, author.handle, index, texts)
        if classifier
        else None,
        "verbatim": metrics.verbatim(index, texts),
        "exact": metrics.exact(known, texts),
        "refused": metrics.refused(index, made.texts),
        "distinct2": metrics.distinct2(texts, min(metrics.DISTINCT_TEXTS, wanted)),
        **metrics.form(texts, [piece.text for piece in author.held_out]),
    }


@contextmanager
def working_folder(kept: Path | None) -> Iterator[Path]:
    """The folder that is to be kept, or one that goes when the author is done."""
    if kept is not None:
        kept.mkdir(parents=True, exist_ok=True)
        yield kept.resolve()
    else:
        with tempfile.TemporaryDirectory(prefix="imitation-") as folder:
            yield Path(folder)


def settings_for(authors: Mapping[str, Author], bench: Bench, limit: int | None) -> Row:
    """What is the same for all rows of a file; `corpus` stands for every text, held out or not."""
    corpus = [[author.handle, author.known, [piece.text for piece in author.held_out]] for author in authors.values()]
    return {
        "authors": list(authors),
        "corpus": hashlib.sha256(json.dumps(corpus).encode()).hexdigest(),
        "tweets": bench.tweets,
        "limit": limit,
        "base": Path(bench.base).name if Path(bench.base).is_dir() else bench.base,
        "base_sha256": sha256(bench.base_folder / "model.safetensors"),
        "seed": bench.seed,
        "device": bench.device,
        "threads": bench.threads,
    }


def held_rows(file: Path, settings: Row) -> list[Row]:
    """The rows that a file holds; SystemExit if they are of other settings, which are not mixed."""
    if not file.exists():
        return []
    try:
        held = json.loads(file.read_text(encoding="utf-8"))
        rows: list[Row] = held["rows"]
        differing = [name for name, value in settings.items() if held["settings"].get(name) != value]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise SystemExit(f"{file} is no table of imitations: name another file, or give --fresh.") from None
    if differing:
        raise SystemExit(
            f"{file} holds rows of other settings ({', '.join(differing)}): name another file, or give --fresh."
        )
    return rows


def has(rows: Sequence[Row], author: Author, system: str, bench: Bench) -> bool:
    """Whether a row is there that would come out the same; JSON has no tuples."""
    wanted = json.loads(json.dumps(settings_of(system, bench)))
    return any(
        (row["author"], row["system"], row["error"]) == (author.handle, system, None)
        and json.loads(json.dumps(row["made_with"])) == wanted
        for row in rows
    )


# --- The summary ------------------------------------------------------------------------------------------------------


def summarise(rows: Sequence[Row]) -> Row:
    """Means over the authors by system, and each system against huggingtweets over the authors that both have."""
    systems = list(dict.fromkeys(row["system"] for row in rows))
    of = {system: {row["author"]: row for row in rows if row["system"] == system} for system in systems}
    means = {
        system: {"authors": sum(row["error"] is None for row in own.values())}
        | {figure: metrics.mean(row[figure] for row in own.values()) for figure in FIGURES}
        for system, own in of.items()
    }
    rivals = {
        system: against(own, of[RIVAL]) for system, own in of.items() if RIVAL in of and system not in (RIVAL, "real")
    }
    return {"means": means, f"against_{RIVAL}": rivals}


def against(ours: Mapping[str, Row], theirs: Mapping[str, Row]) -> Row:
    """One system against another. A ratio is ours / theirs: of means for what is measured, of sums for what it costs;
    `better` counts the authors where ours is lower (bits a byte) or higher (attribution). Only authors whose rows both
    have the figure count."""

    def pairs(figure: str) -> list[tuple[float, float]]:
        both = [(ours[author][figure], theirs[author][figure]) for author in ours if author in theirs]
        return [(one, other) for one, other in both if one is not None and other is not None]

    def of_sums(figure: str) -> float | None:
        held = pairs(figure)
        return metrics.ratio(sum(one for one, _ in held), sum(other for _, other in held)) if held else None

    bits, attributed = pairs("bits_per_byte"), pairs("attribution")
    return {
        "authors": len(ours.keys() & theirs.keys()),
        "bits_per_byte_authors": len(bits),
        "bits_per_byte_better": sum(one < other for one, other in bits),
        "bits_per_byte_ratio": of_sums("bits_per_byte"),
        "attribution_authors": len(attributed),
        "attribution_better": sum(one > other for one, other in attributed),
        "attribution_difference": metrics.mean(one - other for one, other in attributed),
        "train_seconds_ratio": of_sums("train_seconds"),
        "seconds_ratio": of_sums("seconds"),
        "peak_memory_ratio": of_sums("peak_memory_mb"),
        "checkpoint_bytes_ratio": of_sums("checkpoint_bytes"),
    }


# --- What people see --------------------------------------------------------------------------------------------------


def tables(rows: Sequence[Row], authors: Mapping[str, Author]) -> Iterator[Table]:
    """The voices and what they cost, author by author and in the mean."""
    means = summarise(rows)["means"]
    for title, columns in (("Voice", VOICE), ("Cost", COST)):
        each = table(f"{title}, author by author", "author", columns)
        for handle in authors:
            for number, row in enumerate(row for row in rows if row["author"] == handle):
                each.add_row(f"@{handle}" if number == 0 else "", row["system"], *cells(row, columns))
            each.add_section()
        yield each
    for title, columns in (("Voice", VOICE), ("Cost", COST)):
        mean = table(f"{title}, mean of the authors", "authors", columns)
        for system, row in means.items():
            mean.add_row(str(row["authors"]), system, *cells(row, columns))
        yield mean


def table(title: str, first: str, columns: Columns) -> Table:
    made = Table(title=title, title_justify="left", box=box.SIMPLE, padding=(0, 1, 0, 0))
    for heading in (first, "system"):
        made.add_column(heading, no_wrap=True)
    for heading in columns:
        made.add_column(heading, justify="right", no_wrap=True)
    return made


def cells(row: Row, columns: Columns) -> list[str]:
    """The figures as they are read; a dash for one that does not exist."""
    scaled = {**row, "checkpoint_bytes": metrics.ratio(row["checkpoint_bytes"], 1e6)}
    return ["-" if scaled[name] is None else form.format(scaled[name]) for name, form in columns.values()]


def tell_comparisons(console: Console, summary: Row) -> None:
    """Each system beside huggingtweets, in a line."""
    for system, found in summary[f"against_{RIVAL}"].items():
        said = [
            f"{words} {form.format(found[name])}"
            for words, name, form in (
                ("bits/byte x", "bits_per_byte_ratio", "{:.3f}"),
                ("attribution", "attribution_difference", "{:+.1%}"),
                ("training time x", "train_seconds_ratio", "{:.3f}"),
                ("writing time x", "seconds_ratio", "{:.3f}"),
                ("memory x", "peak_memory_ratio", "{:.3f}"),
                ("checkpoint x", "checkpoint_bytes_ratio", "{:.4f}"),
            )
            if found[name] is not None
        ]
        better = [
            f"{words} for {found[f'{name}_better']} of {found[f'{name}_authors']}"
            for words, name in (("fewer bits", "bits_per_byte"), ("attributed more", "attribution"))
            if found[f"{name}_authors"]
        ]
        console.print(f"{system} / {RIVAL}: {', '.join(said + better)}", highlight=False, soft_wrap=True)


if __name__ == "__main__":
    main()
