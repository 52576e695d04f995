# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""``genro-executor debug``: a debugger for a call that waits at a breakpoint in a worker."""

from __future__ import annotations

import argparse
import os
import select
import socket
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from .output import HOLDS, CommandError
from .parsing import whole

__all__ = ["add"]

_MOST_PID = 2**22


def add(commands: Any) -> None:
    """Add the command to ``commands``."""
    parser = commands.add_parser(
        "debug",
        help="attach a debugger to a call that waits at a breakpoint() in a worker",
        description=(
            "Attaches pdb to the call that waits at a breakpoint() in the worker process PID; the "
            "server's log says which one does. The worker's limits wait while there is a prompt. "
            "Ctrl-D, or the end of the input, lets the call go on without the debugger."
        ),
        epilog="It is run on the same machine, as the user of the worker, or as root.",
    )
    parser.add_argument("pid", metavar="PID", type=whole("processes", 1, _MOST_PID))
    parser.set_defaults(run=_debug)


def _debug(arguments: argparse.Namespace) -> int:
    with _connected(arguments.pid) as connection:
        _relay(connection)
    return HOLDS


def _connected(pid: int) -> socket.socket:
    why = ""
    for path in _places(pid):
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.connect(str(path))
        except FileNotFoundError:
            connection.close()
        except OSError as error:
            connection.close()
            why = f": {path}: {error.strerror}"
        else:
            return connection
    if not why and not Path(f"/proc/{pid}").exists() and Path("/proc/self").exists():
        why = ": there is no such process"
    raise CommandError(
        f"no call waits at a breakpoint in process {pid}, or a debugger is attached already{why}. "
        "The server's log says which worker waits, and for how long"
    )


def _places(pid: int) -> list[Path]:
    """Where the process may listen: as it sees its files, and as this one does."""
    from ..worker.debugger import folder_of, socket_of

    uid, own_pid = os.geteuid(), pid
    with suppress(OSError):
        about = dict(
            line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines()
        )
        uid = int(about["Uid"].split()[1])
        own_pid = int(about.get("NSpid", str(pid)).split()[-1])  # in a container it has another one
    path = socket_of(folder_of(uid), own_pid)
    return [Path(f"/proc/{pid}/root") / path.relative_to("/"), path]


def _relay(connection: socket.socket) -> None:
    """Copy between the terminal and ``connection`` until that ends."""
    poll = select.poll()
    poll.register(connection, select.POLLIN)
    given = sys.stdin.fileno()
    poll.register(given, select.POLLIN)
    while True:
        for descriptor, _ in poll.poll():
            if descriptor == given:
                data = os.read(given, 65536)
                with suppress(OSError):  # the call has ended: what it has said comes first
                    if data:
                        connection.sendall(data)
                        continue
                    connection.shutdown(socket.SHUT_WR)
                poll.unregister(given)
                continue
            try:
                data = connection.recv(65536)
            except ConnectionError:
                return
            if not data:
                return
            sys.stdout.write(data.decode("utf-8", "replace"))
            sys.stdout.flush()
