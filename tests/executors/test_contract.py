# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""One contract for every kind of pool.

A test that is about one kind alone is in ``test_process.py``, ``test_thread.py`` or
``test_inline.py``; what happens when a worker dies is in ``test_crashes.py``.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import datetime
import decimal
import functools
import importlib
import inspect
import itertools
import json
import math
import operator
import os
import traceback
import uuid
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import numpy
import pytest
import worker_functions as wf
from agents import shared_folder, shared_options, shared_pool
from rays import ray_pool
from waiting import until

from genro_executor_plugin import (
    BaseExecutor,
    ExecutorClosedError,
    ExecutorConfigError,
    ExecutorOverloadError,
    ExecutorRegistry,
    InlineExecutor,
    ProcessExecutor,
    RemoteError,
    SerializationError,
    ThreadExecutor,
)


def _bypassed(**options: Any) -> BaseExecutor:
    return ExecutorRegistry({"pool": {**options, "bypass": True}}).get("pool")


KINDS: dict[str, Callable[..., BaseExecutor]] = {
    "process": lambda **options: ProcessExecutor("pool", **options),
    "spawn": lambda **options: ProcessExecutor("pool", start_method="spawn", **options),
    "thread": lambda **options: ThreadExecutor("pool", **options),
    "inline": lambda **options: InlineExecutor("pool", **options),
    "bypass": _bypassed,
    "nats": shared_pool,
    "ray": ray_pool,
}
PROCESSES = ("process", "spawn", "nats", "ray")
CHECKED = (*PROCESSES, "inline", "bypass")
"""The kinds in which arguments and results have to serialize."""

OUTCOMES = ("completed", "failed", "rejected", "timed_out", "crashed", "cancelled")


