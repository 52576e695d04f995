# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""One store has one server: a lock that the kernel releases when its holder ends.

The kernel releases an ``flock`` however its holder has ended. What the file says is for people and
for the next server: who held the store, and whether it was released in order.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import math
import os
import socket
import time
from pathlib import Path
from typing import Any

import psutil

from ...engines.process.template_start import SERVER_VARIABLE
from ...errors import TaskStoreError
from ...worker.forks import when_forked
from .folder import open_file

__all__ = ["Ownership"]

ORPHAN_PATIENCE_SECONDS = 5.0
"""How long workers of a server that was killed may take to end before they are killed."""

_LOOK_EVERY_SECONDS = 0.01


class Ownership:
    """The right to use the store in ``folder``, held until ``release`` or the process's end."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "owner"
        self._descriptor: int | None = None
        self.predecessor: dict[str, Any] = {}

    def take(self) -> None:
        """Take the store, after the workers of a server that was killed have ended.

        Raises:
            TaskStoreError: a running server has it, or a worker of the killed one does not end.
        """
        descriptor = open_file(self._path, os.O_RDWR | os.O_CREAT)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            owner = _read(descriptor)
            os.close(descriptor)
            if not isinstance(error, BlockingIOError):
                raise TaskStoreError(
                    f"the store of long jobs {self._path.parent} cannot be locked: {error}. Keep "
                    "it on a local file system"
                ) from error
            raise TaskStoreError(
                f"the store of long jobs {self._path.parent} is in use by the server with pid "
                f"{owner.get('pid', '?')} on {owner.get('host', '?')}, which lives. A store has "
                "one server: end that one, or give this one a folder of its own with "
                "long_tasks={'path': ...}"
            ) from None
        self._descriptor = descriptor
        when_forked(self.let_go)
        self.predecessor = _read(descriptor)
        if self.predecessor.get("pid") and self.predecessor.get("host") == socket.gethostname():
            _await_workers_of(int(self.predecessor["pid"]))
        process = psutil.Process()
        self._write(
            pid=process.pid,
            host=socket.gethostname(),
            started_at=process.create_time(),
            taken_at=time.time(),
        )

    def _write(self, **facts: Any) -> None:
        assert self._descriptor is not None
        text = json.dumps(facts).encode()
        os.pwrite(self._descriptor, text, 0)
        os.ftruncate(self._descriptor, len(text))

    def let_go(self) -> None:
        """Close the file in a forked child: the lock belongs to every process that has it open."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def release(self) -> None:
        """Release the store in order. Doing it again changes nothing."""
        if self._descriptor is not None:
            with contextlib.suppress(OSError):  # a full disk: it then looks as if it was killed
                self._write()
            os.close(self._descriptor)
            self._descriptor = None


def _read(descriptor: int) -> dict[str, Any]:
    try:
        facts = json.loads(os.pread(descriptor, 4096, 0) or b"{}")
    except ValueError:
        return {}  # its holder was killed while it wrote
    return facts if isinstance(facts, dict) else {}


def _await_workers_of(server: int) -> None:
    """Wait until no worker of the killed ``server`` runs any more, so that no job runs twice.

    The kernel kills them together with their server. This waits for those that have not ended yet,
    and for a worker that the server's template process was about to start.
    """
    deadline = time.monotonic() + ORPHAN_PATIENCE_SECONDS
    # Repeated until there is none: a worker that is starting is not in the list yet.
    while left := _workers_of(server):
        if time.monotonic() > deadline + ORPHAN_PATIENCE_SECONDS:
            pids = ", ".join(str(process.pid) for process in left)
            raise TaskStoreError(
                f"workers of the killed server with pid {server} still run and cannot be ended: "
                f"pid {pids}. Their jobs could run twice; end them first"
            )
        if time.monotonic() > deadline:
            for process in left:
                with contextlib.suppress(psutil.Error):
                    process.kill()
        time.sleep(_LOOK_EVERY_SECONDS)


def _workers_of(server: int) -> list[psutil.Process]:
    """The processes that ``server`` has started for its pools, and that still run."""
    now_alive = psutil.Process(server).create_time() if psutil.pid_exists(server) else math.inf
    return [
        process
        for process in psutil.process_iter(["cmdline", "create_time", "uids"])
        # A process of another user may have any title, and is none that our server has started.
        # Only a server of root starts workers that are another user's.
        if os.geteuid() in (0, getattr(process.info["uids"], "real", None))
        and _is_worker_of(server, process)
        # The pid may belong to another server now, and these may be workers of that one.
        and (process.info["create_time"] or 0.0) < now_alive
        and _runs(process)
    ]


def _is_worker_of(server: int, process: psutil.Process) -> bool:
    command = " ".join(process.info["cmdline"] or ())
    if command.startswith("genro-executor:"):  # the title of a worker that is up
        return command.rstrip().endswith(f" of server {server}")
    if "genro_executor_plugin" not in command:  # of whichever version, in whichever module
        return False
    with contextlib.suppress(psutil.Error):
        return process.environ().get(SERVER_VARIABLE) == str(server)
    return False


def _runs(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False
