# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""What the console's page asks for every two seconds: what has changed since it last asked.

The page of a server with many pools and routes would otherwise be sent the same hundreds of
kilobytes again and again. Workers, options and samples are sent of the pools that are open on the
page, and the tracebacks of errors that are. The answer is the page's own; programs read the
snapshot, which is the same at every version.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from hashlib import blake2b
from typing import Any
from urllib.parse import parse_qsl

from ..executors import BaseExecutor
from ..executors.registry import ExecutorRegistry
from ..hosts.names import HTTPBadRequest
from ..metrics.counters import OUTCOMES
from ..metrics.worker_state import WorkerState
from .history import SAMPLE_SECONDS, History
from .jobs import shown_jobs
from .ledger import Ledger
from .route_rows import RouteRows
from .snapshot import pool_facts, pool_options, server_facts

__all__ = ["Updates"]

_MOST_FIELDS = 1000
_MOST_ERRORS = 100
"""How many errors the page lists; the snapshot has all that are remembered."""

_MESSAGE_LETTERS = 300
_MEGABYTE = 1_000_000

_TURN_SECONDS = 0.005
"""How long the event loop is held at once while the figures of many pools are added up."""

_UNSHOWN = ("name", "submitted", "avg_duration_ms", "wait_p50_ms", "wait_p99_ms")
"""Figures of a pool that the page does not show."""

_RATES = ("completed_per_second", "errors_per_second", "rejected_per_second")
_GO_ON = ("running", "queued")
_NUMBERS = re.compile(r"\d+")
_SECTIONS = ("facts", "pools", "routes", "errors", "jobs")


class Updates:
    """The page of ``console`` as a ledger, which all who look at it share."""

    def __init__(self, console: Any) -> None:
        self._console = console
        self._rows = RouteRows()
        self._ledger = Ledger()
        self._taking = asyncio.Lock()
        self._sampled: dict[int, float] = {}

    async def asked(self, query: bytes) -> bytes:
        """Answer ``since``, ``open``, ``new`` and ``error`` with a document of JSON.

        Raises:
            HTTPBadRequest: it names too much.
        """
        try:
            pairs = parse_qsl(query.decode("latin-1"), max_num_fields=_MOST_FIELDS)
        except ValueError as error:
            raise HTTPBadRequest(f"More than {_MOST_FIELDS} fields") from error
        named: dict[str, list[str]] = {"since": [], "open": [], "new": [], "error": []}
        for name, value in pairs:
            if name not in named:
                raise HTTPBadRequest(f"There is no field {name[:100]!r} here")
            named[name].append(value)
        jobs = await shown_jobs(self._console.server.long_tasks)
        async with self._taking:
            since = self._ledger.seen(named["since"][-1] if named["since"] else "")
            self._ledger.begin()
            await self._take(jobs)
            pools = self._details({*named["open"], *named["new"]})
            document = self._answer(since, pools, {*named["new"]}, {*named["error"]})
        return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode(
            "utf-8", "replace"
        )

    # -- what there is --------------------------------------------------------------------------

    async def _take(self, jobs: Mapping[str, Any] | None) -> None:
        server, ledger, history = self._console.server, self._ledger, self._console.samples
        registry: ExecutorRegistry = server.executors
        pools, turn = registry.used, _Turn()
        for name, executor in pools.items():
            ledger.put("pools", name, _pool(executor, history))
            await turn.over()
        ledger.retain("pools", pools)
        paths = []
        for row in self._rows.of(server, pools):
            paths.append(row["path"])
            ledger.put("routes", row["path"], _route(row))
            await turn.over()
        ledger.retain("routes", paths)
        self._take_errors(pools)
        latest = jobs["latest"] if jobs is not None else []
        for job in latest:
            ledger.put("jobs", job["id"], _job(job))
        ledger.retain("jobs", [job["id"] for job in latest])
        ledger.put("facts", "page", {
            "server": server_facts(registry, history),
            "sample_seconds": SAMPLE_SECONDS,
            "unused_pools": [name for name in registry.names if name not in pools],
            "changes": self._console.changes.latest_first,
            "job_counts": jobs["counts"] if jobs is not None else None,
            "job_trouble": jobs["trouble"] if jobs is not None else None,
            "job_order": [job["id"] for job in latest],
            **self._processes(),
        })  # fmt: skip

    def _processes(self) -> dict[str, Any]:
        processes = self._console.processes
        if not processes.others:
            return {"processes": [], "together": []}
        shown = [
            {name: value for name, value in process.items() if name != "at"}
            for process in processes.shown()
        ]
        return {"processes": shown, "together": processes.together()}

    def _take_errors(self, pools: Mapping[str, BaseExecutor]) -> None:
        found = [
            (name, incident)
            for name, executor in pools.items()
            for incident in executor.counters.incidents.latest_first
        ]
        found.sort(key=lambda pair: pair[1].last_at, reverse=True)
        keys = []
        for name, incident in found[:_MOST_ERRORS]:
            # The server counts errors that differ in numbers only as one; so does the page.
            parts = (name, incident.outcome, incident.route, incident.function, incident.type_name)
            text = "\n".join([*parts, _NUMBERS.sub("#", incident.message)])
            key = blake2b(text.encode("utf-8", "replace"), digest_size=8).hexdigest()
            keys.append(key)
            row = {**asdict(incident), "pool": name}
            row["message"] = incident.message[:_MESSAGE_LETTERS]
            row["first_at"], row["last_at"] = round(row["first_at"], 1), round(row["last_at"], 1)
            del row["traceback"]
            self._ledger.put("errors", key, row)
            self._ledger.put("tracebacks", key, {
                "message": incident.message, "traceback": incident.traceback
            })  # fmt: skip
        self._ledger.retain("errors", keys)
        self._ledger.retain("tracebacks", keys)

    def _details(self, wanted: Iterable[str]) -> list[str]:
        """Put what an open pool shows in addition; the names of those that there are."""
        used, now = self._console.server.executors.used, time.time()
        found = [name for name in wanted if name in used]
        for name in found:
            workers = [_worker(worker, now) for worker in used[name].worker_states()]
            options = pool_options(used[name].pool_options)
            self._ledger.put("details", name, {"worker_states": workers, "options": options})
        return found

    # -- what is told of it ---------------------------------------------------------------------

    def _answer(
        self, since: int, pools: list[str], new: set[str], errors: set[str]
    ) -> dict[str, Any]:
        ledger, history = self._ledger, self._console.samples
        changed = {section: ledger.changed(section, since) for section in _SECTIONS}
        changed["facts"] = changed["facts"].get("page", {})
        details = ledger.changed("details", since)
        told = ledger.changed("tracebacks", 0)
        samples = {}
        for name in pools:
            whole = not since or name in new
            if whole:
                details[name] = ledger.row("details", name)
            after = 0.0 if whole else self._sampled.get(since, 0.0)
            samples[name] = [one for one in history.of(name) if one["at"] > after]
        self._note_samples()
        return {
            "now": round(time.time(), 3),
            "revision": ledger.token,
            "complete": not since,
            **{section: rows for section, rows in changed.items() if rows},
            "details": {name: details[name] for name in pools if name in details},
            "samples": {name: found for name, found in samples.items() if found},
            "tracebacks": {key: told[key] for key in errors if key in told},
            "gone": ledger.gone(since),
        }

    def _note_samples(self) -> None:
        """Remember until when there are samples in this revision."""
        self._sampled[self._ledger.revision] = time.time()
        while len(self._sampled) > _MOST_FIELDS:
            del self._sampled[next(iter(self._sampled))]


