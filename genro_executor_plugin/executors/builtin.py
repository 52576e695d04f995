# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The kinds of pools that this package has, under their public names."""

from __future__ import annotations

from typing import Unpack

from ..engines.inline import InlineEngine
from ..engines.process.engine import ProcessEngine
from ..engines.thread import ThreadEngine
from ..errors import WorkerCrashedError
from ..options.keywords import ProcessPoolKeywords, ThreadPoolKeywords
from ..options.pool import PoolOptions
from .base import BaseExecutor

__all__ = ["InlineExecutor", "ProcessExecutor", "ThreadExecutor"]


class ThreadExecutor(BaseExecutor):
    """A pool of threads of its own: nothing else waits because these are busy.

    A thread cannot be killed. With ``abandon_on_timeout`` the caller gets its
    ``ExecutorTimeoutError`` in time, and the thread's place stays taken until it is done.
    """

    engine_type = ThreadEngine

    def __init__(
        self,
        name: str = "default",
        options: PoolOptions | None = None,
        **given: Unpack[ThreadPoolKeywords],
    ) -> None:
        """Make a pool of ``options``, or of those that are ``given`` one by one.

        Raises:
            ExecutorConfigError: an option is wrong, or pools of this kind cannot keep it.
        """
        super().__init__(name, options, **given)


class InlineExecutor(BaseExecutor):
    """Runs calls in this process, and still asks of them what a worker process would ask.

    The function runs as it is, with breakpoints, patches and coverage. Its arguments and its
    result are pickled and unpickled on the way, so that a test which passes here does not hide
    what a process would refuse; ``bypass="fast"`` leaves that out. Sync functions run on
    threads of the pool, so that the event loop stays free here, too.
    """

    engine_type = InlineEngine

    def __init__(
        self,
        name: str = "default",
        options: PoolOptions | None = None,
        **given: Unpack[ThreadPoolKeywords],
    ) -> None:
        """Make a pool of ``options``, or of those that are ``given`` one by one.

        Raises:
            ExecutorConfigError: an option is wrong, or pools of this kind cannot keep it.
        """
        super().__init__(name, options, **given)


class ProcessExecutor(BaseExecutor):
    """A pool of worker processes, started when they are needed.

    A worker that dies fails only the call it ran; a run over its ``timeout`` is killed. The
    server itself is never forked. With ``bypass`` its calls run in the server's process, with
    the same options: a caller whose call is over its ``timeout`` gets the error in time, and
    the place stays taken until the call is really done.
    """

    engine_type = ProcessEngine

    def __init__(
        self,
        name: str = "default",
        options: PoolOptions | None = None,
        **given: Unpack[ProcessPoolKeywords],
    ) -> None:
        """Make a pool of ``options``, or of those that are ``given`` one by one.

        Raises:
            ExecutorConfigError: an option is wrong, or pools of this kind cannot keep it.
        """
        super().__init__(name, options, **given)

    @property
    def pids(self) -> list[int]:
        """The process ids of the workers that are up."""
        return self._engine.pids if isinstance(self._engine, ProcessEngine) else []

    @property
    def start_error(self) -> WorkerCrashedError | None:
        """Why no worker can be started just now; ``None`` while the pool is healthy."""
        return self._engine.start_error if isinstance(self._engine, ProcessEngine) else None
