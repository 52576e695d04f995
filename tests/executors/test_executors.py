# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The public executors, each in its plainest use: a call, a failure, and the end."""

from __future__ import annotations

import operator

import pytest

from genro_executor_plugin import (
    BaseExecutor,
    ExecutorClosedError,
    InlineExecutor,
    LocalExecutor,
    ProcessExecutor,
    ThreadExecutor,
)


@pytest.mark.parametrize("kind", [InlineExecutor, ThreadExecutor, ProcessExecutor, LocalExecutor])
async def test_an_executor_answers_fails_and_ends(kind: type[BaseExecutor]) -> None:
    executor = kind("plain", max_workers=1)
    assert await executor.submit(pow, 2, 10) == 1024
    with pytest.raises(ZeroDivisionError):
        await executor.submit(operator.truediv, 1, 0)
    assert await executor.submit(pow, 2, 11) == 2048
    await executor.shutdown()
    with pytest.raises(ExecutorClosedError):
        await executor.submit(pow, 2, 10)
