# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Turns a snapshot into lines: first pools, then workers, routes and the last errors."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from .jobs import job_lines, job_title
from .lines import (
    Cell,
    Line,
    columns,
    printable,
)
from .orders import sorted_pools, sorted_routes, sorted_workers

__all__ = ["view"]

Snapshot = Mapping[str, Any]

_BAR_WIDTH = 8


def view(
    snapshot: Snapshot,
    url: str,
    *,
    before: Snapshot | None = None,
    height: int | None = None,
    order: str | None = None,
) -> list[Line]:
    """The lines that show ``snapshot``.

    Args:
        snapshot: what the console said.
        url: the address of the snapshot.
        before: the snapshot before it; rates are those of the time between the two.
        height: how many lines there is room for; ``None`` means as many as are needed.
        order: one of ``ORDERS`` by which tables are sorted; ``None`` for each table's own.
    """
    lines = [_title(snapshot, url), *_trouble(snapshot), []]
    lines += _pools(snapshot, before, order)
    sections = [
        ("Server processes", _processes(snapshot)),
        (job_title(snapshot), job_lines(snapshot, order)),
        ("Workers", _workers(snapshot, order)),
        ("Where calls are", _stacks(snapshot)),
        ("Routes", _routes(snapshot, order)),
        ("Errors", _errors(snapshot)),
    ]
    for number, (title, table) in enumerate(sections):
        if len(table) < 2:
            continue
        room = None
        if height is not None:
            # Each section may take an equal share of the lines that are left; lines that it does
            # not need go to the next ones.
            room = (height - len(lines)) // (len(sections) - number) - 2
            if room < 2:
                continue
        lines += [[], [Cell(title, "bold")], *_cut(table, room)]
    return lines if height is None else lines[:height]


def _cut(table: list[Line], room: int | None) -> list[Line]:
    if room is None or len(table) <= room:
        return table
    return [*table[: room - 1], [Cell(f"  and {len(table) - room + 1} more", "dim")]]


def _title(snapshot: Snapshot, url: str) -> Line:
    server = snapshot.get("server", {})
    healthy = server.get("healthy", True)
    at = time.strftime("%H:%M:%S", time.localtime(snapshot.get("now", time.time())))
    return [
        Cell("genro-executor top", "bold"),
        Cell(f"  {printable(url.removesuffix('/snapshot'))}  pid {server.get('pid', '-')}  "),
        Cell("healthy", "green") if healthy else Cell("UNHEALTHY", "red"),
        Cell(f"  {_python(server)}{at}", "dim"),
    ]


def _python(server: Mapping[str, Any]) -> str:
    """Which Python serves; nothing from a server of a former version."""
    if "python" not in server:
        return ""
    gil = "with" if server["gil"] else "without"
    return f"Python {printable(server['python'])} {gil} the GIL  "


def _trouble(snapshot: Snapshot) -> list[Line]:
    unhealthy = snapshot.get("server", {}).get("unhealthy") or {}
    return [
        [Cell(f"  pool {printable(name)}: {printable(why)}", "red")]
        for name, why in unhealthy.items()
    ]


# -- pools ----------------------------------------------------------------------------------------


def _pools(snapshot: Snapshot, before: Snapshot | None, order: str | None) -> list[Line]:
    earlier = {pool["name"]: pool for pool in before["pools"]} if before is not None else {}
    seconds = snapshot["now"] - before["now"] if before is not None else 0.0
    pools = sorted_pools(snapshot["pools"], order)
    rows = [_pool(pool, earlier.get(pool["name"]), seconds) for pool in pools]
    unused = ", ".join(map(printable, snapshot.get("unused_pools", ())))
    idle = [[Cell(f"  not used yet: {unused}", "dim")]] if unused else []
    if not rows:
        return idle
    head = (
        *("POOL", "MODE", "STATE", "BUSY", "WORKERS", "QUEUE", "WAITING", "CALLS/S"),
        *("RUN p50", "p95", "WAIT p95", "DONE", "FAILED", "REFUSED", "RESTARTS"),
    )
    return [*columns(head, rows, right="llll" + "r" * (len(head) - 4)), *idle]