@pytest.fixture(params=[kind for kind in KINDS if kind != "spawn"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


spawned_too = pytest.mark.parametrize("kind", KINDS)
"""For what a worker finds by itself, and for its end. Of the rest nothing depends on the way in
which a worker was started."""


@pytest.fixture
async def make(kind: str) -> AsyncIterator[Any]:
    made: list[BaseExecutor] = []

    def make(**options: Any) -> BaseExecutor:
        made.append(KINDS[kind](**options))
        return made[-1]

    yield make
    for executor in made:
        await executor.shutdown()


def assert_balanced(pool: BaseExecutor) -> None:
    """Every call that was submitted has one outcome or is pending."""
    metrics = pool.metrics
    assert metrics["submitted"] == sum(metrics[o] for o in OUTCOMES) + metrics["pending"], metrics
    assert metrics["pending"] >= 0, metrics


def runs_recorded(trace: Path) -> int:
    return trace.stat().st_size if trace.exists() else 0


# -- functions, arguments, results ------------------------------------------------------------


@spawned_too
async def test_a_call_returns_what_the_function_returns(make: Any) -> None:
    pool = make(max_workers=2)
    assert await pool.submit(wf.add, 40, right=2) == 42


def local_adder(left: int) -> Callable[[int], int]:
    def adder(right: int) -> int:
        return left + right

    return adder


CALLABLES: list[tuple[str, Any, tuple[Any, ...], Any]] = [
    ("a function", wf.add, (40, 2), 42),
    ("a coroutine function", wf.add_async, (40, 2), 42),
    ("a function of the calling module", operator.add, (40, 2), 42),
    ("a lambda", lambda value: value + 1, (41,), 42),
    ("a closure", local_adder(40), (2,), 42),
    ("a partial", functools.partial(wf.add, right=2), (40,), 42),
    ("a partial of a coroutine function", functools.partial(wf.add_async, 40), (2,), 42),
    ("a partial of a lambda", functools.partial(lambda a, b: a + b, 40), (2,), 42),
    ("a bound method", wf.Counter(40).plus, (2,), 42),
    ("a bound coroutine method", wf.Calculator().plus_async, (40,), 42),
    ("a class method", wf.Calculator.times, (21,), 42),
    ("a static method", wf.Calculator.minus, (-42,), 42),
    ("a method of a nested class", wf.Calculator.Inner().deep, (), "deep"),
    ("an unbound method", wf.Counter.plus, (wf.Counter(40), 2), 42),
    ("a decorated function", wf.decorated, (21,), 42),
    ("what is below a decorator", wf.decorated.__wrapped__, (21,), 21),  # type: ignore[attr-defined]
    ("an alias", wf.alias, (40, 2), 42),
    ("an instance with __call__", wf.Adder(40), (2,), 42),
    ("a class", wf.Point, (1, 2), wf.Point(1, 2)),
    ("a builtin", len, ([1, 2],), 2),
    ("a builtin type", int, ("42",), 42),
    ("a builtin method", "abc".upper, (), "ABC"),
    ("a function written in C", math.factorial, (5,), 120),
    ("a callable written in C", operator.itemgetter(1), ([1, 2],), 2),
]


@spawned_too
async def test_everything_that_can_be_called_can_be_submitted(make: Any) -> None:
    pool = make(max_workers=1)
    for title, func, args, expected in CALLABLES:
        assert await pool.submit(func, *args) == expected, title
        assert await pool.submit(func, *args) == expected, f"{title}, a second time"


@spawned_too
async def test_no_keyword_of_a_function_is_taken_by_the_pool(make: Any) -> None:
    pool = make(max_workers=1)
    given = {"self": 1, "func": 2, "name": 3, "timeout": 4, "call": 5, "args": 6, "kwargs": 7}
    assert await pool.submit(wf.keywords, **given) == given


VALUES: list[Any] = [
    None,
    True,
    -(2**70),
    1.5,
    math.inf,
    2 + 3j,
    "",
    "Grüße \U0001f600 \udc80",
    b"\x00\xff",
    bytearray(b"abc"),
    (),
    [1, [2, [3]]],
    {"a": {1: (2,)}},
    {1, 2},
    frozenset({1}),
    range(3),
    slice(1, 2),
    ...,
    int,
    wf.add,
    wf.Colour.RED,
    wf.Point(1, 2),
    collections.deque([1], maxlen=3),
    collections.OrderedDict(b=1, a=2),
    collections.Counter("hello"),
    datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC),
    decimal.Decimal("1.10"),
    uuid.UUID(int=7),
    Path("/tmp"),
    numpy.float64(1.5),
]


@spawned_too
async def test_values_of_every_sort_come_back_equal(make: Any) -> None:
    pool = make(max_workers=1)
    for value in VALUES:
        found = await pool.submit(wf.echo, value)
        assert found == value
        assert type(found) is type(value)
    assert math.isnan(await pool.submit(wf.echo, math.nan))
    assert (await pool.submit(wf.echo, numpy.arange(6).reshape(2, 3))).tolist() == [
        [0, 1, 2],
        [3, 4, 5],
    ]


@spawned_too
async def test_a_value_that_holds_itself_comes_back_as_such(make: Any) -> None:
    pool = make(max_workers=1)
    value: list[Any] = [1]
    value.append(value)
    found = await pool.submit(wf.echo, value)
    assert found[1] is found


@spawned_too
async def test_an_instance_of_a_local_class_comes_back_as_one(make: Any) -> None:
    class Local:
        def __init__(self, value: int) -> None:
            self.value = value

    pool = make(max_workers=1)
    found = await pool.submit(wf.echo, Local(42))
    assert type(found) is Local
    assert found.value == 42


@spawned_too
async def test_a_lambda_is_a_result_like_any_other(make: Any) -> None:
    pool = make(max_workers=1)
    assert (await pool.submit(wf.give_lambda))() == 1


@spawned_too
async def test_the_callers_arguments_stay_as_they_are(make: Any, kind: str) -> None:
    """A worker has copies; a thread has the objects themselves."""
    pool = make(max_workers=1)
    values = [3, 1, 2]
    await pool.submit(list.sort, values)
    assert values == ([1, 2, 3] if kind == "thread" else [3, 1, 2])


@spawned_too
async def test_an_argument_that_cannot_travel_is_named(make: Any, kind: str) -> None:
    if kind not in CHECKED:
        pytest.skip("a thread takes every argument")
    pool = make(max_workers=1)
    with pytest.raises(SerializationError) as caught:
        await pool.submit(wf.add, 1, right=[wf.give_lock()])
    assert "'right'" in str(caught.value)
    assert "worker_functions.add" in str(caught.value)
    assert caught.value.pool == "pool"
    assert caught.value.__cause__ is not None
    with pytest.raises(SerializationError, match="'left'"):
        await pool.submit(wf.add, wf.give_lock(), 1)
    assert pool.metrics["failed"] == 2
    assert pool.metrics["workers"] <= (kind == "nats")  # an agent is there by itself
    assert_balanced(pool)


@spawned_too
async def test_a_function_that_cannot_travel_is_named(make: Any, kind: str) -> None:
    if kind not in CHECKED:
        pytest.skip("a thread takes every function")
    lock = wf.give_lock()
    pool = make(max_workers=1)

    def with_lock() -> Any:
        return lock

    with pytest.raises(SerializationError, match=r"the function .*with_lock.* cannot travel"):
        await pool.submit(with_lock)
    with pytest.raises(SerializationError, match="Counter"):
        await pool.submit(wf.Counter(lock).plus, 1)


@spawned_too
async def test_a_result_that_cannot_travel_is_named(make: Any, kind: str) -> None:
    pool = make(max_workers=1)
    if kind not in CHECKED:
        assert await pool.submit(wf.give_lock) is not None
        return
    for func in (wf.give_lock, wf.give_generator):
        with pytest.raises(SerializationError) as caught:
            await pool.submit(func)
        assert f"the result of worker_functions.{func.__name__}" in str(caught.value)
    assert await pool.submit(wf.answer) == 42
    assert pool.metrics["restarts"] == 0


@spawned_too
async def test_an_argument_or_result_that_cannot_be_rebuilt_fails_its_call_only(
    make: Any, kind: str
) -> None:
    if kind not in CHECKED:
        pytest.skip("a thread rebuilds nothing")
    pool = make(max_workers=1)
    with pytest.raises(SerializationError, match=r"arguments of worker_functions\.echo"):
        await pool.submit(wf.echo, wf.Explosive())
    with pytest.raises(SerializationError, match=r"result of worker_functions\.give_explosive"):
        await pool.submit(wf.give_explosive)
    assert await pool.submit(wf.answer) == 42
    assert pool.metrics["failed"] == 2
    assert pool.metrics["restarts"] == 0


@spawned_too
async def test_an_argument_that_nests_too_deeply_is_refused(make: Any, kind: str) -> None:
    if kind not in CHECKED:
        pytest.skip("a thread takes every argument")
    pool = make(max_workers=1)
    with pytest.raises(SerializationError, match="nests too deeply"):
        await pool.submit(len, wf.nested(100_000))
    assert await pool.submit(wf.answer) == 42


@spawned_too
async def test_calls_run_at_the_same_time(make: Any, gate: Any) -> None:
    """As many as there are workers, and never more."""
    pool = make(max_workers=2)
    calls = [asyncio.create_task(pool.submit(wf.hold, gate.path, n)) for n in range(3)]
    await gate.entered()
    await gate.entered()
    assert pool.metrics["running"] == 2
    assert pool.metrics["queued"] == 1
    gate.release()
    await gate.entered()
    gate.release()
    assert await asyncio.gather(*calls) == [0, 1, 2]


@spawned_too
async def test_the_event_loop_stays_free(make: Any, gate: Any) -> None:
    pool = make(max_workers=1)
    call = asyncio.create_task(pool.submit(wf.hold, gate.path))
    await gate.entered()
    for _ in range(3):
        await asyncio.sleep(0)
    assert not call.done()
    gate.release()
    assert await call == "released"


@spawned_too
async def test_a_pool_called_inside_a_pool_runs_where_it_is_called(make: Any, kind: str) -> None:
    """Workers do not start workers."""
    if kind not in PROCESSES:
        pytest.skip("only a worker process has pools of its own in reach")
    pool = make(max_workers=1)
    inside = await pool.submit(wf.pid_through_a_pool)
    assert inside == await pool.submit(wf.pid)


# -- exceptions -------------------------------------------------------------------------------


async def test_a_function_that_raises_raises_here(make: Any) -> None:
    pool = make(max_workers=1)
    with pytest.raises(ValueError, match="no good") as caught:
        await pool.submit(wf.fail, ValueError("no good", 3))
    assert caught.value.args == ("no good", 3)
    assert pool.metrics["failed"] == 1


@spawned_too
async def test_an_exception_arrives_as_it_was(make: Any) -> None:
    """Type, arguments, attributes, notes and cause; and where it came from can be read."""
    pool = make(max_workers=1)
    with pytest.raises(wf.Failure) as caught:
        await pool.submit(wf.fail_with_facts)
    error: Any = caught.value
    assert type(error) is wf.Failure
    assert error.args == ("it failed", 7)
    assert error.status == 418
    assert error.__notes__ == ["a note from the worker"]
    assert isinstance(error.__cause__, KeyError)
    assert "in fail_with_facts" in "".join(traceback.format_exception(error))


async def test_an_exception_without_a_cause_shows_its_remote_traceback(
    make: Any, kind: str
) -> None:
    pool = make(max_workers=1)
    with pytest.raises(ValueError, match="no good") as caught:
        await pool.submit(wf.fail, ValueError("no good"))
    shown = "".join(traceback.format_exception(caught.value))
    assert "in fail\n" in shown
    if kind in PROCESSES:
        assert "in fail\n" in str(caught.value.__cause__)


@spawned_too
async def test_exceptions_of_unusual_shape_keep_type_and_text(make: Any) -> None:
    pool = make(max_workers=1)
    with pytest.raises(wf.Failure) as opaque:
        await pool.submit(wf.fail_with_an_opaque_argument)
    assert isinstance(opaque.value.args[1], wf.Opaque)
    with pytest.raises(ExceptionGroup, match="several") as group:
        await pool.submit(wf.fail_with_a_group)
    assert [type(error) for error in group.value.exceptions] == [ValueError, wf.Failure]
    with pytest.raises((ValueError, RemoteError), match="first"):
        await pool.submit(wf.fail_with_itself_as_cause)
    for error in (
        KeyError("key"),
        OSError(2, "No such file", "/nowhere"),
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad start"),
        ValueError(math.nan),
        ValueError(numpy.arange(3)),
    ):
        with pytest.raises(type(error)) as caught:
            await pool.submit(wf.fail, error)
        assert str(caught.value) == str(error)


@spawned_too
async def test_an_exception_with_an_init_of_its_own_is_told_in_full(make: Any) -> None:
    """It is itself, or its type, text and traceback; never a hang, never a broken pool."""
    pool = make(max_workers=1)
    with pytest.raises((wf.Stubborn, RemoteError), match="7 at here") as caught:
        await pool.submit(wf.fail_stubbornly)
    if isinstance(caught.value, RemoteError):
        assert caught.value.type_name == "worker_functions.Stubborn"
        assert "in fail_stubbornly" in caught.value.remote_traceback
    else:
        assert caught.value.code == 7
        assert caught.value.where == "here"
    assert await pool.submit(wf.answer) == 42
    assert pool.metrics["restarts"] == 0


@spawned_too
async def test_an_exception_that_cannot_travel_is_told_in_full(make: Any, kind: str) -> None:
    pool = make(max_workers=1)
    if kind not in PROCESSES:
        with pytest.raises(wf.Unpicklable):
            await pool.submit(wf.fail_unpicklably)
        return
    with pytest.raises(RemoteError, match=r"worker_functions\.Unpicklable: secret") as caught:
        await pool.submit(wf.fail_unpicklably)
    assert caught.value.type_name == "worker_functions.Unpicklable"
    assert "in fail_unpicklably" in caught.value.remote_traceback
    assert caught.value.pool == "pool"
    with pytest.raises(Exception, match="from nowhere"):
        await pool.submit(wf.fail_locally)
    assert await pool.submit(wf.answer) == 42
    assert pool.metrics["restarts"] == 0


@pytest.mark.parametrize(
    "error",
    [
        StopIteration(7),
        StopAsyncIteration(),
        SystemExit(3),
        KeyboardInterrupt(),
        GeneratorExit(),
        asyncio.CancelledError(),
        wf.Quit("enough"),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_an_exception_that_would_upset_the_server_arrives_as_a_failure(
    make: Any, error: BaseException
) -> None:
    """sys.exit() in a function ends neither the server nor the task that called it."""
    pool = make(max_workers=1)
    async with asyncio.timeout(30):
        with pytest.raises(BaseException) as caught:  # noqa: PT011 - which one is the question
            await pool.submit(wf.fail, error)
    assert isinstance(caught.value, Exception), repr(caught.value)
    assert type(error).__name__ in repr(caught.value)
    task = asyncio.current_task()
    assert task is not None
    assert not task.cancelling()
    assert await pool.submit(wf.answer) == 42
    assert pool.metrics["failed"] == 1
    assert pool.metrics["cancelled"] == 0
    assert_balanced(pool)


async def test_an_error_of_another_pool_counts_as_a_failure_of_this_one(make: Any) -> None:
    """What a function raises is never taken for what this pool refuses."""
    pool = make(max_workers=1)
    with pytest.raises(ExecutorOverloadError) as caught:
        await pool.submit(wf.fail, ExecutorOverloadError("full", pool="other", retry_after=9))
    assert caught.value.pool == "other"
    assert caught.value.retry_after == 9
    assert pool.metrics["rejected"] == 0
    assert pool.metrics["failed"] == 1


# -- as a decorator ---------------------------------------------------------------------------

DECORATED_MODULE = """
import functools
import os
import threading

from genro_executor_plugin import ExecutorRegistry

registry = ExecutorRegistry({{"pool": {options!r}}})
pool = registry.get("pool")
quick = pool.options(queue_timeout=60)


def where():
    return os.getpid(), threading.current_thread().name


@pool
def plain(value: int = 1) -> int:
    "What plain does."
    return value, where()


@quick
def with_options(value):
    return value, where()


@pool
async def coroutine(value):
    return value, where()


@functools.lru_cache
def unrelated():
    return 1


def twice(func):
    @functools.wraps(func)
    def wrapper(*args):
        value, place = func(*args)
        return value * 2, place

    return wrapper


@pool
@twice
def stacked(value):
    return value, where()


class Thing:
    def __init__(self, value):
        self.value = value

    @pool
    def method(self, value):
        return self.value + value, where()

    @staticmethod
    @pool
    def static(value):
        return value, where()

    @classmethod
    @pool
    def of_class(cls, value):
        return cls.__name__, where()

    class Inner:
        @pool
        def deep(self):
            return "deep", where()
"""


@spawned_too
async def test_decorated_functions_and_methods_run_in_the_pool(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their names in the module hold the wrappers; the worker still finds the functions."""
    options = {
        "process": {"max_workers": 1},
        "spawn": {"max_workers": 1, "start_method": "spawn"},
        "thread": {"max_workers": 1, "executor_type": "thread"},
        "inline": {"max_workers": 1, "executor_type": "inline"},
        "bypass": {"max_workers": 1, "bypass": True},
        "nats": {"executor_type": "nats", "max_workers": 1},
        "ray": {"executor_type": "ray", "max_workers": 1},
    }[kind]
    folder = tmp_path
    if kind == "nats":
        folder, options = shared_folder(), shared_options(**options)
    name = f"decorated_for_{kind}"
    (folder / f"{name}.py").write_text(DECORATED_MODULE.format(options=options))
    monkeypatch.syspath_prepend(folder)
    module: Any = importlib.import_module(name)
    places = set()
    try:
        for call, expected in (
            (module.plain(), 1),
            (module.plain(value=5), 5),
            (module.with_options(2), 2),
            (module.coroutine(3), 3),
            (module.stacked(4), 8),
            (module.Thing(40).method(2), 42),
            (module.Thing.static(6), 6),
            (module.Thing.of_class(7), "Thing"),
            (module.Thing.Inner().deep(), "deep"),
        ):
            value, place = await call
            assert value == expected
            places.add(place)
    finally:
        await module.registry.shutdown_all()
    assert len({pid for pid, _ in places}) == 1  # coroutines have a thread of their own there
    assert module.where() not in places
    assert (os.getpid() in {pid for pid, _ in places}) is (kind not in PROCESSES)
    assert module.plain.__doc__ == "What plain does."
    assert module.plain.__name__ == "plain"
    assert inspect.iscoroutinefunction(module.plain)


async def test_only_functions_can_be_decorated(make: Any) -> None:
    pool = make(max_workers=1)
    with pytest.raises(ExecutorConfigError, match=r"'pool'.*42.*submit"):
        pool(42)


# -- map --------------------------------------------------------------------------------------


async def test_map_yields_results_in_the_order_of_the_items(make: Any) -> None:
    pool = make(max_workers=2)
    found = [value async for value in pool.map(wf.add, range(20), itertools.count(100))]
    assert found == [2 * n + 100 for n in range(20)]
    assert [value async for value in pool.map(wf.echo, [])] == []
    assert_balanced(pool)


async def test_map_takes_no_more_items_ahead_than_it_is_told(make: Any) -> None:
    pool = make(max_workers=2)
    taken = 0

    def items() -> Any:
        nonlocal taken
        for item in itertools.count():
            taken += 1
            yield item

    results = pool.map(wf.echo, items(), ahead=3)
    for expected in range(5):
        assert await anext(results) == expected
        assert taken <= expected + 3
    await results.aclose()
    assert pool.metrics["pending"] == 0
    assert_balanced(pool)


@spawned_too
async def test_map_ended_early_cancels_what_is_under_way(make: Any, gate: Any, kind: str) -> None:
    pool = make(max_workers=2)
    results = pool.map(wf.hold, [gate.path] * 10, range(10))
    first = asyncio.create_task(anext(results))
    await gate.entered()
    await gate.entered()
    gate.release()
    await gate.entered()
    await gate.entered()
    assert await first == 0
    await results.aclose()
    assert pool.metrics["pending"] == 0
    assert pool.metrics["cancelled"] >= 1
    assert_balanced(pool)
    gate.release()


async def test_map_raises_what_an_item_raises_and_ends_the_others(make: Any) -> None:
    pool = make(max_workers=2)
    results = pool.map(operator.truediv, [6, 6, 6, 6], [1, 2, 0, 3])
    assert [await anext(results), await anext(results)] == [6, 3]
    with pytest.raises(ZeroDivisionError):
        await anext(results)
    with pytest.raises(StopAsyncIteration):
        await anext(results)
    assert pool.metrics["pending"] == 0
    assert pool.metrics["failed"] == 1
    assert_balanced(pool)


# -- options of a call ------------------------------------------------------------------------


async def test_options_of_calls_are_checked_when_they_are_given(make: Any) -> None:
    pool = make(max_workers=1)
    for option, value in (
        ("max_workers", 3),
        ("no_such_option", 1),
        ("queue_timeout", -1),
        ("queue_timeout", "soon"),
        ("on_overload", "panic"),
        ("retries", 1.5),
    ):
        with pytest.raises(ExecutorConfigError) as caught:
            pool.options(**{option: value})
        assert "'pool'" in str(caught.value)
        assert option in str(caught.value)
    assert await pool.options(on_overload=None, queue_timeout=5).submit(wf.answer) == 42
    assert await pool.options(queue_timeout=5).options(on_overload="fail").submit(wf.answer) == 42


async def test_options_hold_for_their_own_calls_only(make: Any, gate: Any) -> None:
    pool = make(max_workers=1, max_pending=1)
    failing = pool.options(on_overload="fail")
    held = asyncio.create_task(pool.submit(wf.hold, gate.path))
    await gate.entered()
    with pytest.raises(ExecutorOverloadError):
        await failing.submit(wf.answer)
    waiting = asyncio.create_task(pool.submit(wf.answer))
    await until(lambda: pool.metrics["pending"] == 2)
    with pytest.raises(ExecutorOverloadError):
        await failing.options(queue_timeout=30).submit(wf.answer)
    gate.release()
    assert await held == "released"
    assert await waiting == 42
    assert pool.metrics["rejected"] == 2


# -- admission --------------------------------------------------------------------------------


async def test_a_full_pool_lets_its_callers_in_first_come_first_served(
    make: Any, gate: Any
) -> None:
    pool = make(max_workers=1, max_pending=2)
    order: list[int] = []

    async def call(number: int) -> None:
        assert await pool.submit(wf.echo, number) == number
        order.append(number)

    held = asyncio.create_task(pool.submit(wf.hold, gate.path))
    await gate.entered()
    callers = []
    for number in range(5):
        callers.append(asyncio.create_task(call(number)))
        await until(lambda: pool.metrics["submitted"] == len(callers) + 1)
    metrics = pool.metrics
    assert (metrics["pending"], metrics["running"], metrics["queued"]) == (6, 1, 5)
    gate.release()
    await asyncio.gather(held, *callers)
    assert order == [0, 1, 2, 3, 4]
    assert pool.metrics["pending"] == 0
    assert_balanced(pool)


async def test_a_full_pool_that_fails_refuses_at_once(make: Any, gate: Any, tmp_path: Path) -> None:
    pool = make(max_workers=1, max_pending=2, on_overload="fail")
    trace = tmp_path / "trace"
    held = [asyncio.create_task(pool.submit(wf.hold, gate.path)) for _ in range(2)]
    await gate.entered()
    with pytest.raises(ExecutorOverloadError, match="max_pending") as caught:
        await pool.submit(wf.record, str(trace))
    error = caught.value
    assert error.status == 503
    assert error.pool == "pool"
    assert isinstance(error.retry_after, int)
    assert error.retry_after >= 1
    assert error.headers == [(b"retry-after", str(error.retry_after).encode())]
    assert pool.metrics["rejected"] == 1
    assert_balanced(pool)
    gate.release()
    await gate.entered()
    gate.release()
    await asyncio.gather(*held)
    assert await pool.submit(wf.answer) == 42
    assert runs_recorded(trace) == 0


@pytest.mark.parametrize("max_pending", [1, 100], ids=["at the door", "in line"])
async def test_a_call_that_waited_too_long_was_never_started(
    make: Any, gate: Any, tmp_path: Path, max_pending: int
) -> None:
    pool = make(max_workers=1, max_pending=max_pending, queue_timeout=0.05)
    trace = tmp_path / "trace"
    held = asyncio.create_task(pool.options(queue_timeout=30).submit(wf.hold, gate.path))
    await gate.entered()
    with pytest.raises(ExecutorOverloadError, match=r"queue_timeout of 0\.05 s") as caught:
        await pool.submit(wf.record, str(trace))
    assert caught.value.retry_after >= 1
    assert pool.metrics["rejected"] == 1
    assert_balanced(pool)
    gate.release()
    await held
    assert await pool.options(queue_timeout=30).submit(wf.answer) == 42
    assert runs_recorded(trace) == 0


async def test_a_queue_timeout_that_passes_while_the_call_begins_does_not_deny_it(
    make: Any, gate: Any, tmp_path: Path
) -> None:
    """A refused call was never started, even when the loop learns of both at the same moment."""
    pool = make(max_workers=1)
    trace = tmp_path / "trace"
    await pool.submit(wf.answer)
    held = asyncio.create_task(pool.submit(wf.hold, gate.path))
    await gate.entered()
    late = asyncio.create_task(
        pool.options(queue_timeout=0.05).submit(wf.record, str(trace), "done")
    )
    await until(lambda: pool.metrics["pending"] == 2)
    gate.release()
    await asyncio.sleep(0)  # the sockets are closed by the loop
    loop = asyncio.get_running_loop()
    # The loop is busy with something else until the worker is free and the limit has passed.
    deadline = loop.time() + 0.2
    while loop.time() < deadline:
        pass
    try:
        assert await late == "done"
        refused = False
    except ExecutorOverloadError:
        refused = True
    await held
    assert await pool.submit(wf.answer) == 42
    assert runs_recorded(trace) == (0 if refused else 1)


@pytest.mark.parametrize("max_pending", [1, 100], ids=["at the door", "in line"])
async def test_a_cancelled_caller_that_waits_leaves_the_line(
    make: Any, gate: Any, tmp_path: Path, max_pending: int
) -> None:
    pool = make(max_workers=1, max_pending=max_pending)
    trace = tmp_path / "trace"
    held = asyncio.create_task(pool.submit(wf.hold, gate.path))
    await gate.entered()
    first = asyncio.create_task(pool.submit(wf.record, str(trace)))
    second = asyncio.create_task(pool.submit(wf.answer))
    await until(lambda: pool.metrics["pending"] == 3)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    assert pool.metrics["cancelled"] == 1
    assert pool.metrics["pending"] == 2
    assert_balanced(pool)
    gate.release()
    await held
    assert await second == 42
    assert runs_recorded(trace) == 0
    assert pool.metrics["restarts"] == 0


async def test_a_place_given_to_a_caller_who_left_goes_to_the_next(make: Any, gate: Any) -> None:
    """The caller is cancelled at the very moment the place becomes free."""
    pool = make(max_workers=1, max_pending=1)
    waiting: list[asyncio.Task[Any]] = []

    async def hold_then_cancel_the_next() -> None:
        await pool.submit(wf.hold, gate.path)
        waiting[0].cancel()

    held = asyncio.create_task(hold_then_cancel_the_next())
    await gate.entered()
    waiting.extend(asyncio.create_task(pool.submit(wf.echo, number)) for number in range(3))
    await until(lambda: pool.metrics["pending"] == 4)
    gate.release()
    await held
    assert await asyncio.gather(*waiting[1:]) == [1, 2]
    with pytest.raises(asyncio.CancelledError):
        await waiting[0]
    assert pool.metrics["pending"] == 0
    assert_balanced(pool)


@spawned_too
async def test_a_cancelled_caller_whose_call_runs_is_let_go_at_once(make: Any, gate: Any) -> None:
    pool = make(max_workers=1)
    running = asyncio.create_task(pool.submit(wf.hold, gate.path))
    await gate.entered()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert pool.metrics["cancelled"] == 1
    assert_balanced(pool)
    gate.release()
    assert await pool.submit(wf.answer) == 42
    assert pool.metrics["completed"] == 1


# -- metrics ----------------------------------------------------------------------------------

METRIC_TYPES = {
    "name": str,
    "mode": str,
    "pending": int,
    "running": int,
    "queued": int,
    "submitted": int,
    "completed": int,
    "failed": int,
    "rejected": int,
    "timed_out": int,
    "crashed": int,
    "cancelled": int,
    "restarts": int,
    "workers": int,
    "busy": int,
    "max_workers": int,
    "max_pending": int,
    "max_waiting": int,
    "waiting": int,
    "avg_duration_ms": float,
    "wait_p50_ms": float,
    "wait_p95_ms": float,
    "wait_p99_ms": float,
    "run_p50_ms": float,
    "run_p95_ms": float,
    "run_p99_ms": float,
}


@spawned_too
async def test_metrics_are_plain_values_from_the_first_moment(make: Any, kind: str) -> None:
    pool = make(max_workers=3, max_pending=7)
    fresh = pool.metrics
    assert {key: type(value) for key, value in fresh.items()} == METRIC_TYPES
    assert fresh["name"] == "pool"
    assert fresh["mode"] == ("process" if kind == "spawn" else kind)
    assert fresh["max_workers"] == 3
    assert fresh["max_pending"] == 7
    assert not any(value for key, value in fresh.items() if key.endswith("_ms"))
    await pool.submit(wf.answer)
    used = json.loads(json.dumps(pool.metrics))
    assert used["completed"] == used["submitted"] == 1
    assert used["workers"] == 1
    assert used["busy"] == used["running"] == 0
    assert used["avg_duration_ms"] > 0
    assert used["run_p50_ms"] == used["run_p99_ms"] > 0


async def test_metrics_balance_at_every_step(make: Any, gate: Any) -> None:
    pool = make(max_workers=2, max_pending=4)
    stop = False
    steps = 0

    async def watch() -> None:
        nonlocal steps
        while not stop:
            assert_balanced(pool)
            steps += 1
            await asyncio.sleep(0)

    watching = asyncio.create_task(watch())
    held = [asyncio.create_task(pool.submit(wf.hold, gate.path)) for _ in range(2)]
    await gate.entered()
    await gate.entered()
    calls = [
        asyncio.create_task(call)
        for call in (
            pool.submit(wf.answer),
            pool.submit(wf.fail, ValueError("no")),
            pool.options(on_overload="fail").submit(wf.answer),
            pool.options(queue_timeout=0.02).submit(wf.answer),
            pool.submit(wf.answer),
            pool.submit(wf.fail, KeyError("no")),
        )
    ]
    await until(lambda: pool.metrics["rejected"] == 2)
    calls[4].cancel()
    await until(lambda: pool.metrics["cancelled"] == 1)
    gate.release()
    outcomes = await asyncio.gather(*held, *calls, return_exceptions=True)
    stop = True
    await watching
    assert [type(outcome) for outcome in outcomes] == [
        str,
        str,
        int,
        ValueError,
        type(outcomes[4]),
        type(outcomes[5]),
        asyncio.CancelledError,
        KeyError,
    ]
    metrics = pool.metrics
    assert {key: metrics[key] for key in ("submitted", "pending", *OUTCOMES)} == {
        "submitted": 8,
        "pending": 0,
        "completed": 3,
        "failed": 2,
        "rejected": 2,
        "timed_out": 0,
        "crashed": 0,
        "cancelled": 1,
    }
    assert steps > 10


# -- shutdown ---------------------------------------------------------------------------------


@spawned_too
async def test_after_shutdown_calls_are_refused(make: Any) -> None:
    pool = make(max_workers=1)
    await pool.submit(wf.answer)
    assert not pool.closed
    await pool.shutdown()
    assert pool.closed
    with pytest.raises(ExecutorClosedError) as caught:
        await pool.submit(wf.answer)
    assert caught.value.pool == "pool"
    assert caught.value.status == 503
    assert pool.metrics["rejected"] == 1
    assert pool.metrics["workers"] == 0


@spawned_too
async def test_shutdown_finishes_what_was_admitted(make: Any, gate: Any) -> None:
    pool = make(max_workers=1)
    held = asyncio.create_task(pool.submit(wf.hold, gate.path))
    await gate.entered()
    queued = asyncio.create_task(pool.submit(wf.answer))
    await until(lambda: pool.metrics["pending"] == 2)
    ending = asyncio.create_task(pool.shutdown())
    await until(lambda: pool.closed)
    with pytest.raises(ExecutorClosedError):
        await pool.submit(wf.answer)
    assert not ending.done()
    assert pool.metrics["running"] == 1
    assert_balanced(pool)
    gate.release()
    await ending
    assert await held == "released"
    assert await queued == 42
    assert pool.metrics["workers"] == 0
    assert_balanced(pool)


@spawned_too
async def test_shutdown_sends_those_at_the_door_away(make: Any, gate: Any, tmp_path: Path) -> None:
    pool = make(max_workers=1, max_pending=1)
    trace = tmp_path / "trace"
    held = asyncio.create_task(pool.submit(wf.hold, gate.path))
    await gate.entered()
    outside = asyncio.create_task(pool.submit(wf.record, str(trace)))
    await until(lambda: pool.metrics["pending"] == 2)
    ending = asyncio.create_task(pool.shutdown())
    with pytest.raises(ExecutorClosedError):
        await outside
    gate.release()
    await ending
    assert await held == "released"
    assert runs_recorded(trace) == 0
    assert_balanced(pool)


@spawned_too
async def test_shutdown_at_the_moment_a_place_becomes_free_leaves_nothing_running(
    make: Any, gate: Any
) -> None:
    """Whoever was just let in is served or sent away; no worker starts after the end."""
    pool = make(max_workers=1, max_pending=1)

    async def last() -> None:
        await pool.submit(wf.hold, gate.path)
        await pool.shutdown()

    held = asyncio.create_task(last())
    await gate.entered()
    next_one = asyncio.create_task(pool.submit(wf.answer))
    await until(lambda: pool.metrics["pending"] == 2)
    gate.release()
    await held
    with contextlib.suppress(ExecutorClosedError):
        assert await next_one == 42
    assert pool.metrics["workers"] == 0
    assert_balanced(pool)


@spawned_too
async def test_shutdown_ends_what_takes_too_long(make: Any, gate: Any, tmp_path: Path) -> None:
    pool = make(max_workers=1, shutdown_timeout=0.05)
    trace = tmp_path / "trace"
    running = asyncio.create_task(pool.submit(wf.hold, gate.path))
    await gate.entered()
    queued = asyncio.create_task(pool.submit(wf.record, str(trace)))
    await until(lambda: pool.metrics["pending"] == 2)
    async with asyncio.timeout(30):
        await pool.shutdown()
        for call in (running, queued):
            with pytest.raises(ExecutorClosedError) as caught:
                await asyncio.shield(call)
            assert caught.value.pool == "pool"
    assert_balanced(pool)
    gate.release()
    assert runs_recorded(trace) == 0


@spawned_too
async def test_shutdown_can_be_called_twice_and_without_use(make: Any) -> None:
    unused = make(max_workers=1)
    await unused.shutdown()
    await unused.shutdown()
    with pytest.raises(ExecutorClosedError):
        await unused.submit(wf.answer)
    used = make(max_workers=1)
    await used.submit(wf.answer)
    await used.shutdown()
    await used.shutdown()


@spawned_too
async def test_every_caller_of_shutdown_returns_when_it_is_over(make: Any, gate: Any) -> None:
    pool = make(max_workers=1)
    held = asyncio.create_task(pool.submit(wf.hold, gate.path))
    await gate.entered()
    endings = [asyncio.create_task(pool.shutdown()) for _ in range(2)]
    await until(lambda: pool.closed)
    for _ in range(5):
        await asyncio.sleep(0)
    assert not any(ending.done() for ending in endings)
    gate.release()
    async with asyncio.timeout(30):
        await asyncio.gather(*endings)
    assert await held == "released"


# -- event loops ------------------------------------------------------------------------------


@spawned_too
async def test_a_pool_goes_on_with_the_next_event_loop(kind: str) -> None:
    """A pool may outlive a loop; metrics go on, and the threads of the first loop end."""
    pool = KINDS[kind](max_workers=1)

    async def use() -> Any:
        assert await pool.submit(wf.echo, "x" * 300_000) == "x" * 300_000  # rebuilt on a thread
        return await pool.submit(wf.add, 1)

    async def use_and_end() -> Any:
        found = await pool.submit(wf.add, 2)
        await pool.shutdown()
        return found

    assert await asyncio.to_thread(asyncio.run, use()) == 2
    assert await asyncio.to_thread(asyncio.run, use_and_end()) == 3
    assert pool.metrics["completed"] == 3


@spawned_too
async def test_a_call_cut_off_by_the_end_of_its_loop_costs_no_place(kind: str, gate: Any) -> None:
    """Even where it goes on in its thread: who waits on the next loop is served when it is done."""
    pool = KINDS[kind](max_workers=1, max_pending=1, shutdown_timeout=1)
    main = asyncio.get_running_loop()

    async def leave_a_call_behind() -> None:
        call = asyncio.create_task(pool.submit(wf.hold, gate.path))
        waiting = asyncio.create_task(pool.submit(wf.answer))
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(gate.entered(), main))
        assert not call.done()
        assert not waiting.done()

    async def use_and_end() -> Any:
        try:
            async with asyncio.timeout(30):
                call = asyncio.create_task(pool.submit(wf.add, 2))
                await until(lambda: pool.metrics["pending"] == 1)
                main.call_soon_threadsafe(gate.release)
                return await call
        finally:
            await pool.shutdown()

    await asyncio.to_thread(asyncio.run, leave_a_call_behind())
    assert pool.metrics["pending"] == 0
    assert pool.metrics["cancelled"] == 2
    assert await asyncio.to_thread(asyncio.run, use_and_end()) == 3
    assert_balanced(pool)


@spawned_too
async def test_a_coroutine_is_awaited_whoever_returned_it(make: Any) -> None:
    pool = make(max_workers=1)
    assert await pool.submit(wf.coroutine_in_disguise, 5) == 5
    assert await pool.submit(wf.coroutine_in_disguise, [6]) == [6]
