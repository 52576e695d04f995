# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""What is different while a worker imports the main module of its program.

A program without ``if __name__ == "__main__":`` gets to the lines that serve in a worker, too.
``MainWatch`` stops it there: at an event loop that is started behind the last function and class
of the module, and at a socket that is bound to an address.
"""

from __future__ import annotations

import logging
import socket
import sys
from collections.abc import Callable
from types import CodeType
from typing import Any

__all__ = ["MainWatch", "one_logger_for_both_names"]


class MainWatch:
    """Calls ``stop`` when the main module with the code ``code`` begins to serve."""

    def __init__(self, code: CodeType, stop: Callable[[], None]) -> None:
        self._code = code
        self._stop = stop
        self._undo: list[Callable[[], None]] = []
        self._last_definition = max(
            (
                part.co_firstlineno
                for part in code.co_consts
                if isinstance(part, CodeType) and not part.co_name.startswith("<")
            ),
            default=0,
        )

    def begin(self) -> None:
        """Watch; ``end`` takes everything back."""
        import asyncio  # a program that has pools has loaded it

        for owner, name in (
            (asyncio.Runner, "run"),
            (asyncio.BaseEventLoop, "run_until_complete"),
            (asyncio.BaseEventLoop, "run_forever"),
        ):
            self._replace(owner, name, self._before_a_loop(getattr(owner, name)))
        self._replace(socket.socket, "bind", self._before_an_address(socket.socket.bind))

    def end(self) -> None:
        """Stop watching."""
        while self._undo:
            self._undo.pop()()

    def _replace(self, owner: Any, name: str, function: Any) -> None:
        before = vars(owner).get(name)
        setattr(owner, name, function)
        if before is None:
            self._undo.append(lambda: delattr(owner, name))
        else:
            self._undo.append(lambda: setattr(owner, name, before))

    def _before_a_loop(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def run(*args: Any, **kwargs: Any) -> Any:
            if not self._more_is_defined():
                self._stop()
            return original(*args, **kwargs)

        return run

    def _before_an_address(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def bind(sock: Any, address: Any) -> Any:
            # Port 0 is how a program looks for a free one.
            if not isinstance(address, tuple) or address[1:2] != (0,):
                self._stop()
            return original(sock, address)

        return bind

    def _more_is_defined(self) -> bool:
        """Whether functions or classes stand behind the line at which the main module is."""
        frame: Any = sys._getframe()
        while frame is not None and frame.f_code is not self._code:
            frame = frame.f_back
        return frame is not None and frame.f_lineno < self._last_definition


def one_logger_for_both_names(name: str, alias: str) -> None:
    """Have ``logging.getLogger(alias)``, and of what is below it, return the logger of ``name``.

    A main module asks for the logger of its ``__name__``, which is another one in a worker.
    """
    manager = logging.Logger.manager
    if "getLogger" in vars(manager):
        return
    by_name = manager.getLogger

    def get_logger(asked: str) -> logging.Logger:
        if asked == alias or str(asked).startswith(f"{alias}."):
            asked = name + asked[len(alias) :]
        return by_name(asked)

    manager.getLogger = get_logger  # type: ignore[method-assign,assignment] # of this manager alone
