# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""What a function raises in a worker is what its caller catches, with everything around it."""

from __future__ import annotations

import io
import pdb
import traceback
from collections.abc import AsyncIterator
from typing import Any

import pytest
from apps import failing as f
from pydantic import ValidationError

from genro_executor_plugin import ProcessExecutor, RemoteError
from genro_executor_plugin.errors import RemoteTraceback


@pytest.fixture
async def pool() -> AsyncIterator[ProcessExecutor]:
    pool = ProcessExecutor("pool", max_workers=1)
    yield pool
    assert pool.metrics["restarts"] == 0
    await pool.shutdown()


async def caught(pool: ProcessExecutor, func: Any) -> BaseException:
    try:
        await pool.submit(func)
    except BaseException as error:
        return error
    raise AssertionError("it did not fail")


async def test_cause_notes_and_attributes_arrive(pool: ProcessExecutor) -> None:
    error = await caught(pool, f.chained)
    assert type(error) is ValueError
    cause = error.__cause__
    assert type(cause) is f.LostError
    assert (cause.name, cause.code, cause.args) == ("key", 17, ("key is lost",))
    assert cause.__notes__ == ["looked everywhere"]
    text = "".join(traceback.format_exception(error))
    for line in ("inner(depth - 1)", 'raise ValueError("cannot open") from error', "looked every"):
        assert line in text
    assert "a local value" not in text.replace('secret = "a local value"', "")


async def test_groups_arrive_with_all_that_is_in_them(pool: ProcessExecutor) -> None:
    error = await caught(pool, f.grouped)
    assert isinstance(error, ExceptionGroup)
    one, other, nested = error.exceptions
    assert [type(one), type(other)] == [f.LostError, f.LostError]
    assert other.__notes__ == ["number 1"]
    assert other.__traceback__ is not None
    assert isinstance(nested, ExceptionGroup)
    assert nested.exceptions[0].args == ("k",)
    lost, rest = error.split(f.LostError)
    assert lost is not None
    assert len(lost.exceptions) == 2
    assert rest is not None
    raised = await caught(pool, f.grouped_async)
    assert isinstance(raised, ExceptionGroup)
    assert {type(sub) for sub in raised.exceptions} == {f.LostError, ValueError}


async def test_frames_have_the_functions_lines_and_nobodys_values(pool: ProcessExecutor) -> None:
    error = await caught(pool, f.chained)
    cause = error.__cause__
    assert cause is not None
    frames = [frame for frame, _ in traceback.walk_tb(cause.__traceback__)]
    names = [frame.f_code.co_name for frame in frames]
    assert names == ["chained", "inner", "inner", "inner"]
    assert all(frame.f_code.co_filename == f.__file__ for frame in frames)
    assert all("secret" not in frame.f_locals for frame in frames)


async def test_a_debugger_walks_the_frames(pool: ProcessExecutor) -> None:
    error = await caught(pool, f.chained)
    cause = error.__cause__
    assert cause is not None
    said = io.StringIO()
    debugger = pdb.Pdb(
        stdin=io.StringIO("where\nup\nup\nlist\nup\nquit\n"), stdout=said, nosigint=True
    )
    debugger.use_rawinput = False
    debugger.reset()
    debugger.interaction(None, cause.__traceback__)
    shown = said.getvalue()
    assert "failing.py" in shown
    assert shown.count("-> inner(depth - 1)") >= 2
    assert 'secret = "a local value"' in shown  # the line, as list shows it


async def test_a_validation_error_of_the_body_is_itself(pool: ProcessExecutor) -> None:
    error = await caught(pool, f.invalid)
    assert isinstance(error, RemoteError | ValidationError)
    assert "number" in str(error)
    assert "int_parsing" in str(error) or "valid integer" in str(error)


async def test_a_circle_of_causes_arrives(pool: ProcessExecutor) -> None:
    error = await caught(pool, f.circular)
    assert type(error) is ValueError
    assert error.__cause__ is not None


async def test_what_cannot_travel_of_an_exception_is_shown_and_the_rest_is_itself(
    pool: ProcessExecutor,
) -> None:
    error = await caught(pool, f.holds_a_lock)
    assert type(error) is f.LostError
    assert str(error) == "lock is lost"
    assert error.lock.startswith("<Condition(")
    assert error.__cause__ is None or isinstance(error.__cause__, RemoteTraceback)


async def test_an_http_exception_answers_whatever_it_holds(pool: ProcessExecutor) -> None:
    error = await caught(pool, f.pays_with_a_connection)
    assert type(error) is f.PaymentError
    assert (error.status, error.detail) == (402, "pay first")
    assert error.headers == [(b"x-pay", b"yes")]
    assert error.connection.startswith("<sqlite3.Connection")
    local = await caught(pool, f.raises_a_type_of_its_own)
    assert (local.status, local.detail, local.headers) == (410, "gone", [(b"x-gone", b"1")])


@pytest.mark.parametrize(
    ("func", "name"),
    [
        (f.lies, "apps.failing.LyingError: the truth"),
        (f.raises, "apps.failing.RaisingError: the truth"),
    ],
)
async def test_what_does_not_survive_the_way_is_told(
    pool: ProcessExecutor, func: Any, name: str
) -> None:
    error = await caught(pool, func)
    assert isinstance(error, RemoteError)
    assert str(error) == name
    assert f"in {func.__name__}" in error.remote_traceback
