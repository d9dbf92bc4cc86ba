"""Runs scenarios: `python -P -m tests.chaos [--quick] [--only ID] [--seed N] --json FILE`, from the repository root."""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from tests.chaos import delivery, kills
from tests.chaos.scenarios import SCENARIOS, Asked, Outcome

MODULES = (delivery, kills)  # each registers its scenarios when it is imported
MOST_SHOWN = 20


def main(arguments: Sequence[str] | None = None) -> int:
    asked = _parser().parse_args(arguments)
    seed = random.SystemRandom().randrange(2**31) if asked.seed is None else asked.seed
    chosen = [
        name for name in SCENARIOS if asked.only is None or name == asked.only or name.startswith(f"{asked.only}-")
    ]
    if not chosen:
        print(f"There is no scenario {asked.only}; there are {', '.join(SCENARIOS)}.", file=sys.stderr)
        return 2
    print(f"seed {seed}", file=sys.stderr)
    outcomes: dict[str, Outcome] = {}
    for name in chosen:
        began = time.monotonic()
        outcomes[name] = outcome = SCENARIOS[name](Asked(asked.quick, seed))
        print(_line(name, outcome, time.monotonic() - began), flush=True)
        for wrong in outcome.wrong[:MOST_SHOWN]:
            print(f"    {wrong}", flush=True)
    if asked.json is not None:
        report = {"scenarios": [outcome.as_json(name) for name, outcome in outcomes.items()]}
        asked.json.write_text(json.dumps(report, indent=2) + "\n", "utf-8")
    return 0 if all(outcome.ok for outcome in outcomes.values()) else 1


def _line(name: str, outcome: Outcome, seconds: float) -> str:
    ok = "ok" if outcome.ok else "WRONG"
    losses = f"{outcome.duplicates} duplicates, {outcome.silent_losses} silent losses"
    return f"{ok:5}  {name:20}  {outcome.runs:5} runs  {losses}  {seconds:4.0f} s  {outcome.figure}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make chaos", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="about a tenth of everything")
    parser.add_argument("--only", metavar="ID", help="one scenario, or all whose ids begin with this")
    parser.add_argument("--seed", type=int, help="what everything random follows from (default: drawn, and printed)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to write what came of it")
    return parser


if __name__ == "__main__":
    sys.exit(main())
