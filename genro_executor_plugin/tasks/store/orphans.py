# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The workers of a server that was killed: no job goes on before they have ended."""

from __future__ import annotations

import contextlib
import math
import os
import time

import psutil

from ...engines.process.template_start import SERVER_VARIABLE
from ...errors import TaskStoreError

__all__ = ["await_workers_of"]

ORPHAN_PATIENCE_SECONDS = 5.0
"""How long workers of a server that was killed may take to end before they are killed."""

_LOOK_EVERY_SECONDS = 0.01


def await_workers_of(server: int) -> None:
    """Wait until no worker of the killed ``server`` runs any more, so that no job runs twice.

    The kernel kills them together with their server. This waits for those that have not ended yet,
    and for a worker that the server's template process was about to start.

    Raises:
        TaskStoreError: one of them cannot be ended.
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
