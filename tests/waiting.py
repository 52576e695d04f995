# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Waiting for facts that nobody announces, and programs run as a user would run them."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

PATIENCE_SECONDS = 15.0
"""How long a fact may take to become true, on a machine that has other things to do, too."""

_LOOK_EVERY_SECONDS = 0.002


async def until(fact: Callable[[], Any]) -> None:
    """Let the loop go on until ``fact()`` is true."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    await asyncio.sleep(0)  # a fact from outside is true before the loop has read of it
    while not fact():
        assert time.monotonic() < deadline, "the fact did not become true"
        await asyncio.sleep(_LOOK_EVERY_SECONDS)


def block_until(fact: Callable[[], Any]) -> None:
    """Wait for ``fact()`` without letting the loop go on."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not fact():
        assert time.monotonic() < deadline, "the fact did not become true"
        time.sleep(_LOOK_EVERY_SECONDS)


def is_dead(pid: int) -> bool:
    """Whether process ``pid`` has ended, reaped or not."""
    with suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    return True


def environment(**more: str) -> dict[str, str]:
    """The environment of a program that finds the package and the tests' own functions."""
    path = os.pathsep.join(dict.fromkeys(entry for entry in sys.path if entry))
    return {**os.environ, "PYTHONPATH": path, **more}


def run_program(*arguments: Any, **options: Any) -> str:
    """Run Python with ``arguments`` to its end; its standard output. Errors are shown."""
    done = subprocess.run(
        [sys.executable, *map(str, arguments)],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS * 2,
        **({} if "input" in options else {"stdin": subprocess.DEVNULL}),
        **options,
    )
    assert done.returncode == 0, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
    assert "Traceback" not in done.stderr, done.stderr
    return done.stdout


@contextmanager
def started_program(script: Path, *arguments: Any) -> Iterator[subprocess.Popen[str]]:
    """The running program, in a session of its own; what is left of it is killed at the end."""
    with subprocess.Popen(
        [sys.executable, str(script), *map(str, arguments)],
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            yield process
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
