# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The demo's server in a process of its own: how it is started, found and ended.

``python -m genro_executor_plugin.tools.demo.server`` is that process. It serves until SIGTERM or
SIGINT, or until its standard input ends: it never outlives the process that started it
and holds the other end, however that one ended.
"""

from __future__ import annotations

import argparse
import os
import re
import secrets
import signal
import subprocess
import sys
import threading
from collections import deque
from contextlib import suppress
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Self

import psutil

from ...console.token_files import TOKEN_VARIABLE
from ...options.pool import BYPASS_VARIABLE
from . import POOLS

__all__ = ["DemoError", "ServerProcess", "main"]

_START_SECONDS = 30.0
_STOP_SECONDS = 15.0
_LOG_LINES = 200

_RUNNING = re.compile(r"Uvicorn running on (http://\S+)")


class DemoError(Exception):
    """The demo cannot be shown. The message is one line for the person who started it."""


class ServerProcess:
    """A running server; as a context manager it is ended, whatever happens inside.

    Attributes:
        url: where it answers.
        log: the last lines it wrote.
        token: what its console asks for.
    """

    def __init__(self, port: int = 0) -> None:
        self._port = port
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None
        self.log: deque[str] = deque(maxlen=_LOG_LINES)
        self.url: str = ""
        self.token: str = secrets.token_urlsafe(24)

    @property
    def pid(self) -> int:
        """The process id of the server."""
        assert self._process is not None
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the server's process still runs."""
        return self._process is not None and self._process.poll() is None

    @property
    def last_words(self) -> str:
        """The line of its log that tells best why it ended: its first error, or its last line."""
        said = [line for line in self.log if line.strip()] or ["it said nothing"]
        words = next((line for line in said if line.startswith("ERROR")), said[-1])
        return words.removeprefix("ERROR:").strip()

    def wait(self) -> None:
        """Wait until the server has ended by itself."""
        if self._process is not None:
            self._process.wait()

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def stop(self) -> tuple[int, int]:
        """End the server.

        Returns:
            How many processes there were, the server included, and how many had to be killed.
        """
        process, self._process = self._process, None
        if process is None:
            return 0, 0
        family = _family(process.pid)
        assert process.stdin is not None
        process.stdin.close()
        _, late = psutil.wait_procs(family, timeout=_STOP_SECONDS)
        for one in late:
            with suppress(psutil.NoSuchProcess):
                one.kill()
        process.wait()
        assert self._reader is not None
        self._reader.join(_STOP_SECONDS)
        return len(family), len(late)

    def _start(self) -> None:
        # A bypassed pool has no workers, and workers are what the demo shows.
        environment = {key: value for key, value in os.environ.items() if key != BYPASS_VARIABLE}
        environment[TOKEN_VARIABLE] = self.token
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-m", "genro_executor_plugin.tools.demo.server"),
                *("--port", str(self._port)),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env=environment,
            start_new_session=True,  # Ctrl-C goes to the demo alone, which then ends its server
        )
        found: SimpleQueue[str | None] = SimpleQueue()
        self._reader = threading.Thread(target=self._read, args=(self._process, found), daemon=True)
        self._reader.start()
        try:
            url = found.get(timeout=_START_SECONDS)
        except Empty:
            raise DemoError(f"the server did not start within {_START_SECONDS:g} s") from None
        if url is None:
            raise DemoError(f"the server did not start: {self.last_words}")
        self.url = url

    def _read(self, process: subprocess.Popen[str], found: SimpleQueue[str | None]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            self.log.append(line.rstrip())
            if (running := _RUNNING.search(line)) is not None:
                found.put(running[1])
        found.put(None)


def _family(pid: int) -> list[psutil.Process]:
    try:
        server = psutil.Process(pid)
        return [server, *server.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def main() -> None:
    """Serve the example until a signal, or until standard input ends."""
    # The demo's own process, which only starts this one, never loads the server and its PDFs.
    from ...console.application import ExecutorConsole
    from ...serving.server import ExecutorServer
    from .application import Monitor, Reports

    parser = argparse.ArgumentParser(prog="genro_executor_plugin.tools.demo.server")
    parser.add_argument("--port", type=int, default=0)
    arguments = parser.parse_args()
    server = ExecutorServer(applications=[Reports, Monitor, ExecutorConsole], executors=POOLS)
    threading.Thread(target=_end_with_stdin, daemon=True).start()
    server.serve(port=arguments.port)


def _end_with_stdin() -> None:
    while os.read(0, 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    main()
