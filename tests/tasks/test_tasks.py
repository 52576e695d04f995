# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""``app.tasks``: submit, status, result, cancel, list, progress, forget."""

from __future__ import annotations

import asyncio
import json
import math
import os
import pickle
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import task_functions as tf
from conftest import Gate
from genro_routes import RoutingClass, route
from servers import built, until, until_answered

from genro_executor_plugin import (
    ExecutorApplication,
    ExecutorConfigError,
    ExecutorTimeoutError,
    SerializationError,
    TaskCancelledError,
    TaskError,
    TaskLimitError,
    TaskNotFoundError,
    TaskState,
    UnknownExecutorError,
    WorkerCrashedError,
    cancelled,
    progress,
)
from genro_executor_plugin.executors import Call
from genro_executor_plugin.options.call import CallOptions
from genro_executor_plugin.tasks.followed_call import FollowedCall
from genro_executor_plugin.tasks.progress import PROGRESS


class Cellar(RoutingClass):
    @route(executor="jobs")
    def bottles(self, shelf: int) -> int:
        return shelf * 12


class Shop(ExecutorApplication):
    mount = "shop"

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.name = "corner shop"
        self.add_branches({"name": "cellar", "instance": Cellar()})

    @route(executor="jobs", executor_timeout=30.0)
    def greet(self, whom: str) -> str:
        progress(1.0, f"greeting {whom}")
        return f"{self.name}: hello {whom}"

    @route()
    async def count(self, number: int) -> int:
        return number + 1

    @route(executor="jobs")
    def live(self, _request: Any = None) -> None: ...

    def plain_method(self, number: int) -> str:
        return f"{self.name} {number}"


class Other(ExecutorApplication):
    mount = "other"


@asynccontextmanager
async def shop(tmp_path: Path, **settings: Any) -> AsyncIterator[Any]:
    executors = {
        "jobs": {"max_workers": 2},
        "one": {"max_workers": 1},
        "abandoning": {"max_workers": 1, "on_cancel": "abandon"},
        "db": {"executor_type": "thread", "max_workers": 2},
    }
    settings = {"path": tmp_path / "store", "pool": "jobs", **settings}
    async with built(Shop, Other, executors=executors, long_tasks=settings) as server:
        yield server.applications["shop"]


@pytest.fixture
async def app(tmp_path: Path) -> AsyncIterator[Any]:
    async with shop(tmp_path) as application:
        yield application


# -- submitting -----------------------------------------------------------------------------------


@pytest.mark.parametrize("pool", ["jobs", "db"])
@pytest.mark.parametrize("func", [tf.add, tf.add_async])
async def test_a_function_runs_in_the_pool_it_is_given(app: Any, pool: str, func: Any) -> None:
    task_id = await app.tasks.options(pool=pool).submit(func, 2, other=3)
    assert await app.tasks.result(task_id) == 5
    status = await app.tasks.status(task_id)
    assert (status.state, status.pool, status.attempts) == (TaskState.SUCCEEDED, pool, 1)
    assert status.submitted_at <= status.started_at <= status.ended_at  # type: ignore[operator]
    assert status.title == f"task_functions.{func.__name__}"
    json.dumps(status.as_dict())


@pytest.mark.parametrize(
    ("named", "expected"),
    [
        (lambda app: app.greet, "corner shop: hello you"),
        (lambda app: "greet", "corner shop: hello you"),
        (lambda app: "/shop/greet", "corner shop: hello you"),
    ],
)
async def test_a_handler_runs_with_its_application(app: Any, named: Any, expected: str) -> None:
    task_id = await app.tasks.submit(named(app), "you")
    assert await app.tasks.result(task_id) == expected
    status = await app.tasks.status(task_id)
    assert status.title == "shop/greet"
    assert status.progress.message == "greeting you"


async def test_a_handler_of_a_section_and_of_another_application(app: Any) -> None:
    other = app.server.applications["other"]
    assert await other.tasks.result(other.tasks.submit("/shop/cellar/bottles", 2)) == 24
    assert await app.tasks.result(app.tasks.submit("cellar/bottles", shelf=3)) == 36


async def test_an_async_handler_and_a_method_that_is_no_route(app: Any) -> None:
    assert await app.tasks.result(app.tasks.submit(app.count, 1)) == 2
    assert await app.tasks.result(app.tasks.submit(app.plain_method, 7)) == "corner shop 7"


