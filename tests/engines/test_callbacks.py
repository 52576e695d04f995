# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Callbacks of the process engine in which something goes wrong, whatever it is.

What the event loop calls is struck by an exception near its begin, as a lack of memory could do.
That is logged, calls end nevertheless, and the pool goes on.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
import worker_functions as wf
from waiting import until

from genro_executor_plugin import ProcessExecutor, WorkerCrashedError
from genro_executor_plugin.engines.process import ending, spreading

ENGINE = "genro_executor_plugin/engines/"

CALLBACKS = {
    "_settle",
    "Ahead._fill",
    "Ahead._look",
    "Arrivals._on_a_thread.<locals>.start.<locals>.rebuilt",
    "Arrivals._on_a_thread.<locals>.start",
    "JobEngine._give_up",
    "Link.resume",
    "Observer._look_at_all",
    "Recycling._look_at",
    "RunEnder._give_up",
    "Timeouts._look_at_all",
    "Worker._exited",
    "Worker._readable",
    "WorkerPool.worker_ended",
}
"""What is struck: what the loop calls, or what that calls to do its work."""


class StruckError(Exception):
    """What strikes."""


class Strikes:
    """Raises in each of the functions ``names`` once.

    Attributes:
        left: the functions that were not struck yet.
    """

    def __init__(self, names: set[str]) -> None:
        self.left = set(names)

    @contextlib.contextmanager
    def armed(self) -> Iterator[None]:
        before = sys.gettrace()
        sys.settrace(self._called)
        try:
            yield
        finally:
            sys.settrace(before)

    def arm_again(self) -> None:
        """Go on: Python drops a trace function that has raised."""
        sys.settrace(self._called)

    def _called(self, frame: FrameType, event: str, argument: Any) -> Any:
        name = frame.f_code.co_qualname
        if name not in self.left or ENGINE not in frame.f_code.co_filename:
            return None
        lines = 0

        def inside(frame: FrameType, event: str, argument: Any) -> Any:
            nonlocal lines
            lines += event == "line"
            # The first line may be that of a ``try``, whose handlers do not guard itself.
            if event == "line" and name in self.left and lines > 1:
                self.left.discard(name)
                raise StruckError(name)
            return inside

        return inside


def says(count: int) -> int:
    for number in range(count):
        logging.getLogger("struck").error("number %d", number)
    return count


def large(size: int) -> bytes:
    return b"x" * size


async def stubborn(seconds: float) -> None:
    """Goes on for a while when it is cancelled."""
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        await asyncio.sleep(seconds)


async def all_sorts(
    pool: ProcessExecutor, arm: Callable[[], None], *, in_turn: bool = False
) -> dict[str, Any]:
    """How calls of all sorts end; a ``TimeoutError`` for one that does not.

    All at once, where some may never get to what they are here for because another call has ended
    their worker; or ``in_turn``, where each but the short ones is alone.
    """

    async def cancelled() -> None:
        task = asyncio.create_task(pool.submit(wf.spin))
        await asyncio.sleep(0.05)
        task.cancel()
        await task

    async def armed_again(ended: asyncio.Event) -> None:
        while not ended.is_set():
            arm()
            await asyncio.sleep(0.005)

    limited = pool.options(timeout=0.1)
    calls = {
        "timeout": limited.submit(wf.spin),
        "timeout of a coroutine": limited.submit(wf.sleep_async, 60),
        "cancelled": cancelled(),
        "does not end": limited.submit(stubborn, 1.0),
        **{
            f"wait {n}": pool.options(queue_timeout=0.01).submit(time.sleep, 0.05) for n in range(6)
        },
        "crash": pool.submit(wf.exit_with, 3),
        "logs": pool.submit(says, 250),
        "large": pool.submit(large, 1_000_000),
        "fails": pool.submit(wf.fail, ValueError("as it is")),
        **{f"short {n}": pool.submit(wf.slow_result_or_hold, None) for n in range(12)},
    }
    ended = asyncio.Event()
    arming = asyncio.create_task(armed_again(ended))
    waits: list[Any] = [asyncio.wait_for(call, 40) for call in calls.values()]
    alone = [n for n, name in enumerate(calls) if in_turn and not name.startswith("short")]
    for number in alone:
        waits[number] = asyncio.ensure_future(waits[number])
        await asyncio.wait([waits[number]])
    outcomes = await asyncio.gather(*waits, return_exceptions=True)
    ended.set()
    await arming
    return dict(zip(calls, outcomes, strict=True))


