# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""``pdb`` for one call of a worker, over a Unix socket to ``genro-executor debug``.

The socket lies in a folder that only the worker's user can enter. Whoever can connect to it can
run any code in the worker, as that user; it never listens on a network.

Everything that waits here does so in slices: a call that is told to end while it is held must get
to an instruction of Python, where that reaches it.
"""

from __future__ import annotations

import os
import pdb
import select
import socket
import stat
import struct
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from time import monotonic
from types import FrameType
from typing import Any

from .breakpoint_words import ATTACHED, BREAKPOINT, ENDED, GOES_ON, HELD, PASSED, WAITS
from .running import HELD_TIME, RunningCall

__all__ = ["Session", "folder_of", "socket_of"]

_SLICE_SECONDS = 0.25
_SEND_SECONDS = 30.0
"""How long a debugger's terminal may take nothing, before it counts as gone."""

_OURS = ["genro_executor_plugin", "genro_executor_plugin.*", "asyncio", "asyncio.*"]
"""Modules in which stepping does not stop: what is behind the end of the handler is none of it."""


def folder_of(uid: int) -> Path:
    """The folder of the sockets of the user ``uid``. Not below $TMPDIR, which a shell may not
    have as the server has it."""
    return Path(f"/tmp/genro-executor-plugin-{uid}")


def socket_of(folder: Path, pid: int) -> Path:
    """Where the worker ``pid`` waits for a debugger."""
    return folder / f"{pid}.sock"


class Session:
    """One call in the debugger: from its first breakpoint to its end, or until nobody is there."""

    def __init__(self, call: RunningCall, place: str, ends: Callable[[int], None]) -> None:
        self._call = call
        self._place = place
        self._ends = ends
        self._thread = threading.get_ident()
        self._stream: _Stream | None = None
        self._debugger: _Debugger | None = None
        self._is_held = self._is_over = False

    def attached_within(self, seconds: float) -> bool:
        """Whether somebody attaches within ``seconds``; if not, the session is over."""
        try:
            with _Listening() as listener:
                self._hold(WAITS, seconds)
                self._stream = _accepted(listener, seconds)
        except OSError as error:
            self._end(PASSED, f"nobody can attach: {error}")
            return False
        except BaseException:
            self._end(ENDED)  # the call was told to end
            raise
        if self._stream is None:
            self._end(PASSED, f"nobody has attached within {seconds:g} s")
            return False
        self._call.at_end = self._call_ends
        self._debugger = _Debugger(self, self._stream)
        self._tell(ATTACHED)
        return True

    def stops_at(self, frame: FrameType) -> bool:
        """Stop at the next line of ``frame``; ``False`` if that is not of this session's thread."""
        if self._debugger is None or threading.get_ident() != self._thread:
            return False
        self._debugger.set_trace(frame)
        return True

    def held(self) -> None:
        """Have the limits of the call wait: there is a prompt."""
        if not self._is_held and not self._is_over:
            self._hold(HELD)

    def goes_on(self) -> None:
        """Have the limits of the call count again: it runs on."""
        if self._is_held:
            self._release()
            self._tell(GOES_ON)

    def leave(self) -> None:
        """Have the call go on without a debugger."""
        self._end(ENDED)

    def _call_ends(self) -> None:
        if threading.get_ident() == self._thread:
            sys.settrace(None)
            frame: FrameType | None = sys._getframe()
            while frame is not None:
                frame.f_trace = None
                frame = frame.f_back
        self._end(ENDED)

    def _end(self, word: str, why: str = "") -> None:
        if self._is_over:
            return
        self._is_over = True
        if self._is_held:
            self._release()
        self._call.at_end = None
        if self._stream is not None:
            self._stream.close()
        self._ends(self._call.number)
        self._tell(word, why)

    def _hold(self, word: str, detail: float = 0.0) -> None:
        self._is_held = True
        HELD_TIME.begin()
        self._tell(word, detail)

    def _release(self) -> None:
        self._is_held = False
        HELD_TIME.end()

    def _tell(self, word: str, detail: str | float = "") -> None:
        with suppress(OSError):  # the server is gone, and this process with it
            self._call.send(BREAKPOINT, (word, self._place, detail))


