# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""``genro-executor demo``: a server, reports made in its pool, and checks of what must hold."""

from __future__ import annotations

import argparse
from importlib.util import find_spec
from typing import Any

from .output import DOES_NOT_HOLD, HOLDS, CommandError
from .parsing import whole

__all__ = ["add"]


def add(commands: Any) -> None:
    """Add the command to ``commands``."""
    parser = commands.add_parser(
        "demo",
        help="start a server, make PDF reports in its pool, and check what must hold",
        description=(
            "Starts a real server on the loopback interface, asks it for PDF reports over HTTP, "
            "overloads its pool, lets a call run too long, kills a worker, and prints what "
            "happened. Exits with 1 when anything did not hold."
        ),
    )
    parser.add_argument(
        "--reports",
        type=whole("reports", 4, 1000),
        default=10,
        metavar="N",
        help="how many reports to make for each measurement (4 to 1000, default 10)",
    )
    parser.add_argument(
        "--port",
        type=whole("port", 0, 65535),
        default=0,
        help="where to serve (default 0: any free port)",
    )
    after = parser.add_mutually_exclusive_group()
    after.add_argument(
        "--serve", action="store_true", help="leave the server running afterwards, until Ctrl-C"
    )
    after.add_argument("--json", action="store_true", help="print one JSON document")
    parser.set_defaults(run=_demo)


def _demo(arguments: argparse.Namespace) -> int:
    from ..tools.demo.run import run
    from ..tools.demo.server import DemoError

    if find_spec("fpdf") is None:
        raise CommandError(
            "the demo makes PDFs with fpdf2, which is not installed; "
            'pip install "genro-executor-plugin[demo]"'
        )
    try:
        holds = run(
            port=arguments.port,
            reports=arguments.reports,
            serve=arguments.serve,
            as_json=arguments.json,
        )
    except DemoError as error:
        raise CommandError(str(error)) from error
    return HOLDS if holds else DOES_NOT_HOLD
