# Copyright 2026 the genro-executor-plugin authors
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     https://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.

"""Functions that the tests run in workers. Workers import this module by its name."""

from __future__ import annotations

import functools
import os
import signal
import socket
import struct
from collections.abc import Callable
from typing import Any

PID = struct.Struct("<I")


def answer() -> int:
    return 42


def echo(value: Any) -> Any:
    return value


def add(left: Any, right: Any = 1) -> Any:
    return left + right


def pid() -> int:
    return os.getpid()


def hold(path: str, result: Any = "released") -> Any:
    """Tell the gate at ``path`` that this process is inside, and wait until it lets go."""
    with socket.socket(socket.AF_UNIX) as door:
        door.connect(path)
        door.sendall(PID.pack(os.getpid()))
        door.recv(1)
    return result


async def pid_async() -> int:
    return os.getpid()


def exit_with(code: int) -> None:
    os._exit(code)


def raise_signal(number: int) -> None:
    os.kill(os.getpid(), number)
    signal.pause()


def fail(error: BaseException) -> None:
    raise error


def spin() -> None:
    while True:
        pass


def doubling(func: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(func)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return func(*args, **kwargs) * 2

    return wrapper


@doubling
def decorated(value: int) -> int:
    return value


alias = add


class Stubborn(Exception):
    """Its ``__init__`` takes other arguments than its ``args``."""

    def __init__(self, code: int, where: str) -> None:
        super().__init__(f"{code} at {where}")
        self.code = code
        self.where = where


class Unpicklable(Exception):
    def __reduce__(self) -> Any:
        raise TypeError("this exception refuses to be pickled")


def fail_stubbornly() -> None:
    raise Stubborn(7, "here")


def fail_unpicklably() -> None:
    raise Unpicklable("secret")


class Counter:
    """A plain object whose bound methods are submitted."""

    def __init__(self, start: int) -> None:
        self.start = start

    def plus(self, number: int) -> int:
        return self.start + number


def give_lambda() -> Any:
    return lambda: 1


def give_lock() -> Any:
    import threading

    return threading.Lock()


def environment(name: str) -> str | None:
    return os.environ.get(name)


_initialized: list[Any] = []


def initialize(*args: Any) -> None:
    _initialized.append(args)


def initialized() -> list[Any]:
    return _initialized


def initialize_badly(text: str) -> None:
    raise RuntimeError(text)
