# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The pytest plugin: fixtures for servers with pools, and for running without processes.

pytest loads this module by itself (entry point ``pytest11``), and that imports nothing but pytest.
A fixture imports what it needs when a test uses it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from .testing import ServerUnderTest

__all__ = ["executor_bypass", "executor_server", "pytest_addoption", "pytest_configure"]

_BYPASS_VARIABLE = "GENRO_EXECUTOR_BYPASS"  # not imported from options: this module loads nothing


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--executor-bypass`` and ``--executor-bypass-fast``."""
    group = parser.getgroup("genro-executor")
    group.addoption(
        "--executor-bypass",
        dest="executor_bypass",
        action="store_const",
        const="1",
        help="run every pool in the tests' own process; arguments and results are still serialized",
    )
    group.addoption(
        "--executor-bypass-fast",
        dest="executor_bypass",
        action="store_const",
        const="fast",
        help="as --executor-bypass, and serialize nothing",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Set the environment for ``--executor-bypass``, until pytest ends."""
    wanted = config.getoption("executor_bypass")
    if wanted is None:
        return
    before = os.environ.get(_BYPASS_VARIABLE)
    os.environ[_BYPASS_VARIABLE] = wanted

    def restore() -> None:
        if before is None:
            os.environ.pop(_BYPASS_VARIABLE, None)
        else:
            os.environ[_BYPASS_VARIABLE] = before

    config.add_cleanup(restore)


@pytest.fixture
def executor_bypass(monkeypatch: pytest.MonkeyPatch) -> None:
    """Run the calls of every pool that is made in this test in the test's own process.

    Breakpoints, patches and coverage work; arguments and results are still serialized, so that
    what a process would refuse is refused here, too.
    """
    monkeypatch.setenv(_BYPASS_VARIABLE, "1")


@pytest.fixture
def executor_server() -> Iterator[Callable[..., ServerUnderTest]]:
    """Start a server with pools: ``executor_server(Reports, executors={"pdf": {}})``.

    Arguments are those of ``ExecutorServer``, the applications first; ``config=`` works, too, and
    a server that was built already is taken as it is. Each serves on a loopback port of its own,
    on a thread of its own, until the test ends.
    """
    from .testing import ServerUnderTest

    started: list[ServerUnderTest] = []

    def start(*applications: Any, **options: Any) -> ServerUnderTest:
        started.append(ServerUnderTest.of(*applications, **options))
        started[-1].start()
        return started[-1]

    try:
        yield start
    finally:
        while started:
            started.pop().stop()
