# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""A program that runs out of something: ``lacking.py LOOP LACK``.

It prints as JSON what several callers got while the lack lasted, and what a call got afterwards.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import resource
import shutil
import sys
import tempfile
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lack_functions as lf
from waiting import until

from genro_executor_plugin import ProcessExecutor, ThreadExecutor

LARGE = 2**20
PATIENCE_SECONDS = 90.0

Found = dict[str, Any]


async def outcome(awaitable: Awaitable[Any]) -> list[str]:
    """What a caller gets: the type of the result or of the error, and what it says."""
    try:
        result = await asyncio.wait_for(awaitable, PATIENCE_SECONDS)
    except Exception as error:
        return [type(error).__name__, str(error)]
    return ["result", repr(result)[:40]]


async def in_the_end(call: Callable[[], Awaitable[Any]]) -> list[str]:
    """What a call gets once the pool tries again to start what it could not start."""
    deadline = asyncio.get_running_loop().time() + PATIENCE_SECONDS
    while True:
        got = await outcome(call())
        if got[0] == "result" or asyncio.get_running_loop().time() > deadline:
            return got
        await asyncio.sleep(0.05)


@contextmanager
def no_descriptors() -> Iterator[None]:
    """Every descriptor that this process may have is in use."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(int(name) for name in os.listdir("/proc/self/fd"))
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 1, before[1]))
    taken = []
    try:
        while True:
            taken.append(os.open("/dev/null", os.O_RDONLY))
    except OSError:
        pass
    try:
        yield
    finally:
        for descriptor in taken:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


@contextmanager
def no_threads() -> Iterator[None]:
    """No thread can be started: there is no memory for a stack of the size that is asked for."""
    lf.ask_for_huge_stacks()
    try:
        yield
    finally:
        threading.stack_size(0)


async def descriptors_for_a_worker() -> Found:
    pool = ProcessExecutor("p", max_workers=2)
    with no_descriptors():
        callers = await asyncio.gather(*(outcome(pool.submit(pow, 2, 10)) for _ in range(3)))
    after = await in_the_end(lambda: pool.submit(pow, 2, 10))
    await pool.shutdown()
    return {"callers": callers, "afterwards": after}


async def descriptors_for_large_values() -> Found:
    pool = ProcessExecutor("p", max_workers=1)
    await pool.submit(pow, 2, 10)
    with no_descriptors():
        sent = await outcome(pool.submit(lf.length, b"x" * LARGE))
        callers = [await outcome(pool.submit(lf.text_of, LARGE)) for _ in range(2)]
    after = await in_the_end(lambda: pool.submit(lf.text_of, LARGE))
    await pool.shutdown()
    return {"callers": callers, "beside": [sent], "afterwards": after}


async def descriptors_in_a_worker() -> Found:
    pool = ProcessExecutor("p", max_workers=1)
    await pool.submit(lf.limit, "RLIMIT_NOFILE", 40)
    await pool.submit(lf.use_up_descriptors_quietly)
    caller = await outcome(pool.submit(lf.length, b"x" * LARGE))
    after = await outcome(pool.submit(lf.length, b"x" * LARGE))
    await pool.shutdown()
    return {"callers": [caller], "afterwards": after}


async def descriptors_in_a_function() -> Found:
    pool = ProcessExecutor("p", max_workers=1)
    await pool.submit(lf.limit, "RLIMIT_NOFILE", 40)
    caller = await outcome(pool.submit(lf.use_up_descriptors))
    after = await outcome(pool.submit(lf.content_of, "/dev/null"))
    await pool.shutdown()
    return {"callers": [caller], "afterwards": after}


async def threads_in_the_server() -> Found:
    threads, processes = ThreadExecutor("t", max_workers=2), ProcessExecutor("p", max_workers=1)
    await processes.submit(pow, 2, 10)
    with no_threads():
        callers = await asyncio.gather(*(outcome(threads.submit(pow, 2, 10)) for _ in range(3)))
        beside = [
            await outcome(processes.submit(lf.length, b"x" * LARGE)),
            await outcome(processes.submit(lf.text_of, LARGE)),
        ]
    after = await outcome(threads.submit(pow, 2, 10))
    await threads.shutdown()
    await processes.shutdown()
    return {"callers": callers, "beside": beside, "afterwards": after}


async def threads_for_a_worker() -> Found:
    with open("huge", "w"):
        pass
    pool = ProcessExecutor(
        "p", max_workers=1, threads_per_worker=2, initializer=lf.huge_stacks_if, initargs=("huge",)
    )
    callers = await asyncio.gather(*(outcome(pool.submit(pow, 2, 10)) for _ in range(3)))
    os.unlink("huge")
    after = await in_the_end(lambda: pool.submit(pow, 2, 10))
    await pool.shutdown()
    return {"callers": callers, "afterwards": after}


async def threads_for_coroutines() -> Found:
    pool = ProcessExecutor("p", max_workers=1)
    await pool.submit(lf.ask_for_huge_stacks)
    caller = await outcome(pool.submit(lf.answer_async))
    await pool.submit(threading.stack_size, 0)
    after = await outcome(pool.submit(lf.answer_async))
    await pool.shutdown()
    return {"callers": [caller], "afterwards": after}


async def processes() -> Found:
    """The control group, whose folder is in the environment, has a limit of processes."""
    group = Path(os.environ["PIDS_GROUP"])
    _write(group, "cgroup.procs", str(os.getpid()))
    pool = ProcessExecutor("p", max_workers=2)
    await pool.submit(pow, 2, 10)
    for pid in pool.pids:
        pool.kill_worker(pid)
    await until(lambda: not pool.pids)
    _write(group, "pids.max", "1")
    callers = await asyncio.gather(*(outcome(pool.submit(pow, 2, 10)) for _ in range(3)))
    _write(group, "pids.max", "max")
    after = await in_the_end(lambda: pool.submit(pow, 2, 10))
    await pool.shutdown()
    return {"callers": callers, "afterwards": after}


def _write(group: Path, name: str, content: str) -> None:
    (group / name).write_text(content)


async def file_size() -> Found:
    pool = ProcessExecutor("p", max_workers=1)
    await pool.submit(lf.limit, "RLIMIT_FSIZE", 1000)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    callers = [
        await outcome(pool.submit(lf.length, b"x" * LARGE)),
        await outcome(pool.submit(lf.text_of, LARGE)),
    ]
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    after = await outcome(pool.submit(lf.text_of, LARGE))
    await pool.shutdown()
    return {"callers": callers, "afterwards": after}


async def working_directory() -> Found:
    folder = tempfile.mkdtemp()
    os.chdir(folder)
    shutil.rmtree(folder)
    pools = [ProcessExecutor(method, start_method=method) for method in ("forkserver", "spawn")]
    callers = [await outcome(pool.submit(pow, 2, 10)) for pool in pools]
    for pool in pools:
        await pool.shutdown()
    return {"callers": callers, "afterwards": ["result", ""]}


async def command_line() -> Found:
    sys.argv += ["/data/reports/2026/one-of-many.csv"] * 10_000
    pools = [ProcessExecutor(method, start_method=method) for method in ("forkserver", "spawn")]
    callers = [await outcome(pool.submit(lf.number_of_arguments)) for pool in pools]
    for pool in pools:
        await pool.shutdown()
    return {"callers": callers, "afterwards": ["result", ""]}


async def memory() -> Found:
    pool = ProcessExecutor("p", max_workers=1, memory_limit="150MB")
    caller = await outcome(pool.submit(lf.fill_memory, 400_000_000))
    after = await outcome(pool.submit(pow, 2, 10))
    await pool.shutdown()
    return {"callers": [caller], "afterwards": after}


LACKS: dict[str, Callable[[], Awaitable[Found]]] = {
    function.__name__: function
    for function in (
        descriptors_for_a_worker,
        descriptors_for_large_values,
        descriptors_in_a_worker,
        descriptors_in_a_function,
        threads_in_the_server,
        threads_for_a_worker,
        threads_for_coroutines,
        processes,
        file_size,
        working_directory,
        command_line,
        memory,
    )
}


def main(loop: str, lack: str) -> None:
    logging.basicConfig(format="%(levelname)s %(message)s")
    run: Callable[[Any], Found] = asyncio.run
    if loop == "uvloop":
        import uvloop

        run = uvloop.run
    print(json.dumps(run(LACKS[lack]())))


if __name__ == "__main__":
    main(*sys.argv[1:3])
