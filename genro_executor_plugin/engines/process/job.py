# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""One call on its way through a pool: what to run, under which limits, and who waits for it.

A job knows neither the pool nor a worker; they carry it, and settle it.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from time import perf_counter
from typing import Any, ClassVar, Protocol

from ...errors import ExecutorError, ExecutorOverloadError, SerializationError
from ...options.keys import Key
from ...portable.calls import PackedCall
from ...portable.exceptions import raisable
from ...portable.files import discard_result
from ...portable.pickling import why

__all__ = ["Ending", "Job", "KeyedJob"]

_logger = logging.getLogger("genro_executor_plugin")

Step = Callable[[Callable[[], None]], object]


class Ending(Protocol):
    """What is going to end a run; the run is told to end, or asked where it is before that."""

    def cancel(self) -> object:
        """Do not end it: it has ended."""


class Job:
    """A packed call, the future its caller waits on, and the limits it runs under.

    Attributes:
        packed: what to run.
        owner: an object of the submitter, handed back with its messages; the engine
            does not look at it.
        future: settled exactly once, with the result or with the error.
        timeout: seconds the run may take, ``None`` for no limit.
        soft_timeout: seconds after which ``SoftTimeoutError`` is raised in the run.
        retries: how many crashes the call may still survive.
        abandon: a cancelled caller leaves the run going instead of having its worker killed.
        answered: whether a worker has sent its outcome.
        begun: whether a run of it was ever begun, also one that crashed and is repeated.
        is_coroutine: whether it runs on its worker's event loop, as far as is known.
        sent_in_vain: how many workers have died before they began it.
        ending: what happens if its run, which was told to end, does not, or that it is asked
            where it is, to be told to end then; ``None`` before.
        raised: whether the error in the future was raised by the function itself.
        started_at: ``time.perf_counter()`` when the run began, ``None`` before.
        microseconds: how long the call ran by the worker's clock, 0 if that was not measured.
        pid: the process of the worker that it was sent to last; not set before.
        route: the route it came from, for displays.
        key: calls with the same key are run by the same worker; ``None`` for any worker.
        steps: what has to be done, one behind the other, before its outcome is told; ``None``
            while its run has sent nothing.
    """

    __slots__ = (
        "abandon",
        "answered",
        "begun",
        "ending",
        "future",
        "is_coroutine",
        "microseconds",
        "owner",
        "packed",
        "pid",
        "raised",
        "retries",
        "route",
        "sent_in_vain",
        "soft_timeout",
        "started_at",
        "steps",
        "timeout",
    )

    key: ClassVar[Key | None] = None
    pid: int | None

    def __init__(
        self,
        packed: PackedCall,
        future: asyncio.Future[Any],
        timeout: float | None = None,
        soft_timeout: float | None = None,
        retries: int = 0,
        abandon: bool = False,
        route: str | None = None,
        owner: Any = None,
    ) -> None:
        self.packed: PackedCall = packed
        self.future: asyncio.Future[Any] = future
        self.timeout: float | None = timeout
        self.soft_timeout: float | None = soft_timeout
        self.retries: int = retries
        self.abandon: bool = abandon
        self.route: str | None = route
        self.owner: Any = owner
        self.answered: bool = False
        self.begun: bool = False
        self.is_coroutine: bool = packed.is_async
        self.sent_in_vain: int = 0
        self.ending: Ending | None = None
        self.microseconds: int = 0
        self.raised: bool = False
        self.started_at: float | None = None
        self.steps: deque[Step] | None = None

    @property
    def ran_by(self) -> tuple[int | None, str]:
        """The process and the agent that have run it last; ``None`` and empty if not known."""
        return getattr(self, "pid", None) if self.begun else None, ""

    def has_sent(self) -> None:
        """Note that its run has sent something that its outcome has to wait for."""
        if self.steps is None:
            self.steps = deque()

    def begins(self) -> None:
        """Take in that a worker runs it from now on."""
        self.started_at = perf_counter()
        self.begun = True

    def has_not_begun(self) -> None:
        """Take in that the worker that it was sent to did not start it."""
        self.started_at = None
        self.begun = False

    def then(self, step: Step) -> None:
        """Begin ``step`` when those before it are done; it calls what it is given at its end."""
        self.has_sent()
        assert self.steps is not None
        self.steps.append(step)
        if len(self.steps) == 1:
            self._begin(step)

    def behind(self, done: Callable[[], None]) -> None:
        """Call ``done`` when all steps are done that there are now."""

        def step(next_step: Callable[[], None]) -> None:
            done()
            next_step()

        self.then(step)

    def _begin(self, step: Step) -> None:
        try:
            step(self._next)
        except BaseException as error:
            self.went_wrong(error)
            if self.steps and self.steps[0] is step:
                self._next()

    def _next(self) -> None:
        assert self.steps is not None
        self.steps.popleft()
        if self.steps:
            self._begin(self.steps[0])

    def went_wrong(self, error: BaseException) -> None:
        """Fail the call for an ``error`` of this package, which is logged."""
        _logger.error("%s: its outcome was lost", self.packed.title, exc_info=error)
        self.cannot_be_settled(error)

    def let_go(self) -> None:
        """Forget the error that the caller has by now: its traceback leads here and back."""
        if self.future.done():
            self.future = self.future.get_loop().create_future()
            self.future.cancel()

    def fail(self, error: BaseException) -> None:
        """Give the caller ``error``, if the job is not settled yet."""
        if not self.future.done():
            self.future.set_exception(raisable(error))

    def too_many_large_ones(self, pid: int | None) -> None:
        """Refuse the call: worker ``pid`` is still taking over the large arguments of others."""
        self.fail(
            ExecutorOverloadError(
                f"worker {pid} has not taken over the large arguments of earlier calls yet; "
                f"{self.packed.title} was not started. Lower max_pending"
            )
        )

    def cannot_be_sent(self, error: BaseException) -> None:
        """Give the caller an error that says why the call cannot be sent to a worker."""
        refusal = ExecutorError(f"{self.packed.title} cannot be sent to a worker: {why(error)}")
        refusal.__cause__ = error
        self.fail(refusal)

    def cannot_be_settled(self, error: BaseException) -> None:
        """Give the caller an error that says why the outcome cannot be taken in."""
        refusal = ExecutorError(
            f"the outcome of {self.packed.title} cannot be taken in: {why(error)}"
        )
        refusal.__cause__ = error
        self.fail(refusal)

    def discard(self) -> None:
        """Let go of the result, if there is one: its caller was cancelled before it took it."""
        if self.future.done() and not self.future.cancelled() and not self.future.exception():
            discard_result(self.future.result())

    def cannot_be_rebuilt(self, error: BaseException) -> None:
        """Give the caller an error that says why the result cannot be unpickled."""
        refusal = SerializationError(
            f"the result of {self.packed.title} cannot be rebuilt in the server: {why(error)}. "
            "Return plain data"
        )
        refusal.__cause__ = error
        self.fail(refusal)

    def settle(self, rebuild: Callable[..., Any], *args: Any) -> None:
        """Give the caller what ``rebuild(*args)`` returns, or an error that says why it failed."""
        try:
            result = rebuild(*args)
        except BaseException as error:  # a class may raise anything when it is unpickled
            self.cannot_be_rebuilt(error)
        else:
            if self.future.done():
                discard_result(result)  # its caller has left
            else:
                self.future.set_result(result)


class KeyedJob(Job):
    """A job with a key, which its owner has among its options.

    Attributes:
        key: as ``Job.key``.
        serial: whether it begins only when no run of its key goes on.
    """

    __slots__ = ("key", "serial")

    key: Key  # type: ignore[misc]  # of the class in Job: most jobs never have one
    serial: bool

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        options = self.owner.options
        self.key = options.key
        self.serial = bool(options.key_serial)
