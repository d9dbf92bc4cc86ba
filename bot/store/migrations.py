"""The schema, step by step; a step that was released is never changed, only followed by another."""

from __future__ import annotations

import sqlite_utils
from sqlite_utils import Migrations

migrations = Migrations("mockingbird")


@migrations()
def m001_first_light(db: sqlite_utils.Database) -> None:
    """2026-11: timelines, personas, trainings, schedules, the outbox and the local feed."""
    for statement in FIRST_LIGHT.split(";\n"):
        if statement.strip():
            db.execute(statement)


FIRST_LIGHT = """
CREATE TABLE timelines (
    id INTEGER PRIMARY KEY,
    handle TEXT NOT NULL UNIQUE COLLATE NOCASE,
    display_name TEXT,
    created_at INTEGER NOT NULL
) STRICT;

-- kind is huggingtweets' count of a tweet, decided when it is held: downloaded = retweet + short + kept
CREATE TABLE tweets (
    timeline_id INTEGER NOT NULL REFERENCES timelines ON DELETE CASCADE,
    tweet_id TEXT NOT NULL,
    text TEXT NOT NULL,
    created_at INTEGER,
    kind TEXT NOT NULL CHECK (kind IN ('retweet', 'short', 'kept')),
    reply_to TEXT,
    lang TEXT,
    PRIMARY KEY (timeline_id, tweet_id)
) STRICT, WITHOUT ROWID;

-- AUTOINCREMENT wherever an id names something outside its table: a removed one must not come back as another's
CREATE TABLE personas (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    slug TEXT NOT NULL UNIQUE,
    run_id INTEGER REFERENCES runs,
    created_at INTEGER NOT NULL
) STRICT;

CREATE TABLE persona_timelines (
    persona_id INTEGER NOT NULL REFERENCES personas ON DELETE CASCADE,
    timeline_id INTEGER NOT NULL REFERENCES timelines ON DELETE CASCADE,
    PRIMARY KEY (persona_id, timeline_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE runs (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    persona_id INTEGER NOT NULL REFERENCES personas ON DELETE CASCADE,
    recipe TEXT NOT NULL,
    seed INTEGER NOT NULL,
    fingerprint TEXT NOT NULL,
    results TEXT,
    created_at INTEGER NOT NULL,
    finished_at INTEGER
) STRICT;

CREATE TABLE jobs (
    id INTEGER PRIMARY KEY,
    persona_id INTEGER NOT NULL REFERENCES personas ON DELETE CASCADE,
    recipe TEXT NOT NULL,
    weights TEXT NOT NULL,
    seed INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('queued', 'running', 'done', 'failed', 'cancelled')),
    run_id INTEGER REFERENCES runs,
    error TEXT,
    created_at INTEGER NOT NULL,
    finished_at INTEGER
) STRICT;

-- the same command given twice is one job, as long as it is not finished
CREATE UNIQUE INDEX jobs_unfinished ON jobs (persona_id, recipe, weights, seed) WHERE state IN ('queued', 'running');

CREATE TABLE schedules (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    persona_id INTEGER NOT NULL REFERENCES personas ON DELETE CASCADE,
    platform TEXT NOT NULL,
    account TEXT NOT NULL,
    rule TEXT NOT NULL,
    zone TEXT NOT NULL,
    prompt TEXT NOT NULL,
    anchor INTEGER NOT NULL,
    next_due INTEGER,
    paused INTEGER NOT NULL DEFAULT 0 CHECK (paused IN (0, 1)),
    created_at INTEGER NOT NULL
) STRICT;

-- wall_key is local wall time without offset for cron rules, so that a doubled hour is one occurrence,
-- and the UTC instant for intervals, so that an interval does not fall silent in it
CREATE TABLE occurrences (
    id INTEGER PRIMARY KEY,
    schedule_id INTEGER NOT NULL REFERENCES schedules ON DELETE CASCADE,
    wall_key TEXT NOT NULL,
    due_at INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('due', 'queued', 'missed', 'failed')),
    reason TEXT,
    UNIQUE (schedule_id, wall_key)
) STRICT;

CREATE INDEX occurrences_due ON occurrences (due_at) WHERE state = 'due';

-- ambiguous: some attempt may have arrived without our knowing; looks: how often an unknown one was looked up in vain;
-- not_before: when to send or, while unknown, when to look next
CREATE TABLE outbox (
    id TEXT PRIMARY KEY,
    platform TEXT NOT NULL,
    account TEXT NOT NULL,
    cause_key TEXT NOT NULL,
    cause TEXT NOT NULL,
    text TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN
        ('draft', 'queued', 'sending', 'posted', 'rejected', 'unknown', 'review', 'missed', 'cancelled')),
    due_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    not_before INTEGER NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    ambiguous INTEGER NOT NULL DEFAULT 0 CHECK (ambiguous IN (0, 1)),
    looks INTEGER NOT NULL DEFAULT 0,
    remote_id TEXT,
    error TEXT,
    created_at INTEGER NOT NULL,
    posted_at INTEGER,
    UNIQUE (platform, account, cause_key),
    UNIQUE (platform, remote_id)
) STRICT;

-- one sender per account
CREATE UNIQUE INDEX outbox_sending ON outbox (platform, account) WHERE state = 'sending';
CREATE INDEX outbox_open ON outbox (due_at) WHERE state IN ('queued', 'sending', 'unknown');

-- append-only: every change of a post's state
CREATE TABLE outbox_log (
    id INTEGER PRIMARY KEY,
    outbox_id TEXT NOT NULL REFERENCES outbox ON DELETE CASCADE,
    at INTEGER NOT NULL,
    state TEXT NOT NULL,
    detail TEXT
) STRICT;

CREATE INDEX outbox_log_of ON outbox_log (outbox_id);

-- what the local platform has published: its counterpart of a message on Discord or a post on X
CREATE TABLE feed (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    outbox_id TEXT NOT NULL UNIQUE,
    author TEXT NOT NULL,
    text TEXT NOT NULL,
    posted_at INTEGER NOT NULL
) STRICT
"""
