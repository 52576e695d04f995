# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""What a worker is told before its first call.

Made and pickled by the supervisor in the server, read by ``child`` in the worker: it holds plain
data only, and imports nothing that a small worker would not have.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass

from setproctitle import setproctitle

from ...portable.hooks import PackedHooks
from ...portable.modules import ModuleSources
from ...portable.process_settings import ProcessSettings
from ...portable.process_start import ProcessStart, reseed

__all__ = ["SERVER_VARIABLE", "WorkerBoot"]

SERVER_VARIABLE = "GENRO_EXECUTOR_SERVER"
"""In a worker's environment: the pid of its server, for tools that look at it from outside."""


@dataclass(frozen=True, slots=True)
class WorkerBoot:
    """The first thing a worker reads.

    Attributes:
        pool: the name of the pool it works for.
        server: the process id of the server it works for.
        sources: where the modules of the program come from.
        hooks: packed calls of the pool's initializer and finalizer; each is pickled on its own,
            so that a hook that cannot be read does not look like a broken worker.
        threads: how many sync calls it runs at a time.
        nice: added to its niceness.
        cpu_affinity: the processors it may use, ``None`` for those it has.
        settings: what is set in the server's process: log levels, locale and the like.
        start: the server's environment, working directory and umask.
    """

    pool: str
    server: int
    sources: ModuleSources
    hooks: PackedHooks = (None, None)
    threads: int = 1
    nice: int = 0
    cpu_affinity: tuple[int, ...] | None = None
    settings: ProcessSettings | None = None
    start: ProcessStart | None = None

    def prepare_process(self) -> None:
        """Give this process, a worker, its name, its place, its priority and its processors."""
        reseed()
        if self.start is not None:
            self.start.apply(own=(SERVER_VARIABLE,))
        if self.nice:
            os.nice(self.nice)
        if self.cpu_affinity is not None:
            os.sched_setaffinity(0, self.cpu_affinity)
        setproctitle(f"genro-executor: pool {self.pool} of server {self.server}")
        with contextlib.suppress(OSError), open("/proc/self/comm", "w") as comm:
            comm.write(f"genro:{self.pool}"[:15])