def _pool(pool: Mapping[str, Any], earlier: Mapping[str, Any] | None, seconds: float) -> list[Cell]:
    failed = pool["failed"] + pool["timed_out"] + pool["crashed"]
    state, style = _state(pool)
    full = pool["pending"] >= pool["max_pending"]
    return [
        Cell(printable(pool["name"]), "bold"),
        Cell(printable(pool["mode"])),
        Cell(state, style),
        Cell(_bar(pool["busy"], pool["max_workers"])),
        Cell(f"{pool['busy']}/{pool['workers']}/{pool['max_workers']}"),
        Cell(f"{pool['queued']}/{pool['max_pending']}", "red" if full else ""),
        _waiting(pool),
        Cell(_rate(pool, earlier, seconds)),
        *(Cell(_ms(pool[name])) for name in ("run_p50_ms", "run_p95_ms", "wait_p95_ms")),
        Cell(_count(pool["completed"])),
        Cell(_count(failed), "red" if failed else ""),
        Cell(_count(pool["rejected"]), "yellow" if pool["rejected"] else ""),
        Cell(_count(pool["restarts"])),
    ]


def _waiting(pool: Mapping[str, Any]) -> Cell:
    """How many calls wait for a place in the queue, and how many may."""
    waiting, most = pool.get("waiting"), pool.get("max_waiting")
    if waiting is None or most is None:
        return Cell("-")  # a server of a former version
    return Cell(f"{waiting}/{most}", "red" if waiting >= most > 0 else "yellow" if waiting else "")


def _state(pool: Mapping[str, Any]) -> tuple[str, str]:
    if pool.get("paused"):
        return "paused", "yellow"
    if pool.get("draining"):
        return "draining", "yellow"
    return ("unhealthy", "red") if pool.get("unhealthy") else ("ok", "green")


def _bar(busy: int, workers: int) -> str:
    filled = min(_BAR_WIDTH, round(_BAR_WIDTH * busy / max(1, workers)))
    return f"[{'#' * filled}{'.' * (_BAR_WIDTH - filled)}]"


def _rate(pool: Mapping[str, Any], earlier: Mapping[str, Any] | None, seconds: float) -> str:
    """Calls that ended per second, since the snapshot before or by the console's last sample."""
    if earlier is not None and seconds > 0 and pool["completed"] >= earlier["completed"]:
        return f"{(pool['completed'] - earlier['completed']) / seconds:.1f}"
    samples = pool.get("history") or ()
    return f"{samples[-1]['completed_per_second']:.1f}" if samples else "-"


# -- processes ------------------------------------------------------------------------------------


def _processes(snapshot: Snapshot) -> list[Line]:
    """Each process of the server, and all of them together; nothing while there is one only."""
    found = snapshot.get("processes") or ()
    if len(found) < 2:
        return []
    rows = [
        _process(
            f"{process['pid']} (this one)" if process["this"] else str(process["pid"]),
            Cell("healthy", "green") if process["healthy"] else Cell("UNHEALTHY", "red"),
            process["pools"],
        )
        for process in found
    ]
    rows.append(_process("together", Cell(""), snapshot["together"]))
    head = ("PROCESS", "HEALTH", "BUSY", "WORKERS", "QUEUE", "DONE", "FAILED", "REFUSED")
    return columns(head, rows, "ll" + "r" * 6)


def _process(name: str, health: Cell, pools: Sequence[Mapping[str, int]]) -> list[Cell]:
    def total(*keys: str) -> str:
        return _count(sum(pool[key] for pool in pools for key in keys))

    return [
        Cell(name, "bold"),
        health,
        Cell(total("busy")),
        Cell(f"{total('workers')}/{total('max_workers')}"),
        Cell(f"{total('queued')}/{total('max_pending')}"),
        Cell(total("completed")),
        Cell(total("failed", "timed_out", "crashed")),
        Cell(total("rejected")),
    ]


