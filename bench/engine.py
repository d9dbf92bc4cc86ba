"""How fast the engine is beside its peers: `make bench ARGS="[--quick] --json FILE"`.

We and each peer do the same work: the same weights (a persona's adapter for us, merged into the base for those that
know of none), prompts of 6 tokens, exactly 48 new ones, 2 threads, top-p 0.95, no top-k, temperature 1. They take turns
in one run; a figure `<match>_vs_<peer>` is the peer's median seconds over ours, so larger is better. We are the
product's worker behind its pool, and its trainer; everyone has a process of their own, and the peers have the threads'
settings that their libraries choose: ours, whose threads wait without spinning, would make them a tenth slower.

Two models: `gpt2`, of the shape of GPT-2 124M with random weights, and the bundled base; with --quick the latter only.
What could not be measured is null, and "skipped" says why.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from bench import parts
from bench.apart import Missing
from bench.arguments import names
from bench.material import GPT2_SMALL, PROMPT_TOKENS, Material, random_base
from bench.ours import exactly
from bench.parts import FULL, QUICK, Contest
from bot.hub import find_base
from bot.pool.child import cores
from models.engine.device import choose_device
from training import run

Part = Callable[[Contest], None]
MINUTES = 27.0  # a part that would begin later is skipped: the whole is to end within thirty
# The figures of each part, in the order in which they are measured.
PARTS: Mapping[Part, tuple[str, ...]] = {
    parts.imitate_5: ("imitate_5_vs_pipeline", "imitate_5_vs_generate", "imitate_5_vs_ctranslate2"),
    parts.pooled_32: ("pooled_32_vs_pipelines",),
    parts.adapters_32: ("adapters_32_vs_merged", "adapters_32_vs_peft"),
    parts.share_of_limits: ("share_of_limit_batch_1", "share_of_limit_batch_32"),
    parts.personas_200: ("personas_200_rss_mib",),
    parts.adapter_switch: ("adapter_switch_ms",),
    parts.first_token: ("worker_first_token_s",),
    parts.latency_100: ("latency_100_p50_ms", "latency_100_p99_ms"),
    parts.loop_lag: ("loop_lag_p99_ms",),
    parts.train_time_to_loss: ("train_time_to_loss_vs_recipe",),
    parts.train_tokens: ("train_tokens_vs_trainer",),
}
BUNDLED_ONLY = (parts.loop_lag, parts.train_time_to_loss)  # measured with no other model
OF_BUNDLED = (parts.first_token, *BUNDLED_ONLY)  # whose figures are those of the bundled base
FIGURES = {figure: part for part, figures in PARTS.items() for figure in figures}
NAMED = {part.__name__: part for part in PARTS}
NOT_ASKED = "it was not asked for"
THREADS = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "MKL_CBWR")
WIDTH = 128  # of the table, also where the output is no terminal or a narrow one


def main(argv: Sequence[str] | None = None) -> None:
    asked = parse(argv)
    device = choose_device(asked.device)
    for name in THREADS:
        os.environ.pop(name, None)  # what the product sets for its children is not to reach the peers
    os.environ["HF_HUB_OFFLINE"] = "1"  # they have folders, and need not ask whether there is something newer
    began = time.monotonic()
    bundled = find_base("fledgling")
    asked.json.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="bench-") as work:
        bases = {"fledgling": bundled}
        if asked.plan is FULL:
            bases["gpt2"] = random_base(Path(work) / "base", bundled, GPT2_SMALL)
        contests = [
            Contest(Material(name, base, Path(work) / name), asked.plan, device, began + 60 * MINUTES)
            for name, base in bases.items()
        ]

        def tell() -> None:
            """An interrupted run has told what it found."""
            run.write_json(asked.json, {**report(contests), "minutes": (time.monotonic() - began) / 60})

        measure(contests, asked.parts, tell)
        found = report(contests)
    console = Console(width=WIDTH)
    console.print(table(found))
    for line in missing(found):
        console.print(line, highlight=False)


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench", description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--quick",
        dest="plan",
        action="store_const",
        const=QUICK,
        default=FULL,
        help="the bundled base only, about three minutes",
    )
    parser.add_argument("--parts", type=parts_named, default=tuple(PARTS), help=f"default: {','.join(NAMED)}")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--json", type=Path, required=True, help="write the figures to this file")
    return parser.parse_args(argv)


def parts_named(text: str) -> tuple[Part, ...]:
    found = names(text)
    if unknown := [name for name in found if name not in NAMED]:
        raise argparse.ArgumentTypeError(f"{unknown[0]} is none of {', '.join(NAMED)}")
    return tuple(part for name, part in NAMED.items() if name in found)


def measure(contests: Sequence[Contest], chosen: Sequence[Part], tell: Callable[[], None]) -> None:
    """Does each part for each model, the bundled base first, and tells after each; of one that fails, or that would
    begin after its time, the figures are skipped with the reason."""
    for contest in contests:
        for part in chosen:
            if part in BUNDLED_ONLY and contest is not contests[0]:
                continue
            print(f"{contest.stuff.name}: {part.__name__} ...", file=sys.stderr, flush=True)
            began = time.monotonic()
            try:
                if began > contest.until:
                    raise Missing("the time was over")
                part(contest)
            except Exception as error:
                if not isinstance(error, Missing):
                    traceback.print_exc()
                reason = str(error) if isinstance(error, Missing) else repr(error)
                lacking = [figure for figure in PARTS[part] if figure not in contest.all_figures]
                contest.skipped = dict.fromkeys(lacking, reason) | contest.skipped
            contest.took[part.__name__] = time.monotonic() - began
            tell()
        contest.close()


# --- The report -------------------------------------------------------------------------------------------------------


def report(contests: Sequence[Contest]) -> dict[str, Any]:
    """What --json holds: every figure by its name, of the model that `of` names, and the seconds of both sides; then
    all that was found of each model."""
    of = {figure: contests[0 if part in OF_BUNDLED else -1] for figure, part in FIGURES.items()}
    figures = {figure: contest.all_figures.get(figure) for figure, contest in of.items()}
    plan = contests[0].plan
    return {
        **figures,
        "of": {figure: contest.stuff.name for figure, contest in of.items()},
        "seconds": {
            match: contest.seconds[match]
            for figure, contest in of.items()
            if (match := figure.partition("_vs_")[0]) in contest.times
        },
        "skipped": {
            figure: of[figure].skipped.get(figure, NOT_ASKED) for figure, value in figures.items() if value is None
        },
        "settings": {
            "prompt_tokens": PROMPT_TOKENS,
            "sampling": vars(exactly(plan.tokens)),
            "plan": vars(plan),
            "device": contests[0].device,
            "torch": torch.__version__,
            "cores": cores(),
        },
        "models": {
            contest.stuff.name: {
                "figures": contest.all_figures,
                "skipped": contest.skipped,
                "seconds": contest.seconds,
                "times": contest.times,
                "facts": contest.facts,
                "took": contest.took,
            }
            for contest in contests
        },
    }


def table(found: Mapping[str, Any]) -> Table:
    shown = Table(title="The engine beside others; a_vs_b is how many times faster a is")
    for heading in ("figure", "model", "value", "seconds: ours", "theirs", "times"):
        shown.add_column(heading, justify="left" if heading in ("figure", "model") else "right")
    for name, model in found["models"].items():
        for figure in FIGURES:
            value = model["figures"].get(figure)
            match, _, rival = figure.partition("_vs_")
            if value is None:
                continue
            cells = [f"{value:.2f}"]
            if rival:
                times = model["times"][match]
                cells += [f"{model['seconds'][match][who]:.3f}" for who in ("ours", rival)] + [str(len(times[rival]))]
            shown.add_row(figure, name, *cells)
    return shown


def missing(found: Mapping[str, Any]) -> Iterator[str]:
    """What a step takes beyond the least that it could, and why figures are missing."""
    for name, model in found["models"].items():
        for rows, step in model["facts"].get("steps", {}).items():
            over = step["ms"] - step["least_ms"]
            yield f"{name}, a step of {rows}: {step['ms']:.2f} ms, {over:.2f} more than the least"
        for figure, reason in model["skipped"].items():
            yield f"{name}, no {figure}: {reason}"


if __name__ == "__main__":
    main()
