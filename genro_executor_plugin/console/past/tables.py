# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The tables of the history, and what is done to their rows in a transaction of the caller's."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any

from ...metrics.counters import OUTCOMES
from .figures import Entry, Figures, Marker, packed, unpacked

__all__ = [
    "ALL_POOLS",
    "APPLICATION_ID",
    "FORMAT",
    "KEPT_SECONDS",
    "LEVELS",
    "DamagedError",
    "is_empty",
    "make_room",
    "make_tables",
    "markers_in",
    "pools_in",
    "pragma",
    "rows_in",
    "store",
]

KEPT_SECONDS = 72 * 3600
"""How long figures and markers are kept."""

LEVELS = (60, 300, 900)
"""How many seconds the stretches are long that sums are kept of."""

ROUTE_LEVELS = LEVELS[1:]
"""The same for routes, which there are many of."""

ALL_POOLS = ""
"""The name under which there are figures of all pools together. No pool has it."""

MOST_MARKERS = 5_000
"""How many markers are kept."""

FORMAT = 1
"""Of the tables. A number of a bucket is one of ``metrics.counters.BOUNDS``: other bounds are
another format."""

APPLICATION_ID = 0x67784869
"""By which a file is known as one of ours: SQLite has a place for that in its header."""

_TABLES = f"""
CREATE TABLE series (id INTEGER PRIMARY KEY, pool TEXT NOT NULL, route TEXT NOT NULL,
    UNIQUE (pool, route));
CREATE TABLE figures (level INTEGER NOT NULL, at INTEGER NOT NULL, series INTEGER NOT NULL,
    seconds REAL NOT NULL, {", ".join(f"{name} INTEGER NOT NULL" for name in OUTCOMES)},
    busy REAL NOT NULL, queued REAL NOT NULL, queued_most INTEGER NOT NULL,
    run BLOB NOT NULL, wait BLOB NOT NULL, PRIMARY KEY (level, at, series)) WITHOUT ROWID;
CREATE TABLE markers (id INTEGER PRIMARY KEY, at REAL NOT NULL, kind TEXT NOT NULL,
    what TEXT NOT NULL, who TEXT NOT NULL);
CREATE INDEX markers_at ON markers (at);
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = {FORMAT};
"""

_COLUMNS = ("seconds", *OUTCOMES, "busy", "queued", "queued_most", "run", "wait")
_FIGURES = ", ".join(_COLUMNS)
_STORE = (
    f"INSERT OR REPLACE INTO figures (level, at, series, {_FIGURES}) "
    f"VALUES (?, ?, ?, {', '.join('?' * len(_COLUMNS))})"
)


class DamagedError(Exception):
    """What is in the file cannot have been written so."""


def make_tables(connection: sqlite3.Connection) -> None:
    """Give an empty file the tables. A file that another process has given them stays as it is."""
    connection.execute("BEGIN IMMEDIATE")
    if is_empty(connection):
        for statement in _TABLES.split(";"):
            connection.execute(statement)
    connection.execute("COMMIT")


def is_empty(connection: sqlite3.Connection) -> bool:
    """Whether there is no table at all."""
    return connection.execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchone() is None


def pragma(connection: sqlite3.Connection, name: str) -> int:
    """The number that SQLite has under ``name``."""
    return int(connection.execute(f"PRAGMA {name}").fetchone()[0])


def store(
    connection: sqlite3.Connection,
    entries: Iterable[Entry],
    markers: Iterable[Marker],
    now: float,
) -> None:
    """Add ``entries`` and ``markers``, and remove what is older than ``KEPT_SECONDS``."""
    connection.execute("BEGIN IMMEDIATE")
    numbers: dict[tuple[str, str], int] = {}
    for (level, at, pool, route), figures in _by_stretch(entries).items():
        if (pool, route) not in numbers:
            numbers[pool, route] = _number_of(connection, pool, route)
        _add(connection, (level, at, numbers[pool, route]), figures)
    connection.executemany("INSERT INTO markers (at, kind, what, who) VALUES (?, ?, ?, ?)", markers)
    _forget(connection, now - KEPT_SECONDS)
    connection.execute("COMMIT")


