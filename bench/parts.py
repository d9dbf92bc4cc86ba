"""What is measured of the engine, part by part; each leaves its figures in the contest that it is given."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from bench import limits, peers
from bench.apart import Apart, Missing
from bench.lag import Bot
from bench.material import RANK, Material, corpus_of
from bench.ours import Worker, exactly
from bench.systems import Bench, trained_on
from bot.cli.demo import PEOPLE
from bot.pool.protocol import Wish
from training import run
from training.corpus import Corpus
from training.recipe import STANDARD

PAUSE = 0.25  # seconds between two contestants: some libraries' threads go on spinning for a while
MOST_ROWS = 32  # requests of one measurement
PERSONAS = 8  # of a pool that speaks for several
SWITCHES = 8
FEWEST_LOOKS = 100  # at the loop's lag, below which a 99th percentile says nothing
# Passes over the tweets that our recipe is tried with; the shortest that reaches the rival's loss counts.
LADDER = (0.35, 0.5, 0.75, 1.0, 2.0)


@dataclass(frozen=True)
class Plan:
    """How much is measured. A match goes on for so many rounds, but begins none after `match_seconds`."""

    rounds: int
    match_seconds: float
    trainer_steps: int
    trainer_seconds: float
    texts: int  # our trainer's, for its tokens a second
    people: int  # on whom both recipes are trained, for the time to a loss
    newest: int  # texts of each of them
    lag_seconds: float
    lag_recipe: str
    peft: bool
    personas: int = 200  # in memory at once
    tokens: int = 48
    threads: int = 2


FULL = Plan(
    rounds=3,
    match_seconds=100.0,
    trainer_steps=30,
    trainer_seconds=450.0,
    texts=600,
    people=2,
    newest=250,
    lag_seconds=25.0,
    lag_recipe="thorough",
    peft=True,
)
QUICK = Plan(
    rounds=3,
    match_seconds=12.0,
    trainer_steps=10,
    trainer_seconds=15.0,
    texts=300,
    people=1,
    newest=150,
    lag_seconds=8.0,
    lag_recipe="standard",
    peft=False,
)

Contestant = Callable[[], int]  # does the work once, returns how many tokens it made


@dataclass
class Contest:
    """One model's material and what was found of it. `times`: by match and contestant, the seconds of each time that
    it did the work; `figures`: those that are no match's; `facts`: whatever else explains them; `took`: the seconds of
    each part."""

    stuff: Material
    plan: Plan
    device: str = "cpu"
    until: float = math.inf  # on the monotonic clock; nothing long is begun later
    times: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    figures: dict[str, float] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    took: dict[str, float] = field(default_factory=dict)
    held: dict[str, Apart] = field(default_factory=dict)  # peers that are needed again

    @property
    def seconds(self) -> dict[str, dict[str, float]]:
        """The medians."""
        return {
            match: {name: statistics.median(found) for name, found in contestants.items()}
            for match, contestants in self.times.items()
        }

    @property
    def all_figures(self) -> dict[str, float]:
        """Also the matches': `<match>_vs_<peer>`, the peer's seconds over ours."""
        ratios = {
            f"{match}_vs_{name}": found / medians["ours"]
            for match, medians in self.seconds.items()
            for name, found in medians.items()
            if name != "ours"
        }
        return {**ratios, **self.figures}

    @property
    def bench(self) -> Bench:
        return Bench("bench", self.stuff.base, device=self.device, threads=self.plan.threads)

    def wish(self, persona: Path | None, prompt: str, seed: int, tokens: int | None = None) -> Wish:
        return Wish(self.stuff.base, persona, prompt, seed, exactly(tokens or self.plan.tokens))

    def worker(self, most_rows: int = MOST_ROWS) -> Worker:
        return Worker(self.device, self.plan.threads, self.stuff.work / "worker.log", most_rows)

    def transformers(self) -> Apart:
        return self.peer("transformers", peers.Transformers, self.stuff.merged)

    def peer(self, name: str, make: Callable[..., object], *arguments: object) -> Apart:
        if name not in self.held:
            self.held[name] = Apart(make, *arguments, self.device, self.plan.threads)
        return self.held[name]

    def may(self, figure: str, make: Callable[[], Contestant]) -> dict[str, Contestant]:
        """A peer under the name that ends the figure's; none if it cannot be had, and why is noted."""
        try:
            return {figure.partition("_vs_")[2]: make()}
        except Missing as error:
            self.skipped[figure] = str(error)
            return {}

    def close(self) -> None:
        """Ends the peers."""
        while self.held:
            self.held.popitem()[1].close()


