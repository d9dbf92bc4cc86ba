"""Personas: who is imitated, found by the handles they are made of."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import sqlite_utils

from bot.domain import SHELL, Persona
from bot.errors import NoCheckpoint, UnknownHandle, UnknownPersona, did_you_mean
from bot.store import opt_outs, timelines

_SELECT = """
SELECT personas.id, personas.place, slug, shared, run_id, group_concat(handle, ' ') AS handles
FROM personas
JOIN persona_timelines ON persona_timelines.persona_id = personas.id
JOIN timelines ON timelines.id = persona_timelines.timeline_id
"""


def slug(handles: Iterable[str]) -> str:
    """The name for people: the lower-case handles, sorted, joined by a hyphen (which no handle holds)."""
    return "-".join(sorted({timelines.bare(handle).lower() for handle in handles}))


def create(db: sqlite_utils.Database, handles: Sequence[str], now: int, place: str = SHELL) -> Persona:
    """Gets or makes the place's persona of these handles; raises UnknownHandle if it holds nothing of one of them."""
    if not handles:
        raise ValueError("a persona has at least one handle")
    held = [_held(db, handle, place) for handle in handles]
    name = slug(held)
    insert = "INSERT INTO personas (place, slug, created_at) VALUES (?, ?, ?) ON CONFLICT DO NOTHING"
    db.execute(insert, [place, name, now])
    db.conn.executemany(
        """INSERT INTO persona_timelines (persona_id, timeline_id)
           SELECT personas.id, timelines.id FROM personas JOIN timelines USING (place)
           WHERE place = ? AND slug = ? AND handle = ?
           ON CONFLICT DO NOTHING""",
        [(place, name, handle) for handle in held],
    )
    persona = _one(db, "WHERE personas.place = ? AND slug = ?", place, name)
    assert persona is not None
    return persona


def find(db: sqlite_utils.Database, name: str) -> Persona | None:
    """The persona of this name ("jo", or of another place "discord:1/jo"); a leading @, case and the order of handles
    (`b-a`, `b+a`, `b, a`) are forgiven."""
    place, _, handles = name.rpartition("/")
    return _one(db, "WHERE personas.place = ? AND slug = ?", place or SHELL, slug(split(handles)))


def seen(db: sqlite_utils.Database, name: str, place: str | None) -> Persona | None:
    """The persona that the people of a place mean: theirs, or one that is shared; None for whoever sees all places."""
    if place is None:
        return find(db, name)
    wanted = slug(split(name))
    own = _one(db, "WHERE personas.place = ? AND slug = ?", place, wanted)
    return own or _one(db, "WHERE shared = 1 AND slug = ?", wanted)


def seen_from(db: sqlite_utils.Database, place: str | None) -> list[Persona]:
    """All personas that the people of a place may use, in alphabetical order."""
    if place is None:
        return every(db)
    where = f"{_SELECT} WHERE personas.place = ? OR shared = 1 GROUP BY personas.id"
    first: dict[str, Persona] = {}
    for row in db.query(f"{where} ORDER BY slug, personas.place = ? DESC", [place, place]):
        first.setdefault(row["slug"], _persona(row))
    return list(first.values())


def split(name: str) -> list[str]:
    """The handles that a name is made of."""
    return [handle for handle in re.split(r"[-+,\s]+", name) if handle]


def speaking(db: sqlite_utils.Database, name: str, place: str | None = None) -> Persona:
    """The persona that is meant by this name, if it can speak; else UnknownPersona, NoCheckpoint or OptedOut."""
    persona = seen(db, name, place)
    if persona is None:
        handles = [handle for handle in re.split(r"[-+,\s@]+", name) if handle]
        known = [persona.name if place is None else persona.slug for persona in seen_from(db, place)]
        nearest = did_you_mean(slug(handles), known)
        raise UnknownPersona(persona=name, nearest=nearest, handles=" ".join(handles))
    opt_outs.check(db, persona.handles)
    if persona.run_id is None:
        raise NoCheckpoint(persona=persona.slug, handles=" ".join(persona.handles))
    return persona


def check_place(persona: Persona, place: str) -> None:
    """Raises UnknownPersona if the people of a place may not use it, or no longer: it may have been asked for by its
    name, or by a button, while it was shared."""
    if not persona.may_speak_for(place):
        raise UnknownPersona(persona=persona.slug, nearest="", handles=" ".join(persona.handles))


def complete(db: sqlite_utils.Database, place: str, typed: str, most: int) -> list[str]:
    """Whom somebody may mean who has typed so much, as handles joined by a plus: those that can speak and begin so
    first, then others of which one handle does; behind a first handle also who could be mixed with it."""
    *whole, begun = [part.lstrip("@").lower() for part in re.split(r"[-+,\s]+", typed.lstrip())]
    rows = db.execute(
        "SELECT DISTINCT slug FROM personas WHERE (place = ? OR shared = 1) AND run_id IS NOT NULL ORDER BY slug",
        [place],
    )
    slugs = [tuple(str(row[0]).split("-")) for row in rows]
    found: dict[str, bool] = {}
    for handles in slugs:
        rest = [handle for handle in handles if handle not in whole]
        if set(whole) <= set(handles) and any(handle.startswith(begun) for handle in rest):
            found["+".join([*whole, *rest])] = not rest[0].startswith(begun)
    for handles in slugs:
        if whole and len(handles) == 1 and handles[0] not in whole and handles[0].startswith(begun):
            found.setdefault("+".join([*whole, *handles]), True)
    return sorted(found, key=lambda name: found[name])[:most]


def get(db: sqlite_utils.Database, persona_id: int) -> Persona | None:
    return _one(db, "WHERE personas.id = ?", persona_id)


def every(db: sqlite_utils.Database) -> list[Persona]:
    """All personas, in alphabetical order."""
    return [_persona(row) for row in db.query(f"{_SELECT} GROUP BY personas.id ORDER BY slug, personas.id")]


def share(db: sqlite_utils.Database, persona_id: int, shared: bool) -> None:
    """Lets the people of every place use a persona, or no longer."""
    db.execute("UPDATE personas SET shared = ? WHERE id = ?", [int(shared), persona_id])


def promote(db: sqlite_utils.Database, persona_id: int, run_id: int) -> None:
    """Makes the checkpoint of this run the one that speaks for the persona whose run it is."""
    changed = db.execute(
        """UPDATE personas SET run_id = :run WHERE id = :persona
           AND EXISTS (SELECT 1 FROM runs WHERE id = :run AND persona_id = :persona)""",
        {"run": run_id, "persona": persona_id},
    )
    if changed.rowcount != 1:
        raise LookupError(f"run {run_id} is not one of persona {persona_id}")


def _held(db: sqlite_utils.Database, handle: str, place: str) -> str:
    held = timelines.spelled(db, handle, place)
    if held is None:
        name = timelines.bare(handle)
        raise UnknownHandle(handle=name, nearest=did_you_mean(name, timelines.handles(db, place), "@{}"))
    return held


def _one(db: sqlite_utils.Database, where: str, *values: str | int) -> Persona | None:
    row = next(iter(db.query(f"{_SELECT} {where} GROUP BY personas.id", list(values))), None)
    return None if row is None else _persona(row)


def _persona(row: dict[str, object]) -> Persona:
    handles = sorted(str(row["handles"]).split(), key=str.lower)
    run_id = row["run_id"]
    return Persona(
        int(str(row["id"])),
        str(row["slug"]),
        tuple(handles),
        None if run_id is None else int(str(run_id)),
        str(row["place"]),
        bool(row["shared"]),
    )
