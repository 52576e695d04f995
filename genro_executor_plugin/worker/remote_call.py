# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Runs the packed calls of servers on other machines, in a worker of this one.

An agent has the workers of a pool of processes run ``run_remote``. What a call consists of is read
here and nowhere else on this machine, with a ``CallReader`` for each server: replicas stay between
calls, and two servers do not see each other's. What the call returns, raises and sends leaves as
bytes, so that the agent's own process imports nothing of what it serves.
"""

from __future__ import annotations

import atexit
import inspect
import os
import pickle
import struct
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from ..portable.definitions import CALL_HEAD
from ..portable.exceptions import pack_failure
from ..portable.results import pack_result
from .logs import LOG, WARNING
from .reading import CallReader, ReadCall, WorkerFunction, called
from .running import PROGRESS, RunningCall, current, enter, leave

__all__ = ["FAILED", "NEWEST", "REMOTE", "RETURNED", "run_remote"]

REMOTE = "genro-executor.remote"
"""The channel of messages that go on to a server elsewhere, as bytes."""

NEWEST = "genro-executor.newest"
"""The channel of those of which only the newest one matters, where they are held up."""

RETURNED, FAILED = b"\0", b"\1"
"""The first byte of an answer: a packed result, or a packed failure, stands behind it."""

_MOST_SERVERS = 16
"""Of how many servers a worker keeps what their calls need; the one longest unheard of goes."""


class _Reader(CallReader):
    """Reads the calls of one server.

    Attributes:
        large: the large arguments of the call that is read, as ``HeldSegment`` has put them
            together.
    """

    large: bytes = b""

    def _from(self, segment: int, payload: bytes | memoryview) -> Any:
        view, self.large = memoryview(self.large), b""
        layout = payload[: len(payload) - CALL_HEAD.size]
        end, *sizes = struct.unpack(f"<{len(layout) // 8}q", layout)
        stream, buffers = view[:end], []
        for size in sizes:
            begin, end = end, end + abs(size)
            # What its caller could write to can be written to here.
            buffers.append((bytes if size < 0 else bytearray)(view[begin:end]))
        return pickle.loads(stream, buffers=buffers)

    def _drop(self, segment: int) -> None:
        self.large = b""


_lock = threading.Lock()
_readers: dict[str, tuple[_Reader, dict[int, int]]] = {}


def run_remote(
    server: str,
    definitions: Iterable[tuple[int, int, int, int, bytes]],
    payload: bytes,
    large: bytes = b"",
) -> Any:
    """Run the call in ``payload``, and return the answer as bytes, or a coroutine of it.

    Args:
        server: the name of the server that the call comes from.
        definitions: key, version, owner, kind and payload of what the call needs.
        payload: the packed call.
        large: its arguments, if they are large.
    """
    outer = current()
    try:
        call = _read(server, definitions, payload, large)
        with _as_seen_from_elsewhere(outer):
            result = called(*call)
    except BaseException as error:
        return FAILED + pack_failure(error)
    function = call[0]
    return _awaited(result, function) if inspect.iscoroutine(result) else _packed(result, function)


async def _awaited(coroutine: Any, function: WorkerFunction) -> bytes:
    try:
        with _as_seen_from_elsewhere(current()):
            result = await coroutine
    except BaseException as error:
        return FAILED + pack_failure(error)
    return _packed(result, function)


def _packed(result: Any, function: WorkerFunction) -> bytes:
    try:
        return RETURNED + pack_result(result, function)
    except BaseException as error:
        return FAILED + pack_failure(error)


def _read(
    server: str,
    definitions: Iterable[tuple[int, int, int, int, bytes]],
    payload: bytes,
    large: bytes,
) -> ReadCall:
    with _lock:  # which reader's replicas a pickle leads to is a fact of the process
        found = _readers.pop(server, None)
        if found is None:
            found = _Reader(), {}
            if len(_readers) >= _MOST_SERVERS:
                oldest, _ = _readers.pop(next(iter(_readers)))
                _end(oldest)
        _readers[server] = found
        reader, known = found
        reader.replicas.activate()
        for key, version, owner, kind, content in definitions:
            if known.get(key) != version:
                reader.define(key, owner, kind, content)
                known[key] = version
        reader.large = large
        return reader.read(payload, 0 if large else -1)


def _end(reader: CallReader) -> None:
    for hook in reader.replicas.shutdown_hooks():
        with suppress(Exception):
            hook()


@atexit.register
def _end_all() -> None:
    """Run ``on_worker_shutdown`` of all replicas, when the worker ends."""
    while _readers:
        _, (reader, _) = _readers.popitem()
        _end(reader)


class _ToServer:
    """Carries the messages of a call to the agent, as bytes that its server rebuilds."""

    def __init__(self, outer: RunningCall) -> None:
        self._outer = outer

    def send(self, number: int, channel: str, value: Any) -> None:
        if channel in (LOG, WARNING):  # whose frames the agent sends on unopened
            self._outer.send(channel, value)
            return
        packed = os.getpid(), pickle.dumps((channel, value), 5)
        self._outer.send(NEWEST if channel == PROGRESS else REMOTE, packed)

    def read(self, timeout: float | None) -> bool:
        return self._outer.read(timeout)


@contextmanager
def _as_seen_from_elsewhere(outer: RunningCall | None) -> Iterator[None]:
    """Have ``current()`` be a call whose messages go to its server, and come from there."""
    if outer is None:
        yield
        return
    inner = RunningCall(outer.number, _ToServer(outer))

    def told(channel: str) -> None:
        for packed in outer.take(REMOTE):
            inner.deliver(*pickle.loads(packed))

    outer.listen(told)
    told(REMOTE)
    token = enter(inner)
    try:
        yield
    finally:
        leave(token)
        outer.listen(None)
        at_end: Callable[[], None] | None = inner.at_end
        if at_end is not None:
            at_end()
