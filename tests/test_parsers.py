# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Whatever comes from outside is read, or refused with the error that says so, and nothing else.

A parser that is not here has properties beside its own tests: envelopes, messages and what is in
them (``remote/test_envelope``), the console's token and cookies (``console/test_access``),
addresses of clients (``tasks/test_limits``), options (``options/test_options``), whole requests
(``console/test_strangers``).
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from functools import partial
from typing import Any
from urllib.parse import urlencode

import pytest
from host import HTTPBadRequest, HTTPException
from hypothesis import example, given, settings
from hypothesis import strategies as st

from genro_executor_plugin import ExecutorConfigError
from genro_executor_plugin.console.job_query import FILTERS, check_ids, query_in, query_of
from genro_executor_plugin.options.keys import key_of, place_of
from genro_executor_plugin.options.numbers import (
    MAX_COUNT,
    MAX_SECONDS,
    NotAllowedError,
    check_seconds,
    count_of,
    seconds_of,
    shown,
)
from genro_executor_plugin.remote.access import check_url
from genro_executor_plugin.remote.subjects import check_subject
from genro_executor_plugin.routing import sites
from genro_executor_plugin.tasks.http.guard import narrowed_query
from genro_executor_plugin.tasks.options import TaskOptions, TaskSettings
from genro_executor_plugin.tools.bench.named_functions import TargetError, arguments_of

FEW = settings(max_examples=60, derandomize=True)

HUGE = st.sampled_from(("1e400", "9" * 5000))
NUMBERS = st.floats() | st.integers() | st.decimals().map(str) | HUGE
SIMPLE: Any = st.none() | st.booleans() | NUMBERS | st.text(max_size=40) | st.binary(max_size=40)
VALUES: Any = SIMPLE | st.lists(SIMPLE, max_size=3) | st.dictionaries(SIMPLE, SIMPLE, max_size=3)
TEXTS = st.text(max_size=200) | NUMBERS.map(str) | st.sampled_from(("", "\0", "\ud800"))
BYTES = st.binary(max_size=200) | TEXTS.map(lambda text: text.encode("utf-8", "replace"))
FIELDS = st.sampled_from([*FILTERS, "limit", "after", "sort", "order"])
PAIRS = st.tuples(FIELDS | st.just("x"), st.text("a1.,-%é", max_size=20))
NAMES = "host origin content-type content-length x-tytx-transport sec-fetch-site accept x"
HEADERS = st.lists(st.tuples(st.sampled_from(NAMES.encode().split()), BYTES), max_size=5)


def read(parse: Callable[[], Any], *refusals: type[Exception]) -> tuple[Any, Exception | None]:
    """What ``parse`` returns, or the refusal that it raises; anything else fails the test."""
    try:
        return parse(), None
    except refusals as error:
        return None, error


@pytest.mark.parametrize(
    ("parse", "refusal"),
    [
        (check_url, ValueError),
        (check_subject, ValueError),
        (arguments_of, TargetError),
        (lambda text: check_ids([text]), HTTPBadRequest),
        (lambda text: TaskOptions().changed({"key": text, "pool": text}), ExecutorConfigError),
        (lambda text: TaskSettings.declare({"max_bytes": text, "pool": text}), ExecutorConfigError),
    ],
    ids=("url", "subject", "arguments of bench", "ids", "options of jobs", "settings of jobs"),
)
@FEW
@given(TEXTS)
@example("[" * 20_000)
@example("nats://[::1")
@example("nats://h:99999999")
def test_a_text_is_read_or_refused(
    parse: Callable[[str], object], refusal: type[Exception], text: str
) -> None:
    _, error = read(partial(parse, text), refusal)
    assert error is None or str(error) or isinstance(error, HTTPException)


@FEW
@given(VALUES, st.booleans(), st.booleans())
@example("1e400", True, True)
@example(10**400, True, True)
def test_seconds_are_finite_and_in_range_or_refused(value: Any, zero: bool, text: bool) -> None:
    seconds, error = read(lambda: seconds_of(value, zero=zero, text=text), NotAllowedError)
    if error is not None:
        assert str(error).startswith("a number of seconds ")
    else:
        assert type(seconds) is float
        assert 0 <= seconds <= MAX_SECONDS
        assert zero or seconds
        assert not isinstance(value, bool | bytes | list | dict)
        assert text or not isinstance(value, str)
    if value is not None:
        checked, wrong = read(lambda: check_seconds("here", "wait", value), ExecutorConfigError)
        if wrong is None:
            assert checked == seconds_of(value, zero=True)
        else:
            told = f"here: wait={shown(value)} is not a number of seconds"
            assert str(wrong).startswith(told)


