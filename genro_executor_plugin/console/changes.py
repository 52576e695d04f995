# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""What can be changed while the server runs: routes, pools, workers, long jobs.

Each change is a POST of a JSON document. It is checked before anything happens, and it is recorded
together with who asked for it. A change that fails changes nothing.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any, Literal

from genro_routes import RoutingClass, route

from ..errors import ExecutorError, TaskNotFoundError
from ..executors import BaseExecutor
from ..hosts.names import HTTPBadRequest, HTTPNotFound
from ..offload.configure import ApplicationRouter
from ..tasks.managed import MANY
from .access import RULE, who_asks
from .job_pages import ACTIONS, choose, do_to
from .job_query import check_ids
from .profiles import Profiles

__all__ = ["Changes"]

_KEPT = 100
"""How many changes the page shows. The log has all of them."""

_PATIENCE_SECONDS = 1.0
"""How long an answer waits for a drain or a restart, which take as long as running calls do."""

Unchanged = Literal["unchanged"]

_logger = logging.getLogger("genro_executor_plugin")


class Changes(RoutingClass):
    """The section ``change`` of a console; ``console`` is that application."""

    def __init__(self, console: Any) -> None:
        self._console = console
        self._profiles = Profiles()
        self._made: deque[dict[str, Any]] = deque(maxlen=_KEPT)
        self._under_way: dict[tuple[str, str], set[asyncio.Task[None]]] = {}

    @property
    def latest_first(self) -> list[dict[str, Any]]:
        """The last changes: when each was made, by whom, and what it was."""
        return list(reversed(self._made))

    async def stop(self) -> None:
        """Stop waiting for drains and restarts that are under way."""
        tasks = [task for found in self._under_way.values() for task in found]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    @route(name="route", auth_rule=RULE, openapi_method="post")
    async def configure_route(  # type: ignore[no-untyped-def]
        self,
        route: str,
        disabled: bool | Unchanged = "unchanged",
        pool: str | Unchanged = "unchanged",
        timeout: float | Unchanged | None = "unchanged",
        soft_timeout: float | Unchanged | None = "unchanged",
        queue_timeout: float | Unchanged | None = "unchanged",
        on_overload: Literal["wait", "fail", "unchanged"] | None = "unchanged",
        max_waiting: int | Unchanged | None = "unchanged",
        retries: int | Unchanged | None = "unchanged",
        idle: float | Unchanged | None = "unchanged",
        send_timeout: float | Unchanged | None = "unchanged",
        key: str | None = "unchanged",
        key_serial: bool | Unchanged | None = "unchanged",
        _request=None,
    ) -> dict[str, Any]:
        """Set options of a route, which hold from its next call on.

        ``route`` is its path, from the application's code on. An option that is ``null`` is the
        pool's from then on; an option that is not given stays as it is.
        """
        given = {
            "disabled": disabled,
            "pool": pool,
            "timeout": timeout,
            "soft_timeout": soft_timeout,
            "queue_timeout": queue_timeout,
            "on_overload": on_overload,
            "max_waiting": max_waiting,
            "retries": retries,
            "idle": idle,
            "send_timeout": send_timeout,
            "key": key,
            "key_serial": key_serial,
        }
        wanted = {option: value for option, value in given.items() if value != "unchanged"}
        if not wanted:
            raise HTTPBadRequest("Nothing to change: give an option and its value")
        code, _, target = route.partition("/")
        application = self._console.server.applications.get(code)
        if application is None or getattr(application, "route", None) is None or not target:
            raise HTTPNotFound(f"There is no route {route!r}")
        words = ", ".join(f"{option}={value!r}" for option, value in wanted.items())
        return await self._do(
            _request,
            f"route {route}: {words}",
            lambda: ApplicationRouter(application).configure(
                target, **{f"executor_{option}": value for option, value in wanted.items()}
            ),
        )

    @route(auth_rule=RULE, openapi_method="post")
    async def resize(self, pool: str, max_workers: int, _request=None) -> dict[str, Any]:  # type: ignore[no-untyped-def]
        """Have at most ``max_workers`` workers in a pool. Calls that run go on."""
        executor = self._pool(pool)
        return await self._do(
            _request,
            f"pool {pool}: max_workers={max_workers} (was {executor.pool_options.max_workers})",
            partial(executor.resize, max_workers),
        )

    @route(auth_rule=RULE, openapi_method="post")
    async def pause(self, pool: str, _request=None) -> dict[str, Any]:  # type: ignore[no-untyped-def]
        """Begin no more calls in a pool. New calls wait."""
        return await self._do(_request, f"pool {pool}: paused", self._pool(pool).pause)

    @route(auth_rule=RULE, openapi_method="post")
    async def resume(self, pool: str, _request=None) -> dict[str, Any]:  # type: ignore[no-untyped-def]
        """Begin and admit calls again in a pool that was paused or drained."""
        executor = self._pool(pool)
        for task in self._under_way.get((pool, "drain"), ()):
            task.cancel()
        return await self._do(_request, f"pool {pool}: resumed", executor.resume)

    @route(auth_rule=RULE, openapi_method="post")
    async def drain(self, pool: str, _request=None) -> dict[str, Any]:  # type: ignore[no-untyped-def]
        """Refuse new calls in a pool and finish those it has. It may answer before that is done."""
        drain = self._pool(pool).drain
        return await self._do(
            _request, f"pool {pool}: draining", lambda: self._begin(pool, "drain", drain)
        )

    @route(auth_rule=RULE, openapi_method="post")
    async def restart(self, pool: str, _request=None) -> dict[str, Any]:  # type: ignore[no-untyped-def]
        """Replace every worker of a pool between two calls. It may answer before that is done."""
        restart = self._pool(pool).restart
        return await self._do(
            _request, f"pool {pool}: restarting", lambda: self._begin(pool, "restart", restart)
        )

    @route(auth_rule=RULE, openapi_method="post")
    async def kill(  # type: ignore[no-untyped-def]
        self, pool: str, pid: int, confirm: bool = False, _request=None
    ) -> dict[str, Any]:
        """Kill one worker. The call that it runs fails, so ``confirm`` must be true."""
        executor = self._pool(pool)
        if pid not in {worker.pid for worker in executor.worker_states()}:
            raise HTTPNotFound(f"Pool {pool!r} has no worker with pid {pid}")
        if not confirm:
            raise HTTPBadRequest(
                f"Killing worker {pid} of pool {pool!r} fails the call it runs; say confirm: true"
            )
        return await self._do(
            _request,
            f"pool {pool}: worker {pid} killed",
            partial(executor.kill_worker, pid),
        )

    @route(auth_rule=RULE, openapi_method="post")
    async def profile(  # type: ignore[no-untyped-def]
        self, route: str, seconds: float = 10.0, rate: int = 100, _request=None
    ) -> dict[str, Any]:
        """Take samples of the calls of a route, and answer with them when the time is over.

        ``route`` is its path, from the application's code on; ``seconds`` are at most 60, and
        ``rate``, the samples in a second, at most 250. The samples are in the format of
        speedscope.app. One profile is made at a time.
        """
        made: dict[str, Any] = {}

        async def profile() -> None:
            made.update(await self._profiles.profile(self._console.server, route, seconds, rate))

        what = f"route {route[:200]}: profiled for {seconds:g} s, {rate} samples a second"
        return {**await self._do(_request, what, profile), "profile": made}

    @route(auth_rule=RULE, openapi_method="post")
    async def agent(  # type: ignore[no-untyped-def]
        self, pool: str, agent: str, action: Literal["drain", "restart"], _request=None
    ) -> dict[str, Any]:
        """Have one agent finish its calls and end (``drain``), or start anew then (``restart``)."""
        executor, found = self._pool(pool), None
        for worker in executor.worker_states():
            found = worker if worker.agent == agent and agent else found
        if found is None:
            raise HTTPNotFound(f"Pool {pool!r} has no agent {agent!r}")
        where = f"pool {pool}: agent {agent} on {found.host}, process {found.pid}"
        change = partial(executor.end_agent, agent, again=action == "restart")
        return await self._do(_request, f"{where}: {action}", change)

    @route(auth_rule=RULE, openapi_method="post")
    async def cancel(self, job: str, confirm: bool = False, _request=None) -> dict[str, Any]:  # type: ignore[no-untyped-def]
        """Cancel a long job: it is asked to end, then killed. ``confirm`` must be true."""
        check_ids([job])
        long_tasks = self._console.server.long_tasks
        try:
            status = await long_tasks.status(job)
        except TaskNotFoundError as error:
            raise HTTPNotFound(f"There is no job {job!r}") from error
        if status.state.final:
            raise HTTPBadRequest(f"Job {job} has ended: it is {status.state.value}")
        if not confirm:
            raise HTTPBadRequest(f"What job {job} has done is lost; say confirm: true")
        return await self._do(
            _request, f"job {job} ({status.title}): cancelled", partial(long_tasks.cancel, job)
        )

    @route(auth_rule=RULE, openapi_method="post")
    async def jobs(  # type: ignore[no-untyped-def]
        self,
        action: Literal["retry", "again", "cancel", "forget", "seen", "unseen"],
        jobs: list[str] | None = None,
        matching: dict[str, Any] | None = None,
        after: str = "",
        confirm: bool = False,
        _request=None,
    ) -> dict[str, Any]:
        """Run long jobs again, cancel, delete or mark them: these or all that match; 100 at a time.

        ``retry`` runs them under their ids, ``again`` as new jobs. ``seen`` marks failed and lost
        ones as seen by whoever asks, ``unseen`` takes that back. ``jobs`` is a list of ids;
        ``matching`` has filters of the list. Without ``confirm`` nothing is done, and ``count``
        says how many jobs it would be. ``next`` is where the next ones begin, for ``after``.
        """
        if (jobs is None) == (matching is None):
            raise HTTPBadRequest("Say which: either jobs, a list of ids, or matching, filters")
        long_tasks, following, count = self._console.server.long_tasks, "", None
        if matching is not None:
            page = await choose(long_tasks, action, matching, after)
            jobs, following, count = [job.task_id for job in page.jobs], page.following, page.count
        assert jobs is not None
        if len(jobs) > MANY:
            raise HTTPBadRequest(f"At most {MANY} jobs at a time; take all that match in steps")
        check_ids(jobs)
        if not confirm:
            return {"count": len(jobs) if count is None else count, "done": [], "refused": {}}
        who = _one_line(who_asks(_request.scope))
        result = await do_to(long_tasks, action, [*dict.fromkeys(jobs)], who)
        by = ", ".join(f"{name}={value}" for name, value in (matching or {}).items())
        which = f" of all that match {by}" if by else "" if matching is None else " of all"
        names = f": {', '.join(result.done[:5])}" if result.done and matching is None else ""
        more = " ..." if len(result.done) > 5 and names else ""
        what = f"{len(result.done)} long jobs {ACTIONS[action]}{which}{names}{more}"
        if result.done:
            self._note(_request, what)
        return {
            "what": what,
            "count": count,
            "done": result.done,
            "refused": result.refused,
            "next": following,
        }

    async def _begin(
        self, pool: str, control: str, change: Callable[[], Coroutine[Any, Any, None]]
    ) -> None:
        """Begin a drain or a restart. What fails within ``_PATIENCE_SECONDS`` is raised here."""
        task = asyncio.create_task(change())
        tasks = self._under_way.setdefault((pool, control), set())
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        await asyncio.wait([task], timeout=_PATIENCE_SECONDS)
        if task.done():
            if not task.cancelled():  # a drain may have been ended by a resume
                task.result()
        else:
            task.add_done_callback(partial(_log_failure, f"pool {pool}: {control}"))

    def _pool(self, name: str) -> BaseExecutor:
        registry = self._console.server.executors
        if name not in registry:
            raise HTTPNotFound(f"There is no pool {name!r}")
        executor: BaseExecutor = registry.get(name)
        return executor

    async def _do(
        self, request: Any, what: str, change: Callable[[], Any | Awaitable[Any]]
    ) -> dict[str, Any]:
        """Make the change, record it, and answer with what was done."""
        # A line of the log is not to look like several.
        who, what = _one_line(who_asks(request.scope)), _one_line(what)
        try:
            result = change()
            if isinstance(result, Awaitable):
                await result
        except ExecutorError as error:
            _logger.warning(
                "console: %s asked for %s: refused: %s", who, what, _one_line(str(error))
            )
            raise HTTPBadRequest(str(error)) from error
        self._note(request, what)
        others = [process["pid"] for process in self._console.processes.others]
        # A request reaches any of several processes, and each has pools of its own.
        where = {"process": os.getpid(), "unchanged_in": others} if others else {}
        return {"done": what, **where}

    def _note(self, request: Any, what: str) -> None:
        """Record what was done, and who has asked for it."""
        who, what = _one_line(who_asks(request.scope)), _one_line(what)
        self._made.append({"at": round(time.time(), 3), "who": who, "what": what})
        self._console.note_change(what, who)
        _logger.warning("console: %s: %s", who, what)


def _one_line(text: str) -> str:
    """``text`` with escapes for what would end a line or steer a terminal."""
    return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in text)


def _log_failure(what: str, task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        _logger.error("console: %s failed: %s", what, error, exc_info=error)
