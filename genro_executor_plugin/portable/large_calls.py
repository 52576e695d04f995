# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Calls with large arguments: pickled and written on a thread, while the event loop goes on."""

from __future__ import annotations

from asyncio import Future
from collections.abc import Callable
from time import perf_counter
from types import FunctionType
from typing import Any

from ..errors import SerializationError
from .by_type import catch_up_with_modules
from .calls import KnownFunction, PackedCall
from .heaviness import SLOW_SECONDS
from .pickling import dumps, why
from .refusal import refusal_of_call
from .shared_memory.segments import LARGE_BYTES, Segment, Segments, Split, split

__all__ = ["LargeCall"]


class LargeCall:
    """One call. What of it is not pickled by ``take`` must not be changed before it is written."""

    def __init__(
        self,
        func: Callable[..., Any],
        call: tuple[Any, ...],
        function: KnownFunction,
        met: list[Any],
        special: Callable[[Any], Any],
        segments: Segments,
        packed: Callable[[bytes, Segment | None], PackedCall],
    ) -> None:
        """Keep what is to be written.

        Args:
            func: what is called, for messages.
            call: what to pickle: arguments, and the function if it travels by value.
            function: what the packer knows of it; remembers whether its calls are large.
            met: where ``special`` puts applications and sections among the arguments.
            special: the pickler's hook for these.
            segments: where large arguments go.
            packed: makes the packed call of what was written.
        """
        self._func = func
        self._call = call
        self._function = function
        self._met = met
        self._special = special
        self._segments = segments
        self._packed = packed
        self._body = b""
        self._taken = False
        self._segment: Segment | None = None

    def write(self) -> None:
        """Pickle the arguments, and write them where workers read them.

        Raises:
            SerializationError: naming what cannot travel, the reason and the cure.
        """
        if not self._taken:
            catch_up_with_modules()
            self.take()
        if self._segment is not None:
            self._finish(self._segment)

    def take(self) -> None:
        """Pickle the arguments as they are now, and copy those that can be changed.

        Raises:
            SerializationError: naming what cannot travel, the reason and the cure.
        """
        self._taken = True
        began = perf_counter()
        # Pickle would name a function that no worker finds.
        plain = bool(self._function.key) or type(self._call[2]) is not FunctionType
        try:
            parts = split(self._call, self._special, plain=plain)
        except Exception:
            # A container that was changed meanwhile cannot change while this holds the GIL.
            parts = Split.of(self._in_one_piece())
        large = parts.size >= LARGE_BYTES
        self._function.large = large or perf_counter() - began > SLOW_SECONDS
        if large:
            self._segment = self._segments.hold(parts)
        if self._segment is not None:
            self._body = self._segment.layout
        elif parts.buffers:
            self._body = self._in_one_piece()
        else:
            self._body = b"".join(parts.stream)

    def _finish(self, segment: Segment) -> None:
        try:
            segment.finish()
        except OSError as error:
            segment.close()
            raise SerializationError(
                f"the large arguments of {self._function.title} cannot be held in memory: "
                f"{why(error)}"
            ) from error

    def _in_one_piece(self) -> bytes:
        self._met.clear()
        try:
            return dumps(self._call, self._special)
        except Exception as error:
            raise refusal_of_call(self._func, self._call, error, self._special) from error

    def drop(self, written: Future[None]) -> None:
        """Give back what ``write`` has taken, for a call that is not run after all.

        Args:
            written: what ``write`` has returned or raised; nobody else asks it any more.
        """
        if not written.cancelled():
            written.exception()
        if self._segment is not None:
            self._segment.close()

    def packed(self) -> PackedCall:
        """The call, once ``write`` has returned; on the event loop, as it reads ``self``."""
        return self._packed(self._body, self._segment)