def rows_in(
    connection: sqlite3.Connection,
    level: int,
    since: float,
    until: float,
    pool: str | None,
    route: str,
) -> list[Entry]:
    """The figures from ``since`` to ``until``, oldest first; of each pool, or of one."""
    chosen = "AND pool != ?" if pool is None else "AND pool = ?"
    rows = connection.execute(
        f"SELECT at, pool, route, {_FIGURES} FROM figures "
        "JOIN series ON series.id = figures.series "
        f"WHERE level = ? AND at >= ? AND at < ? AND route = ? {chosen} ORDER BY at",
        (level, since, until, route, ALL_POOLS if pool is None else pool),
    )
    return [Entry(at, of, path, _figures(row)) for at, of, path, *row in rows]


def markers_in(
    connection: sqlite3.Connection, since: float, until: float, most: int
) -> tuple[list[Marker], int]:
    """The last ``most`` markers from ``since`` to ``until``, oldest first; how many there are."""
    between = "FROM markers WHERE at >= ? AND at <= ?"
    (count,) = connection.execute(f"SELECT count(*) {between}", (since, until)).fetchone()
    rows = connection.execute(
        f"SELECT at, kind, what, who {between} ORDER BY at DESC, id DESC LIMIT ?",
        (since, until, most),
    ).fetchall()
    return [Marker(*row) for row in reversed(rows)], count


def pools_in(connection: sqlite3.Connection) -> list[str]:
    """The names of the pools that there are figures of, in their order."""
    asked = "SELECT pool FROM series WHERE route = '' AND pool != ? ORDER BY pool"
    rows = connection.execute(asked, (ALL_POOLS,))
    return [pool for (pool,) in rows]


def make_room(connection: sqlite3.Connection) -> None:
    """Remove the oldest eighth, and series that have nothing left."""
    first, last = connection.execute("SELECT min(at), max(at) FROM figures").fetchone()
    connection.execute("BEGIN IMMEDIATE")
    if first is not None:
        _forget(connection, first + max(LEVELS) + (last - first) / 8)
    connection.execute("DELETE FROM series WHERE id NOT IN (SELECT series FROM figures)")
    connection.execute("COMMIT")


def _forget(connection: sqlite3.Connection, before: float) -> None:
    for level in LEVELS:
        connection.execute("DELETE FROM figures WHERE level = ? AND at < ?", (level, before))
    connection.execute("DELETE FROM markers WHERE at < ?", (before,))
    connection.execute(
        "DELETE FROM markers WHERE id <= (SELECT max(id) FROM markers) - ?", (MOST_MARKERS,)
    )


def _by_stretch(entries: Iterable[Entry]) -> dict[tuple[int, int, str, str], Figures]:
    """``entries`` added up by the level and the begin of their stretch, pool and route."""
    found: dict[tuple[int, int, str, str], Figures] = {}
    for at, pool, route, figures in entries:
        for level in ROUTE_LEVELS if route else LEVELS:
            key = (level, int(at // level) * level, pool, route)
            found.setdefault(key, Figures()).add(figures, level)
    return found


def _number_of(connection: sqlite3.Connection, pool: str, route: str) -> int:
    connection.execute("INSERT OR IGNORE INTO series (pool, route) VALUES (?, ?)", (pool, route))
    asked = "SELECT id FROM series WHERE pool = ? AND route = ?"
    (number,) = connection.execute(asked, (pool, route)).fetchone()
    return int(number)


def _add(connection: sqlite3.Connection, key: tuple[int, int, int], figures: Figures) -> None:
    asked = f"SELECT {_FIGURES} FROM figures WHERE level = ? AND at = ? AND series = ?"
    row = connection.execute(asked, key).fetchone()
    if row is not None:
        figures.add(_figures(row), key[0])
    one = figures
    values = (one.seconds, *one.outcomes, one.busy, one.queued, one.queued_most)
    connection.execute(_STORE, (*key, *values, packed(one.run), packed(one.wait)))


def _figures(row: Sequence[Any]) -> Figures:
    """What a row has.

    Raises:
        DamagedError: it cannot have been written so.
    """
    *numbers, run, wait = row
    if not all(isinstance(number, int | float) and number >= 0 for number in numbers):
        raise DamagedError("a row does not have the numbers that it should have")
    seconds, *outcomes, busy, queued, most = numbers
    try:
        return Figures(seconds, tuple(outcomes), busy, queued, most, unpacked(run), unpacked(wait))
    except ValueError as error:
        raise DamagedError(str(error)) from error
