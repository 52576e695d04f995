# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""A store whose file is damaged: what can be read is carried over, the file itself is kept."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from pathlib import Path

from . import schema

__all__ = ["replace_if_damaged"]

_COMPANIONS = ("", "-wal", "-shm")


def replace_if_damaged(path: Path) -> list[str]:
    """Put a sound file in place of a damaged one; what happened, in words.

    The damaged file keeps its content under a name that tells when it was set aside.
    """
    if not path.exists() or path.stat().st_size == 0:
        return []
    reason = _check(path)
    if reason is None:
        return []
    aside = path.with_name(f"{path.name}.damaged-{time.strftime('%Y%m%dT%H%M%S')}")
    number = 0
    while aside.exists():
        number += 1
        aside = aside.with_name(f"{path.name}.damaged-{time.strftime('%Y%m%dT%H%M%S')}-{number}")
    for companion in _COMPANIONS:
        with contextlib.suppress(FileNotFoundError):
            Path(f"{path}{companion}").rename(f"{aside}{companion}")
    jobs, lost = _carry_over(aside, path)
    return [
        f"the store of long jobs {path} is damaged ({reason}). It was set aside as {aside.name}; "
        f"{jobs} jobs were read from it and go on, {lost} pieces could not be read"
    ]


def _check(path: Path) -> str | None:
    """What is wrong with the file, ``None`` for nothing."""
    try:
        with contextlib.closing(sqlite3.connect(path)) as connection:
            (answer,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.OperationalError) and "database disk" not in str(error):
            raise  # the disk or the permissions, and not what the file says
        return str(error)
    return None if answer == "ok" else str(answer).splitlines()[-1]


def _carry_over(damaged: Path, path: Path) -> tuple[int, int]:
    """Copy what can be read; how many jobs that are, and how many pieces it was not."""
    jobs = lost = 0
    with (
        contextlib.closing(sqlite3.connect(damaged)) as source,
        contextlib.closing(sqlite3.connect(path)) as target,
        target,
    ):
        schema.create(target)
        for table in ("damaged", "tasks", "payloads"):
            try:
                last = source.execute(f"SELECT max(rowid) FROM {table}").fetchone()[0] or 0
            except sqlite3.DatabaseError:
                last = _last_by_trying(source, table)
                lost += 1
            for rowid in range(1, last + 1):
                try:
                    row = source.execute(
                        f"SELECT * FROM {table} NOT INDEXED WHERE rowid = ?", (rowid,)
                    ).fetchone()
                except sqlite3.DatabaseError:
                    lost += 1
                    continue
                if row is not None:
                    marks = ", ".join("?" * len(row))
                    target.execute(f"INSERT OR IGNORE INTO {table} VALUES ({marks})", row)
                    jobs += table == "tasks"
    return jobs, lost


def _last_by_trying(source: sqlite3.Connection, table: str) -> int:
    """The greatest row id that a scan of ``table`` meets before it fails."""
    last = 0
    with contextlib.suppress(sqlite3.DatabaseError):
        for (rowid,) in source.execute(f"SELECT rowid FROM {table} NOT INDEXED"):
            last = rowid
    return last