def take_turns(
    contestants: Mapping[str, Contestant], tokens: int, plan: Plan, warm_up: bool = True
) -> dict[str, list[float]]:
    """The seconds of every contestant, round by round, each round begun by another; the warm-up is a round that does
    not count. Raises ValueError if one does not make exactly so many tokens."""
    found: dict[str, list[float]] = {name: [] for name in contestants}
    if not contestants:
        return found
    names = list(contestants)
    began = time.monotonic()
    for number in range(-1 if warm_up else 0, plan.rounds):
        if number > 0 and time.monotonic() - began > plan.match_seconds:
            break
        for name in names[number % len(names) :] + names[: number % len(names)]:
            time.sleep(PAUSE)
            start = time.monotonic()
            made = contestants[name]()
            seconds = time.monotonic() - start
            if made != tokens:
                raise ValueError(f"{name} made {made} tokens, not {tokens}")
            if number >= 0:
                found[name].append(seconds)
    return found


# --- Writing ----------------------------------------------------------------------------------------------------------


def imitate_5(contest: Contest) -> None:
    """Five candidates of one persona."""
    stuff, plan = contest.stuff, contest.plan
    persona, prompt = stuff.personas(1)[0], stuff.prompt

    def by(peer: Apart, method: str) -> Contestant:
        return lambda: int(peer.call(method, prompt, 5, plan.tokens))

    def ctranslate2() -> Contestant:
        folder = stuff.work / "ctranslate2"
        return by(contest.peer("ctranslate2", peers.CTranslate2, stuff.merged, folder), "texts")

    with contest.worker() as ours:
        contestants: dict[str, Contestant] = {
            "ours": lambda: ours.texts([contest.wish(persona, prompt, seed) for seed in range(5)]),
            **contest.may("imitate_5_vs_pipeline", lambda: by(contest.transformers(), "texts")),
            **contest.may("imitate_5_vs_generate", lambda: by(contest.transformers(), "generated")),
            **contest.may("imitate_5_vs_ctranslate2", ctranslate2),
        }
        contest.times["imitate_5"] = take_turns(contestants, 5 * plan.tokens, plan)


def pooled_32(contest: Contest) -> None:
    """Four texts of each of eight personas: in one pool, against eight pipelines in turn. One merged model stands for
    the eight, so nothing of theirs is loaded between two."""
    stuff, plan, them = contest.stuff, contest.plan, contest.transformers()
    pairs = list(zip(stuff.personas(PERSONAS), stuff.prompts(PERSONAS), strict=True))
    wishes = [contest.wish(persona, prompt, seed) for persona, prompt in pairs for seed in range(4)]
    with contest.worker() as ours:
        # A warm-up without all eight pipelines: they take long.
        ours.texts(wishes)
        them.call("texts", pairs[0][1], 4, 1)
        contestants: dict[str, Contestant] = {
            "ours": lambda: ours.texts(wishes),
            "pipelines": lambda: sum(them.call("texts", prompt, 4, plan.tokens) for _, prompt in pairs),
        }
        contest.times["pooled_32"] = take_turns(contestants, MOST_ROWS * plan.tokens, plan, warm_up=False)


