# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The server asks a worker where its calls are: with a signal, and reads the answer from a file.

::

    server (event loop)                          worker
    -------------------                          ------
    may it be signalled?     native.py
    the file begins anew     handover.py
    ASK            -- through the template -->   telling.py: a handler in Python answers
    looks every millisecond                      ... or not: the main thread is in native code
      is that sure?          native.py
    NATIVE         -- through the template -->   its faulthandler answers
    the answer is taken apart                    native_text.py

Nothing here waits. Several who ask at the same time get the same answer, and one that does not
come is no error.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from time import perf_counter

from ..stacks import IN_NATIVE_CODE, NOT_KNOWN
from .handover import NonsenseError
from .job import Job
from .native import NativeCode, status_of
from .native_text import stack_in, stacks_in
from .telling import ANSWER, BEING_READ, AskSignals
from .worker import Worker

__all__ = ["KILL_SECONDS", "SHOW_SECONDS", "Answer", "Asking"]

_logger = logging.getLogger("genro_executor_plugin")

KILL_SECONDS = 0.25
"""How long a call that has to end goes on at most, until it has told where it is."""

SHOW_SECONDS = 0.5
"""How long somebody who only wants to know waits at most."""

_LOOK_SECONDS = 0.0005

_SLEEP_SECONDS = 0.001
"""How long a main thread is looked at, to see whether it waits in the system."""

_QUIET_SECONDS = 0.02
"""The faulthandler does not say that it is done; for so long nothing has come then."""

_NOTHING_YET = ""


class Answer:
    """Where the calls of a worker are.

    Attributes:
        stacks: the stack of each of its calls that is known.
        why_not: why others are not known.
    """

    __slots__ = ("stacks", "why_not")

    def __init__(self, stacks: dict[Job, str], why_not: str = "") -> None:
        self.stacks = stacks
        self.why_not = why_not

    def of(self, job: Job) -> str:
        """The stack of ``job``, or in parentheses why it is not known."""
        found = self.stacks.get(job)
        if found:
            return found
        if found is not None:
            return IN_NATIVE_CODE
        return f"{NOT_KNOWN}{self.why_not or 'it has not begun, or has just ended'})"


class Asking:
    """Asks the workers of one pool."""

    def __init__(self, loop: asyncio.AbstractEventLoop, threads: int) -> None:
        self._loop = loop
        self._on_threads = threads > 1
        self._asked: dict[Worker, _Asked] = {}

    def ask(
        self, worker: Worker, seconds: float = SHOW_SECONDS, *, is_doomed: bool = False
    ) -> asyncio.Future[Answer]:
        """Where the calls of ``worker`` are, after at most ``seconds``; it raises nothing.

        Args:
            worker: whom to ask.
            seconds: how long the answer may take.
            is_doomed: whether it is killed afterwards, so that being asked may end it.
        """
        future: asyncio.Future[Answer] = self._loop.create_future()
        asked = self._asked.get(worker)
        if asked is None:
            asked = self._asked[worker] = _Asked(
                *(self._loop, worker, self._on_threads, seconds, self._asked.pop, is_doomed)
            )
        asked.futures.append(future)
        return future

    def so_far(self, worker: Worker, job: Job) -> str:
        """Where ``job`` was, as far as ``worker``, which is being asked, has told it by now."""
        asked = self._asked.get(worker)
        return asked.so_far().of(job) if asked is not None else f"{NOT_KNOWN}it had ended)"

    def is_asking(self, worker: Worker) -> bool:
        """Whether ``worker`` is being asked."""
        return worker in self._asked

    def before(self, worker: Worker, act: Callable[[], None], *, is_doomed: bool = True) -> None:
        """Call ``act``, which ends ``worker`` or a call in it, with ``worker.stacks`` known.

        Args:
            worker: nothing is done if it is killed before.
            act: what it raises fails the calls of the worker.
            is_doomed: whether it ends the worker.
        """

        def told(future: asyncio.Future[Answer]) -> None:
            if worker.killed:
                return
            answer = future.result()
            worker.stacks = {one: answer.of(one) for one in worker.running.values()}
            try:
                act()
            except BaseException as error:
                worker.went_wrong(error)
                worker.kill()
            finally:
                worker.stacks = {}

        self.ask(worker, KILL_SECONDS, is_doomed=is_doomed).add_done_callback(told)

    def stop(self) -> None:
        """Wait for no answer any more."""
        for asked in list(self._asked.values()):
            asked.give_up("the pool ends")


