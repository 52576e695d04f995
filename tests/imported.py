# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Programs that begin with the package and its host imported, which is most of what a start costs.

``ImportedProgram`` has what ``programs.RunningProgram`` uses of ``subprocess.Popen``. Its process
is forked from a starter, this file as a program, and is what ``python FILE ARGUMENTS`` would be: a
session of its own, its own ``__main__``, environment and folder, no descriptor but the first three,
and an end of its own. What a start imports, and in what order, is for a real ``Popen``.
"""

from __future__ import annotations

import atexit
import gc
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import Any

_MOST_BYTES = 1 << 20


class ImportedProgram:
    """A program that runs; standard error is in its standard output."""

    def __init__(self, command: list[str], cwd: Path | None, env: dict[str, str]) -> None:
        order = json.dumps({"command": command, "cwd": str(cwd or Path.cwd()), "env": env})
        told, tell = os.pipe()
        output, write = os.pipe()
        try:
            socket.send_fds(_starter(), [order.encode()], [tell, write])
        finally:
            os.close(tell)
            os.close(write)
        self.stdout = os.fdopen(output, "rb", buffering=0)
        self.stderr = None
        self.returncode: int | None = None
        self._told = os.fdopen(told, "rb", buffering=0)
        self.pid = int(self._told.readline())

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def poll(self) -> int | None:
        if self.returncode is None and select.select([self._told], [], [], 0)[0]:
            self._take_status()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        if self.returncode is None:
            if not select.select([self._told], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(str(self.pid), timeout or 0)
            self._take_status()
        assert self.returncode is not None
        return self.returncode

    def communicate(self, timeout: float | None = None) -> tuple[bytes, None]:
        """All that it still writes, once nobody can write any more and it has ended."""
        deadline = time.monotonic() + (86_400 if timeout is None else timeout)
        pieces = []
        while not self.stdout.closed:
            left = max(0.0, deadline - time.monotonic())
            if not select.select([self.stdout], [], [], left)[0]:
                raise subprocess.TimeoutExpired(str(self.pid), timeout or 0, b"".join(pieces))
            pieces.append(self.stdout.read(65536) or b"")
            if not pieces[-1]:
                self.stdout.close()
        self.wait(max(0.0, deadline - time.monotonic()))
        return b"".join(pieces), None

    def _take_status(self) -> None:
        self.returncode = int(self._told.readline())
        self._told.close()


_started: list[tuple[subprocess.Popen[bytes], socket.socket]] = []


def starter_pids() -> set[int]:
    """The starter, which stays until the tests end, if it was needed."""
    return {process.pid for process, _ in _started}


def _starter() -> socket.socket:
    """The socket to the starter, which there is one of."""
    if not _started:
        ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _MOST_BYTES)
        path = filter(None, [str(Path(__file__).parent), os.environ.get("PYTHONPATH")])
        process = subprocess.Popen(
            [sys.executable, __file__, str(its.fileno())],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            pass_fds=[its.fileno()],
            start_new_session=True,
        )
        its.close()
        _started.append((process, ours))
        atexit.register(_end_starter)
    return _started[0][1]


def _end_starter() -> None:
    while _started:
        process, ours = _started.pop()
        ours.close()
        process.wait()


# -- the starter ------------------------------------------------------------------------------


def _import() -> None:

    import genro_executor_plugin

    for name in genro_executor_plugin.__all__:
        getattr(genro_executor_plugin, name)


def _next_program(control: socket.socket) -> dict[str, Any]:
    """In a new process: what program it is to become. The starter ends here with its tests."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel reaps those that wait for a program
    while True:
        data, descriptors, _, _ = socket.recv_fds(control, _MOST_BYTES, 2)
        if not data:
            os._exit(0)
        if os.fork() == 0:
            break
        for descriptor in descriptors:
            os.close(descriptor)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    tell, write = descriptors
    pid = os.fork()
    if pid:
        os.close(write)
        control.close()
        _, status = os.waitpid(pid, 0)
        os.write(tell, b"%d\n" % os.waitstatus_to_exitcode(status))
        os._exit(0)
    os.setsid()
    os.dup2(write, 1)
    os.dup2(write, 2)
    os.write(tell, b"%d\n" % os.getpid())
    control.detach()
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    order: dict[str, Any] = json.loads(data)
    return order


def _become(command: list[str], cwd: str, env: dict[str, str]) -> None:
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    path = command[0]
    sys.argv[:] = command
    sys.orig_argv[:] = [sys.executable, *command]
    sys.path[0] = str(Path(path).parent)
    main = ModuleType("__main__")
    main.__dict__.update(
        __file__=path, __spec__=None, __loader__=SourceFileLoader("__main__", path), __cached__=None
    )
    sys.modules["__main__"] = main
    gc.enable()
    if "PYTHONUNBUFFERED" in env:
        sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr] # it is a file
    exec(compile(Path(path).read_bytes(), path, "exec"), main.__dict__)


if __name__ == "__main__":
    _import()
    gc.disable()
    gc.freeze()
    _become(**_next_program(socket.socket(fileno=int(sys.argv[1]))))
