# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Worker processes at work: who they are, how they start, what crosses to them and back."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import host
import psutil
import pytest
import worker_functions as wf
from grace import give_workers_time_to_end
from programs import run_program, started
from waiting import is_dead, until

from genro_executor_plugin import (
    ExecutorConfigError,
    ExecutorTimeoutError,
    LocalExecutor,
    ProcessExecutor,
    SerializationError,
    WorkerCrashedError,
)

METHODS = ("forkserver", "spawn")


@pytest.fixture
async def pool(make: Any) -> ProcessExecutor:
    executor: ProcessExecutor = make(max_workers=2)
    return executor


# -- the processes ----------------------------------------------------------------------------


def test_local_is_another_name_of_the_process_pool() -> None:
    assert LocalExecutor is ProcessExecutor


async def test_nothing_starts_before_the_first_call(make: Any) -> None:
    before = psutil.Process().children(recursive=True)
    pool = make(max_workers=2)
    assert pool.metrics["workers"] == 0
    assert pool.pids == []
    assert psutil.Process().children(recursive=True) == before


@pytest.mark.parametrize("start_method", METHODS)
async def test_calls_run_in_processes_that_are_kept(make: Any, start_method: str) -> None:
    pool = make(max_workers=1, start_method=start_method)
    first = await pool.submit(wf.pid)
    assert first != os.getpid()
    assert await pool.submit(wf.pid_async) == first
    assert pool.pids == [first]
    assert pool.metrics["workers"] == 1


async def test_workers_start_as_they_are_needed_and_no_more(make: Any, gate: Any) -> None:
    pool = make(max_workers=3)
    for _ in range(3):
        await pool.submit(wf.pid)
    assert pool.metrics["workers"] == 1
    calls = [asyncio.create_task(pool.submit(wf.hold, gate.path)) for _ in range(5)]
    pids = {await gate.entered() for _ in range(3)}
    assert len(pids) == 3
    assert pool.metrics["workers"] == 3
    assert set(pool.pids) == pids
    gate.release()
    for _ in range(2):
        assert await gate.entered() in pids
    gate.release()
    await asyncio.gather(*calls)
    assert pool.metrics["restarts"] == 0


async def test_the_server_is_never_forked(pool: ProcessExecutor) -> None:
    """A worker descends from the template process, and has none of the server's descriptors."""
    worker = psutil.Process(await pool.submit(wf.pid))
    parent = worker.parent()
    assert parent is not None
    assert parent.pid != os.getpid()
    assert parent.ppid() == os.getpid()
    assert worker.num_fds() < 12


async def test_two_pools_share_no_process(make: Any) -> None:
    one, other = make(max_workers=1), make(max_workers=1)
    assert await one.submit(wf.pid) != await other.submit(wf.pid)
    await one.shutdown()
    assert await other.submit(wf.answer) == 42


async def test_shutdown_leaves_no_process(make: Any) -> None:
    pool = make(max_workers=2)
    pid = await pool.submit(wf.pid)
    template = psutil.Process(pid).ppid()
    await pool.shutdown()
    assert is_dead(pid)
    assert not psutil.pid_exists(template)
    assert pool.pids == []


async def test_a_worker_has_no_input(pool: ProcessExecutor) -> None:
    """A function that asks a question gets no answer, rather than the server's terminal."""
    assert await pool.submit(wf.stdin_is_null) is True


async def test_a_worker_for_plain_functions_is_small(pool: ProcessExecutor) -> None:
    names = (host.PACKAGE, "genro_routes", "pydantic", "uvicorn", "pytest")
    assert await pool.submit(wf.loaded, *names) == []


