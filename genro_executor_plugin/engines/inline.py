# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Calls in the server's process, under the rules of a pool: for debugging and for tests.

::

    pack   the function and its arguments are pickled, and the arguments unpickled again
    run    on a thread of the pool, as thread.py does it: breakpoints and patches work
           the result is pickled and unpickled on its way back

``self`` of a bypassed handler has placeholders for what no worker would have, and time limits are
off while a debugger is attached.

With ``bypass="fast"`` nothing is pickled.
"""

from __future__ import annotations

import functools
import inspect
import pickle
from collections.abc import Callable
from types import MethodType
from typing import Any

from ..errors import SerializationError
from ..options.pool import PoolOptions
from ..portable.hooks import pack_hooks
from ..portable.packing import CallPacker
from ..portable.pickling import why
from ..portable.references import describe
from ..portable.results import pack_result
from ..portable.state.checked_self import CheckedSelf
from ..portable.state.declared import is_routing
from ..portable.state.format import ReplicaHereError
from .base import Pool
from .call import Call
from .thread import ThreadEngine

__all__ = ["InlineEngine"]


class InlineEngine(ThreadEngine):
    """Runs calls on threads of the server's process, and asks of them what a worker would ask."""

    name = "inline"

    def __init__(self, pool: Pool, options: PoolOptions, *, bypassed: bool | str = False) -> None:
        super().__init__(pool, options)
        self._bypassed = bypassed
        self.minds_debuggers: bool = bool(bypassed)
        self._checks = (bypassed or options.bypass) != "fast"
        self._packer = CallPacker(context=options.context)
        if self._checks:
            pack_hooks(pool.name, options)

    @property
    def mode(self) -> str:
        return "bypass" if self._bypassed else ""

    def pack(self, call: Call) -> None:
        if not self._checks:
            return
        packed = self._packer.pack(call.func, call.args, call.kwargs)
        if self._bypassed:
            self._give_checked_self(call)
        try:
            call.args, call.kwargs = packed.reread_arguments()
        except ReplicaHereError:
            return  # an application among the arguments is itself here, and no replica
        except BaseException as error:  # as in a worker, where it would not end the server
            raise SerializationError(
                f"the arguments of {packed.title} cannot be rebuilt in a worker: {why(error)}. "
                "Their classes must import and unpickle there"
            ) from error

    def _give_checked_self(self, call: Call) -> None:
        """Have a handler of an application or section find what it would find in a worker."""
        func: Any = call.func
        if type(func) is not MethodType or not is_routing(func.__self__):
            return
        checked = CheckedSelf(func.__self__, self._packer.placeholders_of(func.__self__))
        bound = checked.calling(func.__func__)
        if inspect.iscoroutinefunction(func):

            @functools.wraps(func)
            async def awaited(*args: Any, **kwargs: Any) -> Any:
                try:
                    return await bound(*args, **kwargs)
                finally:
                    checked.give_back()

            call.func = awaited
            return

        @functools.wraps(func)
        def called(*args: Any, **kwargs: Any) -> Any:
            try:
                return bound(*args, **kwargs)
            finally:
                checked.give_back()

        call.func = called

    def _through(self, call: Call) -> Callable[[Any], Any] | None:
        return functools.partial(_there_and_back, describe(call.func)) if self._checks else None


def _there_and_back(title: str, result: Any) -> Any:
    """``result`` as it would come back from a worker."""
    try:
        return pickle.loads(pack_result(result, title))
    except SerializationError:
        raise
    except BaseException as error:
        raise SerializationError(
            f"the result of {title} cannot be rebuilt in the server: {why(error)}. "
            "Return plain data"
        ) from error
