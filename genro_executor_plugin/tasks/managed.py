# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""What somebody does who looks after the jobs: find them, look into one, run them again."""

from __future__ import annotations

import asyncio
import logging
import reprlib
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from ..errors import ExecutorClosedError, ExecutorError
from ..hosts.contract import HostServer
from .limits import Limits
from .live_job import LiveJob
from .opened import OpenedTasks
from .options import TaskOptions, TaskSettings
from .results import not_found
from .status import TaskState, TaskStatus
from .store.attempts import EndedAttempt, running_attempt
from .store.facts import KeptCall
from .store.log import KeptLog
from .store.repeating import check_repeatable
from .store.search import JobPage, JobQuery
from .store.totals import JobTotals
from .stored_call import NewJob, StoredCall, new_id, unpack
from .texts import cut

__all__ = ["MANY", "Done", "ManagedTasks", "do_to_each"]

T = TypeVar("T")

_logger = logging.getLogger("genro_executor_plugin")

MANY = 100
"""How many jobs something is done to at once, so that none of it takes long."""

_MOST_VALUE_CHARS = 2000
_MOST_ARGUMENTS = 50
_MOST_NAME_CHARS = 200


@dataclass(slots=True)
class Done:
    """What was done to several jobs.

    Attributes:
        done: the ids of those it was done to; of new jobs, if it made some.
        refused: the ids of the others, each with the reason.
    """

    done: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)


class ManagedTasks(OpenedTasks):
    """Long jobs as somebody sees them who looks after all of them."""

    def __init__(self, server: HostServer, settings: TaskSettings) -> None:
        super().__init__(server, settings)
        self._works: set[asyncio.Future[Any]] = set()

    async def status(self, task_id: str) -> TaskStatus:
        """What is known of the job.

        Raises:
            TaskNotFoundError: there is no job of that id.
        """
        raise NotImplementedError

    async def page(self, query: JobQuery) -> JobPage:
        """A page of the jobs that match ``query``.

        Raises:
            TaskStoreError: finding them takes too long, or the store cannot be read.
            TaskError: the query names no page.
        """
        if not self.in_use:
            return JobPage([], "", 0, frozenset())
        store, runner = await self._opened()
        page = await asyncio.wrap_future(store.page(query, time.time()))
        live = [
            runner.jobs[row.task_id].status if row.task_id in runner.jobs else row
            for row in page.jobs
        ]
        return replace(page, jobs=live)

    async def totals(self) -> JobTotals | None:
        """How many jobs of each pool there are; ``None`` without a store.

        Raises:
            TaskStoreError: the store cannot be read.
        """
        if not self.in_use:
            return None
        store, _ = await self._opened()
        return await asyncio.wrap_future(store.totals(time.time()))

    @property
    def limits(self) -> Limits:
        """What this process has accepted and refused."""
        return self._acceptance.limits

    async def kept_call(self, task_id: str) -> KeptCall:
        """What is kept of the call of a job.

        Raises:
            TaskNotFoundError: there is no job of that id.
            TaskStoreError: its call is damaged, or was not signed by this server's key.
        """
        await self.status(task_id)
        store, _ = await self._opened()
        kept = await asyncio.wrap_future(store.kept_call(task_id))
        if kept is None:
            raise not_found(task_id)
        return kept

    async def attempts(self, status: TaskStatus) -> list[EndedAttempt]:
        """The last attempts of a job, the first one first, and behind them the one that runs.

        Those of before it was run again are among them.
        """
        store, runner = await self._opened()
        found = await asyncio.wrap_future(store.attempts(status.task_id))
        if status.state is TaskState.RUNNING:
            job = runner.jobs.get(status.task_id)
            attempt = job.attempt if job is not None else None
            runs_in = attempt.runs_in if attempt is not None else (None, "")
            found.append(running_attempt(status, found, *runs_in))
        return found

    async def seen(self, task_id: str) -> tuple[float | None, str]:
        """When a failed or lost job was marked as seen, and by whom; ``None`` if it was not."""
        store, _ = await self._opened()
        return await asyncio.wrap_future(store.seen(task_id))

    async def mark_seen(self, task_id: str, by: str | None) -> None:
        """Mark a failed or lost job as seen ``by`` somebody; with ``None``, as not seen.

        Running it again takes the mark away.

        Raises:
            TaskNotFoundError: there is no job of that id.
            TaskError: it has neither failed nor is lost.
        """
        await self.status(task_id)
        store, _ = await self._opened()
        who = None if by is None else cut(by, _MOST_NAME_CHARS)
        if await asyncio.wrap_future(store.mark_seen(task_id, who, time.time())) is None:
            raise not_found(task_id)

    async def log(self, task_id: str) -> KeptLog:
        """The last lines that a job has logged, those of its earlier attempts among them.

        Raises:
            TaskNotFoundError: there is no job of that id.
            TaskStoreError: too many questions are asked just now.
        """
        await self.status(task_id)
        store, _ = await self._opened()
        return await asyncio.wrap_future(store.log(task_id))

    async def arguments(self, kept: KeptCall) -> list[tuple[str, str]] | None:
        """The names and the values, as text, of what a job was given.

        ``None`` if its pool does not allow to show them (``job_arguments``), or they are gone.

        Raises:
            SerializationError: they cannot be read here.
        """
        if kept.arguments != "show" or kept.content is None:
            return None
        find = self._factory.targets.instance_at
        return await asyncio.to_thread(_shown_arguments, kept.content, find)

    async def retry(self, task_id: str) -> TaskStatus:
        """Run a job again that has ended, under its id and its idempotency key.

        What it has returned or raised is forgotten. Whoever asks for it finds it queued.

        Raises:
            TaskNotFoundError: there is no job of that id.
            TaskError: it has not ended, or its arguments were not kept.
        """
        await self.status(task_id)
        self._check_serving()
        return await self._to_its_end(self._reopen(task_id))

    async def _reopen(self, task_id: str) -> TaskStatus:
        store, runner = await self._opened()
        reopened = await asyncio.wrap_future(store.reopen(task_id))
        if reopened is None:
            raise not_found(task_id)
        status, before = reopened
        self._acceptance.limits.resize(status, before)
        runner.add(LiveJob(status))
        assert self._events is not None
        self._events.publish("state", status)
        return status

    async def run_again(self, task_id: str) -> TaskStatus:
        """Run the call of a job that has ended as a new job of the same submitter.

        Raises:
            TaskNotFoundError: there is no job of that id.
            TaskError: it has not ended, or its arguments were not kept.
            TaskLimitError: its submitter has too much in the store.
        """
        self._check_serving()
        kept = await self.kept_call(task_id)
        content = check_repeatable(kept)
        status = replace(
            kept.status,
            task_id=new_id(),
            state=TaskState.QUEUED,
            submitted_at=time.time(),
            eta=None,
            started_at=None,
            ended_at=None,
            attempts=0,
            cancel_requested=False,
            progress=None,
            failure=None,
            stored_bytes=len(content),
        )
        new = NewJob(status, (), content, kept.client, "", kept.arguments)
        await self._acceptance.accept(LiveJob(status), new, TaskOptions())
        return status

    async def _to_its_end(self, work: Coroutine[Any, Any, T]) -> T:
        """What ``work`` returns, which goes on when whoever waits for it here is cancelled.

        What the store is asked for is done, and the rest of the work has to follow it.
        """
        task = asyncio.ensure_future(work)
        self._works.add(task)
        task.add_done_callback(self._works.discard)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            task.add_done_callback(_log_failure)
            raise

    def _check_serving(self) -> None:
        if self._stopped:
            raise ExecutorClosedError("the server stops; no long job is accepted any more")


