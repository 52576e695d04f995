# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Context variables and traces go along with calls."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

import pytest
from agents import shared_pool
from apps import context as f
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from rays import ray_pool

from genro_executor_plugin import (
    ExecutorConfigError,
    InlineExecutor,
    ProcessExecutor,
    SerializationError,
    ThreadExecutor,
)

KINDS: dict[str, Any] = {
    "process": ProcessExecutor,
    "thread": ThreadExecutor,
    "inline": InlineExecutor,
    "nats": shared_pool,
    "ray": ray_pool,
}
GIVEN = [f.request_id, "apps.context:tenant"]


@pytest.fixture(params=KINDS, ids=list(KINDS))
async def pool(request: pytest.FixtureRequest) -> Any:
    pool = KINDS[request.param]("pool", max_workers=1, context=GIVEN)
    yield pool
    await pool.shutdown()


async def test_context_variables_go_along(pool: Any) -> None:
    """Those of the caller, to every sort of function, and no further than the call."""
    for func in (f.seen, f.seen_async):
        assert await pool.submit(func) == ["unset", "nobody"]
    f.request_id.set({"id": 1})
    f.tenant.set("ann")
    for func in (f.seen, f.seen_async):
        assert await pool.submit(func) == [{"id": 1}, "ann"]
        await pool.submit(f.changes)
        assert await pool.submit(func) == [{"id": 1}, "ann"]
        assert await asyncio.create_task(with_own(pool, func)) == ["mine", "ann"]
        assert await pool.submit(func) == [{"id": 1}, "ann"]
    for func in (f.seen_stream, f.seen_stream_async):
        assert [value async for value in pool.stream(func)] == [{"id": 1}, "ann"]


async def with_own(pool: Any, func: Any) -> Any:
    f.request_id.set("mine")
    return await pool.submit(func)


async def test_a_pool_without_context_takes_none_along() -> None:
    f.request_id.set("set")
    pool = ProcessExecutor("pool", max_workers=1)
    assert await pool.submit(f.seen) == ["unset", "nobody"]
    await pool.shutdown()


async def test_a_value_that_cannot_travel_is_refused_by_its_variable() -> None:
    pool = ProcessExecutor("pool", max_workers=1, context=["apps.context:request_id"])
    f.request_id.set(f.Locked())
    with pytest.raises(SerializationError, match=r"apps.context:request_id.*'pool'.*value\.lock"):
        await pool.submit(f.seen)
    assert pool.metrics["failed"] == 1
    assert pool.metrics["pending"] == 0
    await pool.shutdown()


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("request_id", "a list"),
        (["no_such_variable_at_all"], "no module that is loaded"),
        (["twin"], "name the one that is meant"),
        (["no.such.module:x"], "no.such"),
        (["apps.context:seen"], "no ContextVar"),
        ([3], "no context variable"),
        ([ContextVar("local")], "top level"),
    ],
)
def test_a_variable_that_a_worker_would_not_find_is_refused(given: Any, words: str) -> None:
    with pytest.raises(ExecutorConfigError, match=words) as caught:
        ProcessExecutor("pool", context=given)
    assert "context=" in str(caught.value)


# -- OpenTelemetry --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def exporter() -> Iterator[InMemorySpanExporter]:
    """A provider can be set once in a process; each test clears what it has exported."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    yield exporter
    exporter.shutdown()


async def test_every_call_has_a_span(pool: Any, exporter: InMemorySpanExporter) -> None:
    """With waiting and running as attributes; the worker's trace is the caller's."""
    exporter.clear()
    with trace.get_tracer("test").start_as_current_span("request") as request:
        seen = [await pool.submit(f.traced), await pool.submit(f.traced_async)]
    *calls, outer = exporter.get_finished_spans()
    assert outer.name == "request"
    for span, (trace_id, span_id, _pid), func in zip(
        calls, seen, ("traced", "traced_async"), strict=True
    ):
        assert span.name == f"executor apps.context.{func}"
        assert span.parent is not None
        assert span.parent.span_id == request.get_span_context().span_id
        assert f"{span.context.trace_id:x}" == trace_id
        assert f"{span.context.span_id:x}" == span_id
        said = dict(span.attributes or {})
        assert said["executor.pool"] == "pool"
        assert said["executor.mode"] == pool.mode
        assert said["executor.queue_wait_seconds"] >= 0  # type: ignore[operator]
        assert said["executor.run_seconds"] > 0  # type: ignore[operator]
    if pool.mode == "process":
        assert seen[0][2] != os.getpid()


async def test_what_a_call_raises_is_in_its_span(pool: Any, exporter: InMemorySpanExporter) -> None:
    exporter.clear()
    with pytest.raises(LookupError):
        await pool.submit(f.fails)
    (span,) = exporter.get_finished_spans()
    assert span.status.status_code is trace.StatusCode.ERROR
    assert span.events[0].name == "exception"