@pytest.mark.parametrize("start_method", METHODS)
async def test_a_worker_has_the_servers_path_and_environment(
    make: Any, start_method: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SAID_TO_WORKERS", "hello")
    (tmp_path / "beside_the_path.py").write_text("def found():\n    return 'found'\n")
    monkeypatch.syspath_prepend(tmp_path)
    import beside_the_path  # type: ignore[import-not-found]

    pool = make(max_workers=1, start_method=start_method)
    assert await pool.submit(wf.environment, "SAID_TO_WORKERS") == "hello"
    assert await pool.submit(beside_the_path.found) == "found"


async def test_a_path_that_is_no_text_does_not_matter(
    make: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Python passes over such an entry of sys.path, and so does a worker."""
    monkeypatch.setattr(sys, "path", [*sys.path, tmp_path])
    pool = make(max_workers=1)
    assert await pool.submit(wf.answer) == 42


@pytest.mark.parametrize("start_method", ["forkserver", "spawn"])
async def test_a_worker_for_plain_functions_loads_neither_asyncio_nor_a_host(
    make: Any, start_method: str
) -> None:
    pool = make(max_workers=1, start_method=start_method)
    loaded = await pool.submit(eval, "sorted(__import__('sys').modules)")
    tops = {name.partition(".")[0] for name in loaded}
    assert "genro_executor_plugin" in tops
    assert not tops & {"asyncio", host.PACKAGE, "genro_routes", "multiprocessing"}
    assert await pool.submit(wf.echo_async, 42) == 42
    assert "asyncio" in await pool.submit(eval, "sorted(__import__('sys').modules)")


async def test_modules_are_imported_ahead(make: Any, tmp_path: Path, monkeypatch: Any) -> None:
    trace = tmp_path / "trace"
    (tmp_path / "imported_ahead.py").write_text(
        f"import os\nopen({str(trace)!r}, 'a').write(f'{{os.getpid()}}\\n')\n"
        "def parent():\n    return os.getppid()\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    pool = make(max_workers=2, preload=["imported_ahead"])
    assert "imported_ahead" in await pool.submit(wf.loaded, "imported_ahead")
    template = psutil.Process(await pool.submit(wf.pid)).ppid()
    assert trace.read_text() == f"{template}\n"


async def test_a_module_that_cannot_be_imported_ahead_is_told(
    make: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    pool = make(max_workers=1, preload=["no_such_module_anywhere"])
    assert await pool.submit(wf.answer) == 42
    assert "cannot preload 'no_such_module_anywhere'" in capfd.readouterr().err


# -- what crosses -----------------------------------------------------------------------------


@pytest.mark.parametrize("start_method", METHODS)
async def test_payloads_of_every_size_come_back_whole(make: Any, start_method: str) -> None:
    """Around the sizes at which buffers are cut, and at the end of a frame's head."""
    pool = make(max_workers=1, start_method=start_method)
    edges = [2**16, 2**17, 2**20]
    sizes = [0, 1, *(edge + step for edge in edges for step in (-60, -40, -20, -1, 0, 1, 20))]
    for size in sizes:
        value = os.urandom(size)
        assert await pool.submit(wf.echo, value) == value, size


async def test_large_payloads_cross_both_ways_at_the_same_time(pool: ProcessExecutor) -> None:
    values = [os.urandom(1024) * 10 * 1024 for _ in range(4)]
    found = await asyncio.gather(*(pool.submit(wf.echo, value) for value in values))
    for value, returned in zip(values, found, strict=True):
        assert value == returned


async def test_many_calls_at_once_each_get_their_own_answer(make: Any) -> None:
    pool = make(max_workers=2, max_pending=64, max_waiting=1000)
    found = await asyncio.gather(*(pool.submit(wf.echo, n) for n in range(1000)))
    assert found == list(range(1000))
    assert pool.metrics["completed"] == 1000


async def test_a_result_that_only_its_worker_can_rebuild_is_refused(
    pool: ProcessExecutor,
) -> None:
    pid = await pool.submit(wf.pid)
    with pytest.raises(SerializationError, match="stays where it was made") as caught:
        await pool.submit(wf.give_homebound)
    assert "worker_functions.give_homebound" in str(caught.value)
    assert await pool.submit(wf.pid) == pid


async def test_an_argument_that_only_the_server_can_rebuild_is_refused(
    pool: ProcessExecutor,
) -> None:
    with pytest.raises(SerializationError, match="stays where it was made") as caught:
        await pool.submit(wf.echo, wf.Homebound())
    assert "worker_functions.echo" in str(caught.value)
    assert await pool.submit(wf.answer) == 42
    assert pool.metrics["restarts"] == 0


# -- the initializer --------------------------------------------------------------------------


@pytest.mark.parametrize("start_method", METHODS)
async def test_the_initializer_runs_once_in_each_worker(
    make: Any, gate: Any, start_method: str
) -> None:
    pool = make(
        max_workers=2, start_method=start_method, initializer=wf.initialize, initargs=("model", 1)
    )
    calls = [asyncio.create_task(pool.submit(wf.hold, gate.path)) for _ in range(2)]
    await gate.entered()
    await gate.entered()
    seen = [asyncio.create_task(pool.submit(wf.initialized)) for _ in range(4)]
    gate.release()
    await asyncio.gather(*calls)
    assert await asyncio.gather(*seen) == [[("model", 1)]] * 4
    assert wf.initialized() == []


async def test_an_initializer_may_be_a_coroutine_function(make: Any) -> None:
    pool = make(max_workers=1, initializer=wf.initialize_async, initargs=(1,))
    assert await pool.submit(wf.initialized) == [(1,)]


async def test_an_initializer_that_raises_fails_the_calls_with_its_reason(
    make: Any, tmp_path: Path
) -> None:
    """And when its trouble is over, the pool works."""
    model = tmp_path / "model"
    pool = make(max_workers=1, initializer=wf.initialize_when, initargs=(str(model),))
    for _ in range(2):
        with pytest.raises(WorkerCrashedError, match=f"no model at {model}") as caught:
            await pool.submit(wf.answer)
        assert caught.value.pool == "pool"
        assert isinstance(caught.value.__cause__, FileNotFoundError)
    assert pool.metrics["crashed"] == 2
    assert pool.metrics["workers"] == 0
    model.touch()
    await until_it_answers(pool)


async def test_an_initializer_that_ends_the_worker_fails_the_calls_with_its_exit_code(
    make: Any, tmp_path: Path
) -> None:
    model = tmp_path / "model"
    pool = make(max_workers=2, initializer=wf.initialize_exiting, initargs=(str(model), 9))
    calls = [pool.submit(wf.answer) for _ in range(3)]
    for outcome in await asyncio.gather(*calls, return_exceptions=True):
        assert isinstance(outcome, WorkerCrashedError)
        assert "exit code 9" in str(outcome)
        assert outcome.exit_code == 9
    model.touch()
    await until_it_answers(pool)


async def test_an_initializer_that_exits_politely_fails_the_calls(make: Any) -> None:
    pool = make(max_workers=1, initializer=sys.exit, initargs=("out of order",))
    with pytest.raises(WorkerCrashedError, match="out of order"):
        await pool.submit(wf.answer)


async def until_it_answers(pool: ProcessExecutor) -> None:
    async def answers() -> bool:
        try:
            return bool(await pool.submit(wf.answer) == 42)
        except WorkerCrashedError:
            return False

    for _ in range(500):
        if await answers():
            return
        await asyncio.sleep(0.02)  # the pool pauses between attempts
    pytest.fail("the pool did not recover")


@pytest.mark.parametrize(
    "options",
    [
        {"initializer": wf.initialize, "initargs": (wf.give_lock(),)},
        {"initializer": wf.Counter(wf.give_lock()).plus},  # type: ignore[arg-type]
    ],
    ids=["initargs", "initializer"],
)
def test_an_initializer_that_cannot_travel_is_refused_at_once(options: dict[str, Any]) -> None:
    with pytest.raises(SerializationError, match=r"pool 'pool': initializer .*initialize|plus"):
        ProcessExecutor("pool", **options)


# -- limits -----------------------------------------------------------------------------------


@pytest.mark.parametrize("start_method", METHODS)
async def test_a_worker_is_replaced_after_so_many_calls(make: Any, start_method: str) -> None:
    pool = make(max_workers=1, max_tasks_per_child=2, start_method=start_method)
    pids = [await pool.submit(wf.pid) for _ in range(5)]
    assert pids[0] == pids[1]
    assert pids[2] == pids[3]
    assert len({pids[0], pids[2], pids[4]}) == 3
    assert pool.metrics["restarts"] == 2
    await until(lambda: is_dead(pids[0]) and is_dead(pids[2]))


async def test_many_calls_through_short_lived_workers_all_answer(make: Any) -> None:
    pool = make(max_workers=2, max_tasks_per_child=1, max_pending=40)
    assert await asyncio.gather(*(pool.submit(wf.echo, n) for n in range(30))) == list(range(30))
    assert pool.metrics["restarts"] >= 28


async def test_a_timeout_ends_its_own_call_only(make: Any, gate: Any) -> None:
    pool = make(max_workers=2)
    held = asyncio.create_task(pool.submit(wf.hold, gate.path))
    pid = await gate.entered()
    stuck = await pool.submit(wf.pid)
    with pytest.raises(ExecutorTimeoutError, match=r"0\.05 s in pool 'pool'") as caught:
        await pool.options(timeout=0.05).submit(wf.spin)
    error = caught.value
    assert isinstance(error, TimeoutError)
    assert error.timeout == 0.05
    assert error.status == 504
    assert error.pool == "pool"
    assert f"pid {stuck}" in str(error)
    assert "worker_functions.spin" in str(error)
    await until(lambda: is_dead(stuck))
    assert await pool.submit(wf.pid) not in (pid, stuck)
    gate.release()
    assert await held == "released"
    assert pool.metrics["timed_out"] == 1
    assert pool.metrics["crashed"] == 0
    assert pool.metrics["restarts"] == 1


async def test_a_timeout_counts_the_run_alone(make: Any, gate: Any) -> None:
    """Neither the wait in the queue nor the start of a worker is part of it."""
    pool = make(max_workers=1, timeout=0.8)
    held = asyncio.create_task(pool.options(timeout=30).submit(wf.hold, gate.path))
    await gate.entered()
    queued = asyncio.create_task(pool.submit(wf.answer))
    await until(lambda: pool.metrics["pending"] == 2)
    await asyncio.sleep(0.85)  # longer than its limit
    gate.release()
    assert await held == "released"
    assert await queued == 42


async def test_every_call_has_a_limit_of_its_own(make: Any, gate: Any) -> None:
    pool = make(max_workers=3, timeout=30)
    loop = asyncio.get_running_loop()
    ended = []

    async def timed(limit: float) -> float:
        began = loop.time()
        with pytest.raises(ExecutorTimeoutError):
            await pool.options(timeout=limit).submit(wf.hold, gate.path)
        ended.append(limit)
        return loop.time() - began

    for calls in (asyncio.gather(*(pool.submit(wf.hold, gate.path) for _ in range(3))),):
        for _ in range(3):
            await gate.entered()
        gate.release()
        await calls
    limits = (1.4, 0.05, 0.7)
    lasted = await asyncio.gather(*map(timed, limits))
    assert all(seconds >= limit for seconds, limit in zip(lasted, limits, strict=True))
    assert ended == sorted(limits)


async def test_a_late_answer_reaches_nobody(make: Any) -> None:
    """Calls that end just as their time is up: each caller has its own answer or an error."""
    pool = make(max_workers=2, timeout=0.003)
    slow = pool.options(timeout=30)
    await asyncio.gather(*(slow.submit(wf.answer) for _ in range(4)))

    async def call(number: int) -> bool:
        try:
            seconds = 0.002 + number * 0.00005 if number < 50 else 0.2
            assert await pool.submit(wf.linger, seconds, number) == number
        except ExecutorTimeoutError:
            return False
        return True

    outcomes = await asyncio.gather(*(call(number) for number in range(60)))
    assert not any(outcomes[50:])
    assert await asyncio.gather(*(slow.submit(wf.echo, n) for n in range(20))) == list(range(20))
    assert pool.metrics["timed_out"] == outcomes.count(False)


async def test_short_calls_around_one_that_takes_too_long_all_answer(make: Any) -> None:
    """Also those that had been sent to its worker ahead, because they used to be short."""
    pool = make(max_workers=1)
    for number in range(30):
        await pool.submit(wf.linger, 0.0, number)
    before = [asyncio.create_task(pool.submit(wf.linger, 0.0, n)) for n in range(30)]
    stuck = asyncio.create_task(pool.options(timeout=0.2).submit(wf.linger, 60.0, None))
    after = [asyncio.create_task(pool.submit(wf.linger, 0.0, n)) for n in range(30, 60)]
    with pytest.raises(ExecutorTimeoutError):
        await stuck
    assert await asyncio.gather(*before, *after) == list(range(60))
    assert pool.metrics["timed_out"] == 1


async def test_a_coroutine_is_ended_by_its_limit_and_by_its_caller(make: Any) -> None:
    pool = make(max_workers=1)
    with pytest.raises(ExecutorTimeoutError):
        await pool.options(timeout=0.05).submit(asyncio.sleep, 60)
    running = asyncio.create_task(pool.submit(asyncio.sleep, 60))
    await until(lambda: pool.metrics["running"] == 1)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert await pool.submit(wf.answer) == 42
    assert pool.metrics["cancelled"] == 1


def open_descriptors() -> set[tuple[int, str]]:
    """What this process has open: each number, and the file, pipe or socket behind it."""
    found = set()
    for number in map(int, os.listdir("/proc/self/fd")):
        with suppress(OSError):  # it was the listing's own
            found.add((number, os.readlink(f"/proc/self/fd/{number}")))
    return found


@pytest.mark.parametrize("start_method", METHODS)
async def test_pools_that_come_and_go_leave_no_descriptor(start_method: str) -> None:
    # What earlier tests have left is closed at its own time, and is not counted.
    before = open_descriptors()
    for _ in range(4):
        pool = ProcessExecutor("pool", max_workers=2, start_method=start_method)
        await asyncio.gather(*(pool.submit(wf.answer) for _ in range(4)))
        opened = open_descriptors() - before
        assert opened
        await pool.shutdown()
        await until(lambda opened=opened: not opened & open_descriptors())
    await until(lambda: len(open_descriptors()) <= len(before))


async def test_a_cancelled_caller_ends_the_run(make: Any, gate: Any) -> None:
    pool = make(max_workers=1)
    running = asyncio.create_task(pool.submit(wf.hold, gate.path))
    pid = await gate.entered()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await until(lambda: is_dead(pid))
    assert await pool.submit(wf.pid) != pid
    assert pool.metrics["cancelled"] == 1
    assert pool.metrics["crashed"] == 0


async def test_a_cancelled_caller_leaves_the_run_going_where_that_is_wanted(
    make: Any, gate: Any, tmp_path: Path
) -> None:
    pool = make(max_workers=1, on_cancel="abandon")
    trace = tmp_path / "trace"
    running = asyncio.create_task(pool.submit(wf.hold_and_record, gate.path, str(trace)))
    pid = await gate.entered()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert pool.metrics["busy"] == 1
    following = asyncio.create_task(pool.submit(wf.pid))
    await until(lambda: pool.metrics["pending"] == 1)
    gate.release()
    assert await following == pid
    assert trace.exists()
    assert pool.metrics["restarts"] == 0


async def test_an_abandoned_run_keeps_its_limit(make: Any, gate: Any) -> None:
    pool = make(max_workers=1, on_cancel="abandon", timeout=1.5)
    running = asyncio.create_task(pool.submit(wf.hold, gate.path))
    pid = await gate.entered()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await until(lambda: is_dead(pid))
    assert await pool.submit(wf.pid) != pid
    assert pool.metrics["timed_out"] == 0


# -- with the rest of the program -------------------------------------------------------------


def test_what_a_worker_prints_is_seen(tmp_path: Path) -> None:
    script = tmp_path / "printing.py"
    script.write_text(
        "import asyncio\n"
        "import worker_functions as wf\n"
        "from genro_executor_plugin import ProcessExecutor\n"
        "async def main():\n"
        "    for method in ('forkserver', 'spawn'):\n"
        "        pool = ProcessExecutor('pool', max_workers=1, start_method=method)\n"
        "        await pool.submit(wf.say, f'said by a worker of {method}')\n"
        "        await pool.shutdown()\n"
        "asyncio.run(main())\n"
    )
    assert run_program(script).splitlines() == [
        "said by a worker of forkserver",
        "said by a worker of spawn",
    ]


HOLDING = """
import asyncio
import signal
import sys

import worker_functions as wf
from genro_executor_plugin import ProcessExecutor

what, method = sys.argv[1:]


async def main():
    pool = ProcessExecutor("pool", max_workers=2, start_method=method)
    pids = {await pool.submit(wf.pid)}
    interrupted = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGINT, interrupted.set)
    stuck = asyncio.create_task(pool.submit(wf.spin))
    while len(pool.pids) < 1 or pool.metrics["busy"] < 1:
        await asyncio.sleep(0.005)
    pids = {*pool.pids, await pool.submit(wf.pid)}
    import psutil
    template = psutil.Process(next(iter(pids))).ppid()
    print(*pids, template, flush=True)
    await interrupted.wait()
    print(*{*pool.pids, await pool.submit(wf.pid)}, template, flush=True)
    stuck.cancel()
    await asyncio.gather(stuck, return_exceptions=True)
    await pool.shutdown()
    print("ended", flush=True)


asyncio.run(main())
"""


@pytest.mark.parametrize("start_method", METHODS)
async def test_a_server_killed_by_force_leaves_no_process(
    tmp_path: Path, start_method: str
) -> None:
    """Not even a worker in an endless loop, which reads nothing from its socket."""
    script = tmp_path / "holding.py"
    script.write_text(HOLDING)
    with started(script, "kill", start_method) as program:
        pids = [int(pid) for pid in (await asyncio.to_thread(program.line)).split()]
        assert len(pids) == 3
        program.signal(signal.SIGKILL)
        program.wait_for_itself()
        await until(lambda: all(map(is_dead, pids)))


@pytest.mark.parametrize("start_method", METHODS)
async def test_an_interrupt_from_the_terminal_is_for_the_server_alone(
    tmp_path: Path, start_method: str
) -> None:
    script = tmp_path / "holding.py"
    script.write_text(HOLDING)
    with started(script, "interrupt", start_method, errors_apart=True) as program:
        before = (await asyncio.to_thread(program.line)).split()
        program.signal_all(signal.SIGINT)
        after = (await asyncio.to_thread(program.line)).split()
        assert sorted(before) == sorted(after)
        assert await asyncio.to_thread(program.wait) == 0
        assert (program.log.splitlines()[2:], program.errors) == (["ended"], "")
        assert all(is_dead(int(pid)) for pid in before)


async def test_an_option_of_another_kind_is_refused() -> None:
    with pytest.raises(ExecutorConfigError, match=r"'pool': abandon_on_timeout=True is not for"):
        ProcessExecutor("pool", abandon_on_timeout=True)


@pytest.mark.parametrize("finalizer", [wf.finalize, wf.finalize_async])
async def test_the_finalizer_runs_once_in_each_worker_that_is_ended(
    make: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, finalizer: Any
) -> None:
    trace = tmp_path / "trace"
    monkeypatch.setenv("FINALIZED", str(trace))
    give_workers_time_to_end(monkeypatch.setattr)
    pool = make(max_workers=1, max_tasks_per_child=1, finalizer=finalizer)
    pids = [await pool.submit(wf.pid) for _ in range(3)]
    await pool.shutdown()
    # Another worker may be up already in the place of the last one.
    finalized = trace.read_text().split()
    assert set(map(str, pids)) <= set(finalized)
    assert len(finalized) == len(set(finalized)) <= 4


async def test_a_finalizer_that_raises_hurts_nobody(make: Any) -> None:
    pool = make(max_workers=1, finalizer=wf.fail_to_finalize)
    assert await pool.submit(wf.answer) == 42
    await pool.shutdown()


def test_a_finalizer_that_cannot_travel_is_refused_at_once() -> None:
    with Path(os.devnull).open() as file, pytest.raises(SerializationError, match="finalizer"):
        ProcessExecutor("pool", finalizer=file.close)
