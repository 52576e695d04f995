# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""``genro-executor jobs``: the long jobs of a server, listed, shown, run again, ended, deleted."""

from __future__ import annotations

import argparse
import re
import sys
import time
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from .job_lines import LEVELS, at_least, lines_of, lines_of_log, row_of
from .output import DOES_NOT_HOLD, HOLDS, CommandError, complain, print_json, table
from .parsing import whole
from .top import add_credentials, credentials_in

__all__ = ["add"]

_FILTERS = ("state", "seen", "search", "route", "pool", "submitter", "since", "until")
_SORTS = ("submitted", "started", "ended", "duration", "attempts", "route")
_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 7 * 86400.0}

_PAGE = 200
"""How many jobs are asked for at a time."""

_MANY = 100
"""How many jobs something is done to in one request."""

_MOST_LISTED = 100_000

_WORDS = {
    "retry": ("retry", "run jobs again that have ended, under their ids", "run again"),
    "cancel": ("cancel", "cancel jobs that have not ended", "cancelled"),
    "purge": ("forget", "delete jobs that have ended, with their results", "deleted"),
    "seen": ("seen", "mark failed and lost jobs as seen: they wait for nobody", "marked as seen"),
    "unseen": ("unseen", "mark failed and lost jobs as not seen", "marked as not seen"),
}
"""For each command that changes jobs: what the console calls it, its help, how it is said."""


def add(commands: Any) -> None:
    """Add the command to ``commands``."""
    parser = commands.add_parser(
        "jobs",
        help="list long jobs, look into one, run them again, cancel or delete them",
        description="Works with the long jobs of a server, by its console (ExecutorConsole).",
    )
    actions = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    listing = actions.add_parser(
        "list",
        help="list the jobs that match",
        description="Lists the long jobs that match, the newest first.",
    )
    _add_server(listing)
    _add_filters(listing)
    listing.add_argument("--sort", choices=_SORTS, default="submitted", help="by what to sort")
    listing.add_argument("--ascending", action="store_true", help="the least or oldest first")
    listing.add_argument(
        "--limit",
        type=whole("jobs", 1, _MOST_LISTED),
        default=50,
        help="how many at most (default 50)",
    )
    listing.set_defaults(run=_list)
    showing = actions.add_parser(
        "show",
        help="show a job, with why it failed",
        description=(
            "Shows what is known of a long job: times, attempts, progress, its failure with the "
            "remote traceback, and its arguments if its pool allows to show them."
        ),
        epilog="Exit code 2: there is no such job.",
    )
    _add_server(showing)
    showing.add_argument("job", metavar="ID")
    showing.add_argument(
        "--log",
        nargs="?",
        const="debug",
        choices=LEVELS,
        help="show the last lines that it has logged, too; of this level and above",
    )
    showing.set_defaults(run=_show)
    for name, (_, words, _) in _WORDS.items():
        changing = actions.add_parser(
            name,
            help=words,
            description=f"{words[0].upper()}{words[1:]}: those that are named, or all that match.",
            epilog=(
                "Exit code 0: it was done to each of them; 1: some were refused, and standard "
                "error says why."
            ),
        )
        _add_server(changing)
        changing.add_argument("jobs", metavar="ID", nargs="*", help="the jobs")
        changing.add_argument(
            "--all", action="store_true", help="all jobs that match the options below"
        )
        _add_filters(changing)
        if name == "retry":
            changing.add_argument(
                "--new", action="store_true", help="run them as new jobs, with new ids"
            )
        changing.add_argument(
            "--dry-run", action="store_true", help="only tell how many it would be"
        )
        changing.add_argument(
            "--yes", action="store_true", help="do not ask whether all that match are meant"
        )
        changing.set_defaults(run=_change, command=name)


def _add_server(parser: Any) -> None:
    parser.add_argument("url", metavar="URL", help="the server, as for top")
    add_credentials(parser)
    parser.add_argument("--json", action="store_true", help="print it as JSON")


def _add_filters(parser: Any) -> None:
    chosen = parser.add_argument_group("which jobs")
    chosen.add_argument(
        "--state",
        help="queued, running, succeeded, failed, cancelled or lost; several with commas",
    )
    chosen.add_argument(
        "--seen",
        choices=("yes", "no"),
        help="marked as seen; or failed or lost, and not marked",
    )
    chosen.add_argument(
        "--search", metavar="TEXT", help="a part of id, route, submitter or exception"
    )
    chosen.add_argument("--route", help="the route or the function")
    chosen.add_argument("--pool")
    chosen.add_argument("--submitter", metavar="NAME")
    when = "2h, 7d, 2026-11-28, 2026-11-28T09:30"
    chosen.add_argument(
        "--since", type=_moment, metavar="WHEN", help=f"submitted in the last 2h, or since: {when}"
    )
    chosen.add_argument(
        "--until", type=_moment, metavar="WHEN", help="submitted before that, written the same way"
    )


def _moment(text: str) -> float:
    """Seconds since the epoch, of a time ago (``2h``) or a local date and time."""
    number, unit = text[:-1], text[-1:]
    if unit in _UNITS and number.replace(".", "", 1).isdecimal():
        return max(0.0, time.time() - float(number) * _UNITS[unit])
    try:
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError, OSError):
        raise argparse.ArgumentTypeError(
            f"{text!r} is no time ago, such as 30m, 2h or 7d, and no date, such as 2026-11-28"
        ) from None


