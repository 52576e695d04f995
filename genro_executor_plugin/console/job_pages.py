# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The section ``jobs`` of the console: a list of long jobs to search, and each of them."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from genro_routes import RoutingClass, route

from ..errors import ExecutorError, TaskError, TaskNotFoundError
from ..hosts.names import HTTPBadRequest, HTTPException, HTTPNotFound
from ..tasks.managed import MANY, Done, do_to_each
from ..tasks.service import LongTasks
from ..tasks.status import TaskState, TaskStatus
from ..tasks.store.search import JobPage, JobQuery
from ..tasks.texts import cut
from .access import RULE
from .job_query import FILTERS, query_in, query_of
from .page_files import page_file

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["ACTIONS", "QUERY", "JobPages", "choose", "do_to"]

QUERY = "genro_executor_query"
"""Where in a scope the query is that the request has: no route reads it as arguments."""

_SHOWN_CHARS = 300
"""How much of a text there is in a list. The job's own document has all that is stored."""

ACTIONS = {"retry": "run again", "again": "run as new jobs", "cancel": "cancelled",
           "forget": "deleted", "seen": "marked as seen",
           "unseen": "marked as not seen"}  # fmt: skip
"""What can be done to jobs, and how that is said of those it was done to."""

_ENDED = tuple(state for state in TaskState if state.final)
_GO_ON = (TaskState.QUEUED, TaskState.RUNNING)
_WAIT_FOR_SOMEBODY = (TaskState.FAILED, TaskState.LOST)

_CONCERNED = {
    "retry": (_ENDED, _WAIT_FOR_SOMEBODY),
    "again": (_ENDED, _WAIT_FOR_SOMEBODY),
    "cancel": (_GO_ON, _GO_ON),
    "forget": (_ENDED, _ENDED),
    "seen": (_WAIT_FOR_SOMEBODY, _WAIT_FOR_SOMEBODY),
    "unseen": (_WAIT_FOR_SOMEBODY, _WAIT_FOR_SOMEBODY),
}
"""The states of the jobs that each can be done to; and those that are meant where none is named.
Of all that match, the others are left alone."""


class JobPages(RoutingClass):
    """The section ``jobs`` of a console; ``console`` is that application."""

    def __init__(self, console: Any) -> None:
        self._console = console

    @property
    def _long_tasks(self) -> LongTasks:
        found: LongTasks = self._console.server.long_tasks
        return found

    @route(media_type="text/html", auth_rule=RULE)
    async def index(self) -> str:
        """Return the page, which shows the jobs that its URL names, or one of them."""
        return page_file("jobs.html")

    @route(auth_rule=RULE)
    async def list(self, _request=None) -> dict[str, Any]:  # type: ignore[no-untyped-def]
        """Return a page of the jobs that match the query, and how many there are.

        ``unseen`` is how many failed and lost jobs nobody has marked as seen, of all jobs.

        The query names ``state``, ``seen``, ``search``, ``route``, ``pool``, ``submitter``,
        ``since``, ``until``, ``sort``, ``order``, ``limit`` and ``after``.
        """
        query = query_in(_request.scope[QUERY])
        page = await _found(self._long_tasks, query)
        now = time.time()
        return {
            "now": round(now, 3),
            "count": page.count,
            "next": page.following,
            "unseen": page.unseen,
            "jobs": [
                {
                    **shown_in_list(job),
                    **_shown_mark(*page.seen.get(job.task_id, (None, ""))),
                    "can_be_repeated": job.task_id in page.repeatable,
                }
                for job in page.jobs
            ],
        }

    @route(auth_rule=RULE)
    async def show(self, job: str = "", _request=None) -> dict[str, Any]:  # type: ignore[no-untyped-def]
        """Return what is known of a job: its last attempts as ``runs``, its failure, its progress.

        What it was given is there if its pool allows to show that.
        """
        tasks = self._long_tasks
        if not isinstance(job, str):  # a request can hydrate it to a value of any type
            raise HTTPNotFound("A job's id is a text")
        try:
            status = await tasks.status(job)
        except TaskNotFoundError as error:
            raise HTTPNotFound(f"There is no job {job[:100]!r}") from error
        arguments, repeatable, why = None, False, ""
        runs: list[dict[str, Any]] = []
        seen: tuple[float | None, str] = (None, "")
        try:
            seen = await tasks.seen(job)
            runs = [one.as_dict() for one in await tasks.attempts(status)]
            kept = await tasks.kept_call(job)
            repeatable = status.state.final and kept.content is not None
            found = await tasks.arguments(kept)
            arguments = None if found is None else [list(pair) for pair in found]
        except ExecutorError as error:
            why = str(error)
        return {
            **status.as_dict(),
            **_shown_mark(*seen),
            "runs": runs,
            "can_be_repeated": repeatable,
            "arguments": arguments,
            "arguments_trouble": cut(why, _SHOWN_CHARS),
        }

    @route(auth_rule=RULE)
    async def log(self, job: str = "", _request=None) -> dict[str, Any]:  # type: ignore[no-untyped-def]
        """Return the last lines that a job has logged, and how many are missing before them."""
        if not isinstance(job, str):
            raise HTTPNotFound("A job's id is a text")
        try:
            return (await self._long_tasks.log(job)).as_dict()
        except TaskNotFoundError as error:
            raise HTTPNotFound(f"There is no job {job[:100]!r}") from error
        except ExecutorError as error:
            raise HTTPException(getattr(error, "status", 500), str(error)) from error


