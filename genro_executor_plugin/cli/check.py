# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""``genro-executor check``: what a configuration would serve, and every mistake in it."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from .output import (
    DOES_NOT_HOLD,
    HOLDS,
    CommandError,
    Painter,
    indented,
    painter,
    print_json,
    table,
)
from .reasons import reasons

if TYPE_CHECKING:
    from .inspection import PoolReport, Report, RouteReport

__all__ = ["add"]


def add(commands: Any) -> None:
    """Add the command to ``commands``."""
    parser = commands.add_parser(
        "check",
        help="report the pools, routes and mistakes of a configuration, without serving",
        description=(
            "Builds the server of a configuration, starts neither the server nor a worker, and "
            "reports every pool, every route with the pool and the limits it would run with, and "
            "every mistake."
        ),
        epilog="Exit code: 0 no mistake, 1 mistakes, 2 the configuration could not be built.",
    )
    parser.add_argument(
        "config",
        metavar="CONFIG",
        help="what 'serve' takes: a config.py, application=<target>, or the name of a site; or a "
        "server that a program makes, as module:name or file.py:name, which is not served",
    )
    parser.add_argument("--home", help="the site home folder (overrides the one on the card)")
    parser.add_argument(
        "--strict", action="store_true", help="count warnings as mistakes in the exit code"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.set_defaults(run=_check)


def _check(arguments: argparse.Namespace) -> int:
    from .inspection import inspect_code, inspect_source
    from .launching import CliError, ExecutorCli, UnbuiltError
    from .unserved import names_a_server

    command = ExecutorCli()
    as_served = command.serve_parser().parse_args(
        [arguments.config, *(["--home", arguments.home] if arguments.home else [])]
    )
    try:
        if names_a_server(arguments.config):
            report = inspect_code(arguments.config)
        else:
            report = inspect_source(command.launcher(as_served))
    except CliError as error:
        raise CommandError(str(error)) from error
    except UnbuiltError as error:
        found = reasons(error.__cause__ or error)
        if arguments.json:
            print_json({"source": arguments.config, "ok": False, "unbuilt": found})
        raise CommandError("\n".join(found)) from error
    wrong = report.mistakes or (arguments.strict and report.warnings)
    if arguments.json:
        print_json({"ok": not wrong, **report.as_dict()})
    else:
        sys.stdout.write("\n".join(_lines(report, painter(sys.stdout))) + "\n")
    return DOES_NOT_HOLD if wrong else HOLDS


def _lines(report: Report, paint: Painter) -> Iterator[str]:
    """The report as lines of text for a person."""
    yield from _heading(
        "Pools", table(("pool", "mode", "options"), map(_pool, report.pools)), paint
    )
    yield ""
    head = ("route", "runs in", "limits")
    yield from _heading("Routes", table(head, map(_route, report.routes)), paint)
    yield ""
    if report.globals:
        yield paint("What is changed in one process only", "bold")
        for line in report.globals:
            yield f"  {line}"
        yield ""
    version = ".".join(map(str, sys.version_info[:3]))
    if report.gil:
        yield f"Python {version}, with the GIL: threads of one process take turns in Python code"
    else:
        yield f"Python {version}, without the GIL: threads of one process compute side by side"
    yield ""
    for warning in report.warnings:
        yield paint(f"Warning: {warning}", "yellow")
    if not report.mistakes:
        yield paint(f"No mistake in {report.source}.", "green")
        return
    count = len(report.mistakes)
    yield paint(f"{count} mistake{'s' if count > 1 else ''} in {report.source}:", "red")
    for mistake in report.mistakes:
        yield f"  {mistake}"


def _heading(title: str, lines: list[str], paint: Painter) -> Iterator[str]:
    yield paint(title, "bold")
    yield from indented(lines, paint)


def _pool(pool: PoolReport) -> tuple[str, str, str]:
    return pool.name, pool.mode, _options(pool.options)


def _route(route: RouteReport) -> tuple[str, str, str]:
    limits = {name: value for name, value in route.limits.items() if value not in (None, 0)}
    where = "server" if route.pool is None else f"{route.pool} ({route.mode})"
    return route.path, where, _options(limits)


def _options(options: dict[str, Any]) -> str:
    return " ".join(f"{name}={_value(value)}" for name, value in options.items())


def _value(value: Any) -> str:
    return getattr(value, "__qualname__", None) or (
        value if isinstance(value, str) else repr(value)
    )
