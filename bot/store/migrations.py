"""The schema, step by step; a step that was released is never changed, only followed by another."""

from __future__ import annotations

import sqlite_utils
from sqlite_utils import Migrations

migrations = Migrations("mockingbird")


@migrations()
def m001_first_light(db: sqlite_utils.Database) -> None:
    """2026-11: timelines, personas, trainings, schedules, the outbox and the local feed."""
    _execute(db, FIRST_LIGHT)


@migrations()
def m002_delivery(db: sqlite_utils.Database) -> None:
    """2026-11: approval, threads, limits, freshness, mutes, schedules with conditions, and what people wait for."""
    _execute(db, DELIVERY)


@migrations()
def m003_places(db: sqlite_utils.Database) -> None:
    """2026-11: whose a persona is, on what grounds it exists, and what people ask, say and settle on Discord."""
    _execute(db, PLACES)


def _execute(db: sqlite_utils.Database, script: str) -> None:
    for statement in script.split(";\n"):
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

DELIVERY = """
-- quiet: no speaking between these wall times of its zone, "22:00-07:00", or empty; max_late_s: NULL for the configured
-- limit; approval: "always", "first-N" or "off"; seed: what jitter, chance and random times follow from
ALTER TABLE schedules ADD COLUMN quiet TEXT NOT NULL DEFAULT '';
ALTER TABLE schedules ADD COLUMN jitter_s INTEGER NOT NULL DEFAULT 0;
ALTER TABLE schedules ADD COLUMN max_late_s INTEGER;
ALTER TABLE schedules ADD COLUMN chance REAL NOT NULL DEFAULT 1.0;
ALTER TABLE schedules ADD COLUMN approval TEXT NOT NULL DEFAULT 'off';
ALTER TABLE schedules ADD COLUMN seed INTEGER NOT NULL DEFAULT 0;
CREATE INDEX schedules_due ON schedules (next_due) WHERE NOT paused;

-- the same table with one more state, skipped: chance, quiet hours or a mute said no
CREATE TABLE occurrences_now (
    id INTEGER PRIMARY KEY,
    schedule_id INTEGER NOT NULL REFERENCES schedules ON DELETE CASCADE,
    wall_key TEXT NOT NULL,
    due_at INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('due', 'queued', 'missed', 'failed', 'skipped')),
    reason TEXT,
    UNIQUE (schedule_id, wall_key)
) STRICT;
INSERT INTO occurrences_now SELECT id, schedule_id, wall_key, due_at, state, reason FROM occurrences;
DROP TABLE occurrences;
ALTER TABLE occurrences_now RENAME TO occurrences;
CREATE INDEX occurrences_due ON occurrences (due_at) WHERE state = 'due';
CREATE INDEX occurrences_due_of ON occurrences (schedule_id) WHERE state = 'due';

-- kind: a post, a reply, or a notice to the owner; parent_id: what it follows in a thread, which must be posted first;
-- persona_id: who speaks; text_hash: of the normalised text, while nothing else may say the same on this account;
-- alternatives: further candidates of a draft, as JSON; claimed_at: the first attempt; absent: how often it was looked
-- for and not found since an attempt could no longer arrive; doubt_at: when we stopped waiting for the last attempt
-- that may have arrived without our knowing, while that is not settled; duplicate: the platform said so of the last one
ALTER TABLE outbox ADD COLUMN kind TEXT NOT NULL DEFAULT 'post' CHECK (kind IN ('post', 'reply', 'notice'));
ALTER TABLE outbox ADD COLUMN parent_id TEXT REFERENCES outbox ON DELETE CASCADE;
ALTER TABLE outbox ADD COLUMN persona_id INTEGER REFERENCES personas ON DELETE SET NULL;
ALTER TABLE outbox ADD COLUMN text_hash TEXT;
ALTER TABLE outbox ADD COLUMN alternatives TEXT NOT NULL DEFAULT '[]';
ALTER TABLE outbox ADD COLUMN claimed_at INTEGER;
ALTER TABLE outbox ADD COLUMN absent INTEGER NOT NULL DEFAULT 0;
ALTER TABLE outbox ADD COLUMN approved_at INTEGER;
ALTER TABLE outbox ADD COLUMN doubt_at INTEGER;
ALTER TABLE outbox ADD COLUMN duplicate INTEGER NOT NULL DEFAULT 0 CHECK (duplicate IN (0, 1));
UPDATE outbox SET claimed_at = created_at, doubt_at = iif(state = 'unknown', created_at, NULL) WHERE attempts > 0;
CREATE UNIQUE INDEX outbox_fresh ON outbox (platform, account, text_hash);
DROP INDEX outbox_open;
CREATE INDEX outbox_queued ON outbox (due_at, id) WHERE state = 'queued';
CREATE INDEX outbox_in_the_air ON outbox (platform, account) WHERE state IN ('sending', 'unknown');
CREATE INDEX outbox_expiring ON outbox (expires_at) WHERE state IN ('draft', 'queued');
CREATE INDEX outbox_children ON outbox (parent_id) WHERE parent_id IS NOT NULL;

-- an account stands here once it was paused, by its owner or because the platform refused its credentials, or once it
-- reached a limit: then it says nothing before capped_until; nor before refused_until, if the platform asked us to wait
CREATE TABLE accounts (
    platform TEXT NOT NULL,
    account TEXT NOT NULL,
    paused_at INTEGER,
    reason TEXT,
    capped_until INTEGER,
    refused_until INTEGER,
    PRIMARY KEY (platform, account)
) STRICT, WITHOUT ROWID;

-- what attempts and reads have used up, before they are made; what surely was not used is given back as a negative row;
-- micros: millionths of a dollar
CREATE TABLE ledger (
    id INTEGER PRIMARY KEY,
    platform TEXT NOT NULL,
    account TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('post', 'read')),
    count INTEGER NOT NULL,
    micros INTEGER NOT NULL,
    at INTEGER NOT NULL,
    outbox_id TEXT
) STRICT;
CREATE INDEX ledger_of ON ledger (platform, account, at);

CREATE TABLE banned_phrases (
    phrase TEXT PRIMARY KEY COLLATE NOCASE,
    created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- scope: "everything", "persona:SLUG" or "account:PLATFORM/ACCOUNT"
CREATE TABLE mutes (
    scope TEXT PRIMARY KEY,
    until INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- what somebody waits for; turn: its place in a fair order, in which those who ask much wait for those who ask little
CREATE TABLE requests (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL CHECK (kind IN ('imitate', 'train')),
    person TEXT NOT NULL,
    place TEXT NOT NULL,
    asked TEXT NOT NULL,
    turn INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('waiting', 'running', 'answered', 'failed', 'cancelled')),
    job_id INTEGER REFERENCES jobs ON DELETE SET NULL,
    answer TEXT,
    error TEXT,
    created_at INTEGER NOT NULL,
    started_at INTEGER,
    finished_at INTEGER,
    deadline_at INTEGER
) STRICT;
CREATE INDEX requests_in ON requests (state, kind, turn, id, person);
CREATE INDEX requests_of ON requests (person, created_at);
CREATE INDEX requests_at ON requests (place, created_at);
CREATE INDEX requests_turns ON requests (kind, turn) WHERE started_at IS NOT NULL;
CREATE INDEX requests_for ON requests (job_id) WHERE job_id IS NOT NULL
"""