async def test_whatever_goes_wrong_in_a_callback_no_call_hangs(
    make: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ending, "RUN_GRACE_SECONDS", 0.3)
    logging.getLogger("struck").propagate = False
    logging.getLogger("struck").addHandler(logging.NullHandler())
    caplog.set_level(logging.ERROR)
    pool = make(max_workers=2, idle_timeout=0.05)
    strikes = Strikes(CALLBACKS)
    told: set[str] = set()  # the log, or the caller of what it was about
    with strikes.armed():
        for number in range(20):
            outcomes = await all_sorts(pool, strikes.arm_again, in_turn=number % 2 == 1)
            hang = [name for name, outcome in outcomes.items() if type(outcome) is TimeoutError]
            assert not hang, strikes.left
            told |= {name for name in CALLBACKS for one in outcomes.values() if name in str(one)}
            # Workers are idle now.
            await until(lambda: strikes.arm_again() or "Recycling._look_at" not in strikes.left)
            if not strikes.left:
                break
    assert not strikes.left
    told |= {str(record.exc_info[1]) for record in caplog.records if record.exc_info}
    assert told >= CALLBACKS
    outcomes = await all_sorts(pool, functools.partial(sys.settrace, None))
    failed = {name for name, outcome in outcomes.items() if isinstance(outcome, BaseException)}
    over = {"timeout", "timeout of a coroutine", "does not end"}
    waits = {name for name in outcomes if name.startswith("wait")}
    assert failed - waits == {*over, "cancelled", "crash", "fails"}
    assert pool.metrics["pending"] == 0


@pytest.mark.parametrize("name", ["Launcher._read", "Launcher._writable"])
async def test_what_goes_wrong_with_the_template_costs_no_call(
    make: Any, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    strikes = Strikes({name})
    while strikes.left:
        pool = make(max_workers=1)
        with strikes.armed():
            assert await asyncio.wait_for(pool.submit(large, 1), 40) == b"x"
    assert "has said something that was lost; it is replaced" in caplog.text


async def test_a_start_is_tried_again_whatever_goes_wrong_in_the_timer(
    make: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    works = tmp_path / "works"
    pool = make(max_workers=1, initializer=wf.initialize_if_there, initargs=(str(works),))
    strikes = Strikes({"StartBackoff._time_is_up"})
    with strikes.armed():
        with pytest.raises(WorkerCrashedError):
            await pool.submit(large, 1)
        await until(lambda: strikes.arm_again() or not strikes.left)
    assert "this is tried again" in caplog.text
    works.touch()
    await until(lambda: pool.unhealthy is None)
    assert await pool.submit(large, 1) == b"x"


async def test_calls_that_wait_for_a_worker_that_starts_go_on(
    make: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    # On a busy machine starts are farther from their expected end than calls wait for.
    monkeypatch.setattr(spreading, "_MOMENT_SECONDS", 1.0)
    pool = make(max_workers=2, idle_timeout=0.05)
    strikes = Strikes({"Spreading._time_is_up"})
    with strikes.armed():
        while strikes.left:
            await until(lambda: pool.metrics["workers"] == 0)
            await pool.submit(large, 1)
            calls = [pool.submit(wf.sleep_async, 0.3) for _ in range(20)]
            strikes.arm_again()
            await asyncio.wait_for(asyncio.gather(*calls), 40)
    assert "this is tried again" in caplog.text
