# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The template process: imports once, forks workers, and tells the server how they ended.

One single-threaded process per pool. It runs no calls, so it is always there to reap and to
kill; the server is never forked. When the server dies, the template's control socket closes,
and the template ends its workers, all that they have started, and itself. It imports what every
forked worker needs, and little else: what it has, every one of them has.
"""

from __future__ import annotations

import atexit
import contextlib
import errno
import gc
import io
import json
import os
import select
import signal
import socket
import struct
import sys
import traceback
from collections.abc import Callable
from time import monotonic
from typing import Any

from .before_fork import Imported
from .groups import GRACE_SECONDS, Leftovers, allow_subreapers, lead_a_group

__all__ = [
    "ALIVE",
    "EVENT",
    "EXITED",
    "FORK",
    "FOUND",
    "KILL",
    "NOT_STARTED",
    "PING",
    "REQUEST",
    "SPAWN",
    "STARTED",
    "main",
]

REQUEST = struct.Struct("<BII")
"""Server to template: what, which worker, a signal number (``KILL``)."""

EVENT = struct.Struct("<BIiQ")
"""Template to server: what, which worker, pid, wait status or errno, peak memory in bytes."""

_LENGTH = struct.Struct("<I")
"""Ahead of the first thing that the server sends, which is as long as it says."""

FORK, SPAWN, KILL, PING = 1, 2, 3, 4
STARTED, EXITED, NOT_STARTED, FOUND, ALIVE = 1, 2, 3, 4, 5
"""``FOUND`` is followed by a text, whose length in bytes is in the place of the pid: what modules
have made at their import that forked workers must not share."""

_NEEDED_SIGNALS = (signal.SIGCHLD, signal.SIGALRM, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)

_KILL_SECONDS = 1.0
"""How long the end of what was killed is waited for: native code may not be interruptible."""

_LOOK_MILLISECONDS = 50
"""How often the template looks, at its end, for what is left."""

_DESCRIPTORS = 4
"""A worker's socket, its lifeline, its claims and its handover."""

_SPAWN_CODE = (
    "import sys; sys.path[:] = sys.argv[5:]; "
    "from genro_executor_plugin.engines.process.child import run_worker; "
    "run_worker(*map(int, sys.argv[1:5]))"
)

_ANEW_CODE = (
    "import sys; sys.path[:] = sys.argv[3:]; "
    "from genro_executor_plugin.engines.process.template import main; "
    "main(*map(int, sys.argv[1:3]))"
)


def main(control_fd: int, settings_fd: int = -1) -> None:
    """Serve requests from ``control_fd`` until the server closes its end.

    Args:
        control_fd: the socket to the server, which sends first where modules come from.
        settings_fd: a file with what the server has sent first, in a template that starts anew.
    """
    _drop_interrupts()
    _unblock_signals()
    os.set_inheritable(control_fd, False)
    control = socket.socket(fileno=control_fd)
    settings = _read_settings(control if settings_fd < 0 else os.fdopen(settings_fd, "rb"))
    if settings is None:
        return
    imported = Imported()

    def run() -> None:
        imported.look(in_loop=True)  # the main module may not have come to its end
        if imported.found and settings["forks"]:
            text = "\n".join(dict.fromkeys(imported.found)).encode()
            control.sendall(EVENT.pack(FOUND, 0, len(text), 0) + text)
            _start_anew(control_fd, settings)
        if settings["forks"]:
            from . import child  # noqa: F401 - once here, and not once more in every worker
        _unblock_signals()  # a module may have blocked some, for threads of its own
        gc.collect()
        gc.freeze()
        _Template(control, settings["forks"]).run()

    _preload(settings, imported, run)
    run()


def _read_settings(source: socket.socket | io.BufferedReader) -> dict[str, Any] | None:
    """The ``ModuleSources`` fields, the modules to import (``preload``) and whether to fork.

    ``None`` if the server is gone.
    """
    read = source.read if isinstance(source, io.BufferedReader) else source.recv
    with contextlib.suppress(ConnectionError, EOFError):
        (length,) = _LENGTH.unpack(_read_exactly(read, _LENGTH.size))
        settings: dict[str, Any] = json.loads(_read_exactly(read, length))
        return settings
    return None


def _read_exactly(read: Callable[[int], bytes], length: int) -> bytes:
    data = bytearray()
    while len(data) < length:
        piece = read(length - len(data))
        if not piece:
            raise EOFError
        data += piece
    return bytes(data)


def _start_anew(control_fd: int, settings: dict[str, Any]) -> None:
    """Become a template that imports no modules, and starts workers as new interpreters.

    So it keeps neither the connections nor the threads of the modules, nor their memory.
    """
    import tempfile  # no other template needs it

    atexit._run_exitfuncs()  # what the modules have made, a temporary folder say, ends now
    content = json.dumps({**settings, "forks": False, "preload": []}).encode("ascii")
    with tempfile.TemporaryFile() as file:
        file.write(_LENGTH.pack(len(content)) + content)
        file.seek(0)
        for fd in (control_fd, file.fileno()):
            os.set_inheritable(fd, True)
        flags = sys.orig_argv[1 : sys.orig_argv.index("-c")]
        arguments = ["-c", _ANEW_CODE, str(control_fd), str(file.fileno()), *settings["path"]]
        os.execv(sys.executable, [sys.executable, *flags, *arguments])


