# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""What Ray says of a call that has no answer, told in the errors of this package."""

from __future__ import annotations

import re

from ...errors import WorkerCrashedError, WorkerLostError

__all__ = ["Where", "crash_of"]

_NODE_IS_GONE = re.compile(r"\bnode\b.{0,80}\b(died|dead|removed|preempted|drained)\b", re.I | re.S)
_NO_MEMORY = re.compile(r"out.of.memory|\bOOM\b|memory on the node", re.I)
_KNOWN_DEATHS = ("ActorDiedError", "RayActorError", "WorkerCrashedError", "OutOfMemoryError")

_GUESSES = " Some common causes"
"""What Ray says of a worker that has ended in any way; what stands behind it tells nothing."""

_HINT = (
    "The node may have had no memory left: give the pool memory=..., or have its workers share a "
    "node with fewer others"
)


class Where:
    """Where a call was: for its error."""

    __slots__ = ("host", "node", "pid", "pool")

    def __init__(self, pool: str, pid: int | None, host: str | None, node: str) -> None:
        self.pool: str = pool
        self.pid: int | None = pid
        self.host: str | None = host
        self.node: str = node


def crash_of(error: BaseException, title: str, where: Where) -> WorkerCrashedError:
    """What the caller of ``title`` is told when Ray has raised ``error`` instead of an answer.

    Args:
        error: what Ray has raised.
        title: the function's name.
        where: the worker that had the call.
    """
    said = " ".join(str(error).split()).partition(_GUESSES)[0]
    name = type(error).__name__
    if name not in _KNOWN_DEATHS or _NODE_IS_GONE.search(said):
        lost = WorkerLostError(
            f"it is not known what became of {title}, which was sent to worker {where.pid} of pool "
            f"{where.pool!r} on {where.host}: {name}: {said}. It may have run, with all of its "
            "effects; where that does no harm, give it retries=1",
            pool=where.pool,
            pid=where.pid,
            agent=where.node,
            host=where.host,
        )
        lost.__cause__ = error
        return lost
    hint = f". {_HINT}" if name == "OutOfMemoryError" or _NO_MEMORY.search(said) else ""
    crash = WorkerCrashedError(
        f"worker {where.pid} of pool {where.pool!r} on {where.host} died while it ran {title}: "
        f"{said}{hint}",
        pool=where.pool,
        pid=where.pid,
    )
    crash.__cause__ = error
    return crash
