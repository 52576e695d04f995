# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""What a worker takes over from the server's process when it starts, and what it says it lacks."""

from __future__ import annotations

import os
import random
from contextvars import ContextVar
from pathlib import Path

import numpy
import pytest

from genro_executor_plugin import ProcessExecutor

OWNER: ContextVar[str] = ContextVar("OWNER", default="local")


def here() -> tuple[str | None, str, int]:
    umask = os.umask(0o22)
    os.umask(umask)
    return os.environ.get("GENRO_TEST_START"), os.getcwd(), umask


def draw() -> tuple[int, int]:
    return int(numpy.random.randint(10**9)), random.randrange(10**9)


def _owner() -> str:
    return OWNER.get()


def owner() -> str:
    return _owner()


async def test_a_worker_is_as_the_server_is_when_it_starts(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    before = os.umask(0o27)
    try:
        pool = ProcessExecutor("pool", max_workers=1, max_tasks_per_child=1)
        assert await pool.submit(here) == (None, os.getcwd(), 0o27)
        await pool.restart()
        monkeypatch.setenv("GENRO_TEST_START", "now")
        monkeypatch.chdir(tmp_path)
        os.umask(0o77)
        await pool.restart()
        assert await pool.submit(here) == ("now", str(tmp_path), 0o77)
        await pool.shutdown()
    finally:
        os.umask(before)


async def test_every_worker_draws_other_numbers() -> None:
    pool = ProcessExecutor(
        "pool", max_workers=1, max_tasks_per_child=1, preload=("numpy", "numpy.random")
    )
    drawn = [await pool.submit(draw) for _ in range(3)]
    assert len({one for one, _ in drawn}) == len({other for _, other in drawn}) == 3
    await pool.shutdown()


async def test_a_variable_that_reads_as_its_default_is_told_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    pool = ProcessExecutor("pool", max_workers=1)
    assert await pool.submit(owner) == "local"
    assert not caplog.records
    OWNER.set("ada")
    assert [await pool.submit(owner) for _ in range(2)] == ["local", "local"]
    (said,) = [record for record in caplog.records if "context variable" in record.getMessage()]
    assert said.levelname == "WARNING"
    assert "owner reads the context variable 'OWNER'" in said.getMessage()
    await pool.shutdown()
    sent = ProcessExecutor("sent", max_workers=1, context=[OWNER])
    caplog.clear()
    assert await sent.submit(owner) == "ada"
    assert not caplog.records
    await sent.shutdown()