def _drop_interrupts() -> None:
    """Drop a Ctrl-C for the server that came while this process was started."""
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    signal.signal(signal.SIGINT, handler)


def _unblock_signals() -> None:
    """Let every signal through, and do not ignore those that workers and their children need.

    The server's thread that starts a pool may block or ignore signals for reasons of its own. With
    them a soft limit would never act, the end of a worker would not be noticed, and a program that
    a handler starts could not be asked to end.
    """
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    for number in _NEEDED_SIGNALS:
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)


def _preload(settings: dict[str, Any], imported: Imported, then: Callable[[], None]) -> None:
    """Import modules first. The main module is the last: it may end in ``then`` and not return."""
    from ...portable.lazy_imports import load_lazy_imports
    from ...portable.main_module import continue_with
    from ...portable.modules import ModuleSources, install, load

    sources = {name: settings[name] for name in settings if name not in ("preload", "forks")}
    install(ModuleSources(**sources))
    before = frozenset(sys.modules)

    def load_the_rest() -> None:
        for reason in load_lazy_imports(before):
            sys.stderr.write(f"genro-executor: not preloaded: {reason}\n")

    def go_on() -> None:
        load_the_rest()
        imported.look()
        then()

    continue_with(lambda: go_on)
    for name in sorted(settings["preload"], key="__main__".__eq__):
        imported.begins(name)
        try:
            load(name)
            load_the_rest()
        except BaseException:
            sys.stderr.write(f"genro-executor: cannot preload {name!r}\n{traceback.format_exc()}")
        imported.look()


class _Template:
    def __init__(self, control: socket.socket, forks: bool) -> None:
        self._control = control
        self._forks = forks
        self._workers: dict[int, int] = {}
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_read, False)
        os.set_blocking(self._wake_write, False)
        self._become_subreaper = allow_subreapers()
        self._leftovers = Leftovers(self._workers.keys(), self._become_subreaper())

    def run(self) -> None:
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)
        poll = select.poll()
        poll.register(self._control, select.POLLIN)
        poll.register(self._wake_read, select.POLLIN)
        try:
            while True:
                for fd, _ in poll.poll(self._leftovers.milliseconds()):
                    if fd == self._wake_read:
                        with contextlib.suppress(BlockingIOError):
                            os.read(self._wake_read, 4096)
                    elif not self._serve_request():
                        return
                self._reap()
        finally:
            self._end_all()

    def _end_all(self) -> None:
        """Kill the workers, and end what they have started; both are waited for."""
        deadline = monotonic() + GRACE_SECONDS + _KILL_SECONDS
        for pid in self._workers:
            os.kill(pid, signal.SIGKILL)
        poll = select.poll()
        poll.register(self._wake_read, select.POLLIN)
        self._reap()
        while (self._workers or self._leftovers.any) and monotonic() < deadline:
            if poll.poll(_LOOK_MILLISECONDS):
                with contextlib.suppress(BlockingIOError):
                    os.read(self._wake_read, 4096)
            self._reap()

    def _serve_request(self) -> bool:
        """Serve one request; ``False`` when the server is gone."""
        try:
            data, fds, _, _ = socket.recv_fds(self._control, REQUEST.size, _DESCRIPTORS)
        except ConnectionError:
            return False
        if len(data) < REQUEST.size:
            return False
        what, key, number = REQUEST.unpack(data)
        if what == KILL:
            for pid, worker in self._workers.items():
                if worker == key:
                    os.kill(pid, number)
            return True
        if what == PING:
            self._tell(ALIVE, 0, 0)
            return True
        try:
            if len(fds) < _DESCRIPTORS:  # the kernel drops those for which there is no room
                raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
            pid = os.fork()
        except OSError as error:
            self._tell(NOT_STARTED, key, error.errno or 0)
        else:
            if pid == 0:
                self._become_worker(what, *fds)
            self._workers[pid] = key
            self._tell(STARTED, key, pid)
        for fd in fds:
            os.close(fd)
        return True

    def _become_worker(self, what: int, *descriptors: int) -> None:
        code = 1
        try:
            lead_a_group()
            self._become_subreaper()
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            self._control.close()
            os.close(self._wake_read)
            os.close(self._wake_write)
            if what == SPAWN or not self._forks:
                for descriptor in descriptors:
                    os.set_inheritable(descriptor, True)
                flags = sys.orig_argv[1 : sys.orig_argv.index("-c")]
                arguments = ["-c", _SPAWN_CODE, *map(str, descriptors), *sys.path]
                os.execv(sys.executable, [sys.executable, *flags, *arguments])
            from ...worker.ending import leave_inherited_hooks
            from .child import run_worker

            leave_inherited_hooks()
            run_worker(*descriptors)
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            with contextlib.suppress(Exception):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(code)

    def _reap(self) -> None:
        """Take in what has ended: workers, and what workers have left behind."""
        with contextlib.suppress(ChildProcessError):
            while True:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
                if pid == 0:
                    break
                self._leftovers.reaped(pid)
                key = self._workers.pop(pid, None)
                if key is not None:
                    self._leftovers.worker_ended(pid)
                    self._tell(EXITED, key, status, usage.ru_maxrss * 1024)
        self._leftovers.look()

    def _tell(self, what: int, key: int, number: int, memory: int = 0) -> None:
        with contextlib.suppress(ConnectionError):
            self._control.sendall(EVENT.pack(what, key, number, memory))
