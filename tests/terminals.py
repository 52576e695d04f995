# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Commands in a real terminal: a pseudo-terminal, and what a terminal makes of what is written."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pyte

PATIENCE_SECONDS = 40.0


class Terminal:
    """A terminal with a command in it."""

    def __init__(self, pid: int, fd: int, columns: int, rows: int) -> None:
        self.pid = pid
        self.written = b""
        self.code: int | None = None
        self._fd = fd
        self._screen = pyte.Screen(columns, rows)
        self._stream = pyte.ByteStream(self._screen)

    @property
    def shown(self) -> str:
        """What the terminal shows now."""
        return "\n".join(line.rstrip() for line in self._screen.display)

    def colours_of(self, text: str) -> set[str]:
        """The colours in which ``text`` is shown, where it is shown first."""
        for number, line in enumerate(self._screen.display):
            if (column := line.find(text)) >= 0:
                cells = self._screen.buffer[number]
                return {cells[column + offset].fg for offset in range(len(text))}
        raise AssertionError(f"{text!r} is not shown:\n{self.shown}")

    def until(self, pattern: str) -> str:
        """Wait until ``pattern`` is shown; what is shown then."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while re.search(pattern, self.shown, re.MULTILINE) is None:
            assert time.monotonic() < deadline, f"{pattern!r} was not shown:\n{self.shown}"
            assert self._read(), f"the command ended, and did not show {pattern!r}:\n{self.shown}"
        return self.shown

    def type(self, keys: str) -> None:
        """Press ``keys``."""
        os.write(self._fd, keys.encode())

    def resize(self, columns: int, rows: int) -> None:
        """Make the terminal another size, as a person does with its window."""
        self._screen.resize(rows, columns)
        fcntl.ioctl(self._fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def wait(self) -> int:
        """The exit code; negative for a signal."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while self._read():
            assert time.monotonic() < deadline, f"the command did not end:\n{self.shown}"
        _, status = os.waitpid(self.pid, 0)
        self.code = os.waitstatus_to_exitcode(status)
        return self.code

    def _read(self) -> bool:
        """Take what was written; whether there may be more."""
        if not select.select([self._fd], [], [], 0.05)[0]:
            return True
        try:
            written = os.read(self._fd, 65536)
        except OSError:  # the other end is closed
            return False
        self.written += written
        self._stream.feed(written)
        return bool(written)

    def close(self) -> None:
        """End what is left of the command."""
        if self.code is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self._fd)


@contextmanager
def terminal(
    program: Path, *arguments: str, columns: int = 120, rows: int = 30, **environment: str
) -> Iterator[Terminal]:
    """``program`` in a terminal; it is killed at the end, if it has not ended."""
    variables = {**os.environ, "TERM": "xterm-256color", **environment}
    for name in ("COLUMNS", "LINES"):
        variables.pop(name, None)  # the terminal says how large it is
    pid, fd = pty.fork()
    if pid == 0:
        os.execve(program, [str(program), *arguments], variables)
    shown = Terminal(pid, fd, columns, rows)
    shown.resize(columns, rows)
    try:
        yield shown
    finally:
        shown.close()
