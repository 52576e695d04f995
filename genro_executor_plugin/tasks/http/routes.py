# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Long jobs over HTTP: status, result, events, cancel, retry and forget, each for its submitter.

``TaskSection`` is a section that any application can mount. ``TaskApplication`` answers below
``/_tasks`` of an ``ExecutorServer``.
"""

from __future__ import annotations

import weakref
from collections.abc import AsyncIterator, Iterable
from typing import TYPE_CHECKING, Any

from genro_routes import RoutingClass, route

from ... import errors
from ...errors import ExecutorConfigError, TaskError, TaskNotFoundError
from ...hosts.names import (
    HTTPBadRequest,
    HTTPException,
    RoutedApplication,
    StreamingResponse,
    identify,
)
from ...options.numbers import NotAllowedError, count_of, seconds_of, shown
from ...routing.caller import Caller, caller_of
from ...routing.streaming_response import DisconnectAwareResponse
from ..application import long_tasks_of
from ..listeners import END
from ..service import LongTasks
from ..status import TaskState, TaskStatus
from .accepted import (
    MOUNT,
    JsonAnswer,
    accepted,
    urls_of,
)
from .guard import (
    guarded,
    keep_private,
    narrowed_fields,
    refuse_foreign_forms,
    refuse_other_methods,
    sandbox,
)
from .progress_page import policy, progress_page

if TYPE_CHECKING:
    from ...hosts.names import Receive, Scope, Send

__all__ = ["MOUNT", "TaskApplication", "TaskSection"]

MAX_WAIT_SECONDS = 60.0
"""How long a request for a result may ask to wait for it."""

MAX_LISTED = 1000

_READS = ("GET", "HEAD")
_BY_WEBSOCKET = "WSK"
"""The method of a request that came as a message of a websocket, whose handshake was checked."""

FAILED = "The job failed"
"""What a submitter reads of an exception, whose own text may have addresses and passwords in it."""


class _TaskRoutes:
    """The routes. For an id of another submitter's job they answer as if there were none."""

    @property
    def _long_tasks(self) -> LongTasks:
        found = long_tasks_of(self)
        if found is None:
            raise ExecutorConfigError("this server has no long jobs; serve with ExecutorServer")
        return found

    async def _job(self, task_id: str, request: Any) -> tuple[TaskStatus, Caller]:
        """The job and the caller, if the caller may see the job.

        Raises:
            TaskNotFoundError: there is no job of that id, or it is another submitter's.
        """
        if not isinstance(task_id, str):  # a request can hydrate it to a value of any type
            raise TaskNotFoundError("a job's id is a text", task_id="")
        status = await self._long_tasks.status(task_id)
        caller = caller_of(request.scope)
        if not _may_see(caller, status, self._long_tasks.settings.admin_tags):
            raise TaskNotFoundError(f"job {task_id!r} is another submitter's", task_id=task_id)
        return status, caller

    @staticmethod
    def _check_read(request: Any) -> None:
        """Refuse what would not only read, by its method."""
        if request.method != _BY_WEBSOCKET:
            refuse_other_methods(request, *_READS)

    @staticmethod
    def _check_change(request: Any) -> None:
        """Refuse what is no POST, and a form of another site."""
        refuse_other_methods(request, "POST")
        refuse_foreign_forms(request.server)

    def _shown(self, status: TaskStatus, caller: Caller) -> dict[str, Any]:
        """``status`` for the caller; only administrators see what exceptions say."""
        shown = status.as_dict()
        failure = status.failure
        if failure is not None and not caller.is_admin(self._long_tasks.settings.admin_tags):
            module, _, name = failure.type_name.rpartition(".")
            own = getattr(errors, name, None) if module == errors.__name__ else None
            message = FAILED if own is None else own.detail
            shown["failure"] = {"type_name": failure.type_name, "message": message}
        return {**shown, **urls_of(status.task_id)}

    @route(media_type="application/json")
    async def index(self, state: str = "", limit: int = 100, _request=None) -> dict[str, Any]:  # type: ignore[no-untyped-def]
        """The caller's jobs, the newest first; everybody's for administrators."""
        self._check_read(_request)
        try:
            wanted = TaskState(state) if state else None
        except ValueError as error:
            allowed = ", ".join(one.value for one in TaskState)
            raise HTTPBadRequest(f"state={shown(state)} is not one of {allowed}") from error
        try:
            count = count_of(limit, 1, MAX_LISTED, text=True)
        except NotAllowedError as wrong:
            raise HTTPBadRequest(f"limit={shown(limit)} is not {wrong}") from wrong
        keep_private(_request)
        caller = caller_of(_request.scope)
        tasks = self._long_tasks
        if caller.is_admin(tasks.settings.admin_tags):
            found = await tasks.list(wanted, limit=count)
        elif caller.anonymous:
            found = []
        elif caller.identity:
            found = await tasks.list(wanted, submitter=caller.identity, limit=count)
        else:
            found = await tasks.list(wanted, submitter="", session=caller.session, limit=count)
        return {"tasks": [self._shown(status, caller) for status in found]}

    @route(media_type="application/json")
    async def status(self, task_id: str = "", _request=None) -> dict[str, Any]:  # type: ignore[no-untyped-def]
        """What is known of a job."""
        self._check_read(_request)
        keep_private(_request)
        return self._shown(*await self._job(task_id, _request))

    @route()
    async def result(self, task_id: str = "", wait: float = 0.0, _request=None) -> Any:  # type: ignore[no-untyped-def]
        """What a job returned, as its route would have answered; 202 while it has not ended.

        ``wait``: seconds to wait for its end, at most 60.
        """
        self._check_read(_request)
        await self._job(task_id, _request)
        try:
            patience = seconds_of(wait, zero=True, most=MAX_WAIT_SECONDS, text=True)
        except NotAllowedError as wrong:
            raise HTTPBadRequest(f"wait={shown(wait)} is not {wrong}") from wrong
        tasks = self._long_tasks
        try:
            value = await tasks.result(task_id, timeout=patience)
        except TimeoutError:
            status = await tasks.status(task_id)
            if status.state.final:
                raise  # the job's own
            return accepted(task_id, status.state)
        metadata = tasks.metadata_of(await tasks.status(task_id))
        keep_private(_request)
        sandbox(_request, metadata.get("media_type"))
        return self.result_wrapper(value, **metadata)  # type: ignore[attr-defined]

    @route(media_type="text/html")
    async def page(self, task_id: str = "", _request=None) -> str:  # type: ignore[no-untyped-def]
        """A job as a page for its submitter, which the browser asks for again until it ends."""
        self._check_read(_request)
        status, caller = await self._job(task_id, _request)
        keep_private(_request)
        _request.response.set_header("content-security-policy", policy())
        failure = self._shown(status, caller)["failure"]
        return progress_page(status, failure["message"] if failure is not None else "")

    @route()
    async def events(self, task_id: str = "", _request=None) -> Any:  # type: ignore[no-untyped-def]
        """A job as Server-Sent Events: its state at once, then progress and changes, to its end."""
        self._check_read(_request)
        status, caller = await self._job(task_id, _request)
        if status.state.final and _last_event(_request) == END:
            return StreamingResponse(_nothing(), status_code=204)  # a browser stays away then
        tasks = self._long_tasks
        who = caller.identity or caller.session or caller.address
        most = tasks.settings.max_listeners_per_submitter
        if tasks.listeners.count(who) >= most:
            raise HTTPException(429, f"You listen to jobs {most} times; end some of them first")
        view = "all" if caller.is_admin(tasks.settings.admin_tags) else "own"
        frames = tasks.listeners.listen(task_id, view, lambda status: self._shown(status, caller))
        response = DisconnectAwareResponse(
            frames,
            headers=[("cache-control", "no-cache"), ("connection", "keep-alive")],
            media_type="text/event-stream",
        )
        response.at_end = weakref.finalize(response, tasks.listeners.add(who))
        return response

    @route(openapi_method="post")
    async def cancel(self, task_id: str = "", _request=None) -> Any:  # type: ignore[no-untyped-def]
        """Ask a job to end (POST): 202, or 200 when it has ended."""
        self._check_change(_request)
        _, caller = await self._job(task_id, _request)
        status = await self._long_tasks.cancel(task_id)
        code = 200 if status.state.final else 202
        return JsonAnswer(
            self._shown(status, caller), code, location=urls_of(task_id)["status_url"]
        )

    @route(openapi_method="post")
    async def retry(self, task_id: str = "", _request=None) -> Any:  # type: ignore[no-untyped-def]
        """Run a job again that did not succeed, under its id (POST): 202, also if it waits or runs.

        409 if it has succeeded, or its arguments were not kept.
        """
        self._check_change(_request)
        status, caller = await self._job(task_id, _request)
        if status.state is TaskState.SUCCEEDED:
            # Whoever asks twice, because the first answer was lost, must not run it twice.
            raise TaskError(f"job {task_id} has succeeded: there is nothing to repeat")
        if status.state.final:
            try:
                status = await self._long_tasks.retry(task_id)
            except TaskError:
                status, _ = await self._job(task_id, _request)
                if status.state.final:
                    raise
        return JsonAnswer(self._shown(status, caller), 202, location=urls_of(task_id)["status_url"])

    @route(openapi_method="post")
    async def forget(self, task_id: str = "", _request=None) -> dict[str, Any]:  # type: ignore[no-untyped-def]
        """Remove a job that has ended (POST)."""
        self._check_change(_request)
        await self._job(task_id, _request)
        await self._long_tasks.forget(task_id)
        return {"forgotten": task_id}