class _Asked:
    """One question to one worker."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        worker: Worker,
        on_threads: bool,
        seconds: float,
        done: Callable[[Worker], object],
        is_doomed: bool,
    ) -> None:
        self.futures: list[asyncio.Future[Answer]] = []
        self._loop = loop
        self._worker = worker
        self._done = done
        self._is_doomed = is_doomed
        self._seconds, self._deadline = seconds, perf_counter() + seconds
        self._jobs = dict(worker.running)
        self._coroutines = [job for job in self._jobs.values() if job.is_coroutine]
        on_main = not on_threads and len(self._coroutines) < len(self._jobs)
        self._beside = not on_main
        self._signals: AskSignals | None = None
        self._native: NativeCode | None = None
        self._size, self._grew_at = 0, 0.0
        self._text = b""
        # Also what cannot be asked is told from a callback: nobody has the future yet.
        self._timer: asyncio.Handle = loop.call_soon(self._guarded, self._begin)

    def _guarded(self, step: Callable[[], str]) -> None:
        try:
            why_not = step()
        except Exception as error:
            _logger.error("worker %s could not be asked", self._worker.pid, exc_info=error)
            why_not = "it could not be asked"
        if why_not != _NOTHING_YET:
            self.give_up(why_not)

    def _begin(self) -> str:
        worker = self._worker
        if not worker.is_there or worker.pid is None:
            return "its worker is about to end"
        try:
            numbers = worker.words.begin_words()
        except (OSError, NonsenseError):
            numbers = None
        if numbers is None or not numbers[0]:
            return "its worker cannot tell on this system, or has just died"
        self._signals = AskSignals(*numbers)
        why_not = status_of(worker.pid).why_not(*self._signals)
        if why_not:
            return why_not
        self._native = NativeCode(worker.pid, self._signals.ask, all_threads=self._beside)
        if self._beside:
            return self._send(self._signals.ask)
        if self._is_doomed:
            return self._send(self._signals.native)
        self._native.sleeps(perf_counter())
        self._timer = self._loop.call_later(_SLEEP_SECONDS, self._guarded, self._choose)
        return _NOTHING_YET

    def _choose(self) -> str:
        """Ask a main thread that waits in the system in the way that it answers before it goes on.

        Native code may take the signal for the end of its waiting, and the call could be over by
        the time that Python runs.
        """
        assert self._signals is not None
        assert self._native is not None
        if self._native.sleeps(perf_counter()):
            return self._send(self._signals.native)
        return self._send(self._signals.ask)

    def _send(self, number: int) -> str:
        if not self._worker.signal(number):
            return "the process that has started its worker is gone"
        if self._signals is None or number != self._signals.ask:
            self._native = None
        self._again()
        return _NOTHING_YET

    def _again(self) -> None:
        self._timer = self._loop.call_later(_LOOK_SECONDS, self._guarded, self._look)

    def _look(self) -> str:
        if not self._worker.is_there:
            return "its worker has ended"
        now = perf_counter()
        text = self._worker.words.words()
        if text[:1] == b"\1":
            if len(text) >= ANSWER.size:
                length = ANSWER.unpack_from(text)[1]
                if len(text) >= ANSWER.size + length:
                    return self._answer(_told(text[ANSWER.size : ANSWER.size + length]))
        elif len(text) > self._size:
            self._size, self._grew_at = len(text), now
        if self._size and (text.endswith(b"in <module>\n") or now - self._grew_at > _QUIET_SECONDS):
            self._tell(self._in_native_code(text))
            return _NOTHING_YET
        if now > self._deadline:
            assert self._worker.pid is not None
            if why_not := status_of(self._worker.pid).why_not():
                return why_not
            return f"its worker has not answered within {self._seconds:g} s"
        if self._native is not None and self._native.is_sure(now):
            assert self._signals is not None
            return self._send(self._signals[1 + self._beside])
        self._again()
        return _NOTHING_YET

    def so_far(self) -> Answer:
        """What the worker has told by now."""
        try:
            text = b"" if self._signals is None else self._worker.words.words()
        except OSError:  # it has ended, and its file is closed
            text = b""
        return self._in_native_code(text) if text[:1] != b"\1" else Answer({})

    def _answer(self, told: dict[int, str]) -> str:
        found = {job: told[number] for number, job in self._jobs.items() if number in told}
        if reading := told.get(BEING_READ):
            found |= {job: reading for job in self._jobs.values() if job not in found}
        self._tell(Answer(found))
        return _NOTHING_YET

    def _in_native_code(self, words: bytes) -> Answer:
        text = words.decode("ascii", "replace")
        if self._beside:
            of_coroutines, of_threads = stacks_in(text)
            stacks = {
                job: of_coroutines if job.is_coroutine else of_threads
                for job in self._jobs.values()
            }
            return Answer(stacks)
        main = stack_in(text)
        stacks = {job: main for job in self._jobs.values() if main and not job.is_coroutine}
        return Answer(stacks, "its worker is in native code" if main else "")

    def give_up(self, why_not: str) -> None:
        """Tell those who wait that nothing is known, and why."""
        self._tell(Answer({}, why_not))

    def _tell(self, answer: Answer) -> None:
        self._done(self._worker)
        # A timer that is over still knows what it has called: this, with the calls' arguments.
        self._timer.cancel()
        self._jobs, self._coroutines = {}, []
        for future in self.futures:
            if not future.done():
                future.set_result(answer)


def _told(text: bytes) -> dict[int, str]:
    """What a worker has said, as far as it makes sense: code in it may write into its file."""
    try:
        said = json.loads(text)
        return {int(number): str(stack) for number, stack in said.items()}
    except (ValueError, AttributeError):
        return {}