class _Turn:
    """Lets the event loop go on with others when this has had it for a while."""

    def __init__(self) -> None:
        self._until = time.perf_counter() + _TURN_SECONDS

    async def over(self) -> None:
        """Return at once, or after the others have had their turn."""
        if time.perf_counter() > self._until:
            await asyncio.sleep(0)
            self._until = time.perf_counter() + _TURN_SECONDS


def _pool(executor: BaseExecutor, history: History) -> dict[str, Any]:
    facts = pool_facts(executor)
    for name in _UNSHOWN:
        del facts[name]
    last = history.of(executor.name)[-1:]
    return {**facts, **{name: last[0][name] if last else 0.0 for name in _RATES}}


def _route(row: Mapping[str, Any]) -> dict[str, Any]:
    outcomes, in_force = row["outcomes"], row["effective"]
    return {
        "pool": row["pool"],
        "disabled": row["disabled"],
        "options": {name: value for name, value in row["options"].items() if value is not None},
        "timeout": in_force["timeout"],
        "on_overload": in_force["on_overload"],
        "calls": sum(outcomes[name] for name in OUTCOMES),
        "errors": outcomes["failed"] + outcomes["timed_out"] + outcomes["crashed"],
        "refused": outcomes["rejected"],
        "p50": row["run_p50_ms"],
        "p95": row["run_p95_ms"],
    }


def _job(job: Mapping[str, Any]) -> dict[str, Any]:
    # How long a job has gone on is told by the moment since when, which does not change.
    return {name: v for name, v in job.items() if name != "seconds" or job["state"] not in _GO_ON}


def _worker(worker: WorkerState, now: float) -> dict[str, Any]:
    facts = {name: value for name, value in asdict(worker).items() if value is not None}
    running = facts.pop("running_seconds")
    if worker.running:
        facts["running_since"] = round(now - running, 1)
    if worker.memory_bytes is not None:
        facts["memory_bytes"] = worker.memory_bytes // _MEGABYTE * _MEGABYTE
    return facts
