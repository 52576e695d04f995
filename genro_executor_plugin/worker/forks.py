# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""What a forked child of the server or of a worker lets go of: everything that is this package's.

A child that is forked (``os.fork``, ``multiprocessing`` with ``fork``) has a copy of every
descriptor. As long as it lives, nothing that is shown by the end of a process is seen: workers of
a killed server would go on, and the store of long jobs would stay locked. And what it writes into
a worker's socket would be read as the worker's. So whoever holds such a thing registers
``when_forked``, and the child closes its copies before its first own instruction.
"""

from __future__ import annotations

import contextlib
import os
import sys
import traceback
from collections.abc import Callable
from types import CodeType, FrameType
from typing import Any, NoReturn
from weakref import WeakMethod

__all__ = ["CALLED", "end_child", "end_child_of", "ending_children", "is_frame_of", "when_forked"]

_holders: list[WeakMethod[Callable[[], None]]] = []
_is_registered = False


def when_forked(let_go: Callable[[], None]) -> None:
    """Have ``let_go``, a bound method, called in every child that this process forks.

    It is called as long as its object lives, in the only thread of the child. It must take no
    lock, which a thread that the child does not have may hold, and it closes copies only: what
    it does to something that both share (an epoll, a file's lock) is done to the parent's, too.
    """
    global _is_registered
    if not _is_registered:
        _is_registered = True
        os.register_at_fork(after_in_child=_let_go)
    _holders[:] = [holder for holder in _holders if holder() is not None]
    _holders.append(WeakMethod(let_go))


def end_child(error: BaseException | None = None) -> NoReturn:
    """End this process, a forked child that comes back from a handler: the parent answers the call.

    Args:
        error: what the handler has raised in the child; its traceback is printed.
    """
    code = 0
    try:
        if isinstance(error, SystemExit) and isinstance(error.code, int | None):
            code = error.code or 0
        elif error is not None:
            code = 1
            traceback.print_exception(error)
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code & 0xFF)


def end_child_of(pid: int, error: BaseException | None = None) -> None:
    """As ``end_child``, if this process is not ``pid``, which has begun the handler."""
    if os.getpid() != pid:
        end_child(error)


def ending_children(func: Callable[[], Any]) -> Callable[[], Any]:
    """``func``, from which a child that is forked in it does not come back."""

    def called() -> Any:
        pid, error = os.getpid(), None
        try:
            return func()
        except BaseException as raised:
            error = raised
            raise
        finally:
            end_child_of(pid, error)
            error = None  # or this frame and the error would hold each other

    return called


CALLED: CodeType = ending_children(os.getpid).__code__
"""The code of what ``ending_children`` returns."""


def is_frame_of(called: Any, frame: FrameType) -> bool:
    """Whether ``frame``, whose code is ``CALLED``, runs ``called``, an ``ending_children``."""
    cell = called.__closure__[CALLED.co_freevars.index("func")]
    return frame.f_locals["func"] is cell.cell_contents


def _let_go() -> None:
    holders = _holders[:]
    # A child of this child has nothing to close: the numbers belong to other files by then.
    _holders.clear()
    for holder in holders:
        let_go = holder()
        if let_go is not None:
            with contextlib.suppress(OSError):
                let_go()
