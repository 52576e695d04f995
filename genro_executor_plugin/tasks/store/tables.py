# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The tables of the store, and what each version of them has added."""

from __future__ import annotations

import sqlite3

from ...errors import TaskStoreError

__all__ = ["create"]

VERSION = 5
"""2: what is stored is signed, and a job says where it comes from. 3: several processes share the
store, and a job says which of them runs it. 4: a job says what becomes of its arguments. 5: what is
known of each attempt is kept, what a job logs, and who has seen that it failed."""

_TABLES = """
CREATE TABLE tasks (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    task_id TEXT NOT NULL UNIQUE,
    state TEXT NOT NULL,
    title TEXT NOT NULL,
    pool TEXT NOT NULL,
    submitter TEXT NOT NULL,
    session TEXT NOT NULL,
    open_to_id INTEGER NOT NULL,
    priority INTEGER NOT NULL,
    submitted_at REAL NOT NULL,
    eta REAL,
    started_at REAL,
    ended_at REAL,
    attempts INTEGER NOT NULL,
    retries INTEGER NOT NULL,
    backoff REAL NOT NULL,
    repeatable INTEGER NOT NULL,
    timeout REAL,
    keep REAL NOT NULL,
    cancel_requested INTEGER NOT NULL,
    progress TEXT,
    failure TEXT,
    stored_bytes INTEGER NOT NULL
);
CREATE INDEX tasks_by_state ON tasks (state, seq);
CREATE INDEX tasks_by_submitter ON tasks (submitter, seq);
CREATE INDEX tasks_by_end ON tasks (ended_at + keep) WHERE ended_at IS NOT NULL;
CREATE TABLE payloads (
    task_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    checksum INTEGER NOT NULL,
    content BLOB NOT NULL,
    PRIMARY KEY (task_id, kind)
);
CREATE TABLE damaged (
    set_aside_at REAL NOT NULL,
    task_id TEXT,
    kind TEXT NOT NULL,
    reason TEXT NOT NULL,
    content BLOB
);
"""

_SIGNATURES = """
CREATE TABLE signatures (
    task_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    signature BLOB NOT NULL,
    PRIMARY KEY (task_id, kind)
) WITHOUT ROWID
"""
# A table of their own: in ``payloads``, SQLite would read a whole call to find what is behind it.

_SIGNATURE_GOES = """
CREATE TRIGGER signature_goes AFTER DELETE ON payloads BEGIN
    DELETE FROM signatures WHERE task_id = OLD.task_id AND kind = OLD.kind;
END
"""

_ORIGIN = (
    "ALTER TABLE tasks ADD COLUMN client TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE tasks ADD COLUMN fingerprint TEXT NOT NULL DEFAULT ''",
)

_SHARING = (
    "ALTER TABLE tasks ADD COLUMN owner TEXT NOT NULL DEFAULT ''",
    "CREATE INDEX tasks_by_owner ON tasks (owner, seq) WHERE state IN ('queued', 'running')",
    "CREATE INDEX tasks_by_use ON tasks (submitter, session, client, stored_bytes)",
    # What a process is asked to do by another one that was asked for it.
    "CREATE TABLE orders (number INTEGER PRIMARY KEY AUTOINCREMENT, owner TEXT NOT NULL, "
    "task_id TEXT NOT NULL, grace REAL)",
)

_REPEATING = (
    # What a former version has stored was to be deleted at the end.
    "ALTER TABLE tasks ADD COLUMN arguments TEXT NOT NULL DEFAULT 'drop'",
    "CREATE INDEX tasks_by_title ON tasks (title, seq)",
)

_ATTEMPTS = (
    "CREATE TABLE attempts (job INTEGER NOT NULL, number INTEGER NOT NULL, began_at REAL, "
    "ended_at REAL NOT NULL, ended_as TEXT NOT NULL, pid INTEGER, agent TEXT NOT NULL, "
    "failure TEXT, PRIMARY KEY (job, number)) WITHOUT ROWID",
    # By the number of the job and not by its id: that is short, and never given again.
    "CREATE TRIGGER attempts_go AFTER DELETE ON tasks BEGIN "
    "DELETE FROM attempts WHERE job = OLD.seq; END",
)

_LOG = (
    "CREATE TABLE log (job INTEGER NOT NULL, upto INTEGER NOT NULL, attempt INTEGER NOT NULL, "
    "count INTEGER NOT NULL, size INTEGER NOT NULL, lines TEXT NOT NULL, "
    "PRIMARY KEY (job, upto)) WITHOUT ROWID",
    "CREATE TRIGGER log_goes AFTER DELETE ON tasks BEGIN DELETE FROM log WHERE job = OLD.seq; END",
)

_SEEN = (
    "ALTER TABLE tasks ADD COLUMN seen_at REAL",
    "ALTER TABLE tasks ADD COLUMN seen_by TEXT NOT NULL DEFAULT ''",
    # All that is asked of them where they are counted: at each look at the console, and a scrape.
    "CREATE INDEX tasks_unseen ON tasks (pool, ended_at, keep, state, seen_at) "
    "WHERE state IN ('failed', 'lost') AND seen_at IS NULL",
)


def create(connection: sqlite3.Connection) -> None:
    """Make the tables in a new file, and those that a former version did not have.

    Raises:
        TaskStoreError: the file was written by a newer version.
    """
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > VERSION:
        raise TaskStoreError(
            f"the store of long jobs has format {version}, and this version knows formats up to "
            f"{VERSION}. Use the version that wrote it, or another folder"
        )
    if version == 0:
        for statement in _TABLES.split(";"):
            connection.execute(statement)
    if version < 2:
        for statement in (_SIGNATURES, _SIGNATURE_GOES, *_ORIGIN):
            connection.execute(statement)
    if version < 3:
        for statement in _SHARING:
            connection.execute(statement)
    if version < 4:
        for statement in _REPEATING:
            connection.execute(statement)
    if version < 5:
        for statement in (*_ATTEMPTS, *_LOG, *_SEEN):
            connection.execute(statement)
    if version < VERSION:
        connection.execute(f"PRAGMA user_version = {VERSION}")