def adapters_32(contest: Contest) -> None:
    """A text of each of 32 personas, against as many of one merged model by the same engine, and by peft."""
    stuff, plan = contest.stuff, contest.plan
    personas, prompt = stuff.personas(MOST_ROWS), stuff.prompt
    apart = [contest.wish(persona, prompt, seed) for seed, persona in enumerate(personas)]
    merged = [replace(wish, base=stuff.merged, checkpoint=None) for wish in apart]

    def peft() -> Contestant:
        them = contest.peer("peft", peers.Peft, stuff.base, personas, RANK, RANK)
        return lambda: int(them.call("texts", prompt, plan.tokens))

    tokens = MOST_ROWS * plan.tokens
    with contest.worker() as ours:
        contestants: dict[str, Contestant] = {"ours": lambda: ours.texts(apart), "merged": lambda: ours.texts(merged)}
        times = contest.times["adapters_32"] = take_turns(contestants, tokens, plan)
    contest.close()  # memory for peft, which comes once: it takes half a minute
    if not plan.peft:
        raise Missing("peft takes too long for --quick")
    once = replace(plan, rounds=1)
    times |= take_turns(contest.may("adapters_32_vs_peft", peft), tokens, once, warm_up=False)
    contest.close()


def share_of_limits(contest: Contest) -> None:
    """How near a step, with no adapters, comes to what the machine can do. A step is what further tokens cost, so
    reading the prompt does not count."""
    stuff, plan = contest.stuff, contest.plan
    torch.set_num_threads(plan.threads)
    machine = limits.machine(contest.device)
    contest.facts |= {"machine": machine, "steps": {}}
    batches = (1, MOST_ROWS, 256) if contest.device == "cuda" else (1, MOST_ROWS)
    with contest.worker(batches[-1]) as ours:
        for rows in batches:

            def seconds(tokens: int, rows: int = rows) -> float:
                return ours.seconds([contest.wish(None, stuff.prompt, seed, tokens) for seed in range(rows)])

            seconds(plan.tokens)
            pairs = [(seconds(plan.tokens), seconds(1)) for _ in range(plan.rounds)]
            took = (min(long for long, _ in pairs) - min(short for _, short in pairs)) / (plan.tokens - 1) * 1000
            least = limits.least_ms(stuff.read_weights, rows, machine, contest.device)
            contest.facts["steps"][rows] = {"ms": took, "least_ms": least}
            contest.figures[f"share_of_limit_batch_{rows}"] = least / took


def personas_200(contest: Contest) -> None:
    """The memory of a worker that has spoken as so many personas of rank 8, given in 16 bits, and still has them."""
    stuff = contest.stuff
    many = stuff.many(contest.plan.personas)
    with contest.worker() as ours:
        ours.texts([contest.wish(persona, stuff.prompt, 0, 2) for persona in many])
        try:
            contest.figures["personas_200_rss_mib"] = ours.resident_mib
        except OSError as error:
            raise Missing(f"the system does not tell a process's memory: {error}") from error
    contest.facts["personas"] = len(many)


def adapter_switch(contest: Contest) -> None:
    """How much later a first token comes from a persona that is not in memory, in the median."""
    stuff = contest.stuff
    held, warm, *others = stuff.personas(SWITCHES + 2)
    with contest.worker() as ours:

        def first(persona: Path) -> float:
            return ours.seconds([contest.wish(persona, stuff.prompt, 0, 1)])

        first(held)
        first(warm)
        found = [first(other) - first(held) for other in others]
    contest.figures["adapter_switch_ms"] = statistics.median(found) * 1000


def first_token(contest: Contest) -> None:
    """From nothing to the first token: the worker's process, its libraries, the base and the prompt; its files have
    been read before."""
    found = []
    for _ in range(contest.plan.rounds):
        with contest.worker() as ours:
            found.append(ours.seconds([contest.wish(None, contest.stuff.prompt, 0, 1)]))
    contest.figures["worker_first_token_s"] = statistics.median(found)


