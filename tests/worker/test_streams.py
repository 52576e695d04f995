# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Answers in chunks: from every kind of pool, to callers and over HTTP."""

from __future__ import annotations

import asyncio
import os
from contextlib import aclosing
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from agents import shared_pool
from apps import streaming as f
from rays import ray_pool
from servers import built, serving, until

from genro_executor_plugin import (
    ExecutorTimeoutError,
    InlineExecutor,
    ProcessExecutor,
    SerializationError,
    ThreadExecutor,
    WorkerCrashedError,
)
from genro_executor_plugin.errors import ExecutorClosedError
from genro_executor_plugin.worker.streaming import AHEAD_CHUNKS

MEGABYTES = int(os.environ.get("GENRO_STREAM_MEGABYTES", "96"))
"""How much the memory test streams; ``tox run -e stream`` makes it a gigabyte."""

GROWTH = 50 * 1024 * 1024

KINDS: dict[str, Any] = {
    "process": ProcessExecutor,
    "thread": ThreadExecutor,
    "inline": InlineExecutor,
    "nats": shared_pool,
    "ray": ray_pool,
}
P = {"p": {"max_workers": 1}}


@pytest.fixture(params=KINDS, ids=list(KINDS))
async def pool(request: pytest.FixtureRequest) -> Any:
    pool = KINDS[request.param]("pool", max_workers=1)
    yield pool
    await pool.shutdown()


@pytest.fixture
async def processes() -> Any:
    pool = ProcessExecutor("pool", max_workers=1)
    yield pool
    await pool.shutdown()


async def take(values: Any, into: list[Any]) -> None:
    """Everything that ``values`` gives, also when it ends in an error."""
    async for value in values:
        into.append(value)


# -- executor.stream() ----------------------------------------------------------------------------


@pytest.mark.parametrize("func", [f.count, f.count_async])
async def test_what_a_generator_yields_arrives_in_order(pool: Any, func: Any) -> None:
    assert [value async for value in pool.stream(func, 500)] == list(range(500))
    assert [value async for value in pool.stream(func, 0)] == []
    assert await pool.submit(f.plain, 1) == 1
    assert pool.metrics["pending"] == 0
    assert pool.metrics["completed"] == 3


@pytest.mark.parametrize("func", [f.count, f.count_async])
async def test_a_generator_is_not_far_ahead_of_the_one_who_takes(
    pool: Any, func: Any, tmp_path: Path
) -> None:
    """And it is closed where it stands when that one leaves."""
    log = tmp_path / "log"
    async with aclosing(pool.stream(func, 10**9, str(log))) as values:
        async for value in values:
            if value == 99:
                break
    await until(log.exists)
    yielded = int(log.read_text().removeprefix("closed after "))
    assert 100 <= yielded <= 100 + AHEAD_CHUNKS + 1
    assert pool.metrics["restarts"] == 0
    assert await pool.submit(f.plain, 1) == 1


async def test_a_coroutine_that_waits_is_closed_where_it_waits(pool: Any, tmp_path: Path) -> None:
    log = tmp_path / "log"
    async with aclosing(pool.stream(f.waits_for_ever, str(log))) as values:
        assert await anext(values) == "first"
    assert log.read_text() == "closed while it waited"
    assert pool.metrics["restarts"] == 0


@pytest.mark.parametrize("func", [f.fails, f.fails_async])
async def test_an_error_comes_behind_what_was_yielded_before(pool: Any, func: Any) -> None:
    got: list[Any] = []
    with pytest.raises(LookupError, match="in mid-stream"):
        await take(pool.stream(func, 5), got)
    assert got == [0, 1, 2, 3, 4]
    assert pool.metrics["failed"] == 1


async def test_what_is_no_stream_is_for_submit(pool: Any) -> None:
    with pytest.raises(TypeError, match=r"plain returned builtins.int.*submit"):
        async for _ in pool.stream(f.plain, 1):
            pass


async def test_a_generator_given_to_submit_is_refused(processes: Any) -> None:
    with pytest.raises(SerializationError, match="generator"):
        await processes.submit(f.count, 1)


@pytest.mark.parametrize("kind", ["process", "inline"])
async def test_a_chunk_that_cannot_travel_is_refused(kind: str) -> None:
    pool = KINDS[kind]("pool", max_workers=1)
    got: list[Any] = []
    with pytest.raises((SerializationError, TypeError), match="cannot"):
        await take(pool.stream(f.unfit), got)
    assert got == [1]
    await pool.shutdown()


async def test_a_worker_that_dies_in_mid_stream_is_told(processes: Any) -> None:
    got: list[Any] = []
    with pytest.raises(WorkerCrashedError):
        await take(processes.stream(f.dies, 3), got)
    assert got == [0, 1, 2]
    assert [value async for value in processes.stream(f.count, 2)] == [0, 1]


