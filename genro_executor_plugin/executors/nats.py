# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Pools whose calls run on other machines. Nothing imports this who has none."""

from __future__ import annotations

from typing import ClassVar, Unpack

from ..engines.base import Engine
from ..engines.nats.engine import NatsEngine
from ..options.keywords import NatsPoolKeywords
from ..options.pool import PoolOptions
from .base import BaseExecutor

__all__ = ["ENGINE", "POOL", "NatsExecutor"]


class NatsExecutor(BaseExecutor):
    """A pool of agents on other machines, each started there with ``genro-executor worker``.

    Everything else is as in a pool of processes: limits that kill, crashes that end one call, what
    can travel. A call whose agent is gone fails with ``WorkerLostError``, which says that it is not
    known what became of it; ``NoAgentError`` says that nothing was sent.
    """

    engine_type: ClassVar[type[Engine] | None] = NatsEngine

    def __init__(
        self,
        name: str = "default",
        options: PoolOptions | None = None,
        **given: Unpack[NatsPoolKeywords],
    ) -> None:
        """Make a pool of ``options``, or of those that are ``given`` one by one.

        Raises:
            ExecutorConfigError: an option is wrong.
        """
        super().__init__(name, options, **given)


POOL, ENGINE = NatsExecutor, NatsEngine
