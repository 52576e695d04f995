# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The suites of genro-routes and genro-asgi with this plugin armed: ``python -m tests.upstream``.

Each suite comes from the source distribution of the version that is installed. It runs without the
plugin, and then in each of the ways of ``armed_routers``. A test that ends in another way than
without the plugin has to be in ``differences.toml``, with the reason; any other difference, and a
line there that is no longer true, ends the program with an error.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tarfile
import tempfile
import tomllib
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path

HERE = Path(__file__).parent

SUITES = ("genro-routes", "genro-asgi")
WAYS = ("plugged", "pooled")

LEFT_OUT = ("tests/docs/test_internals_reader.py",)
"""Files that need what has nothing to do with servers: the reader of a site's documentation."""

ABSENT = "did not run"
NOT_COLLECTED = "not collected"

Outcomes = dict[str, str]
"""How each test has ended, by its id."""


class UpstreamError(Exception):
    """A suite could not be run."""


def unpacked(package: str, folder: Path, sdists: Path | None) -> Path:
    """The source distribution of ``package``, unpacked in ``folder``."""
    release = version(package)
    source = folder if sdists is None else sdists
    if sdists is None:
        command = ("pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:")
        done = subprocess.run(
            [sys.executable, "-m", *command, "--dest", str(folder), f"{package}=={release}"],
            check=False,
        )
        if done.returncode:
            raise UpstreamError(f"pip could not download the sources of {package} {release}")
    stem = f"{package.replace('-', '_')}-{release}"
    with tarfile.open(source / f"{stem}.tar.gz") as archive:
        archive.extractall(folder, filter="data")
    return folder / stem


def run(suite: Path, way: str, options: Iterable[str]) -> Outcomes:
    """How each test of ``suite`` ends in ``way``; pytest's own words go to standard output."""
    left_out = [f"--ignore={file}" for file in LEFT_OUT if (suite / file).exists()]
    with tempfile.TemporaryDirectory() as folder:
        found = Path(folder, "outcomes.json")
        path = os.pathsep.join(filter(None, (str(HERE), os.environ.get("PYTHONPATH"))))
        environment = {"UPSTREAM_WAY": way, "UPSTREAM_OUTCOMES": str(found), "PYTHONPATH": path}
        # Their own options measure coverage; what is left here is what makes them comparable.
        arguments = ("-p", "armed_routers", "-o", "addopts=", "-q", "--tb=short", "--timeout=120")
        command = [
            sys.executable,
            "-m",
            "pytest",
            *arguments,
            "-p",
            "no:cacheprovider",
            *left_out,
            *options,
        ]
        subprocess.run(command, cwd=suite, env={**os.environ, **environment}, check=False)
        if not found.exists():
            raise UpstreamError(f"the run of {suite.name}, {way}, did not come to its end")
        outcomes: Outcomes = json.loads(found.read_text(encoding="utf-8"))
    unread = [name for name, outcome in outcomes.items() if outcome == NOT_COLLECTED]
    if unread:
        raise UpstreamError(f"{suite.name}, {way}: pytest cannot collect {', '.join(unread)}")
    return outcomes


def different(stock: Outcomes, armed: Outcomes) -> set[str]:
    """The ids of the tests that have not ended alike."""
    return {test for test in {*stock, *armed} if stock.get(test, ABSENT) != armed.get(test, ABSENT)}


def differences(suite: Path, way: str, stock: Outcomes, options: list[str]) -> dict[str, str]:
    """What differs in ``way``, with how it ended; by the id of the test.

    What differs runs a second time in both ways: a test that is late once says nothing.
    """
    armed = run(suite, way, options)
    found = sorted(different(stock, armed))
    if found and len(found) < 100:
        again = [test for test in found if "::" in test]
        if again:
            stock = {**stock, **run(suite, "stock", again)}
            armed = {**armed, **run(suite, way, again)}
    return {
        test: f"{stock.get(test, ABSENT)} without the plugin, {armed.get(test, ABSENT)} with it"
        for test in found
        if stock.get(test, ABSENT) != armed.get(test, ABSENT)
    }


def listed(package: str, way: str) -> dict[str, str]:
    """The tests that may differ, with the reason for each."""
    known = tomllib.loads((HERE / "differences.toml").read_text(encoding="utf-8"))
    return {
        test: group["reason"]
        for group in known["differs"]
        if group["suite"] == package and way in group["ways"]
        for test in group["tests"]
    }


def main() -> int:
    """Run what is asked for; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.upstream", description=__doc__)
    parser.add_argument("--sdists", type=Path, help="a folder with the source distributions")
    parser.add_argument("--suite", choices=SUITES, action="append")
    parser.add_argument("--way", choices=WAYS, action="append")
    parser.add_argument("pytest", nargs="*", help="options and tests for pytest")
    chosen = parser.parse_args()
    wrong: list[str] = []
    for package in chosen.suite or SUITES:
        with tempfile.TemporaryDirectory(prefix="upstream-") as folder:
            suite = unpacked(package, Path(folder), chosen.sdists)
            stock = run(suite, "stock", chosen.pytest)
            for way in chosen.way or WAYS:
                found, known = differences(suite, way, stock, chosen.pytest), listed(package, way)
                where = f"{suite.name}, {way}"
                wrong += [f"{where}: {t}: {found[t]}" for t in found if t not in known]
                wrong += [
                    f"{where}: {t} no longer differs; take it out of differences.toml"
                    for t in known
                    if t not in found and (t in stock or not chosen.pytest)
                ]
                print(f"\n{where}: {len(stock)} tests, {len(found)} differ")
                for test in sorted(found.keys() & known.keys()):
                    print(f"  {test}: {known[test]}")
    for line in wrong:
        print(f"NOT LISTED, OR NO LONGER TRUE: {line}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
