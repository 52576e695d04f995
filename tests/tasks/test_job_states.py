# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The states of a job in the store: which steps there are from each, and what is left of it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from genro_executor_plugin import TaskError, TaskState, TaskStatus
from genro_executor_plugin.tasks.status import Progress, TaskFailure
from genro_executor_plugin.tasks.store import TaskStore
from genro_executor_plugin.tasks.store.attempts import Ran

RAN = Ran("failed")
FINAL = [TaskState.SUCCEEDED, TaskState.FAILED, TaskState.CANCELLED, TaskState.LOST]


@dataclass
class New:
    content: bytes = b"the call"
    client: str = ""
    fingerprint: str = ""
    arguments: str = "keep"


class Steps:
    """The steps of a store, each done when it returns."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = TaskStore(folder / "store", folder / "key", synchronous="NORMAL")
        self.found = self.store.open().result(20)

    def __getattr__(self, name: str) -> Any:
        return lambda *args, **kwargs: getattr(self.store, name)(*args, **kwargs).result(20)

    def rows(self, query: str, *values: Any) -> list[Any]:
        with closing(sqlite3.connect(self.folder / "store" / "jobs.sqlite")) as connection:
            rows = connection.execute(query, values).fetchall()
            connection.commit()
            return rows

    def payloads(self, task_id: str = "a") -> set[str]:
        query = "SELECT kind FROM payloads WHERE task_id = ?"
        return {kind for (kind,) in self.rows(query, task_id)}

    def belongs_to_another(self, task_id: str = "a") -> None:
        self.rows("UPDATE tasks SET owner = 'another' WHERE task_id = ?", task_id)


@pytest.fixture
def steps(tmp_path: Path) -> Iterator[Steps]:
    made = Steps(tmp_path)
    yield made
    made.store.close()


def job(task_id: str = "a", **values: Any) -> TaskStatus:
    return TaskStatus(task_id, TaskState.QUEUED, "desk.work", "jobs", keep=100.0, **values)


def ended(steps: Steps, state: TaskState, content: bytes | None = b"result") -> int | None:
    status = replace(steps.status("a"), state=state, ended_at=50.0)
    kind = "result" if state is TaskState.SUCCEEDED else "failure"
    return steps.end(status, kind, content)  # type: ignore[no-any-return]


def test_a_job_goes_from_queued_to_running_once(steps: Steps) -> None:
    assert steps.add(job(), New(), 1.0) == (None, None)
    claim = steps.claim("a", 5.0)
    assert (claim.call, claim.damage) == (b"the call", "")
    assert (claim.status.state, claim.status.attempts) == (TaskState.RUNNING, 1)
    assert claim.status.started_at == 5.0
    assert steps.claim("a", 6.0) is None
    assert steps.claim("b", 6.0) is None
    assert steps.status("a").started_at == 5.0


def test_a_job_of_another_process_is_neither_begun_nor_ended_nor_put_back(steps: Steps) -> None:
    steps.add(job(), New(), 1.0)
    steps.belongs_to_another()
    assert steps.claim("a", 2.0) is None
    assert ended(steps, TaskState.SUCCEEDED) is None
    steps.rows("UPDATE tasks SET state = 'running'")
    assert steps.put_back("a", None, None, RAN) is None
    assert steps.status("a").state is TaskState.RUNNING


@pytest.mark.parametrize("attempted", [True, False])
def test_a_job_that_is_put_back_is_as_if_queued(steps: Steps, attempted: bool) -> None:
    ran = RAN if attempted else None
    steps.add(job(), New(), 1.0)
    assert steps.put_back("a", 9.0, None, ran) is None  # it does not run
    steps.claim("a", 2.0)
    steps.note_progress(replace(steps.status("a"), progress=Progress(0.5, "half", {}, 3.0)))
    assert steps.status("a").progress == Progress(0.5, "half", {}, 3.0)
    back = steps.put_back("a", 9.0, TaskFailure("Error", "why"), ran)
    assert back == steps.status("a")
    assert (back.state, back.eta, back.progress) == (TaskState.QUEUED, 9.0, None)
    assert back.attempts == int(attempted)
    assert back.failure == TaskFailure("Error", "why")
    assert steps.claim("a", 10.0).status.eta is None


@pytest.mark.parametrize("state", FINAL)
@pytest.mark.parametrize("runs", [True, False])
def test_a_final_state_stays(steps: Steps, state: TaskState, runs: bool) -> None:
    steps.add(job(), New(), 1.0)
    if runs:
        steps.claim("a", 2.0)
    kept = len(b"the call") if state in (TaskState.FAILED, TaskState.LOST) else 0
    assert ended(steps, state) == len(b"result") + kept
    found = steps.status("a")
    assert (found.state, found.ended_at) == (state, 50.0)
    assert found.stored_bytes == len(b"result") + kept
    kind = "result" if state is TaskState.SUCCEEDED else "failure"
    assert steps.payloads() == {kind, *(["call"] if kept else [])}
    for other in FINAL:
        assert ended(steps, other, b"another") is None
    assert steps.cancel_queued("a", 60.0) is None
    assert steps.put_back("a", None, None, RAN) is None
    assert steps.claim("a", 60.0) is None
    steps.ask_to_end("a")
    steps.note_progress(replace(found, progress=Progress(0.5, "half", {}, 3.0)))
    assert steps.status("a") == found


def test_a_job_without_a_result_takes_no_bytes(steps: Steps) -> None:
    steps.add(job(), New(), 1.0)
    assert ended(steps, TaskState.CANCELLED, None) == 0
    assert steps.payloads() == set()


def test_only_what_waits_is_cancelled_at_once(steps: Steps) -> None:
    steps.add(job(), New(), 1.0)
    steps.ask_to_end("a")
    assert not steps.status("a").cancel_requested
    steps.add(job("b"), New(), 1.0)
    cancelled = steps.cancel_queued("a", 7.0)
    assert (cancelled.state, cancelled.ended_at) == (TaskState.CANCELLED, 7.0)
    assert cancelled == steps.status("a")
    assert steps.payloads() == set()
    assert steps.claim("a", 8.0) is None
    steps.claim("b", 8.0)
    assert steps.cancel_queued("b", 9.0) is None
    steps.ask_to_end("b")
    assert steps.status("b").cancel_requested


def test_a_job_is_added_once_and_again_when_it_has_expired(steps: Steps) -> None:
    steps.add(job(), New(fingerprint="same"), 1.0)
    existing, expired = steps.add(job(), New(fingerprint="same"), 2.0)
    assert (existing.task_id, expired) == ("a", None)
    with pytest.raises(TaskError, match=r"was used for a call of desk\.work with other arguments"):
        steps.add(job(), New(fingerprint="other"), 2.0)
    ended(steps, TaskState.SUCCEEDED)
    existing, expired = steps.add(job(), New(fingerprint="same"), 149.0)
    assert (existing.state, expired) == (TaskState.SUCCEEDED, None)
    existing, expired = steps.add(job(), New(fingerprint="other"), 150.0)
    assert existing is None
    assert expired.state is TaskState.SUCCEEDED
    assert steps.status("a").state is TaskState.QUEUED
    assert steps.payloads() == {"call"}


def test_only_what_has_ended_is_removed(steps: Steps) -> None:
    assert steps.remove("a") is None
    steps.add(job(), New(), 1.0)
    assert steps.remove("a") is None
    steps.claim("a", 2.0)
    assert steps.remove("a") is None
    ended(steps, TaskState.FAILED)
    assert steps.remove("a").state is TaskState.FAILED
    assert steps.status("a") is None
    assert steps.payloads() == set()


def test_what_has_expired_is_purged_and_nothing_else(steps: Steps) -> None:
    steps.add(job(), New(), 1.0)
    steps.add(job("b"), New(), 1.0)
    assert steps.purge(10_000.0) == ([], None)
    ended(steps, TaskState.SUCCEEDED)
    assert steps.purge(149.0) == ([], 150.0)
    gone, following = steps.purge(150.0)
    assert ([status.task_id for status in gone], following) == (["a"], None)
    assert steps.payloads() == set()
    assert steps.status("b").state is TaskState.QUEUED


def test_a_damaged_call_is_told_and_set_aside(steps: Steps) -> None:
    steps.add(job(), New(), 1.0)
    steps.rows("UPDATE payloads SET content = 'other'")
    claim = steps.claim("a", 2.0)
    assert claim.call is None
    assert "is damaged in the store" in claim.damage
    steps.set_aside("a", "call", "why")
    assert steps.payloads() == set()
    assert steps.rows("SELECT task_id, kind, reason FROM damaged") == [("a", "call", "why")]
    steps.add(job("b"), New(), 1.0)
    steps.rows("DELETE FROM payloads WHERE task_id = 'b'")
    assert steps.claim("b", 2.0).damage == "the call of job b is not in the store"


@pytest.mark.parametrize("state", FINAL)
def test_a_job_whose_call_is_kept_runs_again(steps: Steps, state: TaskState) -> None:
    steps.add(job(), New(arguments="show"), 1.0)
    for words in ("queued", "running"):
        with pytest.raises(TaskError, match=f"job a is {words}; it can be run again when it has"):
            steps.reopen("a")
        steps.claim("a", 2.0)
    ended(steps, state)
    status, before = steps.reopen("a")
    assert before == len(b"result") + len(b"the call")
    assert status == steps.status("a")
    assert status == job()
    assert status.stored_bytes == len(b"the call")
    assert steps.payloads() == {"call"}
    assert steps.claim("a", 3.0).call == b"the call"


def test_a_job_whose_call_is_gone_does_not_run_again(steps: Steps) -> None:
    assert steps.reopen("a") is None
    assert steps.kept_call("a") is None
    steps.add(job(), New(client="1.2.3.4"), 1.0)
    kept = steps.kept_call("a")
    assert (kept.client, kept.arguments, kept.content) == ("1.2.3.4", "keep", b"the call")
    ended(steps, TaskState.SUCCEEDED)
    assert steps.kept_call("a").content is None
    with pytest.raises(TaskError, match="its arguments were not kept"):
        steps.reopen("a")


def test_a_job_that_another_process_is_told_to_end_does_not_run_again(steps: Steps) -> None:
    steps.add(job(), New(arguments="show"), 1.0)
    ended(steps, TaskState.FAILED)
    steps.rows("INSERT INTO orders (owner, task_id, grace) VALUES ('another', 'a', 1.0)")
    with pytest.raises(TaskError, match="is just being cancelled"):
        steps.reopen("a")


def test_a_server_finds_each_job_in_its_next_state(tmp_path: Path) -> None:
    first = Steps(tmp_path)
    for name in ("waits", "once", "repeatable", "asked", "asked-repeatable", "ended"):
        first.add(job(name, repeatable="repeatable" in name), New(), 1.0)
        if name != "waits":
            first.claim(name, 2.0)
        if "asked" in name:
            first.ask_to_end(name)
    status = replace(first.status("ended"), state=TaskState.SUCCEEDED, ended_at=50.0)
    first.end(status, "result", b"result")
    first.store.close()
    second = Steps(tmp_path)
    try:
        found = second.found
        assert [status.task_id for status in found.waiting] == ["waits", "repeatable"]
        assert {status.state for status in found.waiting} == {TaskState.QUEUED}
        assert found.held == []
        assert {status.task_id: status.state for status in found.ended} == {
            "once": TaskState.LOST,
            "asked": TaskState.CANCELLED,
            "asked-repeatable": TaskState.CANCELLED,
        }
        lost, cancelled = second.status("once"), second.status("asked")
        assert lost.failure.message == "the server ended while the job was running"
        assert cancelled.failure is None
        assert lost.ended_at > 1_000_000
        assert second.status("ended") == status
        assert second.claim("repeatable", 9.0).call == b"the call"
        assert second.claim("once", 9.0) is None
        assert sum(jobs for *_, jobs, _ in found.usage.jobs) == 6
        assert found.damage == []
    finally:
        second.store.close()


def test_what_this_key_has_not_signed_is_held(tmp_path: Path) -> None:
    first = Steps(tmp_path)
    first.add(job(), New(), 1.0)
    first.add(job("b"), New(), 1.0)
    first.rows("DELETE FROM signatures WHERE task_id = 'a'")
    first.store.close()
    second = Steps(tmp_path)
    try:
        assert [status.task_id for status in second.found.held] == ["a"]
        assert [status.task_id for status in second.found.waiting] == ["b"]
        assert "1 pieces of the store are not signed" in second.found.damage[0]
        assert "1 jobs do not run, and 0 results" in second.found.damage[0]
    finally:
        second.store.close()


def test_a_row_that_cannot_be_read_is_set_aside(tmp_path: Path) -> None:
    first = Steps(tmp_path)
    first.add(job(), New(), 1.0)
    first.add(job("b"), New(), 1.0)
    first.rows("UPDATE tasks SET state = 'no state' WHERE task_id = 'a'")
    first.store.close()
    second = Steps(tmp_path)
    try:
        assert "job 'a' is damaged in the store and was set aside" in second.found.damage[0]
        assert [status.task_id for status in second.found.waiting] == ["b"]
        assert second.rows("SELECT task_id, kind FROM damaged ORDER BY kind") == [
            ("a", "call"),
            ("a", "row"),
        ]
        assert second.status("a") is None
        assert second.payloads() == set()
        assert second.payloads("b") == {"call"}
    finally:
        second.store.close()


def test_what_is_told_of_a_job() -> None:
    shown = job(session="secret", submitter="ann").as_dict()
    assert shown["state"] == "queued"
    assert not {"session", "open_to_id"} & shown.keys()
    assert "secret" not in str(shown)
    assert [replace(job(), attempts=number).pause for number in (1, 2, 3, 11, 12, 99)] == [
        *(1.0, 2.0, 4.0),
        *(1024.0, 1024.0, 1024.0),
    ]
    assert replace(job(backoff=0.5), attempts=2).pause == 1.0
    assert {state for state in TaskState if state.final} == set(FINAL)
