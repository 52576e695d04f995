# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Large values in shared memory: written once by the sender, read once by the receiver.

A value is pickled into a stream and the buffers beside it (pickle protocol 5, PEP 574). Both lie
in a segment, an anonymous file in memory (``memfd_create``) whose descriptor goes to the other
process; the kernel frees it when no process holds it any more, however a process ended. Segments
of moderate size are used again, because fresh pages cost more than the copy. How a descriptor
gets to the other process is not known here.
"""

from __future__ import annotations

import fcntl
import itertools
import os
import resource
import struct
from collections.abc import Callable
from contextlib import suppress
from pickle import PickleBuffer
from typing import Any

from ..by_type import plain_pickler
from ..main_module import main_source
from ..pickling import CarefulPickler

__all__ = [
    "BUILT_IN",
    "LARGE_BYTES",
    "MAPPED_BYTES",
    "Segment",
    "Segments",
    "Split",
    "aligned",
    "is_large_call",
    "looks_large",
    "split",
]

LARGE_BYTES = 256 * 1024
"""From this size on a value goes through shared memory; below it the socket is faster."""

MAPPED_BYTES = 64 * 2**20
"""From this size on buffers are not copied out of a segment: the receiver keeps its pages."""

_KEPT_BYTES = 32 * 2**20
"""How much memory one owner keeps in segments that wait to be used again."""

_BUFFER_BYTES = 32 * 1024
"""Smaller buffers stay in the stream."""

ALIGNMENT = 64
"""Buffers begin at multiples of this many bytes, so that arrays in them are aligned."""

_SIZED = frozenset({bytes, bytearray, str})

BUILT_IN = frozenset({int, float, bool, type(None), dict, list, tuple, set, frozenset})
"""Types whose values are not large by themselves: asking for a type's name would cost more."""


def looks_large(value: Any) -> bool:
    """Whether ``value`` is large by itself; what it contains is not looked at."""
    cls = type(value)
    if cls in _SIZED:
        return len(value) >= LARGE_BYTES
    if cls in BUILT_IN:
        return False
    if cls is memoryview or (cls.__name__ == "ndarray" and cls.__module__ == "numpy"):
        return bool(value.nbytes >= LARGE_BYTES)
    return False


