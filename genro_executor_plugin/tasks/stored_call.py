# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Calls of long jobs as bytes that still mean something when the server has been restarted.

Functions and classes are named, never copied: a copy would run yesterday's code. Applications
and sections are named, too, by their code and path: the server that runs the job has its own.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import FunctionType
from typing import Any

from ..errors import SerializationError
from ..portable.pickling import StoredPickler, why
from ..portable.references import describe, reference_to
from ..portable.state.source import is_routing
from ..portable.stored import finding, loads, served_instance

__all__ = ["Parcel", "pack", "unpack"]


@dataclass(frozen=True, slots=True)
class Parcel:
    """A call to be made later.

    Attributes:
        route: application code and path of the handler, empty for a function.
        func: the function, ``None`` for a handler.
        args: its positional arguments.
        kwargs: its keyword arguments.
    """

    route: str
    func: Callable[..., Any] | None
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = field(default_factory=dict)


class _NotNamedError(Exception):
    """Says what cannot be named."""


class _Pickler(StoredPickler):
    def __init__(self, file: io.BytesIO, address: Callable[[Any], str]) -> None:
        def special(obj: Any) -> Any:
            return (served_instance, (address(obj),)) if is_routing(obj) else NotImplemented

        super().__init__(file, special)

    def reducer_override(self, obj: Any) -> Any:
        if (
            isinstance(obj, FunctionType | type)
            and getattr(obj, "__module__", None) != "builtins"
            and reference_to(obj) is None
        ):
            raise _NotNamedError(
                f"{describe(obj)} can be found under no name, so it would not be found after a "
                "restart; define it at the top level of a module"
            )
        return super().reducer_override(obj)


def pack(parcel: Parcel, title: str, address: Callable[[Any], str]) -> bytes:
    """``parcel`` as bytes.

    Args:
        parcel: the call.
        title: its name, for messages.
        address: gives the address of an application or a section.

    Raises:
        SerializationError: naming what cannot be stored, the reason and the cure.
    """
    try:
        return _dumps((parcel.route, parcel.func, parcel.args, parcel.kwargs), address)
    except Exception as error:
        for name, value in _pieces(parcel):
            reason = _reason(value, address)
            if reason is not None:
                raise SerializationError(
                    f"{name} of the long job {title} cannot be stored: {reason}"
                ) from error
        raise SerializationError(
            f"the long job {title} cannot be stored: {_words(error)}"
        ) from error


def _dumps(value: Any, address: Callable[[Any], str]) -> bytes:
    buffer = io.BytesIO()
    _Pickler(buffer, address).dump(value)
    return buffer.getvalue()


def _pieces(parcel: Parcel) -> Iterator[tuple[str, Any]]:
    yield "the function", parcel.func
    for number, value in enumerate(parcel.args, 1):
        yield f"argument #{number}", value
    for name, value in parcel.kwargs.items():
        yield f"argument {name!r}", value


def _reason(value: Any, address: Callable[[Any], str]) -> str | None:
    try:
        _dumps(value, address)
    except Exception as error:
        return _words(error)
    return None


def _words(error: BaseException) -> str:
    return str(error) if isinstance(error, _NotNamedError) else why(error)


def unpack(content: bytes, find: Callable[[str], Any]) -> Parcel:
    """The parcel in ``content``.

    Args:
        content: what ``pack`` made.
        find: gives the application or section of an address.

    Raises:
        SerializationError: it cannot be read here, and why.
    """
    try:
        with finding(find):
            route, func, args, kwargs = loads(content)
        return Parcel(route, func, args, kwargs)
    except Exception as error:
        raise SerializationError(
            f"the stored call cannot be read: {why(error)}. Its modules must import in this "
            "server, and have what the job was submitted with"
        ) from error
