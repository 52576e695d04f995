# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""What servers and agents say to each other: the kinds of messages, and their bytes.

A body is plain data: numbers, texts, bytes, tuples, lists, dicts. What a call consists of, and what
it returns, lies in it as bytes, which neither the server nor the agent's own process looks into
before they are where they are to be rebuilt.
"""

from __future__ import annotations

import io
import pickle
from enum import IntEnum
from typing import Any, NamedTuple

from .envelope import RefusedError

__all__ = ["Announcement", "CallMessage", "Kind", "pack", "unpack"]


class Kind(IntEnum):
    """The kinds of messages."""

    # to everybody
    ANNOUNCEMENT = 1
    QUESTION = 2

    # from a server to an agent
    CALL = 10
    END = 11
    TELL = 12
    AWAITED = 13
    WANT = 14
    RETURN = 15
    LEAVE = 16

    # from an agent to a server
    ANSWER = 20
    NOT_BEGUN = 21
    MESSAGE = 22
    GRANT = 23
    RECORD = 24

    # both ways
    PART = 30
    TAKEN = 31


class Announcement(NamedTuple):
    """What an agent says of itself, every now and then and whenever it has changed.

    Attributes:
        host: the name of its machine.
        pid: its process id.
        places: how many calls it runs at a time.
        free: how many more it would begin now.
        serves: whether it takes calls; ``False`` when it is about to end.
        code: what its code is, as ``versions.CodeVersion.as_dict`` has it.
        health: why its pool cannot serve calls as it should, ``""`` if it can.
        asked_at: when the question was sent that it answers, by the clock of the one who asked;
            ``0.0`` if it answers none.
    """

    host: str
    pid: int
    places: int
    free: int
    serves: bool
    code: dict[str, Any]
    health: str
    asked_at: float


class CallMessage(NamedTuple):
    """A call that an agent is to run.

    Attributes:
        number: identifies it among all that this server ever sends.
        title: the function's name.
        module: the module that the function is from.
        is_async: whether the function makes a coroutine.
        timeout: seconds that the run may take, ``None`` for no limit.
        soft_timeout: seconds after which ``SoftTimeoutError`` is raised in the run.
        wants_more: whether the server has another call that waits for a place.
        definitions: key, version, owner, kind and payload of each of its definitions.
        payload: what ``worker/reading.py`` reads.
    """

    number: int
    title: str
    module: str
    is_async: bool
    timeout: float | None
    soft_timeout: float | None
    wants_more: bool
    definitions: list[tuple[int, int, int, int, bytes]]
    payload: bytes


class _Plain(pickle.Unpickler):
    """Reads plain data, and nothing that has a class."""

    def find_class(self, module: str, name: str) -> Any:
        raise RefusedError("body", f"it names {module}.{name}, where plain data has to be")


def pack(body: tuple[Any, ...]) -> bytes:
    """``body``, which is plain data, as bytes."""
    return pickle.dumps(tuple(body), 5)


def unpack(data: bytes) -> tuple[Any, ...]:
    """What ``pack`` was given.

    Raises:
        RefusedError: it is not plain data.
    """
    try:
        body = _Plain(io.BytesIO(data)).load()
    except RefusedError:
        raise
    except Exception as error:
        raise RefusedError("body", f"its body cannot be read: {error}") from error
    if type(body) is not tuple:
        raise RefusedError("body", "its body is not what this protocol has")
    return body
