# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""``genro-executor stack``: where the running calls of a process are."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from .output import HOLDS, CommandError, painter, print_json
from .parsing import whole
from .top import add_credentials, credentials_in

__all__ = ["add"]

_MOST_PID = 2**22


def add(commands: Any) -> None:
    """Add the command to ``commands``."""
    parser = commands.add_parser(
        "stack",
        help="show where the calls are that run in a worker, or in a server's threads",
        description=(
            "Shows the stack of every call that runs in process PID: a worker, or a server with "
            "pools of threads. The server's console (ExecutorConsole) is asked; that of a server "
            "of your own on this machine is found by the PID."
        ),
        epilog=(
            "Being asked interrupts system calls of the worker: Python waits on by itself, native "
            "code may not. Exit code 2: nothing can be told."
        ),
    )
    parser.add_argument("pid", metavar="PID", type=whole("processes", 1, _MOST_PID))
    parser.add_argument(
        "--url",
        help="the server, as for top, where it is not found by the PID or has authentication",
    )
    add_credentials(parser)
    parser.add_argument("--json", action="store_true", help="print it as JSON")
    parser.set_defaults(run=_stack)


def _stack(arguments: argparse.Namespace) -> int:
    told = _told(arguments)
    if arguments.json:
        print_json(told)
        return HOLDS
    paint = painter(sys.stdout)
    if not told["calls"]:
        sys.stdout.write(f"no call runs in process {arguments.pid}\n")
    from ..tools.top.lines import printable

    for call in told["calls"]:
        what = printable(call["route"] or call["function"])
        head = f"{what}, pool {printable(call['pool'])}, for {call['running_seconds']:.1f} s"
        lines = [printable(line) for line in call["stack"].splitlines()]
        sys.stdout.write("\n".join([paint(head, "bold"), *lines]) + "\n")
    return HOLDS


def _told(arguments: argparse.Namespace) -> dict[str, Any]:
    from ..console.token_files import consoles_of
    from ..tools.top.source import SnapshotSource, SourceError

    token, user = credentials_in(arguments)
    places = [(arguments.url, token)]
    if arguments.url is None:
        places = [
            (f"http://127.0.0.1:{port}/?token={known}", token)
            for port, known in consoles_of(arguments.pid)
        ]
    why = (
        f"no server of yours with a console was found that process {arguments.pid} belongs to; "
        "give its address by --url"
    )
    for url, known in places:
        try:
            return SnapshotSource(url, token=known, user=user).stacks(arguments.pid)
        except SourceError as error:
            why = str(error)
    raise CommandError(why)
