# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""What a kind of pool can tell of its running calls: where they are, and where they spend time."""

from __future__ import annotations

from ..metrics.profiles import ProfileTarget, WorkerProfile
from ..metrics.worker_state import RunningStack

__all__ = ["Insight"]


class Insight:
    """A look into running calls; a part of every engine, and nothing is known by default."""

    async def stacks(self, pid: int | None = None) -> list[RunningStack]:
        """Return where each running call is, those in process ``pid`` or all; empty if unknown."""
        return []

    async def profile(
        self, target: ProfileTarget, seconds: float, rate: int
    ) -> list[WorkerProfile]:
        """Take samples of the calls of one route, for kinds with ``Capability.PROFILES``.

        It takes ``seconds`` and hardly longer, whatever becomes of the workers; cancelling it ends
        the samples. Being watched changes no result.

        Args:
            target: whose calls; no other calls are counted.
            seconds: how long.
            rate: how many looks in a second.
        """
        return []
