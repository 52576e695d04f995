# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Runs the demo: starts the server, plays every scene, shows the findings, ends the server."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from time import perf_counter
from typing import Any

import httpx

from ... import __version__
from . import POOLS
from .client import Client
from .findings import Findings, Screen
from .scenes import Stage, crash, offloading, overload, time_limit
from .server import DemoError, ServerProcess

__all__ = ["run"]

_SCENES: tuple[Callable[[Stage], Awaitable[Findings]], ...] = (
    offloading,
    overload,
    time_limit,
    crash,
)
_LOG_TAIL = 20


def run(*, port: int = 0, reports: int = 10, serve: bool = False, as_json: bool = False) -> bool:
    """Play every scene, and tell whether everything held.

    Args:
        port: where to serve on the loopback interface, 0 for any free port.
        reports: how many reports to make for each measurement.
        serve: leave the server running afterwards, until Ctrl-C.
        as_json: print one JSON document instead of tables.

    Raises:
        DemoError: there is no server to show, or it went away.
    """
    screen = Screen(sys.stdout, sys.stderr)
    quiet = Screen(sys.stderr, sys.stderr)
    started = perf_counter()
    screen.working_on("the server starts")
    server = ServerProcess(port)
    with server:
        pid = server.pid
        if not as_json:
            screen.heading(f"genro-executor {__version__}: a server on {server.url}")
            pools = (f"pool {name!r} of {pool['max_workers']}" for name, pool in POOLS.items())
            screen.line(f"server: pid {pid}, workers: {', '.join(pools)}")
        stage = Stage(Client(server.url), pid, reports, screen.working_on)
        found = _play(stage, server, None if as_json else screen)
        seconds = perf_counter() - started
        if serve:
            _leave_running(screen, server)
        screen.working_on("the server ends")
        end = _ended(server)
    if as_json:
        print(json.dumps(_document(server, pid, seconds, [*found, end]), indent=2))
    else:
        screen.scene(len(found) + 1, end)
        failed = sum(not check.ok for one in (*found, end) for check in one.checks)
        checks = sum(len(one.checks) for one in (*found, end))
        verdict = "all of it holds" if not failed else f"{failed} FAILED"
        screen.line()
        screen.heading(f"{checks} checks in {seconds:.0f} s: {verdict}")
    ok = all(one.ok for one in (*found, end))
    if not ok:
        quiet.line("the last lines of the server's log:")
        for line in list(server.log)[-_LOG_TAIL:]:
            quiet.line(f"    {line}")
    return ok


def _play(stage: Stage, server: ServerProcess, screen: Screen | None) -> list[Findings]:
    """The findings of every scene, each shown on ``screen`` as it ends."""

    async def play() -> list[Findings]:
        found = []
        async with stage.client:
            for number, scene in enumerate(_SCENES, start=1):
                found.append(await scene(stage))
                if screen is not None:
                    screen.scene(number, found[-1])
        return found

    try:
        return asyncio.run(play())
    except BrokenPipeError:
        raise  # the output was closed, which is no failure of the server
    except (OSError, httpx.HTTPError) as error:
        state = "still runs" if server.running else "is gone"
        raise DemoError(
            f"the server did not answer ({type(error).__name__}: {error}); it {state}. "
            f"The last it said was: {server.last_words}"
        ) from error


def _leave_running(screen: Screen, server: ServerProcess) -> None:
    url = server.url
    screen.line()
    screen.heading(f"Serving on {url}, until Ctrl-C. Try:")
    for command, why in (
        (f"curl -o report.pdf '{url}/report?title=My+report'", "a report, made in a worker"),
        (f"curl {url}/ping", "answered by the event loop"),
        (f"curl '{url}/configure?disabled=true'", "reports are made in the server now"),
        (f"curl '{url}/configure?disabled=false'", "and in workers again"),
        (f"curl -i {url}/endless", "504: over its limit"),
        (f"curl {url}/monitor/pools", "what the pools say of themselves"),
        (f"curl '{url}/monitor/gap?reset=true'", "how late the event loop was"),
    ):
        screen.line(f"   {command}   # {why}")
    screen.line(f"   genro-executor top {url}   # the pools, live")
    screen.line(f"The console: {url}/_executors/?token={server.token}")
    try:
        server.wait()
    except KeyboardInterrupt:
        screen.line()
    else:
        raise DemoError(f"the server ended by itself: {server.last_words}")


def _ended(server: ServerProcess) -> Findings:
    """End the server; the findings say whether a process had to be killed."""
    started = perf_counter()
    processes, killed = server.stop()
    seconds = perf_counter() - started
    found = Findings("The server ends, and takes its processes along")
    found.figures = {"processes": processes, "killed": killed, "seconds": round(seconds, 3)}
    found.check(
        "no process is left behind",
        f"{processes} processes ended in {seconds:.2f} s, {killed} had to be killed",
        "none had to be",
        processes > 0 and killed == 0,
    )
    return found


def _document(
    server: ServerProcess, pid: int, seconds: float, found: list[Findings]
) -> dict[str, Any]:
    return {
        "version": __version__,
        "url": server.url,
        "server_pid": pid,
        "seconds": round(seconds, 2),
        "ok": all(one.ok for one in found),
        "scenes": [
            {
                "title": one.title,
                "ok": one.ok,
                "figures": one.figures,
                "checks": [asdict(check) for check in one.checks],
            }
            for one in found
        ],
    }
