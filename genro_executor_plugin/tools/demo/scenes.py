# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The scenes: the same reports in workers and in the server, then what goes wrong.

The first scene compares one measurement with another, never a number of milliseconds with the
machine that it happens to run on. The limits in seconds of the others leave a busy machine ample
room: what must hold is the order of things.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter
from urllib.parse import quote

from . import LIMIT_SECONDS, MAX_PENDING, WORKERS
from .client import LEAST_PAGES, Answer, Client, Pings
from .findings import Findings

__all__ = ["Stage", "crash", "offloading", "overload", "time_limit"]

_AT_ONCE = 4
_RUSH = 3 * MAX_PENDING
_PROMPT_SECONDS = 5.0
"""How long "soon" may take on a machine that has other work to do."""


@dataclass(slots=True)
class Stage:
    """What a scene plays on.

    Attributes:
        client: asks the server.
        server_pid: the server's process.
        reports: how many reports to make for a measurement.
        progress: told what is going on.
    """

    client: Client
    server_pid: int
    reports: int
    progress: Callable[[str], None]


@dataclass(slots=True)
class _Measured:
    """The measurements that were taken while reports were made."""

    answers: list[Answer]
    seconds: float
    pings: Pings
    gap_ms: float

    @property
    def makers(self) -> list[int]:
        return sorted({answer.made_by for answer in self.answers})

    @property
    def good(self) -> int:
        return sum(answer.is_report for answer in self.answers)

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
    """Make the same reports in workers and in the server; compare who makes them and who waits."""
    client = stage.client
    stage.progress("the first reports start the workers")
    await asyncio.gather(*(client.get(_report_path(number)) for number in range(2 * WORKERS)))
    away = await _measure(stage, "offloaded")
    await client.get("/configure?disabled=true")
    here = await _measure(stage, "in the server")
    await client.get("/configure?disabled=false")
    again = await client.get(_report_path(0))

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
            (
                f"/ping p{percent}",
                *(_in_ms(measured.pings.percentile(percent)) for measured in both),
            )
            for percent in (50, 99)
        ),
        ("event loop, worst gap", *(_in_ms(measured.gap_ms) for measured in both)),
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
        f"{WORKERS} workers, not the server",
        len(away.makers) == WORKERS and stage.server_pid not in away.makers,
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
        again.is_report and again.made_by != stage.server_pid,
    )
    for what, less, more in (
        ("offloaded, /ping p99 is lower", away.pings.percentile(99), here.pings.percentile(99)),
        ("offloaded, the loop's gap is smaller", away.gap_ms, here.gap_ms),
    ):
        found.check(what, _in_ms(less), f"less than {_in_ms(more)}", less < more)
    return found


async def _measure(stage: Stage, where: str) -> _Measured:
    paths = [_report_path(number) for number in range(stage.reports)]
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


async def overload(stage: Stage) -> Findings:
    """Send more calls at once than the pool takes, when it is told to refuse the others."""
    stage.progress(f"{_RUSH} reports at once, for a pool that takes {MAX_PENDING}")
    await stage.client.get("/configure?on_overload=fail")
    rush = [_report_path(number) for number in range(_RUSH)]
    answers = [answer async for answer in stage.client.get_all(rush, _RUSH)]
    await stage.client.get("/configure?on_overload=wait")
    after = await stage.client.get(_report_path(0))

    done = [answer for answer in answers if answer.is_report]
    refused = [answer for answer in answers if answer.status == 503]
    advised = sorted({answer.retry_after or 0 for answer in refused})
    found = Findings(
        f"{_RUSH} reports at once; the pool takes {MAX_PENDING} and refuses the others",
        ("", "calls", "answered after"),
    )
    found.rows = [
        ("200, a report", str(len(done)), _span(done)),
        ("503, come back later", str(len(refused)), _span(refused)),
    ]
    found.figures = {"done": len(done), "refused": len(refused), "retry_after": advised}
    found.check(
        "what the pool takes is done",
        f"{len(done)} reports",
        f"{MAX_PENDING} or more",
        len(done) >= MAX_PENDING,
    )
    found.check(
        "the others are refused",
        f"{len(refused)} times 503",
        f"all of the {_RUSH - len(done)} others, some at least",
        0 < len(refused) == _RUSH - len(done),
    )
    found.check(
        "a refusal says when to come back",
        f"Retry-After: {' or '.join(map(str, advised)) or 'missing'}",
        "1 s or more, on every one",
        bool(advised) and advised[0] >= 1,
    )
    found.check(
        "later the pool takes calls again", str(after.status), "200, a report", after.is_report
    )
    return found