async def test_a_route_that_might_stream_is_repeated_until_it_does(tmp_path: Path) -> None:
    """A crash before the first chunk is one like any other; one after it is final."""
    async with built(f.Streaming, executors={"p": {"max_workers": 1, "retries": 1}}) as server:
        node = server.applications["streaming"].route.node("dies_once")
        assert await node(marker=str(tmp_path / "plain"), stream=False) == "lived"
        response = await node(marker=str(tmp_path / "chunks"), stream=True)
        with pytest.raises(WorkerCrashedError):
            await take(response.body_iterator, [])


async def test_limits_of_a_stream(processes: Any, tmp_path: Path) -> None:
    """``idle`` between two chunks, ``timeout`` for the whole run."""
    with pytest.raises(ExecutorTimeoutError, match=r"sent nothing for 0\.2 s"):
        async for _ in processes.options(idle=0.2).stream(f.never_comes_back, str(tmp_path / "a")):
            pass
    with pytest.raises(ExecutorTimeoutError, match=r"ran longer than 0\.2 s"):
        async for _ in processes.options(timeout=0.2).stream(
            f.never_comes_back, str(tmp_path / "b")
        ):
            pass
    assert await processes.submit(f.plain, 1) == 1


async def test_streams_of_coroutines_run_side_by_side(processes: Any) -> None:
    async def total() -> int:
        return sum([value async for value in processes.stream(f.count_async, 200)])

    assert await asyncio.gather(*(total() for _ in range(5))) == [19900] * 5


async def test_shutdown_ends_a_stream_that_nobody_takes(pool: Any) -> None:
    short = KINDS[pool.kind]("short", max_workers=1, shutdown_timeout=0.1)
    values = short.stream(f.count, 10**9)
    assert await anext(values) == 0
    await short.shutdown()
    with pytest.raises(ExecutorClosedError):
        async for _ in values:
            pass


class Growth:
    """How much more memory this process and a worker hold than at the start, at most."""

    def __init__(self, worker: int) -> None:
        self._processes = psutil.Process(), psutil.Process(worker)
        self._before = self._now()
        self.most = [0, 0]

    def _now(self) -> list[int]:
        return [process.memory_info().rss for process in self._processes]

    def look(self) -> None:
        grown = (now - before for now, before in zip(self._now(), self._before, strict=True))
        self.most = [max(pair) for pair in zip(self.most, grown, strict=True)]


async def test_memory_stays_where_it_is(processes: Any) -> None:
    size = 256 * 1024
    assert await processes.submit(f.plain, 1) == 1
    growth, got = Growth(processes.pids[0]), 0
    async for block in processes.stream(f.blocks, MEGABYTES * 4, size):
        got += len(block)
        if got % (size * 40) == 0:
            growth.look()
    assert got == MEGABYTES * 1024 * 1024
    assert max(growth.most) < GROWTH


# -- over HTTP ------------------------------------------------------------------------------------


async def test_handlers_that_stream_answer_with_what_they_yield() -> None:
    async with serving(f.Streaming, executors=P) as site:
        answer = await site.get("/streaming/text")
        assert (answer.status_code, answer.text) == (200, "one\ntwo\n")
        assert answer.headers["content-type"] == "text/plain; charset=utf-8"
        answer = await site.get("/streaming/csv")
        assert (answer.content, answer.headers["content-type"][:8]) == (b"one,two,", "text/csv")
        for name in ("response", "response_async"):
            answer = await site.get(f"/streaming/{name}")
            assert (answer.status_code, answer.text) == (203, "onetwo")
            (worker,) = site.server.get_executor("p").pids
            assert answer.headers["x-pid"] == str(worker)
        answer = await site.get("/streaming/sse")
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.text.count("data:") == 2
        assert (await site.get("/streaming/nothing")).content == b""
        assert (await site.json("/streaming/maybe"))["words"] == ["one", "two"]
        assert (await site.get("/streaming/maybe", stream="true")).text == "onetwo"
        site.app("streaming").words.append("three")
        assert (await site.get("/streaming/maybe", stream="true")).text == "onetwothree"
        assert site.server.get_executor("p").metrics["pending"] == 0


async def test_handlers_that_stream_do_so_with_offloading_disabled(tmp_path: Path) -> None:
    async with serving(f.Streaming, executors=P) as site:
        site.app("streaming").routing.configure("executor/_all_", disabled=True)
        assert (await site.get("/streaming/text")).text == "one\ntwo\n"
        assert (await site.get("/streaming/csv")).text == "one,two,"
        assert (await site.get("/streaming/sse")).text.count("data:") == 2
        assert (await site.get("/streaming/response")).headers["x-pid"] == str(os.getpid())
        assert site.server.get_executor("p").metrics["submitted"] == 0


