# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The first scene: the same reports made in workers, and made in the server.

What is compared is one measurement with another, never a number of milliseconds with the
machine it happens to run on.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from time import perf_counter

from .client import Answer, Pings
from .findings import Findings
from .settings import POOLS
from .stage import (
    LEAST_PAGES,
    Stage,
    in_ms,
    is_report,
    report_path,
)

__all__ = ["offloading"]

_AT_ONCE = 4
_WORKERS: int = POOLS["pdf"]["max_workers"]


@dataclass(slots=True)
class _Measured:
    """What was measured while reports were made."""

    answers: list[Answer]
    seconds: float
    pings: Pings
    gap_ms: float

    @property
    def makers(self) -> list[int]:
        return sorted({answer.made_by for answer in self.answers})

    @property
    def good(self) -> int:
        return sum(is_report(answer) for answer in self.answers)

    @property
    def figures(self) -> dict[str, object]:
        return {
            "made_by": self.makers,
            "seconds": round(self.seconds, 3),
            "pings": len(self.pings.seconds),
            "ping_p50_ms": round(self.pings.percentile(50), 2),
            "ping_p99_ms": round(self.pings.percentile(99), 2),
            "loop_gap_ms": self.gap_ms,
        }


async def offloading(stage: Stage) -> Findings:
    """The same reports in workers, and in the server: who makes them, and who has to wait."""
    client = stage.client
    stage.progress("the first reports start the workers")
    await asyncio.gather(*(client.get(report_path(number)) for number in range(2 * _WORKERS)))
    away = await _measure(stage, "offloaded")
    await client.get("/configure?disabled=true")
    here = await _measure(stage, "in the server")
    await client.get("/configure?disabled=false")
    again = await client.get(report_path(0))

    found = Findings(
        f"{stage.reports} reports, {_AT_ONCE} at a time, and what everybody else notices",
        ("", "offloaded", "disabled at run time"),
    )
    found.figures = {"offloaded": away.figures, "disabled": here.figures}
    both = (away, here)
    found.rows = [
        ("made by", *(_who(stage, measured) for measured in both)),
        ("time for all", *(f"{measured.seconds:.2f} s" for measured in both)),
        *(
            (f"/ping p{percent}", *(in_ms(measured.pings.percentile(percent)) for measured in both))
            for percent in (50, 99)
        ),
        ("event loop, worst gap", *(in_ms(measured.gap_ms) for measured in both)),
    ]
    good = away.good + here.good
    found.check(
        "every report is a real PDF",
        f"{good} of {2 * stage.reports}",
        f"all, of {LEAST_PAGES} pages or more",
        good == 2 * stage.reports,
    )
    found.check(
        "offloaded, workers make them",
        _who(stage, away),
        f"{_WORKERS} workers, not the server",
        len(away.makers) == _WORKERS and stage.server_pid not in away.makers,
    )
    found.check(
        "disabled, the server makes them",
        _who(stage, here),
        "the server alone",
        here.makers == [stage.server_pid],
    )
    found.check(
        "enabled again, a worker makes it",
        f"pid {again.made_by}",
        "not the server",
        is_report(again) and again.made_by != stage.server_pid,
    )
    for what, less, more in (
        ("offloaded, /ping p99 is lower", away.pings.percentile(99), here.pings.percentile(99)),
        ("offloaded, the loop's gap is smaller", away.gap_ms, here.gap_ms),
    ):
        found.check(what, in_ms(less), f"less than {in_ms(more)}", less < more)
    return found


async def _measure(stage: Stage, where: str) -> _Measured:
    paths = [report_path(number) for number in range(stage.reports)]
    answers: list[Answer] = []
    await stage.client.get("/monitor/gap?reset=true")
    async with stage.client.pinging("/ping") as pings:
        started = perf_counter()
        stage.progress(f"reports made {where}: 0 of {stage.reports}")
        async for answer in stage.client.get_all(paths, _AT_ONCE):
            answers.append(answer)
            stage.progress(f"reports made {where}: {len(answers)} of {stage.reports}")
        seconds = perf_counter() - started
    gap = (await stage.client.get("/monitor/gap")).json["worst_ms"]
    return _Measured(answers, seconds, pings, gap)


def _who(stage: Stage, measured: _Measured) -> str:
    makers = measured.makers
    names = ", ".join(map(str, makers))
    if makers == [stage.server_pid]:
        return f"the server, pid {names}"
    return f"{len(makers)} worker{'s' * (len(makers) != 1)}, pid {names}"