async def test_the_id_is_a_text_that_can_be_awaited_and_pickled(app: Any) -> None:
    task_id = app.tasks.submit(tf.add, 1, 1)
    assert isinstance(task_id, str)
    assert await task_id == task_id
    assert pickle.loads(pickle.dumps(task_id)) == task_id
    assert await app.tasks.result(task_id) == 2


async def test_without_waiting_for_the_disk_it_runs_all_the_same(app: Any) -> None:
    task_id = await app.tasks.options(durable=False).submit(tf.add, 1, 1)
    assert await app.tasks.result(task_id) == 2


async def test_a_thread_has_an_id_that_holds(app: Any) -> None:
    await app.tasks.submit(tf.add, 1, 1)  # from here on the server is known
    task_id = await asyncio.to_thread(app.tasks.submit, tf.add, 2, 2)
    assert await app.tasks.result(task_id) == 4


def nested() -> Callable[[], int]:
    def inner() -> int:
        return 1

    return inner


async def test_what_could_not_be_found_again_is_refused_at_once(app: Any) -> None:
    with pytest.raises(SerializationError, match=r"the function .* after a restart"):
        app.tasks.submit(nested())
    with pytest.raises(SerializationError, match="argument #1 of the long job task_functions"):
        app.tasks.submit(tf.length, nested())
    with pytest.raises(SerializationError, match="argument 'other'"):
        app.tasks.submit(tf.add, 1, other=(n for n in ()))
    with pytest.raises(SerializationError, match="_request"):
        app.tasks.submit("live")
    assert await app.tasks.list() == []


async def test_what_is_asked_for_must_be_there(app: Any) -> None:
    with pytest.raises(ExecutorConfigError, match="no route 'shop/nowhere'"):
        app.tasks.submit("nowhere")
    with pytest.raises(TypeError, match="whom"):
        app.tasks.submit("greet", who="you")
    with pytest.raises(UnknownExecutorError, match="nope"):
        app.tasks.options(pool="nope").submit(tf.add, 1, 1)
    with pytest.raises(ExecutorConfigError, match="unknown option 'retrys'; there are pool"):
        app.tasks.options(retrys=3)
    with pytest.raises(ExecutorConfigError, match="retries='3'"):
        app.tasks.options(retries="3")
    with pytest.raises(ExecutorConfigError, match="time zone"):
        app.tasks.options(eta=datetime(2030, 1, 1))
    with pytest.raises(ExecutorConfigError, match="a thread cannot be killed"):
        app.tasks.options(pool="db", timeout=1.0).submit(tf.add, 1, 1)


async def test_an_application_without_such_a_server_says_so() -> None:
    with pytest.raises(ExecutorConfigError, match="Serve it with ExecutorServer"):
        Other(code="other").tasks.submit(tf.add, 1, 1)


# -- order ----------------------------------------------------------------------------------------


async def test_higher_priorities_begin_first(app: Any, gate: Gate, tmp_path: Path) -> None:
    file = tmp_path / "order"
    tasks = app.tasks.options(pool="one")
    first = await tasks.submit(tf.note_and_hold, str(file), "first", gate.path)
    await gate.entered()
    jobs = [
        await tasks.options(priority=priority).submit(tf.note, str(file), name)
        for priority, name in [(0, "low"), (5, "high"), (0, "low too"), (9, "highest")]
    ]
    gate.release()
    for job in [first, *jobs]:
        await app.tasks.result(job)
    assert file.read_text().splitlines() == ["first", "highest", "high", "low", "low too"]


@pytest.mark.parametrize(
    "eta",
    [
        lambda: timedelta(seconds=0.8),
        lambda: time.time() + 0.8,
        lambda: datetime.now(UTC) + timedelta(seconds=0.8),
    ],
)
async def test_a_job_does_not_begin_before_its_time(app: Any, eta: Any) -> None:
    when = time.time() + 0.8
    task_id = await app.tasks.options(eta=eta()).submit(tf.add, 1, 1)
    assert (await app.tasks.status(task_id)).state is TaskState.QUEUED
    assert await app.tasks.result(task_id) == 2
    assert (await app.tasks.status(task_id)).started_at >= when - 0.01


async def test_jobs_leave_their_pool_room_for_requests(app: Any, gate: Gate) -> None:
    jobs = [await app.tasks.submit(tf.note_and_hold, "/dev/null", "", gate.path) for _ in range(9)]
    await gate.entered()
    await gate.entered()
    assert app.server.get_executor("jobs").metrics["pending"] == 2  # of its 100

    async def all_done() -> bool:
        gate.release()
        counts = await app.server.long_tasks.counts()
        return counts["succeeded"] == len(jobs)

    await until_answered(all_done)


