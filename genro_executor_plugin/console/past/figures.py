# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""What is kept of a stretch of time: sums, so that what several wrote of it can be added up.

A mean or a quantile of two stretches, or of two processes, cannot be made of theirs. So durations
are kept as counts by bucket, and a load as load multiplied by time.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ...metrics.counters import OUTCOMES, quantile_of

__all__ = ["Counted", "Entry", "Figures", "Marker", "packed", "rise", "unpacked"]

_ERRORS = tuple(OUTCOMES.index(name) for name in ("failed", "timed_out", "crashed"))
_COMPLETED, _REJECTED = OUTCOMES.index("completed"), OUTCOMES.index("rejected")

_BUCKET = struct.Struct("<HI")
_MOST = 2**32 - 1


class Marker(NamedTuple):
    """Something that happened at one moment.

    Attributes:
        at: when, in seconds since the epoch.
        kind: ``"start"`` or ``"end"`` of a server process, ``"change"`` or ``"crash"``.
        what: it in words.
        who: who has asked for it, empty where nobody has.
    """

    at: float
    kind: str
    what: str
    who: str = ""


class Counted(NamedTuple):
    """The counters of a pool or a route at one moment.

    Attributes:
        outcomes: how many calls ended in each of the ways of ``OUTCOMES``.
        run: how many runs fell into each bucket.
    """

    outcomes: tuple[int, ...]
    run: Sequence[int]


@dataclass(slots=True)
class Figures:
    """Sums over a stretch of time.

    Attributes:
        seconds: how long that was.
        outcomes: how many calls ended in each of the ways of ``OUTCOMES``.
        busy: busy workers multiplied by seconds.
        queued: calls that waited multiplied by seconds.
        queued_most: how many calls waited at most.
        run: how many runs took how long, by the number of their bucket.
        wait: the same of how long calls waited.
    """

    seconds: float = 0.0
    outcomes: tuple[int, ...] = (0,) * len(OUTCOMES)
    busy: float = 0.0
    queued: float = 0.0
    queued_most: int = 0
    run: dict[int, int] = field(default_factory=dict)
    wait: dict[int, int] = field(default_factory=dict)

    def add(self, other: Figures, most_seconds: float) -> None:
        """Add the sums of ``other``: of another part of the stretch, or of another process."""
        self.seconds = min(self.seconds + other.seconds, most_seconds)
        self.outcomes = tuple(a + b for a, b in zip(self.outcomes, other.outcomes, strict=True))
        self.busy += other.busy
        self.queued += other.queued
        self.queued_most = max(self.queued_most, other.queued_most)
        for own, more in ((self.run, other.run), (self.wait, other.wait)):
            for bucket, count in more.items():
                own[bucket] = own.get(bucket, 0) + count

    def point(self) -> dict[str, float | None]:
        """What a plot shows of it, by the names that the samples of the last minutes have."""
        seconds = max(self.seconds, 1e-3)
        errors = sum(self.outcomes[one] for one in _ERRORS)
        return {
            "completed_per_second": self.outcomes[_COMPLETED] / seconds,
            "errors_per_second": errors / seconds,
            "rejected_per_second": self.outcomes[_REJECTED] / seconds,
            "run_p50_ms": _ms(self.run, 0.5),
            "run_p95_ms": _ms(self.run, 0.95),
            "wait_p95_ms": _ms(self.wait, 0.95),
            "busy": self.busy / seconds,
            "queued": self.queued / seconds,
            "queued_most": self.queued_most,
        }


class Entry(NamedTuple):
    """``figures`` of a pool, or of one of its routes, around the time ``at``."""

    at: float
    pool: str
    route: str
    figures: Figures


def _ms(counts: Mapping[int, int], share: float) -> float | None:
    seconds = quantile_of(sorted(counts.items()), share)
    return None if seconds is None else seconds * 1000


def rise(before: Sequence[int] | None, now: Sequence[int]) -> dict[int, int]:
    """By how much each of some counters has risen, by its number; from 0 without ``before``."""
    if before is None or any(b < a for a, b in zip(before, now, strict=True)):
        return {number: count for number, count in enumerate(now) if count}
    pairs = enumerate(zip(before, now, strict=True))
    return {number: b - a for number, (a, b) in pairs if b != a}


def packed(counts: Mapping[int, int]) -> bytes:
    """``counts`` as bytes."""
    return b"".join(
        _BUCKET.pack(bucket, min(count, _MOST)) for bucket, count in sorted(counts.items())
    )


def unpacked(content: Any) -> dict[int, int]:
    """What ``packed`` has made into ``content``.

    Raises:
        ValueError: it has made no such bytes.
    """
    if not isinstance(content, bytes) or len(content) % _BUCKET.size:
        raise ValueError("a row does not have the counts that it should have")
    found: Iterable[tuple[int, int]] = _BUCKET.iter_unpack(content)
    return dict(found)
