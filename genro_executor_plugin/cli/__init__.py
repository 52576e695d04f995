# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The command ``genro-executor``.

Each subcommand is one module here: ``add`` adds its arguments, with the function that runs it.
That function imports what it needs when it is called, so ``--help`` loads none of it.

Exit codes: 0 for success; 1 when the command ran and something did not hold; 2 when it could not
run, and one line says why; 130 when it was interrupted.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from .. import __version__
from ..hosts.chosen import HostChoiceError
from . import (
    bench,
    check,
    completion,
    debug,
    demo,
    jobs,
    profile,
    serve,
    stack,
    top,
    worker,
)
from .output import (
    DOES_NOT_HOLD,
    IMPOSSIBLE,
    INTERRUPTED,
    CommandError,
    complain,
)
from .parsing import BorrowedParser, Parser

__all__ = ["CommandError", "main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line ``argv`` (the process's own by default) and return the exit code."""
    parser = _parser()
    completion.answer_a_shell(parser)
    arguments = parser.parse_args(argv)
    try:
        code: int = arguments.run(arguments)
    except (CommandError, HostChoiceError) as error:
        complain(parser.prog, str(error))
        return IMPOSSIBLE
    except KeyboardInterrupt:
        complain(parser.prog, "interrupted")
        return INTERRUPTED
    except BrokenPipeError:
        # The reader of the output has left; the interpreter must not try to flush what remains.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DOES_NOT_HOLD
    return code


def _parser() -> Parser:
    parser = Parser(
        prog="genro-executor",
        description="Pools of processes and threads for the route handlers of genro-asgi.",
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(
        title="commands", metavar="COMMAND", required=True, parser_class=BorrowedParser
    )
    beside = (bench, debug, completion)
    for command in (serve, worker, demo, check, top, stack, profile, jobs, *beside):
        command.add(commands)
    return parser
