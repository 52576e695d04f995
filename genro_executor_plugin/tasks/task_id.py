# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The id of a long job, which also knows whether the job is in the store yet."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from concurrent.futures import Future
from typing import Any

__all__ = ["TaskId"]


class TaskId(str):
    """What ``submit`` returns: the id, a text like any other, that can be awaited once more.

    Awaiting it waits until the job is in the store, from where no end of the server takes it
    away, and gives the id again. Submitted from a thread, or with ``durable=False``, there is
    nothing to wait for.
    """

    __slots__ = ("_accepted",)

    _accepted: Future[Any] | asyncio.Future[Any] | None

    def __new__(
        cls,
        task_id: str,
        accepted: Future[Any] | asyncio.Future[Any] | None,
        *,
        durable: bool = True,
    ) -> TaskId:
        made = super().__new__(cls, task_id)
        made._accepted = accepted if durable else None
        return made

    def __await__(self) -> Generator[Any, None, str]:
        return self._until_accepted().__await__()

    async def _until_accepted(self) -> str:
        accepted = self._accepted
        if isinstance(accepted, Future):
            await asyncio.wrap_future(accepted)
        elif accepted is not None:
            await asyncio.shield(accepted)
        return str(self)

    def __reduce__(self) -> tuple[Any, ...]:
        return str, (str(self),)