async def test_the_first_byte_is_there_before_the_generator_is_done(gate: Any) -> None:
    async with (
        serving(f.Streaming, executors=P) as site,
        site.client.stream("GET", "/streaming/held", params={"gate": gate.path}) as answer,
    ):
        blocks = answer.aiter_raw()
        assert await anext(blocks) == b"first"
        await gate.entered()
        gate.release()
        assert b"".join([block async for block in blocks]) == b"last"


@pytest.mark.parametrize("name", ["endless", "sse_silent"])
async def test_the_generator_is_closed_when_the_client_leaves(name: str, tmp_path: Path) -> None:
    log = tmp_path / "log"
    async with serving(f.Streaming, executors=P) as site:
        async with site.client.stream(
            "GET", f"/streaming/{name}", params={"log": str(log)}
        ) as answer:
            assert await anext(answer.aiter_raw())
        await until(log.exists)
        pool = site.server.get_executor("p")
        await until(lambda: not pool.metrics["pending"])
        assert pool.metrics["restarts"] == 0


async def test_memory_stays_where_it_is_over_http() -> None:
    """The server's, which is the client's here, too, and the worker's."""
    async with serving(f.Streaming, executors=P) as site:
        assert (await site.get("/streaming/text")).status_code == 200
        growth, got = Growth(site.server.get_executor("p").pids[0]), 0
        async with site.client.stream(
            "GET", "/streaming/large", params={"megabytes": MEGABYTES}
        ) as answer:
            async for block in answer.aiter_raw():
                got += len(block)
                if got % (4 * 1024 * 1024) < len(block):
                    growth.look()
        assert got == MEGABYTES * 1024 * 1024
        assert max(growth.most) < GROWTH


async def test_an_error_before_the_first_chunk_is_an_answer_like_any_other() -> None:
    async with serving(f.Streaming, executors=P) as site:
        answer = await site.get("/streaming/fails_at_once")
        assert answer.status_code == 500
        answer = await site.get("/streaming/numbers")  # chunks that HTTP does not know
        assert answer.status_code == 500


async def test_an_error_in_mid_stream_cuts_the_answer_off(caplog: Any) -> None:
    """The client must not take it for a whole one, and the log has the reason."""
    async with serving(f.Streaming, executors=P) as site:
        with pytest.raises(httpx.RemoteProtocolError):
            await site.get("/streaming/fails_later")
        assert "in mid-stream" in caplog.text
        assert (await site.get("/streaming/text")).status_code == 200


async def test_a_response_that_nobody_sends_ends_its_run(tmp_path: Path) -> None:
    log = tmp_path / "log"
    async with built(f.Streaming, executors=P) as server:
        response = await server.applications["streaming"].route.node("endless")(log=str(log))
        assert response.status_code == 200
        del response
        await until(log.exists)
        await until(lambda: not server.get_executor("p").metrics["pending"])


# -- files ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("disabled", [False, True], ids=["offloaded", "disabled"])
async def test_files_are_sent_block_by_block(disabled: bool, tmp_path: Path) -> None:
    """An open file from where it begins, wherever its writer left it, and a file by its path."""
    async with serving(f.Streaming, executors=P) as site:
        if disabled:
            site.app("streaming").routing.configure("executor/_all_", disabled=True)
        answer = await site.get("/streaming/temporary")
        assert answer.content == b"x" * 1_000_000
        written = tmp_path / "written.csv"
        answer = await site.get("/streaming/written", name=str(written))
        assert answer.text == "\u20ac,1\n"
        assert answer.headers["content-type"].startswith("text/csv")
        kept = tmp_path / "kept.pdf"
        kept.write_bytes(os.urandom(3_000_000))
        answer = await site.get("/streaming/sent", name=str(kept), filename="a report.pdf")
        assert answer.content == kept.read_bytes()
        assert answer.headers["content-type"] == "application/pdf"
        assert answer.headers["content-length"] == "3000000"
        assert "a%20report.pdf" in answer.headers["content-disposition"]
        answer = await site.get("/streaming/sent", name=str(kept), delete="true")
        assert len(answer.content) == 3_000_000
        await until(lambda: not kept.exists())
        assert (await site.get("/streaming/sent", name=str(kept))).status_code == 500


async def test_a_file_is_let_go_when_the_client_leaves(tmp_path: Path) -> None:
    async with serving(f.Streaming, executors=P) as site:
        large = tmp_path / "large"
        large.write_bytes(b"x" * 50_000_000)
        async with site.client.stream(
            "GET", "/streaming/sent", params={"name": str(large), "delete": "true"}
        ) as answer:
            assert await anext(answer.aiter_raw())
            assert large.exists()
        await until(lambda: not large.exists())