def _source(arguments: argparse.Namespace) -> Any:
    from ..tools.top.source import SnapshotSource, SourceError

    token, user = credentials_in(arguments)
    try:
        return SnapshotSource(arguments.url, token=token, user=user)
    except SourceError as error:
        raise CommandError(str(error)) from error


def _asked(ask: Any, document: Any) -> dict[str, Any]:
    from ..tools.top.source import SourceError

    try:
        answer: dict[str, Any] = ask(document)
    except SourceError as error:
        raise CommandError(str(error)) from error
    return answer


def _filters(arguments: argparse.Namespace) -> dict[str, str]:
    """The filters that were given.

    Raises:
        CommandError: one of them is empty, as an unset variable of a shell is.
    """
    given = {name: getattr(arguments, name) for name in _FILTERS}
    for name, value in given.items():
        if value == "":
            raise CommandError(f"--{name} is empty; leave it out to mean all")
    return {name: str(value) for name, value in given.items() if value is not None}


# -- looking --------------------------------------------------------------------------------------


def _list(arguments: argparse.Namespace) -> int:
    source = _source(arguments)
    query = {
        **_filters(arguments),
        "sort": arguments.sort,
        "order": "asc" if arguments.ascending else "desc",
    }
    found: list[dict[str, Any]] = []
    count, after = 0, ""
    while len(found) < arguments.limit:
        step = str(min(_PAGE, arguments.limit - len(found)))
        page = _asked(source.jobs, {**query, "limit": step, "after": after})
        found += page["jobs"]
        count = page["count"] if page["count"] is not None else count
        after = page["next"]
        if not after:
            break
    if arguments.json:
        print_json({"count": count, "jobs": found})
        return HOLDS
    for line in table(
        ("id", "state", "route", "submitter", "submitted", "took", "tries", ""), map(row_of, found)
    ):
        sys.stdout.write(line + "\n")
    more = f", {len(found)} are shown (--limit)" if len(found) < count else ""
    sys.stdout.write(f"{count} jobs match{more}\n")
    return HOLDS


def _show(arguments: argparse.Namespace) -> int:
    if not re.fullmatch(r"[\w-]{1,200}", arguments.job, re.ASCII):
        raise CommandError(f"There is no job {arguments.job[:100]!r}: that is no id")
    source = _source(arguments)
    job = _asked(source.job, arguments.job)
    log = None
    if arguments.log is not None:
        log = at_least(arguments.log, _asked(source.job_log, arguments.job))
    if arguments.json:
        print_json(job if log is None else {**job, "log": log})
        return HOLDS
    for line in lines_of(job):
        sys.stdout.write(line + "\n")
    for line in lines_of_log(log) if log is not None else ():
        sys.stdout.write(line + "\n")
    return HOLDS


# -- changing -------------------------------------------------------------------------------------


def _change(arguments: argparse.Namespace) -> int:
    action, _, said = _WORDS[arguments.command]
    if getattr(arguments, "new", False):
        action, said = "again", "run as new jobs"
    matching = _filters(arguments)
    if bool(arguments.jobs) == arguments.all:
        raise CommandError("say which jobs: their ids, or --all for all that match")
    if matching and not arguments.all:
        raise CommandError(f"--{next(iter(matching))} goes with --all, and not with ids")
    source = _source(arguments)
    if arguments.all:
        asked = {"action": action, "matching": matching}
        count = _asked(source.change_jobs, asked)["count"]
        if arguments.dry_run or not count:
            return _would(arguments, count, said)
        if not arguments.yes:
            _confirm(count, said)
        steps = _matching(source, asked)
    else:
        if arguments.dry_run:
            return _would(arguments, len(arguments.jobs), said)
        steps = _named(source, action, arguments.jobs)
    done: list[str] = []
    refused: dict[str, str] = {}
    trouble = None
    try:
        for step in steps:
            done += step["done"]
            refused |= step["refused"]
    except CommandError as error:
        if not done and not refused:
            raise
        trouble = error  # told after what was done before it
    if arguments.json:
        print_json({"done": done, "refused": refused})
    else:
        sys.stdout.write(f"{len(done)} jobs {said}\n")
    from ..tools.top.lines import printable

    for task_id, why in refused.items():
        complain("genro-executor jobs", f"{printable(task_id)}: {printable(why)}")
    if trouble is not None:
        raise trouble
    return DOES_NOT_HOLD if refused else HOLDS


def _matching(source: Any, asked: dict[str, Any]) -> Iterator[dict[str, Any]]:
    after = ""
    while True:
        step = _asked(source.change_jobs, {**asked, "after": after, "confirm": True})
        yield step
        after = step["next"]
        if not after:
            return


def _named(source: Any, action: str, jobs: list[str]) -> Iterator[dict[str, Any]]:
    for first in range(0, len(jobs), _MANY):
        some = jobs[first : first + _MANY]
        yield _asked(source.change_jobs, {"action": action, "jobs": some, "confirm": True})


def _would(arguments: argparse.Namespace, count: int, said: str) -> int:
    if arguments.json:
        print_json({"count": count})
    else:
        sys.stdout.write(f"{count} jobs would be {said}\n")
    return HOLDS


def _confirm(count: int, said: str) -> None:
    """Ask on the terminal.

    Raises:
        CommandError: the answer is no, or there is nobody to ask.
    """
    if not sys.stdin.isatty():
        raise CommandError(f"{count} jobs would be {said}: say --yes, or --dry-run to only count")
    sys.stderr.write(f"{count} jobs will be {said}. Go on? [y/N] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise CommandError("nothing was done")
