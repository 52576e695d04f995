# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""``genro-executor top``: a server's pools in a terminal, live."""

from __future__ import annotations

import argparse
import os
import sys
from typing import Any

from .output import (
    DOES_NOT_HOLD,
    HOLDS,
    CommandError,
    painter,
    print_json,
)
from .parsing import seconds

__all__ = ["add", "add_credentials", "credentials_in"]

TOKEN_VARIABLE = "GENRO_EXECUTOR_TOKEN"
PASSWORD_VARIABLE = "GENRO_EXECUTOR_PASSWORD"


_ORDERS = ("name", "calls", "time", "errors", "memory")


def add(commands: Any) -> None:
    """Add the command to ``commands``."""
    parser = commands.add_parser(
        "top",
        help="show a server's pools, workers, routes and errors, live",
        description=(
            "Shows what the console of a server says (ExecutorConsole, at /_executors/): pools, "
            "workers, routes and the last errors, live. Where the output is not a terminal it is "
            "shown once, as plain text."
        ),
        epilog=(
            f"{TOKEN_VARIABLE} and {PASSWORD_VARIABLE} are read where --token, or the password of "
            "--user, is not given: what stands on a command line can be seen by others. Exit code "
            "of --once and --json: 0, or 1 when the server says that it is not healthy."
        ),
    )
    parser.add_argument(
        "url",
        metavar="URL",
        help="the server, such as localhost:8000, its console's address, or the link in its log",
    )
    add_credentials(parser)
    parser.add_argument(
        "--interval",
        type=seconds(0.2, 3600),
        default=2.0,
        metavar="SECONDS",
        help="how often to ask (default 2)",
    )
    shape = parser.add_mutually_exclusive_group()
    shape.add_argument("--once", action="store_true", help="show it once, as plain text")
    parser.add_argument(
        "--stacks",
        action="store_true",
        help="show where the running calls are as well; in the live view the key s does it",
    )
    parser.add_argument(
        "--jobs",
        action="store_true",
        help="show the newest long jobs as well; in the live view the key j does it",
    )
    parser.add_argument(
        "--sort",
        choices=_ORDERS,
        help="what tables are sorted by, the most first; in the live view its first letter does it",
    )
    shape.add_argument("--json", action="store_true", help="print the snapshot, once, as JSON")
    parser.set_defaults(run=_top)


def add_credentials(parser: Any) -> None:
    """Add the options that say who asks a console."""
    who = parser.add_mutually_exclusive_group()
    who.add_argument(
        "--token",
        help=(
            "a bearer token or API key that has the tag SERVER_ADMIN, or the token of a console "
            "without authentication; that of a server of your own on this machine is found"
        ),
    )
    who.add_argument(
        "--user",
        metavar="NAME[:PASSWORD]",
        help="a user; without a password it is asked for on the terminal",
    )


def _top(arguments: argparse.Namespace) -> int:
    from ..tools.top.source import SnapshotSource, SourceError
    from ..tools.top.view import view

    token, user = credentials_in(arguments)
    try:
        source = SnapshotSource(arguments.url, token=token, user=user)
        first = source.fetch(stacks=arguments.stacks, jobs=arguments.jobs)
    except SourceError as error:
        raise CommandError(str(error)) from error
    healthy = first.get("server", {}).get("healthy", True)
    if arguments.json:
        print_json(first)
    elif arguments.once or not (sys.stdout.isatty() and sys.stdin.isatty()):
        paint = painter(sys.stdout)
        for line in view(first, source.url, order=arguments.sort):
            text = "".join(paint(cell.text, cell.style) for cell in line)
            sys.stdout.write(text.rstrip() + "\n")
    else:
        _live(source, first, arguments.interval, arguments.sort)
        return HOLDS
    return HOLDS if healthy else DOES_NOT_HOLD


def _live(source: Any, first: dict[str, Any], interval: float, order: str | None) -> None:
    try:
        from ..tools.top.screen import TerminalError, show
    except ImportError as error:
        raise CommandError(f"this Python has no curses ({error}); use --once") from error
    try:
        show(source, first, interval, order)
    except TerminalError as error:
        raise CommandError(str(error)) from error


def credentials_in(arguments: argparse.Namespace) -> tuple[str | None, tuple[str, str] | None]:
    """The token, or the user's name and password, that the request is made with."""
    if arguments.user is None:
        return arguments.token or os.environ.get(TOKEN_VARIABLE) or None, None
    name, colon, password = arguments.user.partition(":")
    if colon:
        return None, (name, password)
    known = os.environ.get(PASSWORD_VARIABLE)
    if known is not None:
        return None, (name, known)
    if not sys.stdin.isatty():
        raise CommandError(f"no password for {name!r}: set {PASSWORD_VARIABLE}, or --user NAME:...")
    from getpass import getpass

    return None, (name, getpass(f"Password of {name}: "))
