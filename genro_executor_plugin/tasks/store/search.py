# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Which jobs are asked for, in which order, and a page of them.

A page begins behind the last job of the page before, and not at a number: jobs that come and go
meanwhile make none appear twice, and the last page costs what the first one does.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ...errors import TaskError
from ..status import TaskState, TaskStatus
from ..texts import is_text
from . import schema

__all__ = ["SORTS", "JobPage", "JobQuery", "page_of"]

SORTS: Mapping[str, str] = {
    "submitted": "seq",
    "started": "ifnull(started_at, 0.0)",
    "ended": "ifnull(ended_at, 0.0)",
    "duration": "ifnull(ended_at - started_at, -1.0)",
    "attempts": "attempts",
    "route": "title",
}
"""By what jobs are sorted, as SQLite says it. What has no such value yet counts as the least."""


@dataclass(frozen=True, slots=True)
class JobQuery:
    """Which jobs are asked for; an empty value asks for all.

    Attributes:
        states: the states they are in.
        search: a part of their id, route, submitter, or of the text of their exception.
        route: their route or function.
        pool: the pool they run in.
        submitter: the identity of their submitter; ``None`` for everybody's.
        seen: whether somebody has marked them as seen; ``False`` for failed and lost jobs that
            wait for somebody, ``None`` for all.
        since: they were submitted at this moment or later, in seconds since the epoch.
        until: they were submitted before it.
        sort: by what they are sorted, one of ``SORTS``.
        ascending: whether the least comes first, and not the greatest.
        limit: how many there are on a page.
        after: where the page begins, as ``JobPage.following`` of the page before says.
    """

    states: tuple[TaskState, ...] = ()
    search: str = ""
    route: str = ""
    pool: str = ""
    submitter: str | None = None
    seen: bool | None = None
    since: float | None = None
    until: float | None = None
    sort: str = "submitted"
    ascending: bool = False
    limit: int = 50
    after: str = ""


@dataclass(frozen=True, slots=True)
class JobPage:
    """Some of the jobs that were asked for.

    Attributes:
        jobs: these.
        following: where the next page begins, empty if this is the last one.
        count: how many match on all pages; ``None`` on other pages than the first.
        repeatable: the ids of those whose call is kept, so that they can be run again.
        seen: when they were marked as seen and by whom, by the ids of those that were.
        unseen: how many of all jobs have failed or are lost, and were not.
    """

    jobs: list[TaskStatus]
    following: str
    count: int | None
    repeatable: frozenset[str]
    seen: Mapping[str, tuple[float, str]] = field(default_factory=dict)
    unseen: int = 0


def page_of(connection: sqlite3.Connection, query: JobQuery, now: float) -> JobPage:
    """The page that ``query`` asks for, of the jobs that are kept at ``now``.

    Raises:
        TaskError: ``after`` is not what a page has said.
    """
    where, values = _conditions(query, now)
    key = SORTS[query.sort]
    count = None
    if query.after:
        than = ">" if query.ascending else "<"
        place, number = _read_place(query.after)
        beyond, *at = ("seq", number) if key == "seq" else (f"({key}, seq)", place, number)
        where_page = f"{where} AND {beyond} {than} ({', '.join('?' * len(at))})"
    else:
        where_page, at = where, []
        (count,) = connection.execute(
            f"SELECT count(*) FROM tasks WHERE {where}", values
        ).fetchone()
    order = "ASC" if query.ascending else "DESC"
    # The rows of the page are read when it is known which they are: some are large.
    found = connection.execute(
        f"SELECT {schema.SELECTED}, seen_at, seen_by, {key}, seq, EXISTS ("
        "SELECT 1 FROM payloads WHERE payloads.task_id = tasks.task_id AND kind = 'call') "
        f"FROM tasks WHERE seq IN (SELECT seq FROM tasks WHERE {where_page} "
        f"ORDER BY {key} {order}, seq {order} LIMIT ?) ORDER BY {key} {order}, seq {order}",
        (*values, *at, query.limit + 1),
    ).fetchall()
    rows = found[: query.limit]
    jobs = [schema.status_of(row[:-5]) for row in rows]
    seen = {row[0]: (row[-5], row[-4]) for row in rows if row[-5] is not None}
    kept = {row[0] for row in rows if row[-1]}
    following = json.dumps(rows[-1][-3:-1]) if len(found) > len(rows) else ""
    repeatable = frozenset(job.task_id for job in jobs if job.state.final and job.task_id in kept)
    (unseen,) = connection.execute(
        f"SELECT count(*) FROM {schema.COUNTED_UNSEEN} AND ended_at + keep > ?", (now,)
    ).fetchone()
    return JobPage(jobs, following, count, repeatable, seen, unseen)


def _conditions(query: JobQuery, now: float) -> tuple[str, list[Any]]:
    """What SQLite checks of a job, and the values for it."""
    found: list[tuple[str, list[Any]]] = [("(ended_at IS NULL OR ended_at + keep > ?)", [now])]
    if query.states:
        states = [state.value for state in query.states]
        found.append((f"state IN ({', '.join('?' * len(states))})", states))
    for name, value in (("title", query.route), ("pool", query.pool)):
        if value:
            found.append((f"{name} = ?", [value]))
    if query.submitter is not None:
        found.append(("submitter = ?", [query.submitter]))
    if query.seen is not None:
        found.append(("seen_at IS NOT NULL" if query.seen else schema.UNSEEN, []))
    if query.since is not None:
        found.append(("submitted_at >= ?", [query.since]))
    if query.until is not None:
        found.append(("submitted_at < ?", [query.until]))
    if query.search:
        # SQLite knows the lower case of ASCII letters only. What is stored of a failure is JSON,
        # with names and a traceback in it that nobody searches for: it is taken apart where the
        # text is anywhere in it.
        plain = _lower(query.search)
        written = _lower(json.dumps(query.search)[1:-1])
        found.append(
            (
                "(instr(lower(task_id), ?) OR instr(lower(title), ?) OR instr(lower(submitter), ?) "
                "OR CASE WHEN instr(lower(failure), ?) AND json_valid(failure) THEN "
                "instr(lower(json_extract(failure, '$.message')), ?) "
                "OR instr(lower(json_extract(failure, '$.type_name')), ?) END)",
                [plain, plain, plain, written, plain, plain],
            )
        )
    where = " AND ".join(condition for condition, _ in found)
    return where, [value for _, values in found for value in values]


def _lower(text: str) -> str:
    return "".join(one.lower() if one.isascii() else one for one in text)


def _read_place(after: str) -> tuple[Any, int]:
    try:
        place, number = json.loads(after)
    except (ValueError, TypeError, RecursionError):
        place = number = None
    if not isinstance(place, str | int | float) or type(number) is not int:
        raise TaskError(f"after={after[:80]!r} is not where a page of jobs begins")
    # SQLite knows no larger whole number, and no text with a lone surrogate.
    if (
        abs(number) >= 2**63
        or (isinstance(place, int) and abs(place) >= 2**63)
        or (isinstance(place, str) and not is_text(place))
    ):
        raise TaskError(f"after={after[:80]!r} is not where a page of jobs begins")
    return place, number
