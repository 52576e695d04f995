# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""A worker's lifeline: the kernel ends the worker when its server has died."""

from __future__ import annotations

import contextlib
import os
import signal

__all__ = ["die_with_the_server"]


def die_with_the_server(lifeline: int) -> None:
    """Have the kernel kill this process when the other end of ``lifeline`` is closed.

    A worker that is stuck in a call does not read its socket: it would not notice by itself.
    """
    import fcntl

    if not hasattr(fcntl, "F_SETSIG"):
        return  # not Linux: the template, which sees the server go, kills its workers
    fcntl.fcntl(lifeline, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(lifeline, fcntl.F_SETSIG, signal.SIGKILL)
    fcntl.fcntl(lifeline, fcntl.F_SETFL, fcntl.fcntl(lifeline, fcntl.F_GETFL) | os.O_ASYNC)
    os.set_blocking(lifeline, False)
    with contextlib.suppress(BlockingIOError):
        if os.read(lifeline, 1) == b"":
            os._exit(1)  # it was closed before the signal was set up