@FEW
@given(VALUES, st.integers(0, 5), st.integers(5, 50), st.booleans())
@example("3.0", 1, 10, True)
@example(3.0, 1, 10, False)
@example("nan", 1, 10, True)
def test_counts_are_whole_and_in_range_or_refused(
    value: Any, least: int, most: int, text: bool
) -> None:
    count, error = read(lambda: count_of(value, least, most, text=text), NotAllowedError)
    if error is not None:
        assert str(error) == f"a whole number of at least {least} and at most {most}"
    else:
        assert type(count) is int
        assert least <= count <= most
        assert math.isclose(count, float(value))
        assert text or type(value) is int


def test_the_bounds_of_counts_are_allowed() -> None:
    assert [count_of(number, 2, 4) for number in (2, 3, 4)] == [2, 3, 4]
    assert count_of(MAX_COUNT, 0) == MAX_COUNT
    for number in (1, 5):
        with pytest.raises(NotAllowedError, match="at least 2 and at most 4"):
            count_of(number, 2, 4)


@FEW
@given(BYTES | st.lists(PAIRS, max_size=6).map(lambda pairs: urlencode(pairs).encode()))
def test_the_query_of_a_list_of_jobs_is_read_or_refused(query: bytes) -> None:
    found, error = read(lambda: query_in(query), HTTPBadRequest)
    if error is None:
        assert found.limit >= 1
        assert all(at is None or math.isfinite(at) for at in (found.since, found.until))
        assert len(found.search) <= 300


@FEW
@given(st.dictionaries(FIELDS, SIMPLE, max_size=4))
def test_the_fields_of_a_list_of_jobs_are_read_or_refused(fields: dict[str, Any]) -> None:
    _, error = read(lambda: query_of(fields), HTTPBadRequest)
    assert error is not None or all(isinstance(one, str | int | float) for one in fields.values())


@FEW
@given(BYTES)
def test_a_query_to_jobs_is_narrowed_whatever_it_is(query: bytes) -> None:
    narrowed = narrowed_query(query)
    assert isinstance(narrowed, bytes)
    assert narrowed_query(narrowed) == narrowed


@FEW
@given(SIMPLE)
def test_a_key_is_refused_or_always_leads_to_the_same_place(value: Any) -> None:
    key, error = read(lambda: key_of(value), NotAllowedError)
    assert error is not None or key == key_of(value)


@FEW
@given(st.integers(0, 2**64 - 1), st.integers(1, 200))
def test_a_key_stays_at_its_place_or_goes_to_the_new_one(key: int, places: int) -> None:
    place = place_of(key, places)
    assert 0 <= place < places
    assert place_of(key, places + 1) in (place, places)


@FEW
@given(HEADERS)
@example([(b"host", b"[::1"), (b"origin", b"http://[::1")])
@example([(b"content-length", "²".encode("latin-1"))])
@example([(b"content-length", b"9" * 5000)])
def test_headers_are_read_or_refused(headers: list[tuple[bytes, bytes]]) -> None:
    scope: Any = {"type": "http", "method": "GET", "path": "/", "headers": headers}
    for look in (sites.check_host, sites.is_navigation, sites.is_form):
        read(partial(look, scope), HTTPBadRequest)
    for keep in (sites.narrowed_headers, sites.well_formed_headers):
        kept = keep(scope)
        assert all(pair in headers for pair in kept)
        assert keep({**scope, "headers": kept}) == kept
    receive, error = read(lambda: sites.limited_body(scope, _some_body, 10), HTTPException)
    if error is None:
        _, error = read(lambda: asyncio.run(_read_all(receive)), HTTPException)
    assert isinstance(error, HTTPException)
    assert error.status == 413


async def _some_body() -> dict[str, Any]:
    return {"type": "http.request", "body": b"five ", "more_body": True}


async def _read_all(receive: Callable[[], Any]) -> None:
    for _ in range(3):
        await receive()