# -- results and failures -------------------------------------------------------------------------


async def test_a_failure_arrives_as_itself_with_its_remote_traceback(app: Any) -> None:
    task_id = await app.tasks.submit(tf.fail, "no such book")
    with pytest.raises(LookupError, match="no such book") as caught:
        await app.tasks.result(task_id)
    assert "in fail" in str(caught.value.__cause__)
    failure = (await app.tasks.status(task_id)).failure
    assert (failure.type_name, failure.message) == ("LookupError", "no such book")
    assert "in fail" in failure.traceback


async def test_a_worker_that_dies_fails_its_job(app: Any) -> None:
    task_id = await app.tasks.submit(tf.exit_hard)
    with pytest.raises(WorkerCrashedError) as caught:
        await app.tasks.result(task_id)
    assert caught.value.exit_code == 7
    assert (await app.tasks.status(task_id)).state is TaskState.FAILED


async def test_an_attempt_over_its_timeout_is_killed(app: Any, gate: Gate) -> None:
    task_id = await app.tasks.options(timeout=0.2).submit(tf.never_listen, gate.path)
    with pytest.raises(ExecutorTimeoutError):
        await app.tasks.result(task_id)


async def test_a_result_that_cannot_be_stored_fails_its_job_only(app: Any) -> None:
    bad = await app.tasks.submit(tf.unpicklable)
    good = await app.tasks.submit(tf.add, 1, 1)
    with pytest.raises(SerializationError, match="cannot travel back"):
        await app.tasks.result(bad)
    assert await app.tasks.result(good) == 2
    threaded = await app.tasks.options(pool="db").submit(tf.unpicklable)
    with pytest.raises(SerializationError):
        await app.tasks.result(threaded)


async def test_waiting_for_a_result_has_a_limit_and_harms_nothing(app: Any, gate: Gate) -> None:
    task_id = await app.tasks.submit(tf.note_and_hold, "/dev/null", "done", gate.path)
    await gate.entered()
    with pytest.raises(TimeoutError):
        await app.tasks.result(task_id, timeout=0.02)
    assert (await app.tasks.status(task_id)).state is TaskState.RUNNING
    gate.release()
    assert await app.tasks.result(task_id, timeout=20) == "done"


async def test_a_failed_attempt_is_repeated_after_a_growing_wait(app: Any, tmp_path: Path) -> None:
    file = str(tmp_path / "attempts")
    tasks = app.tasks.options(retries=3, backoff=0.05)
    began = time.monotonic()
    task_id = await tasks.submit(tf.fail_until, file, 3)
    assert await app.tasks.result(task_id) == 3
    assert time.monotonic() - began >= 0.05 + 0.1
    status = await app.tasks.status(task_id)
    assert (status.state, status.attempts) == (TaskState.SUCCEEDED, 3)


async def test_retries_have_an_end(app: Any, tmp_path: Path) -> None:
    tasks = app.tasks.options(retries=1, backoff=0.0)
    task_id = await tasks.submit(tf.fail_until, str(tmp_path / "attempts"), 9)
    with pytest.raises(ConnectionError, match="attempt 2"):
        await app.tasks.result(task_id)
    assert (await app.tasks.status(task_id)).attempts == 2


# -- progress -------------------------------------------------------------------------------------


def report_odd_numbers() -> None:
    progress(0.5, "so far", loss=math.nan, rows=[1, -math.inf], text="NaN")


async def test_what_no_browser_reads_is_reported_as_text(app: Any) -> None:
    """JSON has no numbers that are not finite."""
    task_id = await app.tasks.submit(report_odd_numbers)
    await app.tasks.result(task_id)
    said = await app.tasks.progress(task_id)
    assert said.data == {"loss": "NaN", "rows": [1, "-Infinity"], "text": "NaN"}


@pytest.mark.parametrize("pool", ["jobs", "db"])
async def test_progress_from_deep_inside_shows_in_the_status(
    app: Any, gate: Gate, pool: str
) -> None:
    task_id = await app.tasks.options(pool=pool).submit(tf.tell, 1000, gate.path)
    await gate.entered()

    async def last_word() -> Any:
        said = await app.tasks.progress(task_id)
        return said if said is not None and said.fraction == 1.0 else None

    last = await until_answered(last_word)
    assert (last.message, last.data) == ("step 1000", {"row": 999})
    gate.release()
    assert await app.tasks.result(task_id) == 1000
    assert (await app.tasks.progress(task_id)) == last  # the last word is kept