async def _found(tasks: LongTasks, query: JobQuery) -> JobPage:
    try:
        return await tasks.page(query)
    except ExecutorError as error:
        status = getattr(error, "status", 500)
        raise HTTPException(status if status == 503 else 400, str(error)) from error


def _shown_mark(at: float | None, by: str) -> dict[str, Any]:
    """Whether somebody has seen that a job has failed."""
    return {"seen_at": at, "seen_by": by if at is not None else ""}


def shown_in_list(status: TaskStatus) -> dict[str, Any]:
    """What a list says of a job, in bounded texts and without what it was given."""
    progress, failure = status.progress, status.failure
    error = None
    if failure is not None:
        said = failure.message.strip().partition("\n")[0]
        error = {
            "type": cut(failure.type_name, _SHOWN_CHARS),
            "message": cut(said, _SHOWN_CHARS),
        }
    return {
        "id": status.task_id,
        "what": cut(status.title, _SHOWN_CHARS),
        "pool": status.pool,
        "state": status.state.value,
        "submitter": cut(status.submitter, _SHOWN_CHARS),
        "submitted_at": status.submitted_at,
        "eta": status.eta,
        "started_at": status.started_at,
        "ended_at": status.ended_at,
        "attempts": status.attempts,
        "retries": status.retries,
        "cancel_requested": status.cancel_requested,
        "fraction": progress.fraction if progress is not None else None,
        "message": cut(progress.message, _SHOWN_CHARS) if progress is not None else "",
        "error": error,
    }


async def choose(tasks: LongTasks, action: str, matching: Mapping[str, Any], after: str) -> JobPage:
    """The next jobs of all that match to which ``action`` can be done, and how many there are.

    Raises:
        HTTPBadRequest: there is no such filter, it is empty, or what it names is not allowed.
    """
    for name in matching:
        if name not in FILTERS:
            raise HTTPBadRequest(f"{name!r} is no filter; there are {', '.join(FILTERS)}")
        # Where something is done to all that match, an empty variable of a script must not be all.
        if not str(matching[name]).strip("," if name == "state" else ""):
            raise HTTPBadRequest(f"{name} is empty; leave it out to mean all")
    query = query_of({**matching, "limit": MANY, "after": after})
    possible, meant = _CONCERNED[action]
    states = tuple(state for state in query.states if state in possible) or meant
    if query.states and not set(query.states) & set(possible):
        return JobPage([], "", 0, frozenset())
    if action in ("seen", "unseen") and query.seen is None:
        query = replace(query, seen=action == "unseen")  # the others are so already
    return await _found(tasks, replace(query, states=states))


async def do_to(tasks: LongTasks, action: str, jobs: Sequence[str], who: str) -> Done:
    """Do ``action``, which ``who`` asks for, to each of at most ``MANY`` jobs."""

    async def do(task_id: str) -> str:
        if action == "retry":
            return (await tasks.retry(task_id)).task_id
        if action == "again":
            return (await tasks.run_again(task_id)).task_id
        if action == "cancel":
            status = await tasks.status(task_id)
            if status.state.final:
                raise TaskError(f"it has ended: it is {status.state.value}", task_id=task_id)
            return (await tasks.cancel(task_id)).task_id
        if action in ("seen", "unseen"):
            await tasks.mark_seen(task_id, who if action == "seen" else None)
            return task_id
        await tasks.forget(task_id)
        return task_id

    # The calls of new jobs are in memory until they are stored.
    return await do_to_each(jobs, do, together=action != "again")