async def time_limit(stage: Stage) -> Findings:
    """Make a call that would never end, on a route that has a time limit."""
    stage.progress(f"a report that never ends, on a route with {LIMIT_SECONDS:g} s")
    answer = await stage.client.get("/endless")
    after = await stage.client.get(_report_path(0))

    found = Findings(f"A report that is never done, and a limit of {LIMIT_SECONDS:g} s")
    found.figures = {"status": answer.status, "seconds": round(answer.seconds, 3)}
    found.check("the caller is told", str(answer.status), "504", answer.status == 504)
    found.check(
        "in time",
        f"{answer.seconds:.2f} s",
        f"{LIMIT_SECONDS:g} s, and {_PROMPT_SECONDS:g} s more at most",
        LIMIT_SECONDS <= answer.seconds < LIMIT_SECONDS + _PROMPT_SECONDS,
    )
    found.check("the next call is fine", str(after.status), "200, a report", after.is_report)
    return found


async def crash(stage: Stage) -> Findings:
    """Kill a worker in the middle of its call, while another worker runs a call of its own."""
    client = stage.client
    stage.progress("two long reports in two workers, and SIGKILL for one of them")
    victim = asyncio.create_task(client.get("/annual?call=victim"))
    neighbour = asyncio.create_task(client.get("/annual?call=neighbour"))
    victim_pid = await _running(client, "victim", victim)
    neighbour_pid = await _running(client, "neighbour", neighbour)
    os.kill(victim_pid, signal.SIGKILL)
    killed = perf_counter()
    hurt = await victim
    told_seconds = perf_counter() - killed
    after = await client.get(_report_path(0))
    unhurt = not neighbour.done()
    await client.get("/enough?call=neighbour")
    well = await neighbour

    told, soon = _in_ms(told_seconds * 1000), _in_ms(after.seconds * 1000)
    found = Findings(
        f"SIGKILL for worker {victim_pid}, in the middle of its call",
        ("", "worker", "status", "what came"),
    )
    found.rows = [
        ("the call it ran", str(victim_pid), str(hurt.status), f"{told} after the kill"),
        ("the call next door", str(neighbour_pid), str(well.status), f"{well.pages} pages"),
        ("the next call", str(after.made_by), str(after.status), f"{after.pages} pages, {soon}"),
    ]
    found.figures = {
        "victim": {"pid": victim_pid, "status": hurt.status, "seconds": round(told_seconds, 3)},
        "neighbour": {"pid": neighbour_pid, "status": well.status},
        "next": {"pid": after.made_by, "status": after.status, "seconds": round(after.seconds, 3)},
    }
    found.check(
        "its call fails, and soon",
        f"{hurt.status} after {told}",
        f"500 within {_PROMPT_SECONDS:g} s",
        hurt.status == 500 and told_seconds < _PROMPT_SECONDS,
    )
    found.check(
        "the next call gets a new worker",
        f"{after.status} from pid {after.made_by}, {soon}",
        f"200 from a new one within {_PROMPT_SECONDS:g} s",
        after.is_report
        and after.made_by not in (victim_pid, neighbour_pid, stage.server_pid)
        and after.seconds < _PROMPT_SECONDS,
    )
    found.check(
        "the call next door is not hurt",
        f"{well.status} from pid {well.made_by}",
        f"200 from pid {neighbour_pid}",
        unhurt and well.is_report and well.made_by == neighbour_pid,
    )
    return found


async def _running(client: Client, call: str, task: asyncio.Task[Answer]) -> int:
    """Wait until ``call`` runs; return the id of the process that it runs in."""
    while not task.done():
        pid: int | None = (await client.get(f"/running?call={call}")).json["pid"]
        if pid is not None:
            return pid
        await asyncio.sleep(0.01)
    raise ConnectionError(f"the call {call!r} ended with {task.result().status} before it ran")


def _span(answers: list[Answer]) -> str:
    if not answers:
        return ""
    seconds = sorted(answer.seconds for answer in answers)
    return f"{_in_ms(seconds[0] * 1000)} to {_in_ms(seconds[-1] * 1000)}"


def _report_path(number: int) -> str:
    """The path of the report of branch ``number``."""
    return f"/report?title={quote(f'Sales of branch {number + 1}')}"


def _in_ms(milliseconds: float) -> str:
    """A time as text, in milliseconds."""
    return f"{milliseconds:.1f} ms" if milliseconds < 100 else f"{milliseconds:.0f} ms"
