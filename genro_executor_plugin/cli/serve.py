# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""``genro-executor serve``: genro-asgi's command, with a server that has pools."""

from __future__ import annotations

import argparse
import traceback
from typing import Any

from .output import IMPOSSIBLE, CommandError
from .reasons import reasons

__all__ = ["add"]


def add(commands: Any) -> None:
    """Add the command to ``commands``."""
    commands.add_parser(
        "serve",
        help="serve a config.py, an application or a named site, with its pools",
        description=(
            "Serves what genro-asgi serve would, in the same way, with a server that has pools: "
            "those of the section 'executors' of the configuration, and 'blocking' and 'cpu'."
        ),
        borrow=_arguments,
    ).set_defaults(run=_serve)


def _arguments() -> argparse.ArgumentParser:
    from .launching import ExecutorCli

    return ExecutorCli().serve_parser()


def _serve(arguments: argparse.Namespace) -> int:
    from .launching import CliError, ExecutorCli, UnbuiltError

    try:
        return ExecutorCli().serve(arguments)
    except CliError as error:
        raise CommandError(str(error)) from error
    except UnbuiltError as error:
        if arguments.debug is not False:
            traceback.print_exception(error.__cause__)
        raise CommandError("\n".join(_all_mistakes(arguments, error.__cause__ or error))) from error
    except OSError as error:  # the site's card or its pid file cannot be written
        raise CommandError(str(error)) from error
    except SystemExit as ended:
        # uvicorn ends the process when a server does not start; its log says why.
        return IMPOSSIBLE if ended.code else 0


def _all_mistakes(arguments: argparse.Namespace, cause: BaseException) -> list[str]:
    """The mistakes of the pools and, if pools are what is wrong, those of the routes, too."""
    from ..errors import ExecutorConfigError
    from .inspection import inspect_source
    from .launching import ExecutorCli, UnbuiltError

    if isinstance(cause, ExecutorConfigError):
        try:
            return list(inspect_source(ExecutorCli().launcher(arguments)).mistakes)
        except UnbuiltError:
            pass  # something else is wrong, too; it is reported once the pools are right
    return reasons(cause)
