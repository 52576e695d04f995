# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Handlers that leave something behind which has to come to an end with their worker."""

from __future__ import annotations

import asyncio
import atexit
import os
import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path


class Kept:
    """An object that lives as long as its worker."""


KEPT = Kept()


def note(file: str, what: str) -> None:
    with Path(file).open("a") as log:
        log.write(f"{what}\n")


def noted(file: str) -> list[str]:
    path = Path(file)
    return sorted(path.read_text().split("\n")[:-1]) if path.exists() else []


def leave_everything(file: str) -> None:
    """A hook, a finalizer, work of an executor, and a thread that is not a daemon."""
    atexit.register(note, file, "atexit")
    weakref.finalize(KEPT, note, file, "finalize")
    executor = ThreadPoolExecutor(1)
    executor.submit(time.sleep, 0.1)
    executor.submit(note, file, "executor")

    def last() -> None:
        threading.main_thread().join()
        note(file, "thread")

    threading.Thread(target=last).start()


async def leave_tasks(file: str) -> int:
    """A task that waits, and an asynchronous generator that is not at its end."""

    async def background() -> None:
        try:
            await asyncio.sleep(600)
        except asyncio.CancelledError:
            await asyncio.sleep(0)
            note(file, "task")
            raise

    async def numbers() -> object:
        try:
            yield 1
        finally:
            note(file, "generator")

    KEPT.task = asyncio.create_task(background())
    KEPT.numbers = numbers()
    await anext(KEPT.numbers)
    await asyncio.sleep(0)
    return os.getpid()


async def stop_the_loop() -> str:
    asyncio.get_running_loop().stop()
    await asyncio.sleep(0.01)
    return "stopped"


async def close_all_descriptors() -> None:
    os.closerange(3, 256)
    await asyncio.sleep(600)


def close_all_descriptors_sync() -> None:
    os.closerange(3, 256)


async def close_the_epoll() -> None:
    loop = asyncio.get_running_loop()
    os.close(loop._selector.fileno())
    await asyncio.sleep(600)


async def wait_for(seconds: float) -> str:
    await asyncio.sleep(seconds)
    return "waited"


def leave_a_blocking_hook() -> None:
    atexit.register(time.sleep, 600)
