# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Calls on a Ray of this machine, against bare calls of an actor."""

from __future__ import annotations

import asyncio
import importlib.util
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

from benchmarks.figures import Metric, Table, Target, percentile
from benchmarks.functions import answer, given_back
from benchmarks.settings import Settings

__all__ = ["run_ray"]

_OURS = "genro-executor-plugin on Ray"
_BARE = "Ray, a bare call of an actor"
_SAME = "Ray, a bare call with as many bytes"
_BYTES = 200
"""About what a call of a function without arguments has."""

_NUMBERS = 1_250_000
"""How many numbers 10 MB are."""

Once = Callable[[], Awaitable[Any]]


class _Echo:
    def nothing(self) -> None:
        return None

    def echo(self, value: Any) -> Any:
        return value


def run_ray(settings: Settings, progress: Callable[[str], None]) -> Iterator[Table]:
    """The tables of calls on Ray; none of them has figures where Ray is not installed."""
    no_op = Table(
        "ray-no-op",
        "No-op on a Ray of this machine, one caller",
        "All are awaited on the same event loop, 50 calls of each in turn, and each has an actor "
        "of its own. The pool's actor has groups of methods, so that a call can be told something "
        "while it runs; a bare one has none.",
        (Metric("p50_us", "p50, µs"), Metric("p99_us", "p99, µs")),
        _OURS,
    )
    large = Table(
        "ray-10mb",
        "10 MB of numpy on a Ray of this machine, there and back",
        "The bare call is given what ray.put returns.",
        (Metric("p50_ms", "p50, ms", 1),),
        _OURS,
    )
    wanted = [table for table in (no_op, large) if settings.wants(table.key)]
    if wanted and importlib.util.find_spec("ray") is None:
        for table in wanted:
            table.missing |= {_OURS: "ray is not installed", _BARE: "ray is not installed"}
    elif wanted:
        progress("ray: a no-op and 10 MB")
        for figures in asyncio.run(_measured(settings)):
            for title, of_small, of_large in figures:
                no_op.add(title, of_small)
                if of_large:
                    large.add(title, of_large)
    no_op.judge([Target("a no-op on Ray", "p50_us", 1.1, _OURS, _BARE)])
    large.judge([Target("10 MB on Ray", "p50_ms", 1.1, _OURS, _BARE)])
    yield from wanted


_Figures = list[tuple[str, dict[str, float], dict[str, float]]]


async def _measured(settings: Settings) -> list[_Figures]:
    """The figures of each round; one Ray is started for all of them, as that takes long."""
    import numpy

    from genro_executor_plugin import RayExecutor

    values, payload = numpy.ones(_NUMBERS), b"x" * _BYTES
    async with RayExecutor("bench", max_workers=1) as pool:
        await pool.submit(answer)
        import ray

        # An actor that is called more often than the pool's would be warmer.
        actor, other = (ray.remote(num_cpus=0)(_Echo).remote() for _ in range(2))

        async def bare() -> Any:
            return await actor.nothing.remote()

        async def same() -> Any:
            return await other.echo.remote(payload)

        async def bare_large() -> Any:
            return await actor.echo.remote(ray.put(values))

        small: dict[str, Once] = {_OURS: lambda: pool.submit(answer), _BARE: bare, _SAME: same}
        large: dict[str, Once] = {
            _OURS: lambda: pool.submit(given_back, values),
            _BARE: bare_large,
        }
        rounds: list[_Figures] = []
        for _ in range(settings.rounds):
            of_small = await _by_turns(small, 3 * settings.seconds, 50)
            of_large = await _by_turns(large, 2 * settings.seconds, 1)
            rounds.append(
                [
                    (
                        title,
                        {
                            "p50_us": percentile(times, 50) * 1e6,
                            "p99_us": percentile(times, 99) * 1e6,
                        },
                        {"p50_ms": percentile(of_large[title], 50) * 1e3}
                        if title in of_large
                        else {},
                    )
                    for title, times in of_small.items()
                ]
            )
        return rounds


async def _by_turns(calls: dict[str, Once], seconds: float, row: int) -> dict[str, list[float]]:
    """How long each of ``calls`` took, sorted; ``row`` of each one behind the other, in turn."""
    found: dict[str, list[float]] = {title: [] for title in calls}
    for once in calls.values():
        await once()
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or min(map(len, found.values())) < 20:
        for title, once in calls.items():
            for _ in range(row):
                began = time.perf_counter()
                await once()
                found[title].append(time.perf_counter() - began)
    return {title: sorted(times) for title, times in found.items()}
