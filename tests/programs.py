# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Programs that tests start with this interpreter, as a user would start them.

``run_program`` runs one to its end. ``started`` gives a ``RunningProgram``, which a test reads,
signals and asks; it has a session of its own, and what is left of it is killed at the end.
Commands in a terminal are in ``terminals``.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import httpx
import psutil
from imported import ImportedProgram

TESTS = Path(__file__).parent

REQUEST_TIMEOUT_SECONDS = 90.0
RUN_TIMEOUT_SECONDS = 60.0
EXIT_TIMEOUT_SECONDS = 60.0

_RUNNING = re.compile(r"Uvicorn running on (?P<url>http://\S+)")


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
        timeout=RUN_TIMEOUT_SECONDS,
        **({} if "input" in options else {"stdin": subprocess.DEVNULL}),
        **options,
    )
    assert done.returncode == 0, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
    assert "Traceback" not in done.stderr, done.stderr
    return done.stdout


class RunningProgram:
    """A program that runs.

    Attributes:
        log: what was read of its output so far.
        errors: what it wrote to standard error, if that is kept apart; complete after ``wait``.
        url: where it serves, after ``until_it_serves``.
    """

    def __init__(
        self,
        *command: str | Path,
        cwd: Path | None = None,
        errors_apart: bool = False,
        finds_tests: bool = True,
        imported: bool = False,
        **environment: str,
    ) -> None:
        """Start Python with ``command``.

        Args:
            cwd: the folder it is started in, the test's own if it is ``None``.
            errors_apart: whether standard error is kept apart from standard output.
            finds_tests: whether it can import the modules of this folder.
            imported: whether the package is imported already when it begins (see ``imported``).
            environment: variables on top of the test's own.
        """
        path = [str(TESTS)] if finds_tests else []
        path += filter(None, [os.environ.get("PYTHONPATH")])
        found = {"PYTHONPATH": os.pathsep.join(path)} if path else {}
        arguments, variables = [*map(str, command)], {**os.environ, **found, **environment}
        self._process: subprocess.Popen[bytes] | ImportedProgram
        if imported:
            assert finds_tests
            assert not errors_apart
            self._process = ImportedProgram(arguments, cwd, variables)
        else:
            self._process = subprocess.Popen(
                [sys.executable, *arguments],
                cwd=cwd,
                env=variables,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE if errors_apart else subprocess.STDOUT,
                # ``communicate`` reads the pipes itself: it would miss what was read ahead.
                bufsize=0,
                start_new_session=True,
            )
        self._known: set[psutil.Process] = set()
        self.log = ""
        self.errors = ""
        self.url = ""

    @property
    def pid(self) -> int:
        return self._process.pid

    # -- what it says -------------------------------------------------------------------------

    def line(self) -> str:
        """The next line of its output; empty at the end of it."""
        line = _line(self._process.stdout)
        self.log += line
        return line

    def until_it_serves(self) -> None:
        """Wait for the address; an ``AssertionError`` with the log if it ends before."""
        self.url = self.until_it_says(_RUNNING)["url"]

    def until_it_says(self, pattern: str | re.Pattern[str]) -> re.Match[str]:
        """Wait until ``pattern`` is in the log; an ``AssertionError`` if it ends before."""
        while (said := re.search(pattern, self.log)) is None:
            assert self.line(), f"the program ended before it said {pattern}:\n{self.log}"
        return said

    def until_it_complains(self, pattern: str | re.Pattern[str]) -> re.Match[str]:
        """As ``until_it_says``, on standard error that is kept apart."""
        while (said := re.search(pattern, self.errors)) is None:
            line = _line(self._process.stderr)
            assert line, f"the program ended before it said {pattern}:\n{self.errors}"
            self.errors += line
        return said

    # -- what it serves and starts ------------------------------------------------------------

    def client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            base_url=self.url,
            timeout=REQUEST_TIMEOUT_SECONDS,
            # Before uvicorn does it, which may be while a request is on its way.
            limits=httpx.Limits(keepalive_expiry=1.0),
            headers={"accept": "application/json"},
            trust_env=False,
            verify=False,
        )

    def descendants(self) -> set[psutil.Process]:
        """Every process below it that is there now; remembered for ``left``."""
        found = set(psutil.Process(self.pid).children(recursive=True))
        self._known |= found
        return found

    def left(self, seconds: float = 20.0) -> set[psutil.Process]:
        """What is still there, after ``seconds`` at most, of what ``descendants`` ever saw."""
        deadline = time.monotonic() + seconds
        while (alive := set(filter(_is_alive, self._known))) and time.monotonic() < deadline:
            time.sleep(0.005)
        return alive

    # -- its end ------------------------------------------------------------------------------

    def signal(self, number: int) -> None:
        self._process.send_signal(number)

    def signal_all(self, number: int) -> None:
        """Signal it with all that is below it, as a terminal does at Ctrl-C."""
        os.killpg(self.pid, number)

    @property
    def exit_code(self) -> int | None:
        """The exit code; ``None`` while it runs."""
        return self._process.poll()

    def wait(self, seconds: float = EXIT_TIMEOUT_SECONDS) -> int:
        """The exit code; what the program wrote is in ``log`` and ``errors`` then."""
        output, errors = self._process.communicate(timeout=seconds)
        self.log += output.decode()
        self.errors += (errors or b"").decode()
        return self._process.returncode

    def wait_for_itself(self) -> int:
        """The exit code, though processes that it left may still hold its output."""
        return self._process.wait(EXIT_TIMEOUT_SECONDS)

    def end(self) -> None:
        """Kill whatever is left of it."""
        for process in self._known:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.communicate()


@contextmanager
def started(*command: str | Path, **options: Any) -> Iterator[RunningProgram]:
    """The running program, with ``options`` as for it; what is left of it is killed at the end."""
    program = RunningProgram(*command, **options)
    try:
        yield program
    finally:
        program.end()


def _line(stream: IO[bytes] | None) -> str:
    assert stream is not None
    return stream.readline().decode()


def _is_alive(process: psutil.Process) -> bool:
    # Nobody may be there to reap an orphan: a zombie is gone.
    with suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False
