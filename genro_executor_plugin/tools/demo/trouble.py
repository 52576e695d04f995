# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The scenes in which something goes wrong: too many calls, an endless one, a dead worker.

The limits in seconds leave a busy machine ample room: what must hold is the order of things.
"""

from __future__ import annotations

import asyncio
import os
import signal
from time import perf_counter

from .client import Answer, Client
from .findings import Findings
from .settings import LIMIT_SECONDS, POOLS
from .stage import (
    Stage,
    in_ms,
    is_report,
    report_path,
)

__all__ = ["crash", "overload", "time_limit"]

_MAX_PENDING: int = POOLS["pdf"]["max_pending"]
_RUSH = 3 * _MAX_PENDING
_PROMPT_SECONDS = 5.0
"""What counts as soon, on a machine that has other things to do."""


async def overload(stage: Stage) -> Findings:
    """More calls at once than the pool takes, and it is told to refuse what is too much."""
    stage.progress(f"{_RUSH} reports at once, for a pool that takes {_MAX_PENDING}")
    await stage.client.get("/configure?on_overload=fail")
    rush = [report_path(number) for number in range(_RUSH)]
    answers = [answer async for answer in stage.client.get_all(rush, _RUSH)]
    await stage.client.get("/configure?on_overload=wait")
    after = await stage.client.get(report_path(0))

    done = [answer for answer in answers if is_report(answer)]
    refused = [answer for answer in answers if answer.status == 503]
    advised = sorted({answer.retry_after or 0 for answer in refused})
    found = Findings(
        f"{_RUSH} reports at once; the pool takes {_MAX_PENDING} and refuses the others",
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
        f"{_MAX_PENDING} or more",
        len(done) >= _MAX_PENDING,
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
        "later the pool takes calls again", str(after.status), "200, a report", is_report(after)
    )
    return found


async def time_limit(stage: Stage) -> Findings:
    """A call that would never end, on a route that has a limit."""
    stage.progress(f"a report that never ends, on a route with {LIMIT_SECONDS:g} s")
    answer = await stage.client.get("/endless")
    after = await stage.client.get(report_path(0))

    found = Findings(f"A report that is never done, and a limit of {LIMIT_SECONDS:g} s")
    found.figures = {"status": answer.status, "seconds": round(answer.seconds, 3)}
    found.check("the caller is told", str(answer.status), "504", answer.status == 504)
    found.check(
        "in time",
        f"{answer.seconds:.2f} s",
        f"{LIMIT_SECONDS:g} s, and {_PROMPT_SECONDS:g} s more at most",
        LIMIT_SECONDS <= answer.seconds < LIMIT_SECONDS + _PROMPT_SECONDS,
    )
    found.check("the next call is fine", str(after.status), "200, a report", is_report(after))
    return found


async def crash(stage: Stage) -> Findings:
    """A worker is killed while it works; another one works beside it."""
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
    after = await client.get(report_path(0))
    unhurt = not neighbour.done()
    await client.get("/enough?call=neighbour")
    well = await neighbour

    told, soon = in_ms(told_seconds * 1000), in_ms(after.seconds * 1000)
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
        is_report(after)
        and after.made_by not in (victim_pid, neighbour_pid, stage.server_pid)
        and after.seconds < _PROMPT_SECONDS,
    )
    found.check(
        "the call next door is not hurt",
        f"{well.status} from pid {well.made_by}",
        f"200 from pid {neighbour_pid}",
        unhurt and is_report(well) and well.made_by == neighbour_pid,
    )
    return found


async def _running(client: Client, call: str, task: asyncio.Task[Answer]) -> int:
    """The process in which ``call`` runs, as soon as it does."""
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
    return f"{in_ms(seconds[0] * 1000)} to {in_ms(seconds[-1] * 1000)}"