class _Debugger(pdb.Pdb):
    """``pdb`` that tells its session when there is a prompt, and when the call runs on."""

    def __init__(self, session: Session, stream: Any) -> None:
        super().__init__(stdin=stream, stdout=stream, skip=_OURS, nosigint=True)
        self._session = session

    def set_trace(self, *args: Any, **named: Any) -> None:
        """Stop at the next line.

        From Python 3.14 on, a ``breakpoint()`` goes to the debugger that was the last to do so;
        this one is of one session, and each breakpoint has to come to ``Breakpoints``.
        """
        super().set_trace(*args, **named)
        if hasattr(pdb.Pdb, "_last_pdb_instance"):
            pdb.Pdb._last_pdb_instance = None

    def interaction(self, *args: Any, **named: Any) -> None:
        """Show the prompt."""
        self._session.held()
        super().interaction(*args, **named)

    def set_continue(self) -> None:
        """Run on to the next breakpoint."""
        super().set_continue()
        self._session.goes_on()

    def set_quit(self) -> None:
        """End the call with ``bdb.BdbQuit``."""
        super().set_quit()
        self._session.leave()

    def do_EOF(self, arg: str) -> bool:
        """Leave the call alone: it goes on without a debugger."""
        self.clear_all_breaks()
        self.set_continue()
        self._session.leave()
        return True

    do_detach = do_EOF


class _Stream:
    """A connected socket as what ``pdb`` reads lines from and writes text to."""

    encoding, errors = "utf-8", "replace"

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._buffer = b""
        self._poll = select.poll()
        self._poll.register(connection, select.POLLIN)
        connection.settimeout(_SEND_SECONDS)

    def readline(self, size: int = -1) -> str:
        """The next line; empty if the other side is gone."""
        try:
            while b"\n" not in self._buffer:
                if not self._poll.poll(_SLICE_SECONDS * 1000):
                    continue
                if not (data := self._connection.recv(65536)):
                    return ""
                self._buffer += data
        except OSError:
            return ""
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line.decode(self.encoding, self.errors) + "\n"

    def write(self, text: str) -> int:
        """Write ``text``; where the other side is gone, reading tells."""
        with suppress(OSError):
            self._connection.sendall(text.encode(self.encoding, self.errors))
        return len(text)

    def flush(self) -> None:
        """Nothing is kept back."""

    def isatty(self) -> bool:
        return False

    def close(self) -> None:
        """Hang up."""
        with suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)
        # A prompt on another thread may still read: its descriptor must not be another file's.


class _Listening:
    """A socket that waits for a debugger of this process, for as long as the block."""

    def __init__(self) -> None:
        folder = folder_of(os.geteuid())
        with suppress(FileExistsError):
            folder.mkdir(mode=0o700)
        about = folder.lstat()
        alone = about.st_uid == os.geteuid() and not stat.S_IMODE(about.st_mode) & 0o077
        if not stat.S_ISDIR(about.st_mode) or not alone:
            raise PermissionError(f"{folder} is not this user's alone")
        self._path = socket_of(folder, os.getpid())
        self._path.unlink(missing_ok=True)
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(str(self._path))
        self._socket.listen(1)

    def __enter__(self) -> socket.socket:
        return self._socket

    def __exit__(self, *_: object) -> None:
        self._socket.close()
        self._path.unlink(missing_ok=True)


def _accepted(listener: socket.socket, seconds: float) -> _Stream | None:
    """The debugger that connects within ``seconds``; ``None`` if there is none."""
    deadline = monotonic() + seconds
    while (left := deadline - monotonic()) > 0:
        listener.settimeout(min(left, _SLICE_SECONDS))
        try:
            connection, _ = listener.accept()
        except TimeoutError:
            continue
        if _may(connection):
            return _Stream(connection)
        connection.close()
    return None


def _may(connection: socket.socket) -> bool:
    """Whether the other side is this process's user, or root."""
    if not hasattr(socket, "SO_PEERCRED"):
        return True  # the folder has kept others out
    size = struct.calcsize("3i")
    _, uid, _ = struct.unpack(
        "3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
    )
    return uid in (0, os.geteuid())