PLACES = """
-- place: whose it is: "shell", where whoever runs the bot asks, or a server or a chat, "discord:ID"; nothing of one
-- place is seen in another, unless it is shared
CREATE TABLE timelines_now (
    id INTEGER PRIMARY KEY,
    place TEXT NOT NULL DEFAULT 'shell',
    handle TEXT NOT NULL COLLATE NOCASE,
    display_name TEXT,
    created_at INTEGER NOT NULL,
    UNIQUE (place, handle)
) STRICT;
INSERT INTO timelines_now (id, handle, display_name, created_at)
    SELECT id, handle, display_name, created_at FROM timelines;
DROP TABLE timelines;
ALTER TABLE timelines_now RENAME TO timelines;

-- name: by which it is found from everywhere; slug: what people of its place call it
CREATE TABLE personas_now (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    place TEXT NOT NULL DEFAULT 'shell',
    slug TEXT NOT NULL,
    name TEXT NOT NULL GENERATED ALWAYS AS (iif(place = 'shell', slug, place || '/' || slug)) STORED UNIQUE,
    shared INTEGER NOT NULL DEFAULT 0 CHECK (shared IN (0, 1)),
    run_id INTEGER REFERENCES runs,
    created_at INTEGER NOT NULL
) STRICT;
INSERT INTO personas_now (id, slug, run_id, created_at) SELECT id, slug, run_id, created_at FROM personas;
DELETE FROM sqlite_sequence WHERE name = 'personas_now';
INSERT INTO sqlite_sequence (name, seq) SELECT 'personas_now', seq FROM sqlite_sequence WHERE name = 'personas';
DROP TABLE personas;
ALTER TABLE personas_now RENAME TO personas;
CREATE INDEX personas_shared ON personas (shared);

CREATE TABLE banned_phrases_now (
    place TEXT NOT NULL DEFAULT 'shell',
    phrase TEXT NOT NULL COLLATE NOCASE,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (place, phrase)
) STRICT, WITHOUT ROWID;
INSERT INTO banned_phrases_now (phrase, created_at) SELECT phrase, created_at FROM banned_phrases;
DROP TABLE banned_phrases;
ALTER TABLE banned_phrases_now RENAME TO banned_phrases;

-- place: whose mute it is: who lifts theirs leaves those of others
CREATE TABLE mutes_now (
    place TEXT NOT NULL DEFAULT 'shell',
    scope TEXT NOT NULL,
    until INTEGER NOT NULL,
    PRIMARY KEY (scope, place)
) STRICT, WITHOUT ROWID;
INSERT INTO mutes_now (scope, until) SELECT scope, until FROM mutes;
DROP TABLE mutes;
ALTER TABLE mutes_now RENAME TO mutes;

-- person: who decided it, "discord:ID" or "operator"; NULL for what came about by itself
ALTER TABLE outbox_log ADD COLUMN person TEXT;

ALTER TABLE schedules ADD COLUMN place TEXT NOT NULL DEFAULT 'shell';
ALTER TABLE outbox ADD COLUMN place TEXT NOT NULL DEFAULT 'shell';
CREATE INDEX outbox_of_place ON outbox (place, id);
CREATE INDEX outbox_of_account ON outbox (platform, account, id);
CREATE INDEX outbox_emptied ON outbox (platform) WHERE kind = 'notice' AND text = '';

-- who gave a handle's tweets, and on what grounds: the person's own archive, a permission that the giver declares to
-- have, or whoever runs the bot; append-only
CREATE TABLE consents (
    id INTEGER PRIMARY KEY,
    place TEXT NOT NULL,
    handle TEXT NOT NULL COLLATE NOCASE,
    grounds TEXT NOT NULL CHECK (grounds IN ('archive', 'permission', 'operator')),
    person TEXT NOT NULL,
    detail TEXT NOT NULL,
    at INTEGER NOT NULL
) STRICT;
CREATE INDEX consents_of ON consents (place, handle);

-- who wants to have nothing to do with us: "person:discord:ID", who is never answered, or "handle:NAME", who is never
-- imitated
CREATE TABLE opt_outs (
    subject TEXT PRIMARY KEY COLLATE NOCASE,
    created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- what the people of a place have settled: platform and account where drafts and notices for them go, or NULL for
-- whoever runs the bot; webhooks: whether answers may speak under the persona's own name
CREATE TABLE places (
    place TEXT PRIMARY KEY,
    notices_platform TEXT,
    notices_account TEXT,
    webhooks INTEGER NOT NULL DEFAULT 0 CHECK (webhooks IN (0, 1))
) STRICT, WITHOUT ROWID;

-- who answers on an account (a channel), with what chance and how often; unasked_chance: of speaking after any message;
-- unasked_every: speaks after so many messages, 0 for never
CREATE TABLE listening (
    platform TEXT NOT NULL,
    account TEXT NOT NULL,
    place TEXT NOT NULL,
    persona_id INTEGER REFERENCES personas ON DELETE CASCADE,
    chance REAL NOT NULL DEFAULT 1.0,
    cooldown_s INTEGER NOT NULL DEFAULT 10,
    unasked_chance REAL NOT NULL DEFAULT 0.0,
    unasked_every INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (platform, account)
) STRICT, WITHOUT ROWID;

-- what was said to us and is answered at most once; text is forgotten once that is settled; kind: somebody spoke to us,
-- or a message after which we speak unasked, which is nobody's; within: the channel of which the account is a thread;
-- reply_to: the remote id of what of ours it answers; taken: whether it was to be answered when it was heard
CREATE TABLE mentions (
    platform TEXT NOT NULL,
    remote_id TEXT NOT NULL,
    place TEXT NOT NULL,
    account TEXT NOT NULL,
    within TEXT,
    person TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('mention', 'unasked')),
    reply_to TEXT,
    persona_id INTEGER REFERENCES personas ON DELETE SET NULL,
    text TEXT,
    state TEXT NOT NULL CHECK (state IN ('open', 'answered', 'ignored')),
    taken INTEGER NOT NULL CHECK (taken IN (0, 1)),
    reason TEXT,
    at INTEGER NOT NULL,
    settled_at INTEGER,
    PRIMARY KEY (platform, remote_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX mentions_open ON mentions (at, remote_id) WHERE state = 'open';
CREATE INDEX mentions_answered ON mentions (platform, account, settled_at) WHERE state = 'answered';
CREATE INDEX mentions_of ON mentions (platform, person, at) WHERE taken;

-- what people asked on Discord and wait for, and what they were shown, so that its buttons go on working; id: that of
-- Discord, so that an event that comes twice is one; token: a credential, encrypted, forgotten once it has expired or
-- the answer is there; then_asked: what is to be imitated once the training is done
CREATE TABLE interactions (
    id TEXT PRIMARY KEY,
    request_id INTEGER,
    kind TEXT NOT NULL CHECK (kind IN ('imitate', 'train')),
    place TEXT NOT NULL,
    channel TEXT NOT NULL,
    person TEXT NOT NULL,
    asked TEXT NOT NULL,
    then_asked TEXT,
    token BLOB,
    token_until INTEGER NOT NULL,
    message_id TEXT,
    state TEXT NOT NULL CHECK (state IN ('open', 'answered', 'gone')),
    persona_id INTEGER REFERENCES personas ON DELETE CASCADE,
    answer TEXT,
    created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX interactions_open ON interactions (created_at) WHERE state = 'open';
CREATE INDEX interactions_of ON interactions (request_id) WHERE request_id IS NOT NULL;
CREATE INDEX interactions_shown ON interactions (message_id) WHERE message_id IS NOT NULL;

-- what people think of a text that they were shown: 1 up, -1 down
CREATE TABLE votes (
    interaction_id TEXT NOT NULL REFERENCES interactions ON DELETE CASCADE,
    candidate INTEGER NOT NULL,
    person TEXT NOT NULL,
    vote INTEGER NOT NULL CHECK (vote IN (1, -1)),
    at INTEGER NOT NULL,
    PRIMARY KEY (interaction_id, candidate, person)
) STRICT, WITHOUT ROWID;

-- each time that we told Discord's gateway who we are: it allows a thousand in 24 hours
CREATE TABLE identifies (
    at INTEGER NOT NULL
) STRICT;

-- the fingerprint of the commands that a platform was last told of
CREATE TABLE synced_commands (
    application TEXT PRIMARY KEY,
    fingerprint TEXT NOT NULL,
    at INTEGER NOT NULL
) STRICT, WITHOUT ROWID
"""
