# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Breakpoints in a worker: a call that reaches one waits until somebody attaches a debugger.

``breakpoint()`` calls what PYTHONBREAKPOINT says, and without it ``pdb.set_trace``. A worker has
no terminal, so that ``pdb`` is changed here in the one place that would ask for one; other
debuggers, and ``Pdb`` objects with a stream of their own, are left alone. The server is told what
happens, because it logs it and has the limits of the call wait. What waits and reads is in
``debugger``, which is imported with the first breakpoint.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from importlib.machinery import ModuleSpec
from types import FrameType, ModuleType
from typing import TYPE_CHECKING, Any

from .breakpoint_words import BREAKPOINT, PASSED
from .forks import when_forked
from .running import current

if TYPE_CHECKING:
    from .debugger import Session

__all__ = ["Breakpoints"]

_WAIT_VARIABLE = "GENRO_EXECUTOR_BREAKPOINT_SECONDS"
_WAIT_SECONDS = 60.0
"""How long a call waits at a breakpoint for somebody to attach, where the variable is not set."""


class Breakpoints:
    """Takes in every breakpoint of this worker; one call at a time is in the debugger."""

    def __init__(self) -> None:
        self._session: Session | None = None
        self._passed = 0
        self._is_forked = False
        when_forked(self.let_go)
        if (loaded := sys.modules.get("pdb")) is not None:
            self._take_over(loaded)
        else:
            sys.meta_path.insert(0, _Pdb(self))

    def let_go(self) -> None:
        """Pass breakpoints in a forked child of a handler: its parent answers the call."""
        self._is_forked = True

    def _take_over(self, pdb: Any) -> None:
        """Have ``set_trace`` of a ``Pdb`` that would read standard input come here."""
        plain = pdb.Pdb.set_trace

        def set_trace(
            debugger: Any, frame: FrameType | None = None, *more: Any, **named: Any
        ) -> None:
            if type(debugger) is pdb.Pdb and debugger.use_rawinput:
                self._reached(frame or sys._getframe(1))
            else:
                plain(debugger, frame or sys._getframe(1), *more, **named)

        pdb.Pdb.set_trace = set_trace

    def _reached(self, frame: FrameType) -> None:
        call = current()
        if call is None or self._is_forked:
            return
        place = f"{frame.f_code.co_filename}:{frame.f_lineno}"
        session = self._session
        if session is not None:
            if not session.stops_at(frame):
                call.send(BREAKPOINT, (PASSED, place, "another call of its worker is held at one"))
            return
        if call.number == self._passed:
            return  # nobody came, or who came has left: it is as if there were no breakpoint
        from . import debugger

        self._session = session = debugger.Session(call, place, self._session_ends)
        if not session.attached_within(_wait_seconds()):
            return
        # The frame of this function and those above it are no place to stop.
        session.stops_at(frame)

    def _session_ends(self, number: int) -> None:
        self._session = None
        self._passed = number


class _Pdb:
    """A finder that has ``pdb`` taken over as soon as it has been imported."""

    def __init__(self, breakpoints: Breakpoints) -> None:
        self._breakpoints = breakpoints

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        if name != "pdb":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def exec_module(module: ModuleType) -> None:
                execute(module)
                self._breakpoints._take_over(module)

            spec.loader.exec_module = exec_module  # type: ignore[method-assign] # of this one
        return spec


def _wait_seconds() -> float:
    try:
        return float(os.environ.get(_WAIT_VARIABLE, _WAIT_SECONDS))
    except ValueError:
        return _WAIT_SECONDS
