# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Pools whose calls run on a Ray cluster. Nothing imports this who has none."""

from __future__ import annotations

from typing import ClassVar, Unpack

from ..engines.base import Engine
from ..engines.ray.engine import RayEngine
from ..options.keywords import RayPoolKeywords
from ..options.pool import PoolOptions
from .base import BaseExecutor

__all__ = ["ENGINE", "POOL", "RayExecutor"]


class RayExecutor(BaseExecutor):
    """A pool of actors on a Ray cluster, each of which runs one call at a time.

    A run over its ``timeout``, and one whose caller is cancelled, is killed with its actor; a crash
    ends one call, with ``WorkerCrashedError``, or ``WorkerLostError`` where a node is gone.
    """

    engine_type: ClassVar[type[Engine] | None] = RayEngine

    def __init__(
        self,
        name: str = "default",
        options: PoolOptions | None = None,
        **given: Unpack[RayPoolKeywords],
    ) -> None:
        """Make a pool of ``options``, or of those that are ``given`` one by one.

        Raises:
            ExecutorConfigError: an option is wrong, or pools of this kind cannot keep it.
        """
        super().__init__(name, options, **given)


POOL, ENGINE = RayExecutor, RayEngine