async def test_outside_of_a_job_nothing_happens() -> None:
    progress(0.5, "nobody listens")
    assert cancelled() is False


async def test_a_sum_of_floats_does_not_fail_a_job(app: Any) -> None:
    for said, shown in [(1.0000001, 1.0), (-0.1, 0.0), (float("nan"), None), (None, None)]:
        task_id = await app.tasks.submit(progress, said, "so far")
        await app.tasks.result(task_id)
        assert (await app.tasks.progress(task_id)).fraction == shown


async def test_what_happens_is_told_to_who_follows(app: Any, gate: Gate) -> None:
    task_id = await app.tasks.submit(tf.hold_then_tell, gate.path, 200)
    await gate.entered()
    seen: list[tuple[str, str]] = []
    async for kind, status in app.server.long_tasks.follow(task_id):
        if not seen:
            gate.release()
        seen.append((kind, status.state.value))
    assert seen[0] == ("state", "running")
    assert seen[-2:] == [("progress", "running"), ("state", "succeeded")]
    assert status.progress.fraction == 1.0


# -- cancelling -----------------------------------------------------------------------------------


async def test_a_job_that_waits_never_begins(app: Any, gate: Gate, tmp_path: Path) -> None:
    tasks = app.tasks.options(pool="one")
    blocker = await tasks.submit(tf.note_and_hold, "/dev/null", "", gate.path)
    await gate.entered()
    waiting = await tasks.submit(tf.note, str(tmp_path / "ran"), "no")
    later = await app.tasks.options(eta=timedelta(hours=1)).submit(tf.add, 1, 1)
    for task_id in (waiting, later):
        assert (await app.tasks.cancel(task_id)).state is TaskState.CANCELLED
        with pytest.raises(TaskCancelledError):
            await app.tasks.result(task_id)
    gate.release()
    await app.tasks.result(blocker)
    assert await app.tasks.result(tasks.submit(tf.add, 1, 1)) == 2  # the line goes on
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("pool", ["jobs", "db"])
async def test_a_job_that_runs_is_asked_first(
    app: Any, gate: Gate, tmp_path: Path, pool: str
) -> None:
    file = tmp_path / "cleanup"
    tasks = app.tasks.options(pool=pool)
    task_id = await tasks.submit(tf.stop_when_asked, str(file), gate.path)
    await gate.entered()
    gate.release()
    status = await app.tasks.cancel(task_id, grace=20)
    assert status.cancel_requested
    with pytest.raises(TaskCancelledError):
        await app.tasks.result(task_id)
    assert file.read_text() == "cleaned up\n"
    assert (await app.tasks.status(task_id)).state is TaskState.CANCELLED


async def test_a_coroutine_is_asked_too(app: Any, gate: Gate) -> None:
    task_id = await app.tasks.submit(tf.stop_when_asked_async, gate.path)
    await gate.entered()
    gate.release()
    await app.tasks.cancel(task_id, grace=20)
    with pytest.raises(TaskCancelledError):
        await app.tasks.result(task_id)


@pytest.mark.parametrize("pool", ["jobs", "abandoning"])
async def test_a_job_that_does_not_listen_is_killed(app: Any, gate: Gate, pool: str) -> None:
    task_id = await app.tasks.options(pool=pool).submit(tf.never_listen, gate.path)
    pid = await gate.entered()
    gate.release()
    await app.tasks.cancel(task_id, grace=0.05)
    with pytest.raises(TaskCancelledError):
        await app.tasks.result(task_id)
    await until(lambda: pid not in app.server.executors.get(pool).pids)
    assert await app.tasks.result(app.tasks.submit(tf.add, 1, 1)) == 2


async def test_a_bypassed_pool_runs_jobs_in_the_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GENRO_EXECUTOR_BYPASS", "1")
    async with shop(tmp_path) as app:
        task_id = await app.tasks.submit(app.greet, "you")
        assert await app.tasks.result(task_id) == "corner shop: hello you"
        assert (await app.tasks.progress(task_id)).message == "greeting you"
        assert await app.tasks.result(await app.tasks.submit(os.getpid)) == os.getpid()


