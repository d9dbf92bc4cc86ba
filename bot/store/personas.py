"""Personas: who is imitated, found by the handles they are made of."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import sqlite_utils

from bot.domain import Persona
from bot.errors import NoCheckpoint, UnknownHandle, UnknownPersona, did_you_mean
from bot.store import timelines

_SELECT = """
SELECT personas.id, slug, run_id, group_concat(handle, ' ') AS handles
FROM personas
JOIN persona_timelines ON persona_timelines.persona_id = personas.id
JOIN timelines ON timelines.id = persona_timelines.timeline_id
"""


def slug(handles: Iterable[str]) -> str:
    """The name for people: the lower-case handles, sorted, joined by a hyphen (which no handle holds)."""
    return "-".join(sorted({timelines.bare(handle).lower() for handle in handles}))


def create(db: sqlite_utils.Database, handles: Sequence[str], now: int) -> Persona:
    """Gets or makes the persona of these handles; raises UnknownHandle if nothing is held of one of them."""
    if not handles:
        raise ValueError("a persona has at least one handle")
    held = [_held(db, handle) for handle in handles]
    name = slug(held)
    db.execute("INSERT INTO personas (slug, created_at) VALUES (?, ?) ON CONFLICT (slug) DO NOTHING", [name, now])
    db.conn.executemany(
        """INSERT INTO persona_timelines (persona_id, timeline_id)
           SELECT personas.id, timelines.id FROM personas, timelines WHERE slug = ? AND handle = ?
           ON CONFLICT DO NOTHING""",
        [(name, handle) for handle in held],
    )
    persona = find(db, name)
    assert persona is not None
    return persona


def find(db: sqlite_utils.Database, name: str) -> Persona | None:
    """The persona of this name; a leading @, case and the order of handles (`b-a`, `b+a`, `b, a`) are forgiven."""
    return _one(db, "WHERE slug = ?", slug(handle for handle in re.split(r"[-+,\s]+", name) if handle))


def speaking(db: sqlite_utils.Database, name: str) -> Persona:
    """The persona of this name, if it can speak; else UnknownPersona or NoCheckpoint."""
    persona = find(db, name)
    if persona is None:
        handles = [handle for handle in re.split(r"[-+,\s@]+", name) if handle]
        known = [persona.slug for persona in every(db)]
        nearest = did_you_mean(slug(handles), known)
        raise UnknownPersona(persona=name, nearest=nearest, handles=" ".join(handles))
    if persona.run_id is None:
        raise NoCheckpoint(persona=persona.slug, handles=" ".join(persona.handles))
    return persona


def get(db: sqlite_utils.Database, persona_id: int) -> Persona | None:
    return _one(db, "WHERE personas.id = ?", persona_id)


def every(db: sqlite_utils.Database) -> list[Persona]:
    """All personas, in alphabetical order."""
    return [_persona(row) for row in db.query(f"{_SELECT} GROUP BY personas.id ORDER BY slug")]


def promote(db: sqlite_utils.Database, persona_id: int, run_id: int) -> None:
    """Makes the checkpoint of this run the one that speaks for the persona whose run it is."""
    changed = db.execute(
        """UPDATE personas SET run_id = :run WHERE id = :persona
           AND EXISTS (SELECT 1 FROM runs WHERE id = :run AND persona_id = :persona)""",
        {"run": run_id, "persona": persona_id},
    )
    if changed.rowcount != 1:
        raise LookupError(f"run {run_id} is not one of persona {persona_id}")


def _held(db: sqlite_utils.Database, handle: str) -> str:
    held = timelines.spelled(db, handle)
    if held is None:
        name = timelines.bare(handle)
        raise UnknownHandle(handle=name, nearest=did_you_mean(name, timelines.handles(db), "@{}"))
    return held


def _one(db: sqlite_utils.Database, where: str, value: str | int) -> Persona | None:
    row = next(iter(db.query(f"{_SELECT} {where} GROUP BY personas.id", [value])), None)
    return None if row is None else _persona(row)


def _persona(row: dict[str, object]) -> Persona:
    handles = sorted(str(row["handles"]).split(), key=str.lower)
    run_id = row["run_id"]
    return Persona(int(str(row["id"])), str(row["slug"]), tuple(handles), None if run_id is None else int(str(run_id)))
