"""Personas: who can be imitated."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from pydantic import Field

from bot import clock
from bot.app import App
from bot.domain import Asker, Persona
from bot.errors import UnknownPersona, did_you_mean
from bot.store import consents, outbox, personas, runs, timelines
from bot.store.database import Db
from bot.web.operation import Answer, Asked, Tell, only_operator, operation


class Every(Asked):
    counts: bool = False  # of tweets, too


class One(Asked):
    persona: str
    samples: int = Field(default=0, ge=0, le=10)  # texts that are ready, or else were said here lately


class Share(Asked):
    name: str  # as it is found from everywhere
    shared: bool = True


@operation("GET", "/v1/personas", Every)
async def every(app: App, asked: Every, by: Asker, tell: Tell) -> Answer:
    def transaction(db: Db) -> list[dict[str, Any]]:
        return [
            {
                **asdict(persona),
                "name": persona.name,
                **({"tweets": sum(held["used"] for held in held_of(db, persona))} if asked.counts else {}),
            }
            for persona in personas.seen_from(db, by.sees)
        ]

    return {"personas": await app.database.run(transaction)}


@operation("GET", "/v1/personas/{persona}", One)
async def show(app: App, asked: One, by: Asker, tell: Tell) -> Answer:
    """Who they are, what is held of them and on what grounds, and how the training went."""

    def transaction(db: Db) -> tuple[Persona, dict[str, Any]]:
        persona = personas.seen(db, asked.persona, by.sees)
        if persona is None:
            known = [found.name if by.sees is None else found.slug for found in personas.seen_from(db, by.sees)]
            handles = personas.split(asked.persona)
            nearest = did_you_mean(personas.slug(handles), known)
            raise UnknownPersona(persona=asked.persona, nearest=nearest, handles=" ".join(handles))
        results = None if persona.run_id is None else runs.results(db, persona.run_id)
        ours = by.sees in (None, persona.place)  # else who gave the tweets is not the askers' business
        grounds = [
            {
                "handle": found.handle,
                "grounds": found.grounds,
                "person": found.person if ours else None,
                "at": clock.iso(found.at),
            }
            for handle in persona.handles
            for found in consents.of(db, persona.place, handle)
        ]
        return persona, {"held": held_of(db, persona), "results": results, "grounds": grounds}

    persona, facts = await app.database.run(transaction)
    samples = []
    if asked.samples and persona.run_id is not None:
        samples = [found.text for found in app.imitator.ready(persona, app.sampling, asked.samples, by.place)]
        missing = asked.samples - len(samples)
        said = await app.database.run(lambda db: outbox.said_by(db, persona.id, by.place, missing))
        samples += [text for text in said if app.moderators.of(by.place).forbids(text) is None]
    return {**asdict(persona), "name": persona.name, **facts, "samples": samples}


def held_of(db: Db, persona: Persona) -> list[dict[str, Any]]:
    """Of each handle, how many tweets are held and how many of them are of use."""
    rows = []
    for handle in persona.handles:
        counts = timelines.counts(db, handle, persona.place)
        assert counts is not None
        name = timelines.display_name(db, handle, persona.place)
        rows.append({"handle": handle, "display_name": name, "held": counts.downloaded, "used": counts.kept})
    return rows


@operation("POST", "/v1/personas/share", Share)
async def share(app: App, asked: Share, by: Asker, tell: Tell) -> Answer:
    """Lets the people of every place use a persona, or no longer."""
    only_operator(by)

    def transaction(db: Db) -> str:
        persona = personas.find(db, asked.name)
        if persona is None:
            names = [known.name for known in personas.every(db)]
            handles = " ".join(personas.split(asked.name))
            raise UnknownPersona(persona=asked.name, nearest=did_you_mean(asked.name, names), handles=handles)
        personas.share(db, persona.id, asked.shared)
        return persona.name

    return {"persona": await app.database.run(transaction), "shared": asked.shared}
