# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""A worker takes samples of the calls of one route, when the server wants a profile.

::

    server (profiling.py)                        worker
    ---------------------                        ------
    what is wanted, into the marks of the file
    PROFILE          -- through the template -->  a handler in Python: the first look is at what it
                                                  has interrupted; a thread takes the others
    counts them      <-- message, each second --
    counts them      <-- message, at the end ---  at the end of the time, or of the worker
    a 0 in the marks                              the thread ends

Samples are of calls that run the wanted function with the wanted ``self``, and of no other calls of
the same worker.
"""

from __future__ import annotations

import _thread
import functools
import json
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from time import perf_counter
from types import FrameType
from typing import TYPE_CHECKING, Any, NamedTuple

from ...worker.sampling import MOST_CALLS, Sampler, Seen, points_of
from .marks import WorkerMarks
from .messages import WorkerMessageChannel

if TYPE_CHECKING:
    from types import CodeType

    from ...worker.coroutines import CoroutineThread
    from ...worker.reading import CallReader, WorkerFunction
    from ...worker.running import RunningCall
    from ...worker.thread_runs import ThreadRuns

__all__ = ["MOST_TITLE", "PROFILE", "Wanted", "WorkerSamples"]

PROFILE = "genro-executor.profile"
"""The channel: the number of the profile, whether it is the last message of this worker, and what
was counted."""

MOST_TITLE = 200
"""How much of a function's title is compared."""

_REPORT_SECONDS = 1.0


class Wanted(NamedTuple):
    """What the server wants, as it stands in the file.

    Attributes:
        key: what identifies the function in its pool; 0 for one that travels by value.
        owner: the key of its ``self``, 0 for none.
        title: the name of the function.
        rate: how many looks in a second.
        begin: since when, as ``perf_counter`` has it, which is the same for all processes.
        until: up to when.
    """

    key: int
    owner: int
    title: str
    rate: int
    begin: float
    until: float

    def packed(self) -> bytes:
        """As bytes, of a bounded length."""
        return json.dumps(self._replace(title=self.title[:MOST_TITLE])).encode("ascii", "replace")


