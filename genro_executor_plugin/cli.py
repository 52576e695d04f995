# Copyright 2026 the genro-executor-plugin authors
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     https://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.

"""The command ``genro-executor``.

Each subcommand is one function here, which adds its arguments and says what runs them. What runs
is imported then: ``--help`` loads nothing.

Exit codes: 0 done; 1 done, and something did not hold; 2 it could not be done, and one line says
why; 130 interrupted.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from typing import Any, NoReturn

from . import __version__

__all__ = ["CommandError", "main"]

_HOLDS, _DOES_NOT_HOLD, _IMPOSSIBLE, _INTERRUPTED = 0, 1, 2, 130


class CommandError(Exception):
    """What was asked for cannot be done. The message is one line that says why."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line ``argv`` (the process's own by default) and return the exit code."""
    parser = _parser()
    arguments = parser.parse_args(argv)
    try:
        code: int = arguments.run(arguments)
    except CommandError as error:
        _complain(f"{parser.prog}: {error}")
        return _IMPOSSIBLE
    except KeyboardInterrupt:
        _complain(f"{parser.prog}: interrupted")
        return _INTERRUPTED
    except BrokenPipeError:
        # Whoever read the output has seen enough; the interpreter must not try to flush it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _DOES_NOT_HOLD
    return code


class _Parser(argparse.ArgumentParser):
    """``ArgumentParser`` with errors of one line."""

    def error(self, message: str) -> NoReturn:
        _complain(f"{self.prog}: {message}; see {self.prog} --help")
        raise SystemExit(_IMPOSSIBLE)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="genro-executor",
        description="Pools of processes and threads for the route handlers of genro-asgi.",
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for add in (_add_demo,):
        add(commands)
    return parser


def _add_demo(commands: Any) -> None:
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
        type=_whole("reports", 4, 1000),
        default=10,
        metavar="N",
        help="how many reports to make for each measurement (4 to 1000, default 10)",
    )
    parser.add_argument(
        "--port",
        type=_whole("port", 0, 65535),
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
    from .demo.process import DemoError
    from .demo.run import run

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
    return _HOLDS if holds else _DOES_NOT_HOLD


def _whole(what: str, least: int, most: int) -> Callable[[str], int]:
    """A converter for whole numbers from ``least`` to ``most``."""

    def convert(text: str) -> int:
        if not text.isdecimal() or not least <= int(text) <= most:
            raise argparse.ArgumentTypeError(
                f"{text!r} is not a number of {what} from {least} to {most}"
                if what != "port"
                else f"{text!r} is not a port ({least} to {most})"
            )
        return int(text)

    return convert


def _complain(text: str) -> None:
    if sys.stderr.isatty():
        coloured = text if os.environ.get("NO_COLOR") else f"\x1b[31m{text}\x1b[0m"
        text = f"\r\x1b[K{coloured}"  # a line of progress may stand there
    sys.stderr.write(f"{text}\n")


if __name__ == "__main__":
    sys.exit(main())
