# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Tokens of calls sent ahead: each goes to one side, however the two sides read."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from genro_executor_plugin.engines.process.claims import Claims, WorkerClaims


@pytest.fixture
def claims() -> Iterator[Claims]:
    made = Claims()
    yield made
    made.close()


def worker_of(claims: Claims) -> WorkerClaims:
    return WorkerClaims(claims.worker_fd)


def test_a_worker_starts_what_it_was_allowed_to_in_that_order(claims: Claims) -> None:
    worker = worker_of(claims)
    claims.give([3, 4])
    claims.give([7])
    assert [worker.claim(number) for number in (3, 4, 7)] == [True, True, True]
    assert not worker.claim(8)
    assert claims.take_back() is None


def test_what_was_taken_back_does_not_start_and_the_next_one_does(claims: Claims) -> None:
    worker = worker_of(claims)
    claims.give([1, 2, 3])
    assert claims.take_back() == 1
    assert [worker.claim(number) for number in (1, 2, 3)] == [False, True, True]


def test_the_token_of_a_call_that_got_lost_holds_up_nobody(claims: Claims) -> None:
    worker = worker_of(claims)
    claims.give([1, 2, 3])
    assert worker.claim(3)
    claims.give([4])
    assert not worker.claim(3)
    assert worker.claim(4)


def test_neither_side_waits_for_a_token(claims: Claims) -> None:
    assert not os.get_blocking(claims.worker_fd)
    assert not worker_of(claims).claim(1)
    assert claims.take_back() is None


def test_a_worker_without_a_server_starts_nothing() -> None:
    read, write = os.pipe()
    os.close(write)
    worker = WorkerClaims(read)
    assert not worker.claim(1)
    worker.let_go()
    with pytest.raises(OSError, match="Bad file"):
        os.fstat(read)


def test_a_closed_end_leaves_no_descriptor() -> None:
    made = Claims()
    made.give([1])
    read = made.worker_fd
    made.close()
    with pytest.raises(OSError, match="Bad file"):
        os.fstat(read)
    with pytest.raises(OSError, match="Bad file"):
        made.give([2])


@settings(max_examples=100, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.sampled_from(("give", "give", "take back", "frame")), max_size=40))
def test_each_call_is_started_or_taken_back_and_never_both(steps: list[str]) -> None:
    """The server gives and takes back, the worker comes to the frames in their order."""
    claims = Claims()
    worker = worker_of(claims)
    sent, came = 0, 0
    started: list[int] = []
    taken: list[int] = []
    try:
        for step in [*steps, *["frame"] * len(steps)]:
            if step == "give" and len(taken) <= came:
                sent += 1
                claims.give([sent])
            elif step == "take back":
                number = claims.take_back()
                if number is not None:
                    taken.append(number)
            elif step == "frame" and came < sent:
                came += 1
                if worker.claim(came):
                    started.append(came)
        assert not set(started) & set(taken)
        assert sorted(started + taken) == list(range(1, sent + 1))
    finally:
        claims.close()