class WorkerSamples:
    """Takes the samples of one worker.

    Attributes:
        threads: what runs calls on threads, if this worker has some.
        coroutines: what runs coroutines, if there were any.
    """

    def __init__(
        self,
        messages: WorkerMessageChannel,
        marks: WorkerMarks,
        reader: CallReader,
        runs_calls: CodeType,
        begins: tuple[CodeType, ...],
    ) -> None:
        """Take none until ``begin``.

        Args:
            messages: the channel to the server.
            marks: where it stands what is wanted.
            reader: knows the replicas.
            runs_calls: the code that calls functions; it has a ``number`` and a ``call``.
            begins: the codes that have called that one, and know when (``began``).
        """
        self._messages = messages
        self._marks = marks
        self._reader = reader
        self._doors = frozenset({id(runs_calls)})
        self._begins = frozenset(map(id, begins))
        self._main = threading.get_ident()
        self._lock = threading.Lock()
        self._sampler: Sampler | None = None
        self._number = 0
        self.threads: ThreadRuns[Any] | None = None
        self.coroutines: CoroutineThread | None = None

    def let_go(self) -> None:
        """Tell nothing in a forked child, which has no thread that takes samples."""
        self._lock = threading.Lock()
        self._sampler = None

    def begin(self, frame: FrameType | None) -> None:
        """Begin to take the samples that are wanted; ``frame`` is where the main thread is.

        It is called by a handler of a signal, and takes no lock.
        """
        number = self._marks.profile
        if not number or number == self._number:
            return
        wanted = Wanted(*json.loads(self._marks.wanted))
        match = _Match(wanted, self._reader)
        if perf_counter() >= wanted.until:
            return
        self._number = number
        sampler = Sampler(
            wanted.rate,
            wanted.begin,
            wanted.until,
            lambda: self._look(match),
            lambda: self._marks.profile == number,
        )
        # Native code may have kept the signal waiting: it was called by the line that is here.
        sampler.take([] if self.threads is not None else self._on_thread(match, frame))
        self._sampler = sampler
        # Thread.start() would take locks that the function which is interrupted may hold.
        _thread.start_new_thread(self._run, (number, sampler))

    def _run(self, number: int, sampler: Sampler) -> None:
        told = perf_counter()
        for _ in sampler.run():
            if perf_counter() - told >= _REPORT_SECONDS:
                told = perf_counter()
                self._tell(number, sampler, is_last=False)
        if self._marks.profile == number:
            self._tell(number, sampler, is_last=True)

    def end(self) -> None:
        """Tell what was counted, at the end of the worker."""
        if self._sampler is not None and self._marks.profile == self._number:
            self._tell(self._number, self._sampler, is_last=True)

    def _tell(self, number: int, sampler: Sampler, *, is_last: bool) -> None:
        with self._lock:
            if self._sampler is not sampler:
                return  # it was the end, or another profile has begun
            if is_last:
                self._sampler = None
            with suppress(OSError):  # the server is gone, and this process is about to be
                self._messages.send(0, PROFILE, (number, is_last, sampler.told()))

    # -- where calls are ----------------------------------------------------------------------

    def _look(self, match: Callable[[WorkerFunction, int], bool]) -> Iterator[Seen]:
        if not self._messages.numbers:
            return
        frames = sys._current_frames()
        try:
            if self.threads is None:
                yield from self._on_thread(match, frames.get(self._main))
            else:
                for number in self._messages.numbers[:MOST_CALLS]:
                    if thread := self.threads.thread_of(number):
                        yield from self._on_thread(match, frames.get(thread))
            if self.coroutines is not None:
                running = frames.get(self.coroutines.ident)
                yield from self._on_loop(match, self.coroutines, running)
        finally:
            frames.clear()  # this very frame is among them, and would hold itself

    def _on_thread(
        self, match: Callable[[WorkerFunction, int], bool], frame: FrameType | None
    ) -> Iterator[Seen]:
        points, door = points_of(frame, self._doors)
        for number in self._found(match, door):
            yield Seen(number, points, self._began(door))

    def _began(self, frame: FrameType | None) -> float | None:
        """When the call began that ``frame`` runs; it was called a step or two above."""
        for _ in range(3):
            if frame is None:
                break
            if id(frame.f_code) in self._begins:
                began: int = frame.f_locals["began"]
                return began / 1e9
            frame = frame.f_back
        return None

    def _found(
        self, match: Callable[[WorkerFunction, int], bool], door: FrameType | None
    ) -> Iterator[int]:
        """The number of the call that ``door`` runs, if it is one that is wanted."""
        if door is not None:
            known = door.f_locals  # of this package's own function: no value of users' is kept
            function, args, _, _ = known["call"]
            if match(function, id(args[0]) if args else 0):
                yield known["number"]

    def _on_loop(
        self,
        match: Callable[[WorkerFunction, int], bool],
        coroutines: CoroutineThread,
        frame: FrameType | None,
    ) -> Iterator[Seen]:
        from ...worker.sampled_tasks import points_of_task

        for number, task, coroutine, of in coroutines.numbered()[:MOST_CALLS]:
            if of is not None and match(*of):
                is_its_call = functools.partial(_has_number, number)
                points = points_of_task(task, coroutine, frame, is_its_call)
                yield Seen(number, points)


def _has_number(number: int, call: RunningCall) -> bool:
    return call.number == number


class _Match:
    """Whether a call is one of those that are wanted."""

    def __init__(self, wanted: Wanted, reader: CallReader) -> None:
        self._wanted = wanted
        self._reader = reader

    def __call__(self, function: WorkerFunction, owner: int) -> bool:
        """Whether ``function`` is wanted, with the argument of identity ``owner`` as the first."""
        wanted = self._wanted
        if function.key != wanted.key:
            return False
        if wanted.owner:
            try:
                return id(self._reader.replicas.get(wanted.owner)) == owner
            except KeyError:
                return False
        return bool(wanted.key) or str(function)[:MOST_TITLE] == wanted.title
