# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Reads a value out of a segment (``segments.py``), in the process that was given the segment."""

from __future__ import annotations

import fcntl
import io
import mmap
import os
import pickle
import struct
from collections.abc import Sequence
from typing import Any

from .segments import MAPPED_BYTES, aligned

__all__ = ["loads_in_pieces", "read_value"]

_READ_BYTES = 64 * 1024
"""A longer stream is read piece by piece, by the unpickler itself."""


class _Region(io.RawIOBase):
    """The stream in a segment as a file; reading does not hold the GIL."""

    def __init__(self, fd: int, length: int) -> None:
        self._fd = fd
        self._left = length
        self._position = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")[: self._left]
        count = os.preadv(self._fd, [view], self._position) if view.nbytes else 0
        self._position += count
        self._left -= count
        return count


class _Pieces(io.RawIOBase):
    """Bytes in memory as a file that is read by Python code, so that other threads get turns."""

    def __init__(self, data: bytes | memoryview) -> None:
        self._left = memoryview(data)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        piece = self._left[: view.nbytes]
        view[: piece.nbytes] = piece
        self._left = self._left[piece.nbytes :]
        return piece.nbytes


def loads_in_pieces(packed: bytes | memoryview) -> Any:
    """The value in ``packed``, rebuilt without holding the GIL all the time if it is large.

    Raises:
        Exception: whatever its unpickling raises.
    """
    if len(packed) <= _READ_BYTES:
        return pickle.loads(packed)
    return pickle.Unpickler(io.BufferedReader(_Pieces(packed), _READ_BYTES)).load()


def read_value(fd: int, layout: bytes | memoryview) -> Any:
    """The value in the segment ``fd``, which is closed. Its memory is the receiver's own.

    Raises:
        Exception: whatever its unpickling raises.
    """
    try:
        length, *sizes = struct.unpack(f"<{len(layout) // 8}q", layout)
        total = length + sum(map(abs, sizes))
        buffers = _mapped(fd, length, sizes) if total >= MAPPED_BYTES else None
        if buffers is None:
            buffers = _copied(fd, length, sizes)
        if length <= _READ_BYTES:
            return pickle.loads(_read_bytes(fd, 0, length), buffers=buffers)
        stream = io.BufferedReader(_Region(fd, length), _READ_BYTES)
        return pickle.Unpickler(stream, buffers=buffers).load()
    finally:
        os.close(fd)


def _mapped(fd: int, length: int, sizes: Sequence[int]) -> list[Any] | None:
    if not sizes or not _keeps_its_size(fd):
        return None
    if os.fstat(fd).st_size < _end(length, sizes):
        raise EOFError("the shared memory holds less than was said")
    # Copied page by page as it is written to: the sender may have to send the call again.
    pages = memoryview(mmap.mmap(fd, 0, access=mmap.ACCESS_COPY))
    return [pages[start : start + abs(size)] for start, size in _positions(length, sizes)]


def _keeps_its_size(fd: int) -> bool:
    """Whether nobody can cut off pages of ``fd``: it is sealed, as every segment is."""
    return bool(fcntl.fcntl(fd, fcntl.F_GET_SEALS) & fcntl.F_SEAL_SHRINK)


def _end(length: int, sizes: Sequence[int]) -> int:
    start, size = _positions(length, sizes)[-1]
    return start + abs(size)


def _copied(fd: int, length: int, sizes: Sequence[int]) -> list[Any]:
    buffers: list[Any] = []
    for start, size in _positions(length, sizes):
        if size < 0:
            buffers.append(_read_bytes(fd, start, -size))
            continue
        target = bytearray(size)
        view = memoryview(target)
        while view.nbytes:
            count = os.preadv(fd, [view], start)
            if not count:
                raise EOFError("the shared memory holds less than was said")
            start += count
            view = view[count:]
        buffers.append(target)
    return buffers


def _read_bytes(fd: int, start: int, size: int) -> bytes:
    pieces = []
    while size:
        pieces.append(os.pread(fd, size, start))
        if not pieces[-1]:
            raise EOFError("the shared memory holds less than was said")
        start += len(pieces[-1])
        size -= len(pieces[-1])
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _positions(length: int, sizes: Sequence[int]) -> list[tuple[int, int]]:
    positions = []
    position = length
    for size in sizes:
        position = aligned(position)
        positions.append((position, size))
        position += abs(size)
    return positions