def _log_failure(work: asyncio.Future[Any]) -> None:
    if not work.cancelled() and (error := work.exception()) is not None:
        _logger.error("what was asked of a long job has failed: %s", error)


async def do_to_each(
    task_ids: Sequence[str], do: Callable[[str], Awaitable[str]], *, together: bool = True
) -> Done:
    """Do ``do`` to each of at most ``MANY`` jobs, and say for which of them it was refused.

    Args:
        task_ids: the jobs.
        do: does it, and returns the id that counts as done.
        together: do it to all of them at once, so that they share a write to the disk.
    """
    result = Done()

    async def one(task_id: str) -> None:
        try:
            result.done.append(await do(task_id))
        except ExecutorError as error:
            result.refused[task_id] = cut(str(error), 500)

    if together:
        await asyncio.gather(*map(one, task_ids))
    else:
        for task_id in task_ids:
            await one(task_id)
    return result


class _Repr(reprlib.Repr):
    """Texts of values that are bounded in depth and in length."""

    def __init__(self) -> None:
        super().__init__()
        self.maxstring = self.maxother = 400
        self.maxlong = 100
        self.maxlevel = 4
        self.maxlist = self.maxtuple = self.maxdict = self.maxset = self.maxfrozenset = 30

    def repr1(self, x: Any, level: int) -> str:
        """The text of a value, or the name of its type if it has none, as a huge number."""
        try:
            return super().repr1(x, level)
        except Exception:
            return f"<{type(x).__name__}>"


def _shown_arguments(content: bytes, find: Callable[[str], Any]) -> list[tuple[str, str]]:
    stored: StoredCall = unpack(content, find)
    told = _Repr()
    named = [*((f"#{number}", value) for number, value in enumerate(stored.args, 1)),
             *stored.kwargs.items()]  # fmt: skip
    return [
        (cut(str(name), 200), cut(told.repr(value), _MOST_VALUE_CHARS))
        for name, value in named[:_MOST_ARGUMENTS]
    ]
