# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""``genro-executor bench``: this machine's figures, and how many workers suit it."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from ..options.pool import BYPASS_VARIABLE
from .output import (
    HOLDS,
    CommandError,
    Painter,
    indented,
    painter,
    print_json,
    table,
)
from .parsing import seconds

if TYPE_CHECKING:
    from ..tools.bench.figures import Machine, Measured, Overhead
    from ..tools.bench.suggest import Suggestion

__all__ = ["add"]

MOST_WORKERS = 256


def add(commands: Any) -> None:
    """Add the command to ``commands``."""
    parser = commands.add_parser(
        "bench",
        help="measure this machine and suggest max_workers",
        description=(
            "Measures what a call costs here, and the throughput of functions by the number of "
            "worker processes, and suggests max_workers for each, with the reasons."
        ),
    )
    parser.add_argument(
        "functions",
        nargs="*",
        metavar="FUNCTION",
        default=["compute", "sleep"],
        help="package.module:function, file.py:function, compute or sleep (default: both of these)",
    )
    parser.add_argument(
        "--arguments",
        metavar="JSON",
        help="what your functions are called with: a JSON list, or an object of named arguments",
    )
    parser.add_argument(
        "--workers",
        type=_counts,
        default=(),
        metavar="N,N,...",
        help="the numbers of workers to try (default: by CPUs and by how much a function waits)",
    )
    parser.add_argument(
        "--seconds",
        type=seconds(0.05, 3600),
        default=1.0,
        help="how long each measurement goes on (default 1)",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.set_defaults(run=_bench)


def _counts(text: str) -> tuple[int, ...]:
    parts = text.split(",")
    if not all(part.strip().isdecimal() and 1 <= int(part) <= MOST_WORKERS for part in parts):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a list of numbers of workers from 1 to {MOST_WORKERS}, such as 1,2,4"
        )
    return tuple(sorted({int(part) for part in parts}))


def _bench(arguments: argparse.Namespace) -> int:
    import asyncio
    import logging

    from ..tools.bench.measure import OVERHEAD_KINDS, machine, measure, overhead
    from ..tools.bench.named_functions import TargetError, arguments_of, subject_of
    from ..tools.bench.suggest import suggest, warnings

    if os.environ.get(BYPASS_VARIABLE):
        raise CommandError(f"{BYPASS_VARIABLE} is set: no pool would be measured. Unset it")
    here = machine()
    try:
        args, kwargs = arguments_of(arguments.arguments)
        subjects = [subject_of(name, args, kwargs) for name in arguments.functions]
    except TargetError as error:
        raise CommandError(str(error)) from error

    async def everything() -> tuple[list[Overhead], list[Measured]]:
        costs = [await overhead(kind, arguments.seconds, _progress) for kind in OVERHEAD_KINDS]
        found = [
            await measure(subject, arguments.workers, arguments.seconds, _progress)
            for subject in subjects
        ]
        return costs, found

    # A pool that cannot start a worker logs a record; the command says it in one line, below.
    logging.getLogger("genro_executor_plugin").addHandler(logging.NullHandler())
    try:
        costs, found = asyncio.run(everything())
    except Exception as error:
        raise CommandError(f"the measurement ended: {_reason(error)}") from error
    finally:
        _progress("")
    suggestions = [suggest(here, measured) for measured in found]
    if arguments.json:
        print_json(
            {
                "machine": asdict(here),
                "warnings": warnings(here),
                "overhead": [asdict(cost) for cost in costs],
                "functions": [asdict(measured) for measured in found],
                "suggestions": [asdict(suggestion) for suggestion in suggestions],
            }
        )
    else:
        lines = _lines(here, costs, found, suggestions, warnings(here), painter(sys.stdout))
        sys.stdout.write("\n".join(lines) + "\n")
    return HOLDS


def _reason(error: BaseException) -> str:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return f"{type(error).__name__}: {next(iter(str(error).splitlines()), '')}"


def _progress(what: str) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\x1b[K{f'... {what}' if what else ''}")
        sys.stderr.flush()


def _lines(
    machine: Machine,
    costs: Sequence[Overhead],
    found: Sequence[Measured],
    suggestions: Sequence[Suggestion],
    doubts: Sequence[str],
    paint: Painter,
) -> Iterator[str]:
    """The figures as lines of text for a person."""
    yield f"{machine.cpus} CPUs granted, Python {machine.python}"
    for doubt in doubts:
        yield paint(doubt, "yellow")
    yield ""
    yield paint("A call that does nothing", "bold")
    overheads = table(
        ("pool", "one by one, median", "99 of 100 below", "64 callers"),
        [
            (cost.kind, f"{cost.p50_us:g} us", f"{cost.p99_us:g} us", f"{cost.per_second:,.0f}/s")
            for cost in costs
        ],
    )
    yield from indented(overheads, paint)
    for measured, suggestion in zip(found, suggestions, strict=True):
        yield ""
        yield paint(measured.name, "bold")
        first = measured.points[0]
        points = table(
            ("workers", "calls", "throughput", f"of {first.workers}"),
            [
                (
                    str(point.workers),
                    str(point.calls),
                    f"{point.per_second:,.1f}/s",
                    f"{point.per_second / first.per_second:.2f}x",
                )
                for point in measured.points
            ],
        )
        yield from indented(points, paint)
        yield f"  suggestion: {paint(f'max_workers={suggestion.max_workers}', 'green')}"
        for reason in suggestion.reasons:
            yield f"    - {reason}"
