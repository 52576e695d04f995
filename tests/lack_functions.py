# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Functions of tests about resources: what a worker is given, and what it runs out of."""

from __future__ import annotations

import os
import resource
import sys
import threading
import time
from typing import Any

from genro_executor_plugin import worker_index

_hoard: list[bytearray] = []
_open: list[int] = []


def own_things(name: str, seconds: float) -> tuple[int, str | None, int | None]:
    """The pid, the variable ``name`` and the index of the worker, after ``seconds``."""
    time.sleep(seconds)  # so that calls made at the same time run in different workers
    return os.getpid(), os.environ.get(name), worker_index()


def variables(names: tuple[str, ...]) -> dict[str, str | None]:
    return {name: os.environ.get(name) for name in names}


def content_of(path: str) -> str:
    with open(path) as file:
        return file.read()


def fill_memory(size: int) -> int:
    """Take ``size`` bytes, a megabyte at a time."""
    pieces: list[Any] = []
    while len(pieces) * 2**20 < size:
        pieces.append(b"x" * 2**20)
        time.sleep(0.001)
    return len(pieces)


def hoard_later(size: int) -> int:
    """Have a thread take ``size`` bytes and keep them when the call has ended."""
    threading.Timer(0.2, lambda: _hoard.append(bytearray(b"x") * size)).start()
    return os.getpid()


def use_up_descriptors() -> None:
    """Open files until there is no descriptor left, and leave them open."""
    while True:
        _open.append(os.open("/dev/null", os.O_RDONLY))


def use_up_descriptors_quietly() -> int:
    """As ``use_up_descriptors``, and return normally."""
    try:
        use_up_descriptors()
    except OSError:
        return os.getpid()
    raise AssertionError("there is no limit of open files")


def limit(what: str, number: int) -> None:
    """Set the soft limit ``what`` of this process, such as ``RLIMIT_NOFILE``."""
    kind = getattr(resource, what)
    resource.setrlimit(kind, (number, resource.getrlimit(kind)[1]))


def text_of(size: int) -> bytes:
    return b"x" * size


def length(value: bytes) -> int:
    return len(value)


async def answer_async() -> int:
    return 42


def answer_after(seconds: float) -> int:
    time.sleep(seconds)
    return 42


def ask_for_huge_stacks() -> None:
    """Have no thread started in this process: no address space has room for such a stack."""
    threading.stack_size(2**47)


def huge_stacks_if(mark: str) -> None:
    """``ask_for_huge_stacks`` while the file ``mark`` is there."""
    if os.path.exists(mark):
        ask_for_huge_stacks()


def number_of_arguments() -> int:
    return len(sys.argv)
