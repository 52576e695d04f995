# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""What goes wrong in an offloaded call is one record of the log, which ends with the handler."""

from __future__ import annotations

import logging
import os
from typing import Any

import pytest
from genro_routes import route
from host import RoutedApplication
from servers import serving


class Failing(RoutedApplication):
    mount = "failing"

    @route(executor="p")
    def divides(self, n: int = 0) -> float:
        return 1 / n

    @route(executor="p")
    async def divides_later(self, n: int = 0) -> float:
        return 1 / n

    @route(executor="p")
    def dies(self) -> None:
        os._exit(3)

    @route(executor="p")
    def exits(self) -> None:
        raise SystemExit(4)


async def records(caplog: pytest.LogCaptureFixture, path: str, **pool: Any) -> list[str]:
    """What is logged at ERROR for a request of ``path``, as text."""
    async with serving(Failing, executors={"p": {"max_workers": 1, **pool}}) as site:
        caplog.clear()
        answer = await site.client.get(path, headers={"accept": "application/json"})
        assert answer.status_code == 500
        assert answer.json() == {"error": "Internal Server Error"}
    formatter = logging.Formatter("%(message)s")
    return [
        formatter.format(record) for record in caplog.records if record.levelno >= logging.ERROR
    ]


@pytest.mark.parametrize("kind", ["process", "thread", "inline"])
@pytest.mark.parametrize("name", ["divides", "divides_later"])
async def test_a_handler_that_fails_is_one_record_with_one_traceback(
    caplog: pytest.LogCaptureFixture, kind: str, name: str
) -> None:
    (text,) = await records(caplog, f"/failing/{name}", executor_type=kind)
    assert text.count("Traceback (most recent call last)") == 1
    assert text.count("division by zero") == 1
    *_, place, line, markers, error = text.splitlines()
    assert f", in {name}" in place
    assert "test_logged_once.py" in place
    assert line.strip() == "return 1 / n"
    assert markers == "           ~~^~~"
    assert error == "ZeroDivisionError: division by zero"


async def test_a_crash_is_one_record_that_says_it_once(caplog: pytest.LogCaptureFixture) -> None:
    (text,) = await records(caplog, "/failing/dies")
    assert "route 'dies': the worker" in text
    assert text.count("exit code 3") == 1
    assert "Traceback" not in text


async def test_an_exception_that_cannot_leave_is_told_with_its_own_traceback(
    caplog: pytest.LogCaptureFixture,
) -> None:
    (text,) = await records(caplog, "/failing/exits")
    assert text.count("Traceback (most recent call last)") == 1
    assert text.splitlines()[-1] == "SystemExit: 4"
