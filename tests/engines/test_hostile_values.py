# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Values whose rebuilding would end the server: they end their own call, and nothing else."""

from __future__ import annotations

import asyncio
import logging
import os
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import worker_functions as wf

from genro_executor_plugin import RemoteError, SerializationError
from genro_executor_plugin.worker.running import current

ENDS = (SystemExit, KeyboardInterrupt, GeneratorExit, asyncio.CancelledError, StopIteration)


def _raise_elsewhere(kind: type[BaseException], pid: int) -> str:
    if os.getpid() != pid:
        raise kind(3)
    return "rebuilt"


class Ending:
    """Raises what would end a process, wherever it is rebuilt but in the process that made it."""

    def __init__(self, kind: type[BaseException]) -> None:
        self.kind = kind

    def __reduce__(self) -> Any:
        return _raise_elsewhere, (self.kind, os.getpid())


class EndingEverywhere(Ending):
    def __reduce__(self) -> Any:
        return _raise_elsewhere, (self.kind, 0)


class EndingError(Exception):
    """An exception with such a value in it."""

    def __init__(self, value: Any) -> None:
        super().__init__(value)
        self.value = value


def give(kind: type[BaseException]) -> Any:
    return Ending(kind)


def give_a_large_one(kind: type[BaseException]) -> Any:
    return [b"x" * 1_000_000, Ending(kind)]


def fail_with(kind: type[BaseException]) -> None:
    raise EndingError(Ending(kind))


def fail_with_one_that_ends_the_worker(kind: type[BaseException]) -> None:
    raise EndingError(EndingEverywhere(kind))


def log(kind: type[BaseException]) -> str:
    logging.getLogger("hostile").warning("ending", extra={"value": Ending(kind)})
    return "logged"


def log_an_exception(kind: type[BaseException]) -> str:
    try:
        fail_with(kind)
    except EndingError:
        logging.getLogger("hostile").exception("ending")
    return "logged"


class EndingWarning(UserWarning):
    def __init__(self, kind: type[BaseException]) -> None:
        super().__init__(kind)
        self.value = Ending(kind)


def warn(kind: type[BaseException]) -> str:
    warnings.warn(EndingWarning(kind), stacklevel=1)
    return "warned"


def send(kind: type[BaseException]) -> str:
    call = current()
    assert call is not None
    call.send("hostile", Ending(kind))
    return "sent"


@pytest.mark.parametrize("kind", ENDS, ids=lambda kind: kind.__name__)
@pytest.mark.filterwarnings("ignore::UserWarning")
async def test_what_would_end_the_server_ends_its_own_call(
    make: Any, kind: type[BaseException]
) -> None:
    pool = make(max_workers=1)
    expected: dict[Callable[..., Any], Any] = {
        give: SerializationError,
        give_a_large_one: SerializationError,
        fail_with: RemoteError,
        # What cannot travel is replaced by its repr, where finding that out ends nothing.
        fail_with_one_that_ends_the_worker: (
            EndingError if issubclass(kind, Exception) else RemoteError
        ),
        log: "logged",
        log_an_exception: "logged",
        warn: "warned",
        send: "sent",
    }
    for function, outcome in expected.items():
        neighbours = [pool.submit(wf.echo, n) for n in range(5)]
        hostile, *others = await asyncio.gather(
            pool.submit(function, kind), *neighbours, return_exceptions=True
        )
        assert others == [*range(5)], function
        if isinstance(outcome, str):
            assert hostile == outcome
        else:
            assert isinstance(hostile, outcome), (function, hostile)
    assert pool.metrics["restarts"] == 0
    assert pool.metrics["busy"] == 0
    assert pool.metrics["pending"] == 0
