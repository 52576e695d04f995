# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The calls that an agent runs, and their answers until it is known that they have arrived.

A server tells every second which of its calls it still waits for. From that alone both sides come
to the same view after any loss: an answer that it does not wait for any more has arrived; one that
it waits for is sent again; a run that nobody waits for is ended; and a call that has never come is
told as not begun, so that it may run elsewhere.
"""

from __future__ import annotations

import asyncio
import logging
import os
import pickle
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from ..engines.call import Call
from ..errors import ExecutorError, SerializationError
from ..executors.base import BaseExecutor
from ..options.call import CallOptions
from ..portable.exceptions import pack_failure
from ..portable.references import describe
from ..remote.messages import CallMessage, Kind, pack
from ..remote.post import Post, TooLargeToSendError
from ..remote.subjects import Subjects
from ..remote.versions import CodeVersion
from ..worker.remote_call import NEWEST, REMOTE, run_remote
from .outbound import Outbound
from .places import Places

__all__ = ["LOST", "NOT_BEGUN", "NOT_RUN", "FarCall", "Runs"]

_logger = logging.getLogger("genro_executor_plugin")

NOT_RUN = b"\2"
"""The first byte of an answer of the pool itself: the call was ended, or could not be run."""

NOT_BEGUN, LOST = "not begun", "lost"
"""Why a call that a server waits for is not here: it has never come; or how it ended is forgotten,
because its server was not heard of for long."""

_AGAIN_SECONDS = 2.0
"""After how long an answer that is still waited for is sent again."""

_FORGOTTEN_SECONDS = 3600.0

_LATE = 1000
"""How far behind the highest number of its server a call may come that was told as not begun."""

_RUN_REMOTE = describe(run_remote)
"""What errors of the pool call each function, before they are told its own name."""


class FarCall(Call):
    """A call of ``server``, which knows it by its ``number``."""

    server: str
    number: int


@dataclass(slots=True)
class _Run:
    task: asyncio.Task[None]
    call: Call


@dataclass(slots=True)
class _Server:
    """A server that calls.

    Attributes:
        heard_at: when something came from it last, by the event loop's clock.
        forgotten: up to which number it may not be known any more what became of a call.
        refused: numbers that were told as not begun, and must not begin when they come late.
        runs: its calls that run, by their numbers.
        answers: answers that it may not have yet, and when they were sent.
    """

    heard_at: float
    forgotten: int = 0
    refused: set[int] = field(default_factory=set)
    runs: dict[int, _Run] = field(default_factory=dict)
    answers: dict[int, tuple[bytes, float]] = field(default_factory=dict)


class Runs:
    """Runs the calls of all servers in one pool."""

    def __init__(
        self,
        pool: BaseExecutor,
        places: Places,
        post: Post,
        subjects: Subjects,
        code: CodeVersion,
        changed: Callable[[], None],
        lost_after: float,
        ended: Callable[[float, str], None],
    ) -> None:
        """Run calls in ``pool``.

        Args:
            pool: where they run.
            places: who may begin one.
            post: answers leave through it.
            subjects: where servers listen.
            code: which modules are served.
            changed: called when a place has become free without an answer that says so.
            lost_after: after how many seconds a server that was not heard of is gone.
            ended: told of each run how many seconds it took, and why it could not be run.
        """
        self._pool, self._places, self._post = pool, places, post
        self._subjects, self._code, self._changed = subjects, code, changed
        self._servers: dict[str, _Server] = {}
        self._lost_after, self._ended = lost_after, ended
        self._loop = asyncio.get_running_loop()
        self.accepts: bool = True
        self.outbound: Outbound = Outbound(self.send, self._loop.time)

    @property
    def running(self) -> int:
        """How many calls run."""
        return sum(len(server.runs) for server in self._servers.values())

    @property
    def unanswered(self) -> int:
        """How many calls run, or have an answer that may not have arrived."""
        return sum(len(server.runs) + len(server.answers) for server in self._servers.values())

    def send(
        self, server: str, kind: Kind, body: tuple[Any, ...], lane: int = 0, tail: bytes = b""
    ) -> bool:
        """Send ``server`` a message."""
        where = self._subjects.server(server)
        return self._post.send(where, server, kind, pack(body), lane, tail=tail)

    # -- what a server says -----------------------------------------------------------------------

    def heard(self, name: str) -> _Server:
        """The server ``name``, of which something has come."""
        server = self._servers.get(name)
        if server is None:
            server = self._servers[name] = _Server(0.0)
        server.heard_at = self._loop.time()
        return server

    def call(self, name: str, message: CallMessage) -> None:
        """Run a call, or say that it is not begun."""
        server, number = self.heard(name), message.number
        if number in server.runs or number in server.answers or number in server.refused:
            return
        served = self._code.serves(message.module)
        if not (self.accepts and served and self._places.take(name)):
            if self.accepts and served:
                self._places.want(name)
            reason = "" if served else f"it does not serve the module {message.module!r}"
            self.send(name, Kind.NOT_BEGUN, (number, NOT_BEGUN, self._places.free, reason))
            return
        if message.wants_more:
            self._places.want(name)
        limits = CallOptions(timeout=message.timeout, soft_timeout=message.soft_timeout, retries=0)
        arguments = name, message.definitions, message.payload, message.large
        call = FarCall(run_remote, arguments, {}, limits)
        call.server, call.number = name, number
        call.on_message = partial(self._message, name, number)
        call.kill_on_cancel = True
        task = asyncio.create_task(self._run(name, server, number, call, message.title))
        server.runs[number] = _Run(task, call)

    def end(self, name: str, number: int) -> None:
        """End a run: nobody waits for it."""
        server = self.heard(name)
        server.answers.pop(number, None)
        run = server.runs.get(number)
        if run is not None:
            run.task.cancel()

    def tell(self, name: str, number: int, packed: bytes) -> None:
        """Give a run a message."""
        run = self.heard(name).runs.get(number)
        if run is not None:
            self._pool.tell(run.call, REMOTE, packed)

    def awaited(self, name: str, highest: int, awaited: list[int]) -> None:
        """Take in which of its calls, up to number ``highest``, a server still waits for."""
        server, now = self.heard(name), self._loop.time()
        wanted = set(awaited)
        if server.refused:
            server.refused = {number for number in server.refused if number > highest - _LATE}
        for number in [n for n in server.answers if n <= highest and n not in wanted]:
            del server.answers[number]
        for number, run in server.runs.items():
            if number <= highest and number not in wanted:
                run.task.cancel()
        for number in awaited:
            if number in server.runs:
                continue
            answer = server.answers.get(number)
            if answer is None:
                # A call that has not come, though one behind it has, was cut off on its way.
                reason = LOST if number <= server.forgotten else NOT_BEGUN
                server.refused.add(number)
                self.send(name, Kind.NOT_BEGUN, (number, reason, self._places.free, ""))
            elif answer[1] < now - _AGAIN_SECONDS and not self._post.is_leaving(name, number):
                self._send_answer(name, server, number, answer[0])

    # -- a run ------------------------------------------------------------------------------------

    async def _run(self, name: str, server: _Server, number: int, call: Call, title: str) -> None:
        answer: bytes | None = None
        began, trouble = self._loop.time(), ""
        try:
            answer = await self._pool.run(call)
        except asyncio.CancelledError:
            pass  # its server has said so, and waits for nothing
        except BaseException as error:
            if not isinstance(error, ExecutorError):
                _logger.exception("a call of server %s could not be run", name)
            else:
                error.args = (str(error).replace(_RUN_REMOTE, title),)
            trouble = str(error)
            error.__traceback__ = None  # frames of the agent tell nothing about the call
            answer = NOT_RUN + pack_failure(error)
        finally:
            server.runs.pop(number, None)
            self._ended(self._loop.time() - began, trouble)
            self._places.leave()
        if answer is None:
            self._changed()
        else:
            self.outbound.finish(name, number)
            self._send_answer(name, server, number, answer)

    def _send_answer(self, name: str, server: _Server, number: int, answer: bytes) -> None:
        server.answers[number] = answer, self._loop.time()
        try:
            self.send(name, Kind.ANSWER, (number, self._places.free), number, answer)
        except TooLargeToSendError as error:
            refusal = SerializationError(f"the result cannot be sent: {error}. Return less")
            self._send_answer(name, server, number, NOT_RUN + pack_failure(refusal))

    def _message(self, name: str, number: int, channel: str, value: Any) -> None:
        if channel == NEWEST:
            self.outbound.progress(name, number, *value)
        elif channel == REMOTE:
            pid, packed = value
            self.send(name, Kind.MESSAGE, (number, pid, 0), number, packed)
        else:  # it was sent where the call was not read yet, or is over
            packed = pickle.dumps((channel, value), 5)
            self.send(name, Kind.MESSAGE, (number, os.getpid(), 0), number, packed)

    def recorded(self, call: FarCall, pid: int | None, packed: bytes) -> None:
        """Send on what was logged where ``call`` runs: its server's handlers are for it."""
        self.outbound.record(call.server, call.number, pid or 0, packed)

    # -- now and then, and at the end -------------------------------------------------------------

    def look(self) -> None:
        """End the calls of servers that are gone; to be called now and then."""
        now = self._loop.time()
        self.outbound.look()
        for name, server in list(self._servers.items()):
            silent = now - server.heard_at
            if silent > self._lost_after and (server.runs or server.answers):
                _logger.warning(
                    "server %s was not heard of for %.0f s: %d of its calls are ended",
                    *(name, silent, len(server.runs)),
                )
                self._places.give_back(name)
                self._post.forget(name)
                self.outbound.forget(name)
                server.forgotten = max((server.forgotten, *server.runs, *server.answers))
                server.answers.clear()
                for run in server.runs.values():
                    run.task.cancel()
            elif silent > _FORGOTTEN_SECONDS:
                del self._servers[name]
                self.outbound.forget(name)

    async def end_all(self) -> None:
        """End every run, and wait until they have ended."""
        tasks = [run.task for server in self._servers.values() for run in server.runs.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