async def test_a_pool_that_refuses_a_job_gets_it_again_later(tmp_path: Path, gate: Gate) -> None:
    """What the pool's line has no room for was not begun: it is no attempt."""
    async with shop(tmp_path) as app:
        full = {"max_workers": 1, "max_pending": 1, "on_overload": "fail"}
        executor = app.server.executor(name="full", **full)
        call = asyncio.create_task(executor.submit(tf.note_and_hold, "/dev/null", "", gate.path))
        await gate.entered()
        task_id = await app.tasks.options(pool="full").submit(tf.add, 1, 1)

        async def refused() -> bool:
            failure = (await app.tasks.status(task_id)).failure
            return failure is not None and failure.type_name.endswith("ExecutorOverloadError")

        await until_answered(refused)
        assert (await app.tasks.status(task_id)).attempts == 0
        gate.release()
        await call
        assert await app.tasks.result(task_id) == 2
        assert (await app.tasks.status(task_id)).attempts == 1


async def test_what_has_ended_stays_as_it_is(app: Any) -> None:
    task_id = await app.tasks.submit(tf.add, 1, 1)
    await app.tasks.result(task_id)
    assert (await app.tasks.cancel(task_id)).state is TaskState.SUCCEEDED
    assert await app.tasks.result(task_id) == 2


async def test_cancelling_in_every_moment_gives_one_end(app: Any, tmp_path: Path) -> None:
    """However the cancel and the run meet, a job that is cancelled before it began never ran."""
    ran = tmp_path / "ran"
    jobs = [await app.tasks.submit(tf.note, str(ran), str(number)) for number in range(60)]

    async def cancel_soon(number: int, task_id: str) -> None:
        await asyncio.sleep(0.002 * (number % 12))
        await app.tasks.cancel(task_id)

    await asyncio.gather(*(cancel_soon(number, job) for number, job in enumerate(jobs)))
    for number, job in enumerate(jobs):
        try:
            assert await app.tasks.result(job) == str(number)
        except TaskCancelledError:
            assert (await app.tasks.status(job)).state is TaskState.CANCELLED
    counts = await app.server.long_tasks.counts()
    assert counts["succeeded"] + counts["cancelled"] == 60
    lines = ran.read_text().split() if ran.exists() else []
    assert len(lines) == len(set(lines)) >= counts["succeeded"]


# -- keys, lists, forgetting, limits --------------------------------------------------------------


async def test_a_key_makes_one_job_of_many_submissions(app: Any, tmp_path: Path) -> None:
    file = tmp_path / "ran"
    tasks = app.tasks.options(key="invoice 7", submitter="ann")
    ids = {await tasks.submit(tf.note, str(file), "once") for _ in range(5)}
    assert len(ids) == 1
    assert await app.tasks.result(ids.pop()) == "once"
    assert file.read_text() == "once\n"
    others = app.tasks.options(key="invoice 7", submitter="bob")
    await app.tasks.result(others.submit(tf.note, str(file), "bob's"))
    assert len(await app.tasks.list()) == 2


async def test_jobs_are_listed_by_state_and_submitter(app: Any) -> None:
    mine = await app.tasks.options(submitter="ann").submit(tf.add, 1, 1)
    bad = await app.tasks.options(submitter="bob").submit(tf.fail, "no")
    await app.tasks.result(mine)
    with pytest.raises(LookupError):
        await app.tasks.result(bad)
    assert [job.task_id for job in await app.tasks.list()] == [bad, mine]
    assert [job.task_id for job in await app.tasks.list(state="failed")] == [bad]
    assert [job.task_id for job in await app.tasks.list(submitter="ann")] == [mine]
    assert len(await app.tasks.list(limit=1)) == 1


async def test_an_unknown_id_is_told_from_a_known_one(app: Any) -> None:
    for ask in (app.tasks.status, app.tasks.result, app.tasks.cancel, app.tasks.forget):
        with pytest.raises(TaskNotFoundError) as caught:
            await ask("nobody")
        assert caught.value.status == 404


async def test_only_what_has_ended_can_be_forgotten(app: Any, gate: Gate) -> None:
    task_id = await app.tasks.submit(tf.note_and_hold, "/dev/null", "", gate.path)
    await gate.entered()
    with pytest.raises(TaskError, match="is running"):
        await app.tasks.forget(task_id)
    gate.release()
    await app.tasks.result(task_id)
    await app.tasks.forget(task_id)
    with pytest.raises(TaskNotFoundError):
        await app.tasks.status(task_id)


