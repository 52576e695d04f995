# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""What a worker is told before its first call.

Made and pickled by the supervisor in the server, read by ``child`` in the worker: it holds plain
data only, and imports nothing that a small worker would not have.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass, field

from setproctitle import setproctitle

from ...options.pool import GPU_VARIABLE, PoolOptions
from ...portable.hooks import PackedHooks
from ...portable.modules import ModuleSources
from ...portable.process_settings import ProcessSettings
from ...portable.process_start import ProcessStart, reseed
from ...worker.memory import limit_allocations
from ...worker.running import INDEX_VARIABLE

__all__ = ["WorkerBoot"]


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
        index: its number among the workers of its pool.
        variables: the environment variables that are its own, beside those of ``start``.
        oom_score_adj: added to its score, by which the kernel chooses whom to end without memory.
        memory_limit: how many bytes it may hold, ``None`` for no limit.
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
    index: int = 0
    variables: dict[str, str] = field(default_factory=dict)
    oom_score_adj: int = 0
    memory_limit: int | None = None
    settings: ProcessSettings | None = None
    start: ProcessStart | None = None

    @classmethod
    def of(
        cls,
        pool: str,
        options: PoolOptions,
        hooks: PackedHooks,
        index: int,
        here: tuple[ModuleSources, ProcessSettings, ProcessStart],
    ) -> WorkerBoot:
        """What worker ``index`` of ``pool`` is told, whose server is as ``here`` says."""
        sources, settings, start = here
        variables = options.env.of_one(index)
        if options.gpus:
            variables[GPU_VARIABLE] = options.gpus[index % len(options.gpus)]
        return cls(
            pool=pool,
            server=os.getpid(),
            sources=sources,
            hooks=hooks,
            threads=options.threads_per_worker,
            nice=options.nice,
            cpu_affinity=options.cpu_affinity,
            index=index,
            variables=variables,
            oom_score_adj=options.oom_score_adj,
            memory_limit=options.memory_limit,
            settings=settings,
            start=start,
        )

    def prepare_process(self) -> None:
        """Give this process, a worker, its environment, its name, its priority and its limits."""
        reseed()
        if self.start is not None:
            self.start.apply()
        os.environ.update(self.variables)
        os.environ[INDEX_VARIABLE] = str(self.index)
        if self.oom_score_adj:
            _go_before_others(self.oom_score_adj)
        if self.memory_limit is not None:
            limit_allocations(self.memory_limit)
        if self.nice:
            os.nice(self.nice)
        if self.cpu_affinity is not None:
            os.sched_setaffinity(0, self.cpu_affinity)
        setproctitle(f"genro-executor: pool {self.pool} of server {self.server}")
        with contextlib.suppress(OSError), open("/proc/self/comm", "w") as comm:
            comm.write(f"genro:{self.pool}"[:15])


def _go_before_others(score: int) -> None:
    """Have the kernel end this process, rather than one without ``score``, when memory runs out.

    Every process may raise its own score; only privileged ones may lower it.
    """
    with contextlib.suppress(OSError, ValueError), open("/proc/self/oom_score_adj", "r+") as file:
        inherited = int(file.read())
        file.seek(0)
        file.write(str(min(1000, inherited + score)))
