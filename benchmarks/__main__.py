# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""``python -m benchmarks``: this package and its peers side by side, in one run."""

from __future__ import annotations

import argparse
import compileall
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

import genro_executor_plugin
from benchmarks.engine import run_engine
from benchmarks.environment import describe_environment
from benchmarks.figures import Table
from benchmarks.http import run_http
from benchmarks.long_jobs import run_long_jobs
from benchmarks.on_ray import run_ray
from benchmarks.options import positive_count, positive_seconds
from benchmarks.remote import run_remote
from benchmarks.report import as_json, as_markdown, shown_goals, shown_table
from benchmarks.settings import Settings

_PARTS: dict[str, Callable[[Settings, Callable[[str], None]], Iterator[Table]]] = {
    "http": run_http,
    "engine": run_engine,
    "long-jobs": run_long_jobs,
    "nats": run_remote,
    "ray": run_ray,
}


def main(arguments: list[str]) -> int:
    """Measure, print, write; 0 whatever the figures are: they are for people to judge."""
    chosen = _parser().parse_args(arguments)
    rounds, seconds = (1, 0.2) if chosen.quick else (5, 0.4)
    settings = Settings(
        chosen.rounds or rounds, chosen.seconds or seconds, chosen.only, goals_only=chosen.quick
    )
    signal.signal(signal.SIGTERM, _leave)
    began = time.monotonic()
    # An installed package comes compiled, and so do the peers; a checkout may not be.
    compileall.compile_dir(Path(genro_executor_plugin.__file__).parent, quiet=1)
    environment = describe_environment()
    lines = [f"{name}: {version}" for name, version in environment.items()]
    print("\n".join([*lines, ""]), flush=True)
    tables: list[Table] = []
    try:
        for part in _PARTS if chosen.part == "all" else [chosen.part]:
            for table in _PARTS[part](settings, _progress):
                _progress("")
                print(shown_table(table), flush=True)
                tables.append(table)
    except KeyboardInterrupt:
        _progress("")
        print("Stopped; all processes have ended.", file=sys.stderr)
        return 130
    print(shown_goals(tables))
    print(f"{time.monotonic() - began:.0f} s")
    command = " ".join(["python -m benchmarks", *_without_files(arguments)])
    if chosen.json is not None:
        chosen.json.write_text(as_json(tables, environment, settings), encoding="utf-8")
    if chosen.markdown is not None:
        text = as_markdown(tables, environment, settings, command)
        chosen.markdown.write_text(text, encoding="utf-8")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("part", nargs="?", choices=[*_PARTS, "all"], default="all")
    parser.add_argument("--quick", action="store_true", help="one short round, under a minute")
    parser.add_argument("--rounds", type=positive_count, help="how often each variant is measured")
    parser.add_argument("--seconds", type=positive_seconds, help="how long one measurement lasts")
    parser.add_argument("--only", default="", metavar="TEXT", help="experiments named like this")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure there")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the tables there")
    return parser


def _without_files(arguments: list[str]) -> Iterator[str]:
    """The arguments that say what was measured, without those that say where it was written."""
    rest = iter(arguments)
    for argument in rest:
        if argument in ("--json", "--markdown"):
            next(rest, None)
        elif not argument.startswith(("--json=", "--markdown=")):
            yield argument


def _progress(text: str) -> None:
    """Show what is being done, on one line of a terminal."""
    if sys.stderr.isatty():
        width = max(20, os.get_terminal_size(sys.stderr.fileno()).columns - 1)
        sys.stderr.write(f"\r{text[:width]:<{width}}" if text else f"\r{'':<{width}}\r")
        sys.stderr.flush()


def _leave(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
