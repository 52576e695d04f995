# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""``genro-executor profile``: which lines the calls of a route spend their time in."""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path
from typing import Any

from .output import DOES_NOT_HOLD, HOLDS, CommandError, painter, print_json
from .parsing import seconds, whole
from .top import add_credentials, credentials_in

__all__ = ["add"]

_SHOWN_LINES = 10


def add(commands: Any) -> None:
    """Add the command to ``commands``."""
    parser = commands.add_parser(
        "profile",
        help="show which lines the calls of a route spend their time in",
        description=(
            "Takes samples of where the calls of ROUTE are, in all workers that run it, and writes "
            "a page with a flame graph, or a file for https://www.speedscope.app. The server's "
            "console (ExecutorConsole) is asked."
        ),
        epilog="Exit code 1: no call of the route was seen.",
    )
    parser.add_argument(
        "url",
        metavar="URL",
        help="the server, such as localhost:8000, its console's address, or the link in its log",
    )
    parser.add_argument(
        "route",
        metavar="ROUTE",
        help="the route, from its application's code on, as top shows it: reports/yearly",
    )
    add_credentials(parser)
    parser.add_argument(
        "--seconds",
        type=seconds(0.1, 60),
        default=10.0,
        help="how long to take samples, at most 60 (default 10)",
    )
    parser.add_argument(
        "--rate",
        type=whole("samples in a second", 1, 250),
        default=100,
        help="how many samples in a second, at most 250 (default 100)",
    )
    shape = parser.add_mutually_exclusive_group()
    shape.add_argument(
        "--output",
        metavar="FILE",
        help="FILE.html for the page, FILE.json for speedscope (default profile-ROUTE.html)",
    )
    shape.add_argument(
        "--json", action="store_true", help="write no file; print the server's answer as JSON"
    )
    parser.set_defaults(run=_profile)


def _profile(arguments: argparse.Namespace) -> int:
    from ..tools.top.source import SnapshotSource, SourceError

    file = _file(arguments)
    token, user = credentials_in(arguments)
    try:
        source = SnapshotSource(arguments.url, token=token, user=user)
        profile = source.profile(arguments.route.strip("/"), arguments.seconds, arguments.rate)
    except SourceError as error:
        raise CommandError(str(error)) from error
    seen = sum(process["samples"] for process in profile["processes"])
    if arguments.json:
        print_json(profile)
        return HOLDS if seen else DOES_NOT_HOLD
    _summary(profile, seen)
    if not seen:
        return DOES_NOT_HOLD
    from ..console.speedscope import page_of

    document = profile["speedscope"]
    text = json.dumps(document) if file.suffix == ".json" else page_of(document)
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise CommandError(f"{file} cannot be written: {error.strerror}") from error
    sys.stdout.write(f"written: {file}\n")
    return HOLDS


def _file(arguments: argparse.Namespace) -> Path:
    if arguments.output is None:
        name = re.sub(r"[^A-Za-z0-9_.-]+", "-", arguments.route.strip("/")) or "route"
        return Path(f"profile-{name[:100]}.html")
    file = Path(arguments.output)
    if file.suffix not in (".html", ".json"):
        raise CommandError(f"--output {file}: give a name that ends with .html or .json")
    if not file.parent.is_dir():
        raise CommandError(f"--output {file}: there is no folder {file.parent}")
    return file


def _summary(profile: dict[str, Any], seen: int) -> None:
    from ..console.speedscope import hottest_lines
    from ..tools.top.lines import printable

    paint = painter(sys.stdout)
    processes = profile["processes"]
    missed = sum(process["missed"] for process in processes)
    head = (
        f"{printable(profile['route'])}, pool {printable(profile['pool'])}: {seen} samples in "
        f"{len(processes)} processes, {missed} looks left out"
    )
    sys.stdout.write(paint(head, "bold") + "\n")
    for process in processes:
        if process["why_not"]:
            line = f"process {process['pid']} has no samples: {printable(process['why_not'])}"
            sys.stdout.write(paint(line, "yellow") + "\n")
    if not seen:
        sys.stdout.write("no call of the route ran while samples were taken\n")
    for share, frame in hottest_lines(profile["speedscope"])[:_SHOWN_LINES]:
        place = f"{frame.get('file', '')}:{frame.get('line', '')}" if "file" in frame else ""
        line = f"{share:6.1%}  {printable(frame['name'])}  {printable(place)}".rstrip()
        sys.stdout.write(line + "\n")
