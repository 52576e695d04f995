# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""What a request for jobs may name, and the query that it means."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl

from ..hosts.names import HTTPBadRequest
from ..options.numbers import NotAllowedError, count_of, seconds_of, shown
from ..tasks.status import TaskState
from ..tasks.store.search import SORTS, JobQuery
from ..tasks.texts import is_text

__all__ = ["FILTERS", "check_ids", "moment_of", "query_in", "query_of"]

MOST_JOBS = 200
"""How many jobs there may be on a page."""

_LONGEST = 300
_LONGEST_ID = 200
_LONGEST_PLACE = 6000
"""A place of a page has the name of a route in it."""

_MOST_FIELDS = 20

FILTERS = ("state", "seen", "search", "route", "pool", "submitter", "since", "until")
"""What jobs can be chosen by."""

_SEEN = {"": None, "yes": True, "no": False}

_OTHERS = ("sort", "order", "limit", "after")

_LATEST = 50 * 365 * 86400.0


def query_in(query_string: bytes) -> JobQuery:
    """The query that the part of a URL behind ``?`` means.

    Raises:
        HTTPBadRequest: it names something that there is not, or a value that is not allowed.
    """
    try:
        pairs = parse_qsl(
            query_string.decode("latin-1"), keep_blank_values=True, max_num_fields=_MOST_FIELDS
        )
    except ValueError as error:
        raise HTTPBadRequest(f"More than {_MOST_FIELDS} fields") from error
    return query_of(dict(pairs))


def query_of(given: Mapping[str, Any]) -> JobQuery:
    """The query that these fields mean, each of them a text; an empty one is as if not given.

    Raises:
        HTTPBadRequest: naming what is wrong, and what is allowed.
    """
    texts: dict[str, str] = {}
    for name, value in given.items():
        if name not in (*FILTERS, *_OTHERS):
            allowed = ", ".join((*FILTERS, *_OTHERS))
            raise HTTPBadRequest(f"There is no field {shown(name)}; there are {allowed}")
        text = str(value) if isinstance(value, str | int | float) else None
        longest = _LONGEST_PLACE if name == "after" else _LONGEST
        if text is None or len(text) > longest or not is_text(text):
            raise HTTPBadRequest(f"{name} is not a text of at most {longest} characters")
        texts[name] = text
    query = JobQuery(
        states=_states(texts.get("state", "")),
        search=texts.get("search", ""),
        route=texts.get("route", ""),
        pool=texts.get("pool", ""),
        submitter=texts.get("submitter") or None,
        seen=_SEEN[_one_of("seen", texts.get("seen", ""), *_SEEN)],
        since=moment_of("since", texts.get("since", "")),
        until=moment_of("until", texts.get("until", "")),
        sort=_one_of("sort", texts.get("sort", "") or "submitted", *SORTS),
        ascending=_one_of("order", texts.get("order", "") or "desc", "desc", "asc") == "asc",
        after=texts.get("after", ""),
    )
    if not texts.get("limit"):
        return query
    try:
        return replace(query, limit=count_of(texts["limit"], 1, MOST_JOBS, text=True))
    except NotAllowedError as wrong:
        raise HTTPBadRequest(f"limit={shown(texts['limit'])} is not {wrong}") from wrong


def check_ids(jobs: Sequence[str]) -> None:
    """Check that each of ``jobs`` can be an id.

    Raises:
        HTTPBadRequest: naming one that cannot.
    """
    for job in jobs:
        if len(job) > _LONGEST_ID or not is_text(job):
            raise HTTPBadRequest(
                f"{job[:100]!r} is no id of a job: it is not a text of at most "
                f"{_LONGEST_ID} characters"
            )


def _states(text: str) -> tuple[TaskState, ...]:
    try:
        return tuple(TaskState(one) for one in dict.fromkeys(text.split(",")) if one)
    except ValueError as error:
        allowed = ", ".join(one.value for one in TaskState)
        raise HTTPBadRequest(
            f"state={shown(text)} is not one of {allowed}, or several with commas"
        ) from error


def moment_of(name: str, text: str) -> float | None:
    """The moment that the field ``name`` of a query has as ``text``; ``None`` where it is empty.

    Raises:
        HTTPBadRequest: it is no number of seconds since the epoch.
    """
    if not text:
        return None
    try:
        return seconds_of(text, zero=True, most=time.time() + _LATEST, text=True)
    except NotAllowedError as wrong:
        raise HTTPBadRequest(
            f"{name}={shown(text)} is no moment, in seconds since the epoch: it is not {wrong}"
        ) from wrong


def _one_of(name: str, text: str, *allowed: str) -> str:
    if text not in allowed:
        words = ", ".join(filter(None, allowed))
        raise HTTPBadRequest(f"{name}={shown(text)} is not one of {words}")
    return text
