# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""What servers and agents say to each other: the kinds of messages, and their bytes.

A body is plain data: numbers, texts, bytes, tuples, lists, dicts. What a call consists of, and what
it returns, stands in it or behind it (the tail) as bytes, which neither the server nor the agent's
own process looks into before they are where they are to be rebuilt. A tail is never copied as a
whole on an event loop.

A body is judged as a whole before anything of it is taken in (``read``): a message of another
version of this protocol changes nothing, and above all does not mean something else by chance.
"""

from __future__ import annotations

import io
import math
import pickle
from collections.abc import Callable, Mapping
from enum import IntEnum
from typing import Any, NamedTuple

from .envelope import Envelope, RefusedError

__all__ = ["Announcement", "CallMessage", "Kind", "pack", "read", "unpack"]


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
    HANDLED = 17

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
        large: what it reads of large arguments, and else nothing; it is the message's tail.
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
    large: bytes


class _Plain(pickle.Unpickler):
    """Reads plain data, and nothing that has a class."""

    def find_class(self, module: str, name: str) -> Any:
        raise RefusedError("body", f"it names {module}.{name}, where plain data has to be")


def pack(body: tuple[Any, ...]) -> bytes:
    """``body``, which is plain data, as bytes; a tail is not among it."""
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


# -- what each kind consists of --------------------------------------------------------------------

_Check = Callable[[Any], bool]


def _a(*types: type) -> _Check:
    """Whether a value has one of ``types`` itself: ``True`` is no number here."""
    return lambda value: type(value) in types


def _count(value: Any) -> bool:
    return type(value) is int and value >= 0


def _seconds(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


def _limit(value: Any) -> bool:
    return value is None or (_seconds(value) and value > 0)


def _counts(value: Any) -> bool:
    return type(value) is list and all(map(_count, value))


def _definitions(value: Any) -> bool:
    return type(value) is list and all(
        type(item) is tuple
        and len(item) == 5
        and all(type(number) is int for number in item[:4])
        and type(item[4]) is bytes
        for item in value
    )


def _code(value: Any) -> bool:
    if type(value) is not dict or value.keys() != {"python", "package", "cloudpickle", "modules"}:
        return False
    modules = value["modules"]
    texts = [value["python"], value["package"], value["cloudpickle"]]
    if type(modules) is not dict:
        return False
    return all(type(text) is str for text in (*texts, *modules, *modules.values()))


_flag, _text, _bytes = _a(bool), _a(str), _a(bytes)

_BODIES: Mapping[int, tuple[_Check, ...]] = {
    Kind.ANNOUNCEMENT: (_text, _count, _count, _count, _flag, _code, _text, _seconds),
    Kind.QUESTION: (_seconds,),
    Kind.CALL: (
        *(_count, _text, _text, _flag, _limit, _limit, _flag),
        *(_definitions, _bytes),
    ),
    Kind.END: (_count,),
    Kind.TELL: (_count,),
    Kind.AWAITED: (_count, _counts),
    Kind.WANT: (),
    Kind.RETURN: (),
    Kind.LEAVE: (_flag,),
    Kind.HANDLED: (_count, _count),
    Kind.ANSWER: (_count, _count),
    Kind.NOT_BEGUN: (_count, _text, _count, _text),
    Kind.MESSAGE: (_count, _count, _count),
    Kind.GRANT: (_count,),
    Kind.RECORD: (_count, _count, _count, _count),
    Kind.PART: (_count, _count, _count, _count, _count, _count),
    Kind.TAKEN: (_count, _count),
}

_WITH_TAIL = frozenset((Kind.CALL, Kind.TELL, Kind.ANSWER, Kind.MESSAGE, Kind.RECORD, Kind.PART))
"""The kinds that have a tail, which may be empty; the last part of a body that is read."""


def read(envelope: Envelope) -> tuple[Any, ...]:
    """The body of a message, which consists of what its kind consists of.

    Raises:
        RefusedError: it does not, or there is no such kind.
    """
    checks = _BODIES.get(envelope.kind)
    if checks is None:
        raise RefusedError("body", f"there is no kind {envelope.kind} of messages")
    body = unpack(envelope.body)
    if len(body) != len(checks):
        raise RefusedError(
            "body", f"{_name(envelope)} has {len(checks)} parts here, and {len(body)} there"
        )
    for place, check in enumerate(checks):
        if not check(body[place]):
            raise RefusedError(
                "body",
                f"part {place + 1} of {_name(envelope)} is a {type(body[place]).__name__} that it "
                "cannot be here; use the same version on both sides",
            )
    if envelope.kind in _WITH_TAIL:
        return (*body, envelope.tail)
    if envelope.tail:
        raise RefusedError("body", f"{_name(envelope)} has a tail of {len(envelope.tail)} bytes")
    return body


def _name(envelope: Envelope) -> str:
    return f"{Kind(envelope.kind).name} of {envelope.sender!r}"