# -- workers, routes, errors ----------------------------------------------------------------------


def _where(worker: Mapping[str, Any]) -> str:
    """The process of ``worker``, with its machine if that is another one."""
    host = worker.get("host")
    return f"{printable(host)}:{worker['pid']}" if host else str(worker["pid"])


def _workers(snapshot: Snapshot, order: str | None) -> list[Line]:
    found = [
        (pool["name"], worker)
        for pool in snapshot["pools"]
        for worker in pool.get("worker_states", ())
    ]
    rows = [
        [
            Cell(_where(worker)),
            Cell(printable(name)),
            Cell(printable(worker["state"]), "green" if worker["state"] == "busy" else ""),
            Cell(_seconds(worker.get("running_seconds"))),
            Cell(_memory(worker.get("memory_bytes"))),
            Cell(_count(worker.get("calls") or 0)),
            Cell(printable(worker.get("route") or worker.get("function") or "")),
        ]
        for name, worker in sorted_workers(found, order)
    ]
    return columns(("PID", "POOL", "STATE", "FOR", "MEMORY", "CALLS", "RUNS"), rows, "lllrrrl")


def _stacks(snapshot: Snapshot) -> list[Line]:
    """The stack of each running call, where they were asked for."""
    lines: list[Line] = []
    for call in snapshot.get("stacks", {}).get("calls", ()):
        what = printable(call["route"] or call["function"])
        where = f"  {what}, pid {call['pid']}, pool {printable(call['pool'])}"
        lines.append([Cell(where, "bold"), Cell(f", for {_seconds(call['running_seconds'])}")])
        lines += [[Cell(f"  {printable(line)}")] for line in call["stack"].splitlines()]
    return lines


def _routes(snapshot: Snapshot, order: str | None) -> list[Line]:
    """The routes that have a pool."""
    routes = [route for route in snapshot.get("routes", ()) if route.get("pool")]
    rows = [
        [
            Cell(printable(route["path"])),
            Cell("(off)", "yellow") if route.get("disabled") else Cell(printable(route["pool"])),
            Cell(_count(route["outcomes"]["completed"])),
            _errors_of(route["outcomes"]),
            Cell(_ms(route.get("run_p50_ms"))),
            Cell(_ms(route.get("run_p95_ms"))),
            Cell(_limit(route.get("effective", {}).get("timeout"))),
        ]
        for route in sorted_routes(routes, order)
    ]
    head = ("ROUTE", "POOL", "DONE", "ERRORS", "RUN p50", "p95", "TIMEOUT")
    return columns(head, rows, "llrrrrr")


def _errors_of(outcomes: Mapping[str, int]) -> Cell:
    count = sum(outcomes.get(name, 0) for name in ("failed", "timed_out", "crashed", "rejected"))
    return Cell(_count(count), "red" if count else "")


def _errors(snapshot: Snapshot) -> list[Line]:
    rows = [
        [
            Cell(time.strftime("%H:%M:%S", time.localtime(error["last_at"])), "dim"),
            Cell(printable(error["pool"])),
            Cell(_count(error["count"])),
            Cell(printable(error["outcome"]), "red"),
            Cell(printable(error["route"] or error["function"])),
            Cell(printable(f"{error['type_name']}: {error['message']}")),
        ]
        for error in snapshot.get("errors", ())
    ]
    return columns(("LAST", "POOL", "TIMES", "WHAT", "ROUTE", "ERROR"), rows, "llr")


# -- figures --------------------------------------------------------------------------------------


def _count(number: int) -> str:
    return f"{number:,}"


def _ms(milliseconds: float | None) -> str:
    if milliseconds is None:
        return "-"
    if milliseconds >= 10_000:
        return f"{milliseconds / 1000:.1f} s"
    return f"{milliseconds:.1f} ms" if milliseconds < 100 else f"{milliseconds:.0f} ms"


def _seconds(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds:.1f} s"


def _limit(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds:g} s"


def _memory(size: int | None) -> str:
    return "-" if not size else f"{size / 1e6:.0f} MB"
