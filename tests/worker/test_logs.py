# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Log records, warnings and settings: workers have the server's, and the server hears them."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import time
import warnings
from collections.abc import AsyncIterator, Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import pytest
import structlog
from apps.talking import Talking, logger, private
from programs import TESTS
from servers import built, until

from genro_executor_plugin import ProcessExecutor, WorkerCrashedError

REQUEST: ContextVar[str] = ContextVar("REQUEST", default="none")


class Heard(logging.Handler):
    """Keeps what it is given, and the request it was given in."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []
        self.requests: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.name.startswith("talking"):
            self.records.append(record)
            self.requests.append(REQUEST.get())

    @property
    def texts(self) -> list[str]:
        return [record.getMessage() for record in self.records]


@pytest.fixture
def heard() -> Iterator[Heard]:
    handler = Heard()
    saved = logging.root.level, logger.level, private.handlers[:]
    logging.root.addHandler(handler)
    private.handlers[:] = [handler]
    logging.root.setLevel(logging.WARNING)
    logger.setLevel(logging.INFO)
    yield handler
    logging.root.removeHandler(handler)
    logging.root.setLevel(saved[0])
    logger.setLevel(saved[1])
    private.handlers[:] = saved[2]


@pytest.fixture
async def pool() -> AsyncIterator[ProcessExecutor]:
    pool = ProcessExecutor("pool", max_workers=1)
    yield pool
    await pool.shutdown()


async def test_records_of_a_worker_reach_the_servers_handlers() -> None:
    """In order, before the result, with pool, pid and route, in the caller's context."""
    handler = Heard()
    logging.root.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        async with built(Talking, executors={"p": {"max_workers": 1}}) as server:
            app = server.applications["talking"]
            REQUEST.set("r1")
            pid = await app.route.node("many")(count=50)
            assert handler.texts == ["starting", *(f"number {n}" for n in range(50))]
            assert set(handler.requests[1:]) == {"r1"}
            assert handler.records[0].executor_route is None  # type: ignore[attr-defined]
            for record in handler.records[1:]:
                assert (record.executor_pool, record.executor_pid) == ("p", pid)  # type: ignore[attr-defined]
                assert record.executor_route == "many"  # type: ignore[attr-defined]
                assert record.process == pid != os.getpid()
                assert record.filename == "talking.py"
            handler.records.clear()
            await app.route.node("many_async")(count=5)
            assert handler.texts == [f"number {n}" for n in range(5)]
    finally:
        logging.root.removeHandler(handler)
        logger.setLevel(logging.NOTSET)


async def test_a_record_that_nobody_would_take_is_not_made(
    heard: Heard, pool: ProcessExecutor
) -> None:
    app = Talking()
    logger.setLevel(logging.WARNING)
    assert await pool.submit(app.levels) == ["high enough"]
    logger.setLevel(logging.DEBUG)
    deadline = time.monotonic() + 40
    while await pool.submit(app.levels) != ["too low", "high enough"]:
        assert time.monotonic() < deadline, "the worker did not hear of the new level"
    logger.disabled = True
    try:
        while await pool.submit(app.levels):
            assert time.monotonic() < deadline, "the worker did not hear that it is disabled"
    finally:
        logger.disabled = False


async def test_records_of_every_sort_arrive_readable(heard: Heard, pool: ProcessExecutor) -> None:
    await pool.submit(Talking().all_sorts)
    starting, odd, named, alone, failed, oddly, broken = heard.records
    assert starting.getMessage() == "starting"
    assert odd.getMessage() == "odd: an odd one"
    assert odd.user == "ann"  # type: ignore[attr-defined]
    assert "Odd object" in odd.odd  # type: ignore[attr-defined]
    assert named.getMessage() == "named: 1"
    assert alone.name == "talking.private"
    format = logging.Formatter().format
    assert "raise LookupError" in format(failed)
    assert failed.exc_info is not None
    assert isinstance(failed.exc_info[1], LookupError)
    assert "raise OddError" in format(oddly)
    assert broken.msg == "broken: %d"  # it fails in the server's formatter, as it would there


async def test_records_from_threads_and_last_words_arrive(
    heard: Heard, pool: ProcessExecutor
) -> None:
    app = Talking()
    await pool.submit(app.in_thread)
    assert heard.texts == ["starting", "from a thread"]
    with pytest.raises(WorkerCrashedError):
        await pool.submit(app.dies)
    assert heard.texts[-1] == "last words"


async def test_structlog_over_logging_arrives_as_it_is(
    heard: Heard, pool: ProcessExecutor, capfd: pytest.CaptureFixture[str]
) -> None:
    """Its formatter in the server finds the event with its values."""
    pool_with = ProcessExecutor("structured", max_workers=1, initializer=configure_structlog)
    formatter = structlog.stdlib.ProcessorFormatter(processor=structlog.processors.JSONRenderer())
    await pool_with.submit(Talking().structured)
    await pool_with.shutdown()
    (record,) = [record for record in heard.records if record.name == "talking.structured"]
    shown = formatter.format(record)
    assert '"event": "paid"' in shown
    assert '"amount": 12' in shown
    await pool.submit(Talking().structured)  # as it is out of the box, it prints
    await until(lambda: "amount" in capfd.readouterr().out)


def configure_structlog() -> None:
    structlog.configure(
        processors=[structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
    )


async def test_warnings_of_a_worker_are_warnings_here(pool: ProcessExecutor) -> None:
    """By the server's filters, which also may make an error of one."""
    app = Talking()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        await pool.submit(app.warns)
    (warning,) = [item for item in caught if "old ways" in str(item.message)]
    assert warning.category is DeprecationWarning
    assert warning.filename.endswith("talking.py")
    strict = ProcessExecutor("strict", max_workers=1)
    await strict.submit(app.surroundings)  # what the host warns of at its import is not for here
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(DeprecationWarning, match="old ways"):
            await strict.submit(app.warns)
    await strict.shutdown()


async def test_locale_and_time_zone_are_the_servers(
    pool: ProcessExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = Talking()
    assert (await pool.submit(app.surroundings))[0] == "C"
    monkeypatch.setenv("TZ", "XYZ-3")
    time.tzset()
    try:
        deadline = time.monotonic() + 40
        while (await pool.submit(app.surroundings))[1] != "XYZ":
            assert time.monotonic() < deadline, "the worker did not hear of the time zone"
    finally:
        monkeypatch.undo()
        time.tzset()


PROGRAM = """\
import asyncio
from apps.talking import Talking
from genro_executor_plugin import ProcessExecutor

async def main():
    pool = ProcessExecutor("pool", max_workers=1)
    await pool.submit(Talking().many, 2)
    await pool.submit(Talking().all_sorts)
    await pool.shutdown()

asyncio.run(main())
"""


def test_nothing_is_seen_twice(tmp_path: Path) -> None:
    """Though the module sets up handlers at its import, here and in the worker."""
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    done = subprocess.run(
        [sys.executable, program],
        env={**os.environ, "PYTHONPATH": str(TESTS)},
        capture_output=True,
        text=True,
        check=True,
        timeout=150,
    )
    for text in ("number 0", "number 1", "in private", "an odd one"):
        assert done.stderr.count(text) == 1, done.stderr
    assert done.stdout == "printed\n"


def test_a_record_that_cannot_be_read_is_told_of(heard: Heard) -> None:
    from genro_executor_plugin.worker.logs import arrived_record

    values: Any = ("talking", logging.WARNING, b"nonsense")
    arrived_record(values, "pool", 1, None)
    (text,) = heard.texts
    assert "cannot be read" in text
    assert "'pool'" in text
