# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The live view: draws the last snapshot while a thread fetches the next one.

However the view ends, the terminal is restored to its former state.
"""

from __future__ import annotations

import curses
import locale
import os
import queue
import signal
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from types import FrameType
from typing import Any

from .lines import Cell, Line
from .orders import ORDERS
from .source import SnapshotSource, SourceError
from .view import view

__all__ = ["TerminalError", "show"]

_KEYS_SECONDS = 0.1
"""How long the view waits for a key before it looks for an answer."""

_HELP = (
    "  q quits   p pauses   s where calls are   j long jobs   space asks now   sort by: "
    + " ".join(f"{key} {order}" for key, order in ORDERS.items())
)

_COLOURS = {"red": curses.COLOR_RED, "green": curses.COLOR_GREEN, "yellow": curses.COLOR_YELLOW}


class TerminalError(Exception):
    """This terminal cannot show a live view. The message says why."""


def show(
    source: SnapshotSource, first: dict[str, Any], interval: float, order: str | None = None
) -> None:
    """Show ``first`` and then what ``source`` says every ``interval`` seconds, until ``q``.

    Stacks and jobs are asked for again and again if ``first`` has them.

    Raises:
        TerminalError: the terminal cannot do it.
    """
    locale.setlocale(locale.LC_ALL, "")  # curses encodes text for the locale of the terminal
    before = signal.signal(signal.SIGTERM, _end)
    try:
        curses.set_escdelay(25)
        curses.wrapper(_Screen(source, first, interval, order).run)
    except curses.error as error:
        raise TerminalError(
            f"the terminal {os.environ.get('TERM', '')!r} cannot show a live view ({error}); "
            "use --once"
        ) from error
    except KeyboardInterrupt:
        pass  # Ctrl-C ends the view as q does
    finally:
        signal.signal(signal.SIGTERM, before)


def _end(_number: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + signal.SIGTERM)


class _Asking(threading.Thread):
    """Fetches snapshots on a thread of its own, so that a hanging server does not block the keys.

    It is a daemon thread: when the view ends, the answer that it may still wait for is not needed.
    """

    def __init__(self, source: SnapshotSource, interval: float) -> None:
        super().__init__(name="top-asking", daemon=True)
        self.answers: queue.SimpleQueue[dict[str, Any] | SourceError] = queue.SimpleQueue()
        self.now = threading.Event()
        self.running = threading.Event()
        self.running.set()
        self.stacks = threading.Event()
        self.jobs = threading.Event()
        self._source = source
        self._interval = interval

    def run(self) -> None:
        while True:
            self.now.wait(self._interval)
            self.running.wait()
            self.now.clear()
            try:
                stacks, jobs = self.stacks.is_set(), self.jobs.is_set()
                self.answers.put(self._source.fetch(stacks=stacks, jobs=jobs))
            except SourceError as error:
                self.answers.put(error)


class _Screen:
    """The screen, and the state that it is drawn from."""

    def __init__(
        self, source: SnapshotSource, first: dict[str, Any], interval: float, order: str | None
    ) -> None:
        self._source = source
        self._order = order
        self._asking = _Asking(source, interval)
        self._snapshot = first
        if "stacks" in first:
            self._asking.stacks.set()
        if "jobs" in first:
            self._asking.jobs.set()
        self._before: Mapping[str, Any] | None = None
        self._answered_at = time.monotonic()
        self._error: SourceError | None = None
        self._styles: dict[str, int] = {}

    def run(self, window: curses.window) -> None:
        self._styles = _styles()
        window.timeout(round(_KEYS_SECONDS * 1000))
        self._asking.start()
        drawn: object = None
        while True:
            self._take_answers()
            state = self._state(window)
            if state != drawn:
                self._draw(window)
                drawn = state
            if not self._key(window.getch()):
                return

    def _key(self, key: int) -> bool:
        """Do what ``key`` says; return whether the view goes on."""
        if key in (ord("q"), ord("Q"), 27):
            return False
        if key == ord(" "):
            self._asking.now.set()
        elif key in (ord("s"), ord("S"), ord("j"), ord("J")):
            asked = self._asking.stacks if key in (ord("s"), ord("S")) else self._asking.jobs
            asked.clear() if asked.is_set() else asked.set()
            self._asking.now.set()
        elif 0 <= key < 128 and chr(key).lower() in ORDERS:
            order = ORDERS[chr(key).lower()]
            self._order = None if order == self._order else order  # the same key takes it back
        elif key in (ord("p"), ord("P")):
            running = self._asking.running
            if running.is_set():
                running.clear()
            else:
                self._asking.now.set()
                running.set()
        return True

    def _take_answers(self) -> None:
        while not self._asking.answers.empty():
            answer = self._asking.answers.get()
            if isinstance(answer, SourceError):
                self._error = answer
                continue
            self._before, self._snapshot = self._snapshot, answer
            self._answered_at, self._error = time.monotonic(), None

    def _state(self, window: curses.window) -> tuple[object, ...]:
        """Everything that a drawing depends on; the same state is not drawn twice."""
        waited = int(time.monotonic() - self._answered_at) if self._error is not None else 0
        paused = not self._asking.running.is_set()
        return id(self._snapshot), self._error, waited, paused, self._order, window.getmaxyx()

    def _draw(self, window: curses.window) -> None:
        height, width = window.getmaxyx()
        lines = view(
            self._snapshot,
            self._source.url,
            before=self._before,
            height=height - 1,
            order=self._order,
        )
        window.erase()
        for number, line in enumerate([*lines[: height - 1], self._footer()]):
            row = height - 1 if number == len(lines[: height - 1]) else number
            self._write(window, row, line, width - 1)
        window.refresh()

    def _footer(self) -> Line:
        if self._error is not None:
            waited = time.monotonic() - self._answered_at
            return [Cell(f"  no answer for {waited:.0f} s: {self._error}", "red")]
        if not self._asking.running.is_set():
            return [Cell("  paused; p goes on", "yellow")]
        if self._order is not None:
            return [Cell(f"  by {self._order} ", "bold"), Cell(_HELP, "dim")]
        return [Cell(_HELP, "dim")]

    def _write(self, window: curses.window, row: int, line: Line, width: int) -> None:
        column = 0
        for cell in line:
            if column >= width:
                return
            window.addnstr(row, column, cell.text, width - column, self._styles.get(cell.style, 0))
            column += len(cell.text)


def _styles() -> dict[str, int]:
    styles = {"bold": curses.A_BOLD, "dim": curses.A_DIM}
    with suppress(curses.error):  # some terminals cannot hide the cursor
        curses.curs_set(0)
    if not curses.has_colors():
        return styles
    curses.use_default_colors()  # without this curses draws white on black
    if not os.environ.get("NO_COLOR"):
        for number, (name, colour) in enumerate(_COLOURS.items(), start=1):
            curses.init_pair(number, colour, -1)
            styles[name] = curses.color_pair(number)
    return styles
