# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""What each submitter may have in the store, counted by the real counters without a store."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genro_executor_plugin import TaskLimitError, TaskState, TaskStatus
from genro_executor_plugin.tasks.limits import Limits, network_of
from genro_executor_plugin.tasks.options import TaskSettings
from genro_executor_plugin.tasks.store.facts import Usage


def limits(**settings: Any) -> Limits:
    few = {
        "max_jobs_per_submitter": 3,
        "max_bytes_per_submitter": 100,
        "max_jobs_per_anonymous": 2,
        "max_bytes_per_anonymous": 50,
        "max_call_bytes": 80,
    }
    return Limits(TaskSettings.declare({**few, **settings}))


def job(task_id: str = "a", size: int = 10, **values: Any) -> TaskStatus:
    return TaskStatus(task_id, TaskState.QUEUED, "desk.work", "jobs", stored_bytes=size, **values)


def accepted(counted: Limits, status: TaskStatus, client: str = "") -> bool:
    try:
        counted.take(status, client)
    except TaskLimitError:
        return False
    counted.settle(status.task_id, stored=True)
    return True


@pytest.mark.parametrize(
    ("whose", "client", "most_jobs", "most_bytes"),
    [({"submitter": "ann"}, "", 3, 100), ({}, "", 3, 100), ({"session": "s" * 64}, "", 3, 100),
     ({}, "1.2.3.4", 2, 50), ({"session": "s" * 64}, "1.2.3.4", 2, 50)],
)  # fmt: skip
def test_as_many_jobs_and_bytes_as_allowed_and_not_one_more(
    whose: dict[str, str], client: str, most_jobs: int, most_bytes: int
) -> None:
    counted = limits()
    taken = [accepted(counted, job(str(n), 0, **whose), client) for n in range(most_jobs + 1)]
    assert taken == [True] * most_jobs + [False]
    counted = limits()
    assert accepted(counted, job("half", most_bytes // 2, **whose), client)
    assert not accepted(counted, job("more", most_bytes // 2 + 1, **whose), client)
    assert accepted(counted, job("rest", most_bytes // 2, **whose), client)
    assert not accepted(counted, job("byte", 1, **whose), client)


def test_a_call_is_as_large_as_allowed_and_no_larger() -> None:
    counted = limits()
    assert accepted(counted, job(size=80))
    with pytest.raises(TaskLimitError, match=r"desk\.work take 81 bytes, and max_call_bytes is 80"):
        limits().take(job(size=81))


def test_the_errors_say_whose_limit_it_is() -> None:
    counted = limits(max_jobs_per_submitter=1, max_jobs_per_anonymous=1)
    for whose, client, words in (
        ({"submitter": "ann"}, "", "submitter 'ann' has 1 jobs .* max_jobs_per_submitter is 1"),
        ({"session": "0123456789abcdef0"}, "1.2.3.4",
         "session 0123456789abcdef has 1 jobs .* max_jobs_per_anonymous is 1"),
        ({}, "4.3.2.1", "client 4.3.2.1 has 1 jobs"),
        ({}, "", "the application itself has 1 jobs"),
    ):  # fmt: skip
        counted.take(job("first", **whose), client)
        with pytest.raises(TaskLimitError, match=words):
            counted.take(job("second", **whose), client)
    with pytest.raises(TaskLimitError, match="has 0 bytes in the store, and 60 more are above "
                       "max_bytes_per_anonymous, 50"):  # fmt: skip
        limits().take(job(size=60), "9.9.9.9")


def test_a_session_counts_for_its_address_and_an_identity_for_itself() -> None:
    counted = limits(max_jobs_per_anonymous=1)
    assert accepted(counted, job("a", session="one"), "1.2.3.4")
    assert not accepted(counted, job("b", session="two"), "1.2.3.4")
    assert not accepted(counted, job("c", session="one"), "4.3.2.1")
    assert accepted(counted, job("d", session="two"), "4.3.2.1")
    assert accepted(counted, job("e", submitter="ann", session="one"), "")


def test_a_refused_job_is_not_counted_and_a_forgotten_one_no_more() -> None:
    counted = limits(max_jobs_per_anonymous=1)
    assert accepted(counted, job("a", session="one"), "1.2.3.4")
    assert not accepted(counted, job("b", session="two"), "1.2.3.4")
    assert (counted.accepted, counted.rejected) == ({"jobs": 1}, {"jobs": 1})
    assert accepted(counted, job("c", session="two"), "4.3.2.1")
    counted.give_back(job("a", session="one"))
    assert accepted(counted, job("d", session="one"), "1.2.3.4")
    assert not accepted(counted, job("e", session="one"), "1.2.3.4")
    assert (counted.accepted, counted.rejected) == ({"jobs": 3}, {"jobs": 2})


def test_one_job_is_given_back_and_the_others_count() -> None:
    counted = limits(max_jobs_per_submitter=2)
    for name in ("a", "b"):
        assert accepted(counted, job(name, submitter="ann"))
    counted.give_back(job("a", submitter="ann"))
    assert accepted(counted, job("c", submitter="ann"))
    assert not accepted(counted, job("d", submitter="ann"))


def test_nothing_is_kept_of_a_stranger_who_has_nothing_in_the_store() -> None:
    counted = limits()
    assert accepted(counted, job("a", session="one"), "1.2.3.4")
    counted.give_back(job("a", session="one"))
    assert not counted._used
    assert not counted._clients


def test_a_job_that_was_not_stored_is_not_counted() -> None:
    counted = limits(max_jobs_per_submitter=1)
    counted.take(job("a", submitter="ann"))
    counted.settle("a", stored=False)
    counted.take(job("a", submitter="ann"))
    with pytest.raises(TaskLimitError):
        counted.take(job("a", submitter="ann"))
    counted.settle("a", stored=True)
    with pytest.raises(KeyError):
        counted.settle("a", stored=True)


def test_of_two_with_one_key_each_is_settled() -> None:
    counted = limits(max_jobs_per_submitter=2)
    counted.take(job("same", 10, submitter="ann"))
    counted.take(job("same", 20, submitter="ann"))
    counted.settle("same", stored=True)
    counted.settle("same", stored=False)
    assert accepted(counted, job("other", 80, submitter="ann"))
    assert not accepted(counted, job("more", 0, submitter="ann"))


def test_a_job_that_grows_or_shrinks_counts_as_it_is() -> None:
    counted = limits()
    assert accepted(counted, job("a", 40), "1.2.3.4")
    counted.resize(job("a", 50), 40)
    assert not accepted(counted, job("b", 1), "1.2.3.4")
    counted.resize(job("a", 5), 50)
    assert accepted(counted, job("b", 45), "1.2.3.4")
    assert not accepted(counted, job("c", 0), "1.2.3.4")


def test_what_is_in_the_store_counts_with_what_is_on_its_way() -> None:
    counted = limits()
    counted.take(job("way", 10, submitter="ann"))
    assert accepted(counted, job("gone", 10, submitter="ann"))
    counted.load(Usage([("ann", "", "", 1, 30), ("", "", "1.2.3.4", 2, 10)], {"old": "1.2.3.4"}))
    assert not accepted(counted, job("x", 0), "1.2.3.4")
    counted.give_back(job("old", 5))
    assert accepted(counted, job("x", 45), "1.2.3.4")
    assert not accepted(counted, job("y", 61, submitter="ann"))
    assert accepted(counted, job("y", 60, submitter="ann"))
    assert not accepted(counted, job("z", 0, submitter="ann"))


@pytest.mark.parametrize(
    ("address", "network"),
    [("1.2.3.4", "1.2.3.4"), ("::ffff:1.2.3.4", "1.2.3.4"), ("2001:db8::1", "2001:db8::/64"),
     ("2001:db8::ffff:1", "2001:db8::/64"), ("2001:db8:0:1::1", "2001:db8:0:1::/64"),
     ("fe80::1%eth0", "fe80::/64"), ("", "unknown"), ("testclient", "unknown"),
     ("1.2.3.4.5", "unknown"), ("%", "unknown"), ("01.2.3.4", "unknown")],
)  # fmt: skip
def test_the_network_of_an_address(address: str, network: str) -> None:
    assert network_of(address) == network


@settings(max_examples=100, derandomize=True)
@given(st.text(max_size=60) | st.ip_addresses().map(str))
def test_whatever_a_client_says_it_is_makes_one_short_name(address: str) -> None:
    network = network_of(address)
    assert 0 < len(network) < 45
    assert network.isascii()
