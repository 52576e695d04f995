# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""What modules have made at their import that forked workers must not share.

The template imports modules before it forks workers, so that a worker has them at once. Most of
what a module makes is copied by a fork as one would wish. A connection, an open database and a
thread are not: ``Imported`` finds those, so that the template can start workers afresh instead.
It runs in the template, and looks at descriptors and threads only, not into modules.
"""

from __future__ import annotations

import fcntl
import os
import socket
import stat
import sys
import threading
from contextlib import suppress

__all__ = ["Imported"]

_SQLITE = b"SQLite format 3\0"
_CONNECTED_KINDS = (socket.SOCK_STREAM, socket.SOCK_SEQPACKET)


class Imported:
    """Finds what is open and runs in this process since it was made.

    Attributes:
        found: one sentence for each thing that a module has made.
    """

    def __init__(self) -> None:
        self.found: list[str] = []
        self._module = ""
        self._descriptors = _descriptors()
        self._threads = set(sys._current_frames())

    def begins(self, module: str) -> None:
        """What ``look`` finds from now on was made by ``module``, which is imported next."""
        self._module = module

    def look(self, in_loop: bool = False) -> None:
        """Find what has been made since the last time.

        Connections that carry single datagrams are left out: processes may share them.

        Args:
            in_loop: whether this is where the main module calls a pool. An event loop may run
                there then, with a connection to itself; no worker will use it.
        """
        module = self._module
        descriptors = _descriptors()
        for fd in sorted(descriptors - self._descriptors):
            with suppress(OSError):
                self.found += _of_descriptor(module, fd, in_loop)
        names = {thread.ident: thread.name for thread in threading.enumerate()}
        threads = set(sys._current_frames())
        for ident in sorted(threads - self._threads):
            self.found.append(
                f"module {module!r} has started the thread {names.get(ident, ident)!r}, which "
                "would not run in a forked worker; a lock that it holds would never be released "
                "there."
            )
        self._descriptors, self._threads = descriptors, threads


def _descriptors() -> set[int]:
    """The descriptors that are open here."""
    found = set()
    with suppress(OSError):
        for fd in map(int, os.listdir("/dev/fd")):
            with suppress(OSError):  # it was that of the folder
                os.fstat(fd)
                found.add(fd)
    return found


def _of_descriptor(module: str, fd: int, in_loop: bool) -> list[str]:
    mode = os.fstat(fd).st_mode
    if stat.S_ISSOCK(mode):
        with socket.socket(fileno=os.dup(fd)) as sock:
            if sock.type not in _CONNECTED_KINDS:
                return []
            peer = sock.getpeername()  # an OSError if it is not connected
        if not peer and in_loop:
            return []
        return [
            f"module {module!r} has opened a connection ({_shown(peer)}), which forked workers "
            "would share: one would read the answers to another one's requests."
        ]
    # A new descriptor of the file must not be opened: closing it would drop the process's locks.
    writes = fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDWR
    if stat.S_ISREG(mode) and writes and os.pread(fd, len(_SQLITE), 0) == _SQLITE:
        return [
            f"module {module!r} has opened the SQLite database {_path(fd)}, which must not be "
            "carried into a forked process: its locks do not hold there."
        ]
    return []


def _shown(peer: object) -> str:
    if isinstance(peer, tuple):
        return f"to {peer[0]}, port {peer[1]}"
    return f"to {peer}" if peer else "within the process, as that of an event loop"


def _path(fd: int) -> str:
    with suppress(OSError):
        return os.readlink(f"/proc/self/fd/{fd}")
    return f"with the descriptor {fd}"
