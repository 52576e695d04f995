# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The event loop of a worker: what it does with a coroutine that never begins."""

from __future__ import annotations

import asyncio
import gc
import threading
import warnings

from genro_executor_plugin.worker.coroutines import CoroutineThread


async def never_begins() -> None:
    raise AssertionError("it began")


def test_a_coroutine_that_is_cancelled_before_it_begins_leaves_no_warning() -> None:
    ended, cancelled, held = threading.Event(), threading.Event(), threading.Event()
    outcome: list[bool] = []

    def done(task: asyncio.Task[None]) -> None:
        outcome.append(task.cancelled())
        ended.set()

    thread = CoroutineThread(lambda error: None)
    try:
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            # Both arrive before the loop turns once more.
            thread.loop.call_soon_threadsafe(held.wait)
            thread.start(never_begins(), 0, done, number=1)
            thread.cancel(1, lambda number: cancelled.set())
            held.set()
            assert ended.wait(40)
            assert cancelled.wait(40)
            gc.collect()
    finally:
        thread.close()
    assert outcome == [True]
    # What the tests before have left may be collected here, too, and has warnings of its own.
    said = [str(warning.message) for warning in told]
    assert [text for text in said if "never_begins" in text] == []
