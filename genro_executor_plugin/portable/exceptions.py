# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""How an exception travels from a worker to the caller.

It arrives with its type, arguments, attributes, notes, ``__cause__`` and the remote frames
(tblib), and with the remote traceback as text at the root of its causes. What it holds and what
cannot travel is replaced by its ``repr``. The round trip is tried in the worker; an exception
whose type does not survive it travels as a ``RemoteError``, one of the host's HTTP exceptions as
a plain HTTP exception with the same status, detail and headers. Nothing
here depends on what kind of worker raised the exception.
"""

from __future__ import annotations

import io
import pickle
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from time import monotonic
from types import FunctionType, TracebackType
from typing import Any

from ..errors import RemoteError, RemoteTraceback
from ..hosts.loaded import plain_http_exception
from ..metrics.error_text import shortened, text_of
from .main_module import MAIN_ALIAS
from .pickling import CarefulPickler, StoredPickler, dumps
from .references import describe
from .tracebacks import function_frames, pack_traceback

__all__ = [
    "as_of_the_function",
    "pack_as_itself",
    "pack_failure",
    "pack_stored_failure",
    "raisable",
    "unpack_failure",
]

# Python 3.15 loads a part of this when it formats the first traceback. Where that tells of a lack
# of file descriptors, nothing can be loaded any more.
traceback.format_exception_only(ValueError())

_LONGEST_REPR = 1000
"""How many characters there are at most of what is shown in place of a value."""
_MOST_BYTES = 8 * 2**20
"""A larger exception travels as a ``RemoteError``, with its text only."""

_MESSAGE_CHARACTERS, _MOST_CHARACTERS = 8_000, 64_000
"""How much, at most, is kept of an exception's message and of its traceback, as text."""

_SLOW_SECONDS = 0.25
"""An exception whose text takes longer than this stops the server whenever it is logged."""


def _reduce(obj: Any) -> Any:
    if isinstance(obj, TracebackType):
        return pack_traceback(obj)
    return _reduce_stored(obj)


def _reduce_stored(obj: Any) -> Any:
    from tblib.pickling_support import pickle_exception, pickle_traceback, unpickle_exception

    if isinstance(obj, TracebackType):
        return pickle_traceback(obj)
    if not isinstance(obj, BaseException):
        return NotImplemented
    if isinstance(type(obj).__init__, FunctionType):
        return pickle_exception(obj)  # it is rebuilt without a call of that __init__
    reduced: Any = obj.__reduce__()
    func, args, *state = reduced
    chain = obj.__cause__, obj.__traceback__, obj.__context__, obj.__suppress_context__
    notes = getattr(obj, "__notes__", None)
    return unpickle_exception, (func, args, *chain, notes), *state


def _reduce_what_travels(obj: Any) -> Any:
    """As ``_reduce``, with the ``repr`` of what an exception holds and what cannot travel."""
    return _with_travelling_parts(obj, _reduce(obj))


def _reduce_stored_what_travels(obj: Any) -> Any:
    return _with_travelling_parts(obj, _reduce_stored(obj))


def _with_travelling_parts(obj: Any, reduced: Any) -> Any:
    if not isinstance(obj, BaseException):
        return reduced
    rebuild, (func, values, *chain), *state = reduced
    return rebuild, (func, _travelling(values), *chain), *map(_travelling, state)


def _travelling(values: Any) -> Any:
    if isinstance(values, dict):
        return {name: _travelling_part(value) for name, value in values.items()}
    if isinstance(values, tuple):
        return tuple(map(_travelling_part, values))
    return values


def _travelling_part(value: Any) -> Any:
    try:
        pickle.loads(dumps(value))
    except Exception:
        # tblib has the attributes and the arguments one level below.
        return _travelling(value) if type(value) in (dict, tuple) else _shown(value)
    return value


def _shown(value: Any) -> str:
    try:
        return repr(value)[:_LONGEST_REPR]
    except Exception:
        return f"<{describe(type(value))}>"


def _dumps(
    error: BaseException,
    text: str,
    pickler: type[CarefulPickler],
    reduce: Callable[[Any], Any],
) -> bytes:
    buffer = io.BytesIO()
    pickler(buffer, reduce).dump((error, text))
    return buffer.getvalue()


def pack_failure(error: BaseException) -> bytes:
    """``error``, or a substitute if it cannot travel, as bytes for ``unpack_failure``."""
    return _pack(error, CarefulPickler, _reduce, _reduce_what_travels)


def pack_stored_failure(error: BaseException) -> bytes:
    """As ``pack_failure``, as bytes that later versions of this package read, too."""
    return _pack(error, StoredPickler, _reduce_stored, _reduce_stored_what_travels)


def _pack(
    error: BaseException,
    pickler: type[CarefulPickler],
    reduce: Callable[[Any], Any],
    reduce_what_travels: Callable[[Any], Any],
) -> bytes:
    lines = traceback.format_exception(type(error), error, function_frames(error.__traceback__))
    text = shortened("".join(lines), _MOST_CHARACTERS)
    # A class of the main module has another module's name in a worker.
    text = text.replace(f"{MAIN_ALIAS}.", "__main__.")
    if _may_leave_as_itself(error):
        packed = (
            _dumps_itself(error, text, pickler, reduce)
            or _dumps_itself(error, text, pickler, reduce_what_travels)
            or _dumps_itself(_bare(error), text, pickler, reduce)
            or _dumps_itself(error, text, pickler, reduce_what_travels)
        )
        if packed is not None:
            return packed
    try:
        answer = plain_http_exception(error) if _may_leave_as_itself(error) else None
        # If there is one, the client gets it, whatever became of the type.
        told = _substitute(error, text) if answer is None else answer
        return _dumps(told, text, pickler, reduce)
    except (ImportError, OSError):  # no descriptor is left to import with what it takes
        return _dumps_plainly(error, text)


