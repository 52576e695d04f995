# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The functions that every pool runs. The module is light: each worker of each peer imports it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy
    from numpy.typing import NDArray

__all__ = [
    "answer",
    "awaited",
    "burn",
    "given_back",
    "grow",
    "package_file",
    "rest",
    "tell",
    "wait_for_end",
    "wait_while",
]


def answer() -> int:
    """The no-op."""
    return 42


def given_back(value: Any) -> Any:
    """``value``, there and back."""
    return value


def burn(milliseconds: float) -> None:
    """Use that much time of a CPU: being preempted does not make the work any less."""
    end = time.process_time() + milliseconds / 1000
    while time.process_time() < end:
        pass


def rest(seconds: float) -> None:
    """Hold a worker without using its CPU."""
    time.sleep(seconds)


def tell(steps: int, seconds: float) -> None:
    """Say how far it is, ``seconds`` apart."""
    from genro_executor_plugin import progress

    for step in range(steps):
        progress((step + 1) / steps)
        time.sleep(seconds)


def wait_while(path: str) -> None:
    """Hold a worker for as long as the file ``path`` is there."""
    while os.path.exists(path):
        time.sleep(0.005)


def grow(data: bytes) -> NDArray[numpy.uint8]:
    """As many bytes as came in, in a fresh array."""
    import numpy

    return numpy.full(len(data), data[0], dtype=numpy.uint8)


def package_file() -> str:
    """Where the package was imported from in the process that runs this."""
    import genro_executor_plugin

    return str(genro_executor_plugin.__file__)


async def awaited(func: Callable[..., Any], *args: Any) -> Any:
    """``func`` as a coroutine, for the peer that runs nothing else."""
    return func(*args)


def wait_for_end(connection: Any) -> None:
    """What a bare child does: it says that it is there, and waits until it may end."""
    connection.send(answer())
    connection.recv()
