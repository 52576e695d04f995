# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The frames of a failure travel with their places, and with nothing that they held."""

from __future__ import annotations

import gc
import pickle
import traceback
import weakref
from types import TracebackType
from typing import Any

import pytest

from genro_executor_plugin import ProcessExecutor, ThreadExecutor
from genro_executor_plugin.portable.exceptions import as_of_the_function
from genro_executor_plugin.portable.tracebacks import pack_traceback, rebuild_traceback


def divide(n: int) -> float:
    return 1 + 1 / n


def over_two_lines(n: int) -> Any:
    return [
        divide(
            n,
        )
    ]


def recurse(n: int) -> int:
    return recurse(n - 1) if n else [][n]


def failure(func: Any, *args: Any) -> BaseException:
    with pytest.raises((ZeroDivisionError, IndexError, ValueError)) as caught:
        func(*args)
    return caught.value


def travelled(trace: TracebackType | None) -> TracebackType:
    assert trace is not None
    rebuild, arguments = pack_traceback(trace)
    assert rebuild is rebuild_traceback
    there = rebuild(*pickle.loads(pickle.dumps(arguments)))
    assert there is not None
    return there


@pytest.mark.parametrize("func", [divide, over_two_lines])
def test_a_traceback_reads_the_same_there(func: Any) -> None:
    """The markers below each line are those of the place that failed."""
    trace = failure(func, 0).__traceback__
    assert traceback.format_tb(travelled(trace)) == traceback.format_tb(trace)


def test_a_traceback_travels_again() -> None:
    trace = failure(over_two_lines, 0).__traceback__
    twice = travelled(travelled(trace))
    assert traceback.format_tb(twice) == traceback.format_tb(trace)


def test_a_function_without_columns_has_its_lines() -> None:
    scope: dict[str, Any] = {}
    exec(compile("def bad():\n    raise ValueError", "generated.py", "exec"), scope)
    bad = scope["bad"]
    bad.__code__ = bad.__code__.replace(co_linetable=b"\xf8\x00" * 8)
    trace = failure(bad).__traceback__
    assert len(traceback.format_tb(travelled(trace))) == len(traceback.format_tb(trace))


def test_both_ends_of_a_deep_recursion_are_there() -> None:
    trace = failure(recurse, 900).__traceback__
    there = list(traceback.walk_tb(travelled(trace)))
    assert len(there) == 200
    assert there[0][0].f_code.co_name == "failure"
    assert there[-1][0].f_code.co_name == "recurse"


def test_the_frames_hold_nothing_and_lead_nowhere() -> None:
    class Held:
        pass

    held = Held()
    gone = weakref.ref(held)

    def caller(held: Any) -> TracebackType:
        return rebuild_traceback([(__file__, "divide", __name__, 23, 23, 15, 20)])  # type: ignore[return-value]

    gc.disable()
    try:
        trace = caller(held)
        del held
        assert gone() is None
    finally:
        gc.enable()
    for frame, _ in traceback.walk_tb(trace):
        assert frame.f_back is None
        assert frame.f_locals == {}


@pytest.mark.parametrize("make", [ProcessExecutor, ThreadExecutor])
async def test_a_failure_as_of_the_function_begins_with_the_functions_frames(make: Any) -> None:
    async with make(max_workers=1) as pool:
        with pytest.raises(ZeroDivisionError) as caught:
            await pool.submit(divide, 0)
    assert caught.value.__traceback__ is not None
    error = as_of_the_function(  # without the frame of this test
        caught.value.with_traceback(caught.value.__traceback__.tb_next)
    )
    text = "".join(traceback.format_exception(error))
    assert text.count("Traceback (most recent call last)") == 1
    assert text.count("division by zero") == 1
    assert error.__traceback__ is not None
    assert error.__traceback__.tb_frame.f_code.co_name == "divide"
    assert "~~^~~" in text


async def test_what_was_lost_with_the_frames_stays_as_text() -> None:
    """The frames of a failure that cannot travel as itself are in the text of its cause."""

    async with ProcessExecutor(max_workers=1) as pool:
        with pytest.raises(Exception, match="cannot leave") as caught:
            await pool.submit(fail_unpicklably)
    assert "fail_unpicklably" in "".join(
        traceback.format_exception(as_of_the_function(caught.value))
    ) or "fail_unpicklably" in getattr(caught.value, "remote_traceback", "")


class StubbornError(Exception):
    def __reduce__(self) -> Any:
        raise TypeError("cannot leave")


def fail_unpicklably() -> None:
    raise StubbornError("cannot leave")
