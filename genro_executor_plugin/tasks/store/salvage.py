# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""A damaged file is replaced by an intact one with everything that can be read of it.

The damaged file is kept. What is read of it is bounded by what is in it and not by the numbers
that stand in it: a damaged row id may be any number.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from . import tables

__all__ = ["replace_if_damaged"]

_COMPANIONS = ("", "-wal", "-shm")

MAX_GAPS = 10_000
"""How many ranges of row ids are tried in a table between two places that cannot be read."""

STEPS_BETWEEN_CHECKS = 10_000
"""After how many steps of SQLite's it is looked whether the server was told to end."""

_TABLES = ("damaged", "tasks", "payloads", "signatures", "attempts", "log")

_KEYS = {"signatures": "task_id, kind", "attempts": "job, number", "log": "job, upto"}
"""What the rows of tables without row ids are in the order of: two columns, the first ones."""


def replace_if_damaged(path: Path, check: Callable[[], None]) -> list[str]:
    """Put an intact file in place of a damaged one; return what was done, in words.

    The damaged file is kept under a name with the time at which it was set aside.

    Args:
        path: the file.
        check: called now and then; what it raises ends the work, and the file stays as it is.
    """
    if not path.exists() or path.stat().st_size == 0:
        return []
    reason = _check(path, check)
    if reason is None:
        return []
    draft = path.with_name(f"{path.name}.salvaged")
    for companion in _COMPANIONS:
        Path(f"{draft}{companion}").unlink(missing_ok=True)
    jobs, lost = _copy_readable(path, draft, check)
    aside = path.with_name(f"{path.name}.damaged-{time.strftime('%Y%m%dT%H%M%S')}")
    number = 0
    while aside.exists():
        number += 1
        aside = aside.with_name(f"{path.name}.damaged-{time.strftime('%Y%m%dT%H%M%S')}-{number}")
    for companion in _COMPANIONS:
        with contextlib.suppress(FileNotFoundError):
            Path(f"{path}{companion}").rename(f"{aside}{companion}")
    draft.rename(path)
    return [
        f"the store of long jobs {path} is damaged ({reason}). It was set aside as {aside.name}; "
        f"{jobs} jobs were read from it and go on, {lost} pieces could not be read"
    ]


def _check(path: Path, check: Callable[[], None]) -> str | None:
    """What is wrong with the file, ``None`` for nothing; ``check`` may end it, also a large one."""

    def is_over() -> bool:
        try:
            check()
        except Exception:
            return True  # raised below, where it is not SQLite that is called
        return False

    try:
        with contextlib.closing(sqlite3.connect(path, timeout=0.5)) as connection:
            connection.set_progress_handler(is_over, STEPS_BETWEEN_CHECKS)
            (answer,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.DatabaseError as error:
        check()
        if isinstance(error, sqlite3.OperationalError) and "database disk" not in str(error):
            raise  # the reason is the disk or the permissions, not the content of the file
        return str(error)
    return None if answer == "ok" else str(answer).splitlines()[-1]


def _copy_readable(damaged: Path, path: Path, check: Callable[[], None]) -> tuple[int, int]:
    """Copy what can be read; return the number of jobs, and of pieces that cannot be read."""
    jobs = lost = 0
    with (
        contextlib.closing(sqlite3.connect(damaged)) as source,
        contextlib.closing(sqlite3.connect(path)) as target,
        target,
    ):
        path.chmod(0o600)
        tables.create(target)
        for table in _TABLES:
            try:
                # A former version has fewer columns, or has not the table at all.
                columns = [row[1] for row in source.execute(f"PRAGMA table_info({table})")]
            except sqlite3.DatabaseError:
                lost += 1
                continue
            if not columns:
                continue
            for row in _rows(source, table):
                check()
                if row is None:
                    lost += 1
                    continue
                marks = ", ".join("?" * len(row))
                names = ", ".join(columns)
                target.execute(f"INSERT OR IGNORE INTO {table} ({names}) VALUES ({marks})", row)
                jobs += table == "tasks"
    return jobs, lost


def _rows(source: sqlite3.Connection, table: str) -> Iterator[tuple[Any, ...] | None]:
    """The rows of ``table`` that can be read, and ``None`` for each place that cannot be.

    A range of row ids is read from both of its ends to the first place that cannot be read. What
    lies between the two is halved. Ranges in whose surroundings something was read come first.
    """
    if table in _KEYS:
        yield from _in_key_order(source, table)
        return
    order = itertools.count()
    gaps = [(0, next(order), -(2**63), 2**63 - 1)]
    for _ in range(MAX_GAPS):
        if not gaps:
            return
        barren, _, low, high = heapq.heappop(gaps)
        found = False
        ends = []
        for direction in ("ASC", "DESC"):
            reached = low - 1 if direction == "ASC" else high + 1
            for rowid, row in _until_damage(source, table, low, high, direction):
                if row is None:
                    ends.append(reached)
                    yield None
                    break
                reached, found = rowid, True
                yield row
            else:
                break  # the whole range was read
        if len(ends) == 2 and ends[0] + 1 < ends[1] - 1:
            low, high = ends[0] + 1, ends[1] - 1
            middle = (low + high) // 2
            for start, stop in ((low, middle), (middle + 1, high)):
                heapq.heappush(gaps, (0 if found else barren + 1, next(order), start, stop))


def _until_damage(
    source: sqlite3.Connection, table: str, low: int, high: int, direction: str
) -> Iterator[tuple[int, tuple[Any, ...] | None]]:
    """The rows of a range in their order, then ``None`` if it cannot be read further."""
    step = 1 if direction == "ASC" else -1
    last: int | None = None
    try:
        for rowid, *row in source.execute(
            f"SELECT rowid, * FROM {table} NOT INDEXED WHERE rowid BETWEEN ? AND ? "
            f"ORDER BY rowid {direction}",
            (low, high),
        ):
            if last is not None and (rowid - last) * step <= 0:
                break  # a damaged tree leads to the same rows again, perhaps without end
            last = rowid
            yield rowid, tuple(row)
        else:
            return
    except sqlite3.DatabaseError:
        pass  # said by what comes last
    yield 0, None


def _in_key_order(source: sqlite3.Connection, table: str) -> Iterator[tuple[Any, ...] | None]:
    """The rows that can be read of a table without row ids; ``None`` if some cannot be."""
    last = None
    try:
        for row in source.execute(f"SELECT * FROM {table} ORDER BY {_KEYS[table]}"):
            if last is not None and row[:2] <= last:
                break
            last = row[:2]
            yield row
        else:
            return
    except sqlite3.DatabaseError:
        pass  # said by what comes last
    yield None
