# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""What a request for the history may name, and what it is answered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from ...hosts.names import HTTPBadRequest
from ...metrics.counters import OUTCOMES
from ...options.numbers import shown
from ...tasks.texts import is_text
from ..job_query import moment_of
from .figures import Entry, Figures
from .file import HistoryFile
from .tables import ALL_POOLS, KEPT_SECONDS, LEVELS

__all__ = ["RANGES", "HistoryQuery", "answer_to", "query_in"]

RANGES: Mapping[str, int] = {
    "15m": 900, "1h": 3600, "6h": 6 * 3600, "24h": 24 * 3600, "72h": 72 * 3600,
}  # fmt: skip
"""The ranges that end now, by how they are written, in seconds."""

MOST_POINTS = 360
"""How many points an answer has of each pool at most."""

MOST_MARKERS = 200
"""How many markers an answer has; those left out are the oldest, and their number is told."""

_SHORTEST = 60.0
_LONGEST = float(MOST_POINTS * LEVELS[-1])
_MOST_FIELDS = 20
_MOST_CHARS = 300
_FIELDS = ("range", "since", "until", "pool", "route", "together")


@dataclass(frozen=True, slots=True)
class HistoryQuery:
    """What is asked for.

    Attributes:
        since: the begin, in seconds since the epoch.
        until: the end.
        pool: the pool, ``None`` for each, ``ALL_POOLS`` for all of them together.
        route: the route; empty for the pools themselves.
    """

    since: float
    until: float
    pool: str | None = None
    route: str = ""

    @property
    def step(self) -> int:
        """How many seconds lie between two points."""
        levels = LEVELS[1:] if self.route else LEVELS
        span = self.until - self.since
        return next((level for level in levels if span <= level * MOST_POINTS), levels[-1])


def query_in(query_string: bytes, now: float) -> HistoryQuery:
    """The query that the part of a URL behind ``?`` means, asked at the time ``now``.

    Raises:
        HTTPBadRequest: naming what is wrong, and what is allowed.
    """
    try:
        pairs = parse_qsl(
            query_string.decode("latin-1"), keep_blank_values=True, max_num_fields=_MOST_FIELDS
        )
    except ValueError as error:
        raise HTTPBadRequest(f"More than {_MOST_FIELDS} fields") from error
    given = {}
    for name, value in pairs:
        if name not in _FIELDS:
            raise HTTPBadRequest(f"There is no field {shown(name)}; there are {', '.join(_FIELDS)}")
        if name in given:
            raise HTTPBadRequest(f"{name} is given twice; give it once")
        if len(value) > _MOST_CHARS or not is_text(value):
            raise HTTPBadRequest(f"{name} is not a text of at most {_MOST_CHARS} characters")
        given[name] = value
    since, until = _between(given, now)
    together = given.get("together") or "no"
    if together not in ("yes", "no"):
        raise HTTPBadRequest(f"together={shown(together)} is not one of yes, no")
    if together == "yes" and (given.get("pool") or given.get("route")):
        raise HTTPBadRequest("Give either pool or route, or together=yes")
    pool = ALL_POOLS if together == "yes" else given.get("pool") or None
    return HistoryQuery(since, until, pool, given.get("route", ""))


def _between(given: Mapping[str, str], now: float) -> tuple[float, float]:
    if not given.get("since") and not given.get("until"):
        name = given.get("range") or "1h"
        if name not in RANGES:
            raise HTTPBadRequest(
                f"range={shown(name)} is not one of {', '.join(RANGES)}; or give since and until, "
                "in seconds since the epoch"
            )
        return now - RANGES[name], now
    if given.get("range"):
        raise HTTPBadRequest("Give either range, or since and until")
    until = moment_of("until", given.get("until", ""))
    until = now if until is None else until
    since = moment_of("since", given.get("since", ""))
    since = until - RANGES["1h"] if since is None else since
    if not _SHORTEST <= until - since <= _LONGEST:
        raise HTTPBadRequest(
            f"From since={since:.0f} to until={until:.0f} is not from {_SHORTEST:.0f} to "
            f"{_LONGEST:.0f} seconds"
        )
    return since, until


def answer_to(query: HistoryQuery, file: HistoryFile, now: float) -> dict[str, Any]:
    """What the history has for ``query``, as JSON values. It blocks.

    Raises:
        HistoryFileError: the file cannot be read.
    """
    step = query.step
    first = int(query.since // step) * step
    places = range(first, max(first + step, int(-(-query.until // step)) * step), step)
    entries = file.read(step, first, places.stop, query.pool, query.route)
    markers, count = file.markers(query.since, query.until, MOST_MARKERS)
    by_series: dict[tuple[str, str], list[Entry]] = {}
    for entry in entries:
        by_series.setdefault((entry.pool, entry.route), []).append(entry)
    return {
        "now": round(now, 3),
        "since": round(query.since, 3),
        "until": round(query.until, 3),
        "step": step,
        "kept_seconds": KEPT_SECONDS,
        "at": list(places),
        "pools": file.pools(),
        "series": [
            {"pool": pool, "route": route, **_columns(found, places)}
            for (pool, route), found in sorted(by_series.items())
        ],
        "markers": [marker._asdict() for marker in markers],
        "markers_left_out": count - len(markers),
    }


def _columns(entries: Sequence[Entry], places: range) -> dict[str, Any]:
    """The points of one series by what they tell, ``None`` where nothing was written."""
    empty = [None] * len(places)
    columns: dict[str, list[Any]] = {name: list(empty) for name in Figures().point()}
    totals = [0] * len(OUTCOMES)
    for entry in entries:
        place = (int(entry.at) - places.start) // places.step
        for name, value in entry.figures.point().items():
            columns[name][place] = _short(value)
        totals = [a + b for a, b in zip(totals, entry.figures.outcomes, strict=True)]
    return {"totals": dict(zip(OUTCOMES, totals, strict=True)), "points": columns}


def _short(value: float | None) -> float | int | None:
    if value is None:
        return None
    value = round(value, 3)
    return int(value) if value == int(value) else value
