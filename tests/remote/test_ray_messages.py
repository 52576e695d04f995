# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""What calls on Ray send: a flood of it waits with Ray and in the actor, not in the server."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from rays import ray_pool
from waiting import until

from genro_executor_plugin import ExecutorTimeoutError, RayExecutor

pytestmark = [pytest.mark.ray, pytest.mark.once]

RECORDS = 40_000


def log_much(path: str, records: int) -> int:
    """Logs, and writes into a file how often it has."""
    logger = logging.getLogger("flood")
    for number in range(records):
        logger.warning("number %d", number)
        if number % 100 == 99:
            Path(path).write_text(str(number + 1))
    return records


class Held(logging.Handler):
    """Handles nothing until it is opened."""

    def __init__(self) -> None:
        super().__init__()
        self.opened = threading.Event()
        self.numbers: list[int] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.opened.wait()
        self.numbers.append(int(record.getMessage().split()[1]))


@pytest.fixture
def held() -> Any:
    handler = Held()
    logger = logging.getLogger("flood")
    logger.addHandler(handler)
    logger.propagate = False
    yield handler
    handler.opened.set()
    logger.removeHandler(handler)
    logger.propagate = True


@pytest.fixture
async def pool() -> AsyncIterator[RayExecutor]:
    async with ray_pool(max_workers=1) as pool:
        yield pool


def logged(path: Path) -> int:
    return int(path.read_text() or 0) if path.exists() else 0


async def stands_still(path: Path) -> int:
    """How many records were logged when no more are."""
    before = -1
    while logged(path) != before or not before:
        before = logged(path)
        await asyncio.sleep(0.3)
    return before


async def test_a_flood_of_records_waits_where_it_is_made(
    pool: RayExecutor, held: Held, tmp_path: Path
) -> None:
    path = tmp_path / "logged"
    call = asyncio.create_task(pool.submit(log_much, str(path), RECORDS))
    assert 100 <= await stands_still(path) < RECORDS / 2
    held.opened.set()
    assert await call == RECORDS
    assert held.numbers == list(range(RECORDS))  # and the result came behind all of them


async def test_a_call_whose_records_wait_can_be_ended(
    pool: RayExecutor, held: Held, tmp_path: Path
) -> None:
    path = tmp_path / "logged"
    call = asyncio.create_task(pool.options(timeout=2.0).submit(log_much, str(path), RECORDS))
    await until(lambda: pool.restarts == {"timeout": 1})
    held.opened.set()
    with pytest.raises(ExecutorTimeoutError):
        await call
    assert await pool.submit(log_much, str(path), 100) == 100
    assert held.numbers[-100:] == list(range(100))
