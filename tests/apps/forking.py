# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Handlers that fork, and whose children come back, raise, exit or log."""

from __future__ import annotations

import logging
import multiprocessing
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ProcessPoolExecutor
from typing import Any

Answer = tuple[str, int]
"""Who answers, and the exit code of the child."""

CODES = {"return": 0, "raise": 1, "exit": 3}


def leave(how: str) -> Answer:
    if how == "raise":
        raise ValueError("raised in a forked child")
    if how == "exit":
        sys.exit(3)
    return "child", -1


def sync(how: str) -> Answer:
    child = os.fork()
    if child == 0:
        return leave(how)
    return "parent", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


async def coroutine(how: str) -> Answer:
    return sync(how)


def stream(how: str) -> Iterator[Answer]:
    yield sync(how)
    yield "parent", 0


async def async_stream(how: str) -> AsyncIterator[Answer]:
    yield sync(how)
    yield "parent", 0


def forking_initializer(how: str) -> None:
    """Exits as its child does."""
    who, code = sync(how)
    assert who == "child" or code == CODES[how], code


def descriptors() -> list[str]:
    """What a forked child has open."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        names = []
        for fd in os.listdir("/proc/self/fd"):
            try:
                names.append(os.readlink(f"/proc/self/fd/{fd}"))
            except OSError:
                continue
        os.write(write, "\n".join(names).encode())
        os._exit(0)
    os.waitpid(child, 0)
    os.close(write)
    with open(read) as file:
        return file.read().split("\n")


def _logs(number: int) -> None:
    for _ in range(10):
        logging.getLogger("forked").warning("child %s: %s", number, "x" * 150_000)


def logging_children() -> list[int]:
    context = multiprocessing.get_context("fork")
    children = [context.Process(target=_logs, args=(number,)) for number in range(3)]
    for child in children:
        child.start()
    for _ in range(10):
        logging.getLogger("forked").warning("parent: %s", "x" * 150_000)
    for child in children:
        child.join()
    return [child.exitcode for child in children]


def _square(number: int) -> int:
    return number * number


def uses_of_processes(method: str) -> dict[str, Any]:
    """Every common way to have processes, each with its result."""
    context = multiprocessing.get_context(method)
    found: dict[str, Any] = {}
    with context.Pool(2) as pool:
        found["pool"] = pool.map(_square, range(4))
    with ProcessPoolExecutor(2, mp_context=context) as executor:
        found["executor"] = list(executor.map(_square, range(4)))
    values = context.Queue()
    process = context.Process(target=values.put, args=(7,))
    process.start()
    found["queue"] = values.get(timeout=20)
    process.join()
    found["run"] = subprocess.run(["echo", "said"], capture_output=True, text=True).stdout
    arguments = ["true"]
    pid = os.posix_spawnp(arguments[0], arguments, os.environ)
    found["spawn"] = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return found