async def test_a_result_is_kept_for_as_long_as_was_said(app: Any) -> None:
    tasks = app.tasks.options(keep=0.2, key="short")
    first = await tasks.submit(tf.add, 1, 1)
    assert await app.tasks.result(first) == 2

    async def gone() -> bool:
        return await app.tasks.list() == []

    await until_answered(gone)
    with pytest.raises(TaskNotFoundError):
        await app.tasks.status(first)
    again = await tasks.submit(tf.add, 2, 2)  # its key is free again
    assert await app.tasks.result(again) == 4


async def test_the_number_of_jobs_of_a_submitter_is_limited(tmp_path: Path) -> None:
    async with shop(tmp_path, max_jobs_per_submitter=2) as app:
        tasks = app.tasks.options(submitter="ann")
        first, second = await tasks.submit(tf.add, 1, 1), await tasks.submit(tf.add, 1, 1)
        with pytest.raises(TaskLimitError, match=r"'ann' has 2 jobs .* max_jobs_per_submitter"):
            tasks.submit(tf.add, 1, 1)
        await app.tasks.options(submitter="bob").submit(tf.add, 1, 1)  # nobody else is concerned
        await app.tasks.result(first)
        await app.tasks.result(second)
        await app.tasks.forget(first)
        await tasks.submit(tf.add, 1, 1)
    async with shop(tmp_path, max_jobs_per_submitter=2) as app:  # counted after a restart, too
        await app.tasks.list()
        with pytest.raises(TaskLimitError):
            app.tasks.options(submitter="ann").submit(tf.add, 1, 1)


async def test_the_size_of_what_a_submitter_stores_is_limited(tmp_path: Path) -> None:
    limits = {"max_bytes_per_submitter": "100kB", "max_call_bytes": "60kB"}
    async with shop(tmp_path, max_result_bytes="40kB", **limits) as app:
        with pytest.raises(TaskLimitError, match="max_call_bytes"):
            app.tasks.submit(tf.length, bytes(70_000))
        later = app.tasks.options(eta=timedelta(hours=1))
        job = await later.submit(tf.length, bytes(55_000))
        with pytest.raises(TaskLimitError, match="max_bytes_per_submitter"):
            app.tasks.submit(tf.length, bytes(55_000))
        await app.tasks.cancel(job)  # its arguments are gone with it
        assert await app.tasks.result(app.tasks.submit(tf.length, bytes(55_000))) == 55_000
        large = await app.tasks.submit(tf.many_bytes, 50_000)
        with pytest.raises(SerializationError, match="max_result_bytes"):
            await app.tasks.result(large)


async def test_settings_are_checked_when_the_server_is_made() -> None:
    with pytest.raises(ExecutorConfigError, match="unknown option 'keeep'; there are path"):
        async with built(long_tasks={"keeep": 3.0}):
            pass
    with pytest.raises(ExecutorConfigError, match="synchronous='OFF'"):
        async with built(long_tasks={"synchronous": "OFF"}):
            pass


async def test_what_a_run_reports_after_it_was_given_up_reaches_nobody(
    tmp_path: Path, gate: Gate
) -> None:
    pools = {"db": {"executor_type": "thread", "max_workers": 2, "abandon_on_timeout": True}}
    settings = {"path": tmp_path / "store", "pool": "db"}
    file = tmp_path / "told"
    async with built(Shop, executors={"jobs": {}, **pools}, long_tasks=settings) as server:
        app, service = server.applications["shop"], server.long_tasks
        job = await app.tasks.options(timeout=0.2).submit(tf.tell_late, gate.path, str(file))
        await gate.entered()
        with pytest.raises(ExecutorTimeoutError):
            await app.tasks.result(job)
        queue = service._events.subscribe(job)
        gate.release()
        await until(file.exists)
        await asyncio.sleep(0)
        assert queue.empty()
        service._events.unsubscribe(job, queue)


async def test_work_that_is_followed_reports_nothing_after_its_end() -> None:
    """Also where the call of a batch task or of a schedule is given up and goes on."""
    told: list[Any] = []
    followed = FollowedCall(told.append)
    call = Call(tf.add, (1, 2), {}, CallOptions())

    async def work() -> None:
        followed.attach(None, call)  # type: ignore[arg-type]  # it is never asked for anything
        call.on_message(PROGRESS, (0.5, "in time", "", 0.0))  # type: ignore[misc]

    await followed.follow(work(), "a schedule")
    call.on_message(PROGRESS, (1.0, "too late", "", 0.0))  # type: ignore[misc]
    assert [progress.message for progress in told] == ["in time"]