async def _nothing() -> AsyncIterator[bytes]:
    return
    yield


def _last_event(request: Any) -> str:
    """The id of the last event that a browser has been sent before it came back."""
    headers = dict(request.scope.get("headers", ()))
    return str(headers.get(b"last-event-id", b"").decode("latin-1"))


class TaskSection(_TaskRoutes, RoutingClass):
    """The routes as a section: ``application.add_branches({"name": "tasks", "instance": ...})``.

    A server guards the requests of those that are there when it starts.

    Attributes:
        guarded: whether its application does so itself.
    """

    guarded = False


class TaskApplication(_TaskRoutes, RoutedApplication):
    """The routes as an application of their own."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request that is small and well-formed; refuse others with a reason."""
        await identify(self.server, scope)  # routes are not given the credentials
        narrowed, receive = guarded(scope, receive)
        await super().__call__(narrowed, receive, send)

    def spread_over_params(self, node: Any, data: dict[str, Any]) -> dict[str, Any]:
        """Return what a body may name, which is what a query may; the rest is left out."""
        return super().spread_over_params(node, narrowed_fields(data))


def _may_see(caller: Caller, status: TaskStatus, admin_tags: Iterable[str]) -> bool:
    """Whether the job is that of ``caller``, or ``caller`` is an administrator."""
    if caller.is_admin(admin_tags) or status.open_to_id:
        return True
    if status.submitter:
        return status.submitter == caller.identity
    return bool(status.session) and status.session == caller.session
