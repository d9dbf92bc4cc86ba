"""The openly licensed text that the bundled base learns from: which lines of it, as tokens, and whose they are."""

from __future__ import annotations

import io
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from torch import Tensor

from models.engine.tokenizer import END_OF_TEXT

# How much of a source is used, where that is not all of it: task talk ("book me a table"), press briefings and
# office prose are plentiful and far from how people chat.
SHARE = {
    "google-research-datasets/dstc8-schema-guided-dialogue": 0.25,
    "google-research-datasets/Taskmaster": 0.5,
    "clinc/oos-eval": 0.3,
    "xliuhw/NLU-Evaluation-Data": 0.3,
    "PolyAI-LDN/task-specific-datasets": 0.25,
    "sonos/nlu-benchmark": 0.1,
    "thechangelog/transcripts": 0.6,
    "Yale-LILY/QMSum": 0.5,
    "bitcointranscripts/bitcointranscripts": 0.25,
    "brian14708/wh-briefings": 0.15,
    "18F/18f.gsa.gov": 0.4,
    "GSA/digitalgov.gov": 0.3,
}
# How often a chosen text is used while the model learns, by what a source is worth for tweets: measured as the bits a
# byte that a bigram model of 300,000 tokens of it needs for tweets (docs/experiments.md). Rich vocabulary counts most.
WORTH = {
    "jcolag/entropy-arbitrage": 1.0,  # 3.25 bits
    "ropensci/roweb3": 1.0,
    "GSA/digitalgov.gov": 0.6,
    "18F/18f.gsa.gov": 0.6,
    "carpentries/carpentries.org": 0.5,
    "thechangelog/transcripts": 0.25,  # 3.48
    "jkkummerfeld/irc-disentanglement": 0.6,
    "duraspace/irclogs": 0.4,
    "tidyverse/tidyverse.org": 0.5,
    "brian14708/wh-briefings": 0.3,
    "Yale-LILY/QMSum": 0.3,
    "bitcointranscripts/bitcointranscripts": 0.3,
    "PolyAI-LDN/task-specific-datasets": 0.1,  # 3.96
    "google-research-datasets/dstc8-schema-guided-dialogue": 0.3,
    "google-research-datasets/Taskmaster": 0.5,
    "sonos/nlu-benchmark": 0.1,
    "xliuhw/NLU-Evaluation-Data": 0.1,
    "clinc/oos-eval": 0.1,  # 4.35
}
BOOKS_WORTH = 0.5
GROUPS = ("dialogue", "sentences", "blogs", "speech", "books")
HELD_OUT_EVERY = 500  # every 500th text is never trained on, and measures progress


def texts(folder: Path, seed: int) -> Iterator[str]:
    """The chosen lines of all groups, in the order of the files."""
    return (line for line, _ in lines_with_sources(folder, seed))


def lines_with_sources(folder: Path, seed: int) -> Iterator[tuple[str, Source]]:
    """The same, each with the source that it comes from."""
    import zstandard

    rows = read_sources((folder / "SOURCES.md").read_text(encoding="utf-8"))
    for group in GROUPS:
        rng = random.Random(f"{seed} {group}")
        sources = iter(sorted((row for row in rows if row.group == group), key=lambda row: row.first))
        with open(folder / f"{group}.txt.zst", "rb") as packed:
            lines = io.TextIOWrapper(zstandard.ZstdDecompressor().stream_reader(packed), encoding="utf-8")
            source = next(sources)
            for number, line in enumerate(lines, start=1):
                while number > source.last:
                    source = next(sources)
                if rng.random() < source.share:
                    yield line.rstrip("\n"), source


@dataclass(frozen=True)
class Source:
    """One row of SOURCES.md: where the lines `first` to `last` of a group come from, and how many of them are used."""

    group: str
    repository: str
    commit: str
    licence: str
    first: int
    last: int

    @property
    def share(self) -> float:
        """None of what is still in copyright in some countries: what we ship goes everywhere."""
        return 0.0 if "US only" in self.licence else SHARE.get(self.repository, 1.0)

    @property
    def worth(self) -> float:
        """How often a chosen line of it is used, from 0 to 1."""
        return BOOKS_WORTH if self.group == "books" else WORTH.get(self.repository, 1.0)


def read_sources(table: str) -> list[Source]:
    """Reads the rows `| group | repository | commit | licence | taken | MB | lines | from | to |` of SOURCES.md."""
    found = []
    for row in table.splitlines():
        cells = [cell.strip() for cell in row.strip().strip("|").split(" | ")]
        if len(cells) == 9 and cells[0] in GROUPS and cells[8].isdigit():
            found.append(Source(cells[0], cells[1], cells[2], cells[3], int(cells[7]), int(cells[8])))
    return found


def make_tokenizer(text: Path, path: Path, vocab_size: int, seed: int) -> Tokenizer:
    """A byte-level BPE of our own, in GPT-2's manner; every byte is a token, so any text can be written."""
    if not path.exists():
        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
        tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
        trainer = trainers.BpeTrainer(
            vocab_size=vocab_size,
            special_tokens=[END_OF_TEXT],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        )
        tokenizer.train_from_iterator(texts(text, seed), trainer)
        tokenizer.save(str(path))
    return Tokenizer.from_file(str(path))


def shuffled(count: int, seed: int) -> list[int]:
    """The order of the lines: stretches of 64 are shuffled, not single lines, for neighbours are often one talk.
    Every HELD_OUT_EVERY-th line of that order is held out."""
    stretches = [range(start, min(count, start + 64)) for start in range(0, count, 64)]
    random.Random(seed).shuffle(stretches)
    return [index for stretch in stretches for index in stretch]


def tokenise(text: Path, tokenizer: Tokenizer, work: Path, seed: int) -> tuple[Tensor, Tensor]:
    """Token ids of all texts, each preceded by end-of-text, and of the held-out ones; kept in `work`."""
    path = work / "tokens.safetensors"
    if not path.exists():
        end = tokenizer.token_to_id(END_OF_TEXT)
        assert end is not None
        train: list[list[int]] = []
        held_out: list[int] = []
        lines = list(texts(text, seed))
        lines = [lines[index] for index in shuffled(len(lines), seed)]
        for start in range(0, len(lines), 10_000):
            batch = lines[start : start + 10_000]
            for index, encoding in enumerate(tokenizer.encode_batch(batch), start=start):
                if index % HELD_OUT_EVERY == 0:
                    held_out += [end, *encoding.ids]
                else:
                    train.append([end, *encoding.ids])
        packed = torch.tensor([token for ids in train for token in ids], dtype=torch.int16)
        save_file({"train": packed, "held_out": torch.tensor(held_out, dtype=torch.int16)}, path)
    held = load_file(path)
    return held["train"], held["held_out"]