def is_large_call(args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Whether an argument is large by itself."""
    return (bool(args) and any(map(looks_large, args))) or (
        bool(kwargs) and any(map(looks_large, kwargs.values()))
    )


class Split:
    """A pickled value: the pieces of its stream, and the buffers that are not in it."""

    __slots__ = ("buffers", "stream")

    def __init__(self) -> None:
        self.stream: list[Any] = []
        self.buffers: list[memoryview] = []

    @classmethod
    def of(cls, stream: bytes) -> Split:
        """A value that was pickled in one piece."""
        parts = cls()
        parts.stream.append(stream)
        return parts

    @property
    def size(self) -> int:
        """How many bytes it has in all."""
        return sum(map(len, self.stream)) + sum(buffer.nbytes for buffer in self.buffers)

    def write(self, piece: Any) -> None:
        """Take a piece of the stream, as the pickler's file."""
        # The pickler passes large bytes objects themselves, so nothing is copied here.
        self.stream.append(piece)

    def set_aside(self, buffer: PickleBuffer) -> bool:
        """Keep ``buffer`` beside the stream; ``True`` if it is small and stays in it."""
        raw = buffer.raw()
        if raw.nbytes < _BUFFER_BYTES:
            return True
        self.buffers.append(raw)
        return False


def split(value: Any, special: Callable[[Any], Any] | None, *, plain: bool = True) -> Split:
    """``value`` pickled, without a copy of its large parts.

    Args:
        value: what to pickle.
        special: asked first about the objects of a value that plain pickle refuses.
        plain: whether pickle in C may be tried.

    Raises:
        Exception: whatever the value's own pickling raises.
    """
    if plain and any(main_source()):
        parts = Split()
        try:
            plain_pickler(parts, buffer_callback=parts.set_aside).dump(value)
        except Exception:
            parts = Split()  # the careful pickler succeeds, or raises a clearer error
        else:
            return parts
    parts = Split()
    CarefulPickler(parts, special, buffer_callback=parts.set_aside).dump(value)
    return parts


class Segment:
    """A piece of shared memory of one owner.

    Attributes:
        fd: its descriptor, which another process may be given.
        layout: the lengths of what lies in it, for ``read_value``.
    """

    __slots__ = ("_later", "capacity", "fd", "layout", "number")

    def __init__(self, number: int, capacity: int) -> None:
        self.fd: int = -1
        self.number: int = number
        self.capacity: int = capacity
        self.layout: bytes = b""
        self._later: list[tuple[int, Any]] = []
        self.fd = os.memfd_create("genro-executor", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        # A limit of the size of files is met here, where the socket can still take the value.
        os.ftruncate(self.fd, capacity)
        os.ftruncate(self.fd, 0)  # what is not written is missed, and not read as zeros
        # A process dies of SIGBUS when it reads pages that another one has cut off.
        fcntl.fcntl(self.fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL)

    def put(self, parts: Split) -> None:
        """Write those of ``parts`` that may still change; ``finish`` writes the others."""
        lengths = [sum(map(len, parts.stream))]
        position = 0
        for piece in parts.stream:
            if type(piece) is bytes:
                self._later.append((position, piece))
            else:
                _write(self.fd, piece, position)
            position += len(piece)
        for buffer in parts.buffers:
            position = aligned(position)
            if type(buffer.obj) is bytes:
                self._later.append((position, buffer))
            else:
                _write(self.fd, buffer, position)
            position += buffer.nbytes
            lengths.append(-buffer.nbytes if buffer.readonly else buffer.nbytes)
        self.layout = struct.pack(f"<{len(lengths)}q", *lengths)

    def finish(self) -> None:
        """Write what ``put`` has left, on any thread; writing does not hold the GIL.

        Raises:
            OSError: there is no memory for it.
        """
        later, self._later = self._later, []
        for position, piece in later:
            _write(self.fd, piece, position)

    def __del__(self) -> None:
        self.close()  # for a segment whose call was given up before it was sent

    def close(self) -> None:
        """Close its descriptor; another process that has one may still read."""
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)


class Segments:
    """The segments of one owner, in use and kept for the next value.

    Several threads may use it at a time: its steps are atomic, and no lock is left held by a fork.
    """

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self._kept: list[Segment] = []

    def hold(self, parts: Split) -> Segment | None:
        """A segment with ``parts`` in it; ``None`` if the system has no shared memory for it."""
        size = parts.size + ALIGNMENT * len(parts.buffers)
        segment: Segment | None = None
        try:
            segment = self._segment(size)
            if segment.fd >= _descriptors_for_segments():
                segment.close()  # requests and other work need what descriptors there are
                return None
            segment.put(parts)
        except (OSError, AttributeError):  # no memory, no descriptor; no memfd on this system
            if segment is not None:
                segment.close()
            return None
        return segment

    def _segment(self, size: int) -> Segment:
        for segment in tuple(self._kept):
            if size <= segment.capacity <= 4 * size:
                with suppress(ValueError):  # another thread was faster
                    self._kept.remove(segment)
                    return segment
        return Segment(next(self._numbers), size)

    def release(self, segment: Segment) -> None:
        """Keep ``segment``, which is no longer read, for the next value, or close it."""
        kept = sum(other.capacity for other in tuple(self._kept))
        if segment.capacity >= MAPPED_BYTES or segment.fd < 0:
            segment.close()
            return
        self._kept.append(segment)
        kept += segment.capacity
        with suppress(IndexError):
            while kept > _KEPT_BYTES:
                oldest = self._kept.pop(0)
                kept -= oldest.capacity
                oldest.close()

    def close(self) -> None:
        """Close the segments that are kept."""
        with suppress(IndexError):
            while self._kept:
                self._kept.pop().close()


def _descriptors_for_segments() -> int:
    """How many descriptors of this process may be open when one more is taken for a segment.

    A new descriptor is the lowest that is free, so that its number tells how many are open.
    """
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2


def aligned(position: int) -> int:
    return -(-position // ALIGNMENT) * ALIGNMENT


def _write(fd: int, data: Any, position: int) -> None:
    view = memoryview(data).cast("B")
    while view.nbytes:
        written = os.pwrite(fd, view, position)
        position += written
        view = view[written:]