def _dumps_plainly(error: BaseException, text: str) -> bytes:
    """As ``_pack``, without frames and causes, and without an import."""
    if type(error).__module__ == "builtins" and _may_leave_as_itself(error):
        with suppress(Exception):  # its arguments are the user's; the substitute has texts only
            return pickle.dumps((error, text), 5)
    return pickle.dumps((_substitute(error, text), text), 5)


def pack_as_itself(error: BaseException) -> bytes | None:
    """``error`` with its frames and causes as bytes, ``None`` if it does not survive that.

    ``pickle.loads(...)[0]`` is the error again. ``error`` itself is not changed.
    """
    return _dumps_itself(error, "", CarefulPickler, _reduce)


def _bare(error: BaseException) -> BaseException:
    """Take the frames and causes off ``error``: those of a deep recursion do not pickle."""
    error.__traceback__ = error.__cause__ = error.__context__ = None
    return error


def _dumps_itself(
    error: BaseException,
    text: str,
    pickler: type[CarefulPickler],
    reduce: Callable[[Any], Any],
) -> bytes | None:
    """``error`` as bytes, ``None`` if it does not survive pickling and unpickling."""
    survivor = None
    try:
        packed = _dumps(error, text, pickler, reduce)
        survivor = pickle.loads(packed)[0]
        str(survivor)
        survives = type(survivor).__name__ == type(error).__name__
    except BaseException:  # whatever a class raises when it is unpickled, it does not survive
        return None
    finally:
        # Its frames lead back to this one, and from here to what the call was given.
        del survivor
    return packed if survives and len(packed) <= _MOST_BYTES else None


def _may_leave_as_itself(error: BaseException) -> bool:
    """Whether ``error`` may be raised in the server.

    Some may not: they would end the server, cancel its caller, or break a coroutine.
    """
    return isinstance(error, Exception) and not isinstance(error, StopIteration)


def raisable(error: BaseException) -> BaseException:
    """``error``, or a substitute for one that a future does not take or that ends the server."""
    if _may_leave_as_itself(error):
        return error
    raised = RuntimeError(f"{type(error).__name__}: {text_of(error)} was raised in a call")
    raised.__cause__ = error
    return raised


def _substitute(error: BaseException, text: str) -> RemoteError:
    name = describe(type(error))
    message = shortened(text_of(error), _MESSAGE_CHARACTERS)
    return RemoteError(f"{name}: {message}", type_name=name, remote_traceback=text)


def _quick_to_read(error: BaseException, text: str) -> BaseException:
    """``error``, or a substitute with its text in the worker if its own one takes long here."""
    for _ in range(2):  # it was slow if it is slow again, and not only because the machine is busy
        began = monotonic()
        text_of(error)
        if monotonic() - began < _SLOW_SECONDS:
            return error
    name = describe(type(error))
    last = text.rstrip().rpartition("\n")[2]
    message = shortened(last, _MESSAGE_CHARACTERS)
    return RemoteError(message, type_name=name, remote_traceback=text)


def unpack_failure(
    packed: bytes | memoryview, loads: Callable[[Any], Any] = pickle.loads
) -> BaseException:
    """The exception in ``packed``, ready to be raised here; ``stored.loads`` for a stored one."""
    try:
        error: BaseException
        # Rebuilt frames lead back to those that are running: to a generator's, which ends there,
        # and not to all that is on this stack.
        error, text = next(_rebuilt(packed, loads))
        error = _quick_to_read(raisable(error), text)
    except BaseException as unreadable:  # a class may raise anything when it is unpickled
        return RemoteError(
            "the function failed, and its exception cannot be read here: "
            f"{type(unreadable).__name__}: {text_of(unreadable)}"
        )
    root, seen = error, set()
    while root.__cause__ is not None and id(root) not in seen:
        seen.add(id(root))
        root = root.__cause__
    if root.__cause__ is None:
        _set_cause(root, RemoteTraceback(text))
    return error


def _rebuilt(packed: bytes | memoryview, loads: Callable[[Any], Any]) -> Iterator[Any]:
    yield loads(packed)


def as_of_the_function(error: BaseException) -> BaseException:
    """``error`` as the function itself has raised it: its own frames, and nothing said twice.

    The frames of this package are left out, and so is the remote traceback as text, which says
    what the remote frames say. Without remote frames the text stays.
    """
    frames = function_frames(error.__traceback__)
    if frames is error.__traceback__:
        return error
    root, seen = error, set()
    while root.__cause__ is not None and id(root) not in seen:
        seen.add(id(root))
        if isinstance(root.__cause__, RemoteTraceback):
            _set_cause(root, None)
            break
        root = root.__cause__
    return error.with_traceback(frames)


def _set_cause(error: BaseException, cause: BaseException | None) -> None:
    """Set the cause of ``error``, and leave alone whether its context is shown."""
    suppressed = error.__suppress_context__
    error.__cause__ = cause
    error.__suppress_context__ = suppressed