def latency_100(contest: Contest) -> None:
    """What one of a hundred who ask at once waits for a whole text."""
    if contest.device == "cpu":
        raise Missing("it is measured on a GPU only")
    with contest.worker(100) as ours:
        wishes = [contest.wish(None, prompt, 0) for prompt in contest.stuff.prompts(100)]
        ours.texts(wishes)
        waits = ours.waits(wishes)
    contest.figures |= {"latency_100_p50_ms": waits[50] * 1000, "latency_100_p99_ms": waits[98] * 1000}


def loop_lag(contest: Contest) -> None:
    """How late the bot's event loop is while it trains and imitates, with the product's own settings."""
    settings = {"MODEL__BASE": str(contest.stuff.base), "MODEL__DEVICE": contest.device}
    apart = Apart(Bot, contest.stuff.work / "data", settings)
    try:
        found = apart.call("lag", contest.plan.lag_seconds, contest.plan.lag_recipe)
    finally:
        apart.close()
    contest.facts["loop_lag"] = found
    if found["looks"] < FEWEST_LOOKS:
        raise Missing(f"the training was over after {found['looks']} looks at the loop")
    contest.figures["loop_lag_p99_ms"] = found["p99_ms"]


# --- Learning ---------------------------------------------------------------------------------------------------------


def train_tokens(contest: Contest) -> None:
    """A pass of our recipe over the demo's tweets, before and after steps of the Trainer; seconds for 1,000 tokens."""
    stuff, plan = contest.stuff, contest.plan
    corpus = corpus_of(PEOPLE, plan.texts)

    def ours(name: str) -> float:
        folder = stuff.work / f"tokens-{name}"
        _, cost = trained_on(corpus, PEOPLE[:1], replace(STANDARD, epochs=1.0), contest.bench, folder)
        contest.facts["train_steps"] = cost["train_steps"]
        return 1000.0 / float(cost["train_tokens_per_second"])

    found = contest.times["train_tokens"] = {"ours": [ours("before")]}
    theirs = by_trainer(contest, corpus, plan.trainer_steps + 1, plan.trainer_seconds)
    found["trainer"] = [seconds * 1000.0 / theirs["block"] for seconds in theirs["steps"]]
    found["ours"].append(ours("after"))


def train_time_to_loss(contest: Contest) -> None:
    """The recipe of huggingtweets under the Trainer against the shortest of our trainings that ends with a held-out
    loss as low; a round is another person, and ours must get there for every one. Without starting and loading."""
    plan = contest.plan
    found: dict[str, list[float]] = {"ours": [], "recipe": []}
    contest.facts["losses"] = losses = []
    for person in PEOPLE[: plan.people]:
        corpus = corpus_of([person], plan.newest)
        theirs = by_trainer(contest, corpus)
        for epochs in LADDER:
            recipe = replace(STANDARD, epochs=epochs)
            folder, _ = trained_on(corpus, (person,), recipe, contest.bench, contest.stuff.work / f"{person}-{epochs}")
            results = run.results(folder)
            assert results is not None
            loss = results["heldout_loss"]
            losses.append({"person": person, "theirs": theirs["loss"], "ours": loss, "epochs": epochs})
            if loss <= theirs["loss"]:
                break
        else:
            raise Missing(f"for {person} our recipe did not reach the loss of the other")
        found["ours"].append(results["train_seconds"])
        found["recipe"].append(theirs["seconds"])
    contest.times["train_time_to_loss"] = found


def by_trainer(contest: Contest, corpus: Corpus, steps: int = 0, seconds: float = math.inf) -> dict[str, Any]:
    """What peers.Trainer says of its training; it is the recipe's four passes unless `steps` says otherwise."""
    seconds = min(seconds, contest.until - time.monotonic())
    trainer = Apart(peers.Trainer, contest.stuff.base, contest.stuff.work, contest.device, contest.plan.threads)
    try:
        told: dict[str, Any] = trainer.call("train", [piece.text for piece in corpus.train], steps, seconds)
        return told | {"loss": trainer.call("loss", [piece.text for piece in corpus.held_out])}
    finally:
        trainer.close()
