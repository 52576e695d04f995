# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The processes that a run starts, and their end: each by its pid, with all that it started."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from types import TracebackType

import psutil

__all__ = ["ROOT", "ModuleProcess"]

ROOT = Path(__file__).parents[1]
"""Where ``python -m benchmarks`` finds this package; its children are started there, too."""

_END_SECONDS = 10.0
_KILL_SECONDS = 5.0


class ModuleProcess:
    """``python -m module arguments``, and everything it starts, until the ``with`` block ends.

    It runs in the folder ``root``, whose package and benchmarks it imports. It has a session of
    its own: Ctrl-C is for the run, which then ends its processes. Its standard input stays open
    for as long as the run lives.
    """

    def __init__(self, module: str, *arguments: str, root: Path = ROOT) -> None:
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed by ``end``
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            cwd=root,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            start_new_session=True,
        )

    def __enter__(self) -> ModuleProcess:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.end()

    def cpu_seconds(self) -> float:
        """The CPU time that it has used by itself, without the processes it started."""
        times = psutil.Process(self._process.pid).cpu_times()
        return times.user + times.system

    def first_line(self, timeout: float) -> str:
        """The first line that it prints.

        Raises:
            RuntimeError: it printed none within ``timeout`` seconds; the message says why.
        """
        assert self._process.stdout is not None
        if not select.select([self._process.stdout], [], [], timeout)[0]:
            raise RuntimeError(f"no answer within {timeout:g} s")
        line = self._process.stdout.readline()
        if line:
            return line
        code = self._process.wait(_END_SECONDS)
        self._errors.seek(0)
        words = self._errors.read().strip().splitlines()
        raise RuntimeError(words[-1] if words else f"exit code {code}")

    def wait(self) -> None:
        """Give it the time to end by itself."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_END_SECONDS)

    def end(self) -> None:
        """Ask it to end, then kill what is left of it and of all that it started."""
        family = self._family()
        if self._process.poll() is None:
            self._process.terminate()
            self.wait()
        for process in family:
            # psutil compares start times: a pid that is somebody else's by now is left alone.
            with suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(family, _KILL_SECONDS)
        self._process.wait(_KILL_SECONDS)
        for stream in (self._process.stdin, self._process.stdout, self._errors):
            assert stream is not None
            stream.close()

    def _family(self) -> list[psutil.Process]:
        """It, its descendants, and what they left behind in its session."""
        session = self._process.pid
        family: dict[int, psutil.Process] = {}
        if self._process.poll() is None:
            with suppress(psutil.NoSuchProcess):
                parent = psutil.Process(session)
                family = {child.pid: child for child in parent.children(recursive=True)}
                family[session] = parent
        for process in psutil.process_iter():
            with suppress(ProcessLookupError, PermissionError):
                if os.getsid(process.pid) == session:
                    family.setdefault(process.pid, process)
        return list(family.values())
