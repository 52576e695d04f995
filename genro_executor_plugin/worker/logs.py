# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Log records and warnings of a worker, on their way to the handlers of the server.

A worker has the server's log levels, so that it makes no records that the server would drop. A
record goes to the server with the messages of its call, in order and before the call's result,
and is handled there as if it had been logged there: with the filters and handlers of its logger,
in the context of the caller, and with the attributes ``executor_pool``, ``executor_pid`` and
``executor_route``. ``WorkerLogs`` is the worker's side; ``arrived_record`` and ``show_warning``
run in the server.
"""

from __future__ import annotations

import logging
import pickle
import sys
import traceback
import warnings
from collections.abc import Callable, Collection
from typing import Any

from ..metrics.error_text import shortened
from ..metrics.sentry import CAPTURED, active_sdk
from ..portable.exceptions import pack_as_itself
from ..portable.process_settings import ProcessSettings, all_loggers
from .running import MessageChannel, current

__all__ = ["LOG", "WARNING", "WorkerLogs", "arrived_record", "show_warning"]

LOG = "genro-executor.log"
"""The channel of log records."""

WARNING = "genro-executor.warning"
"""The channel of warnings."""

_MOST_BYTES, _MOST_CHARACTERS = 2**20, 64_000
"""A larger record travels with its texts cut to so many characters: it is for people to read."""

_PLAIN = frozenset({str, int, float, bool, type(None), bytes})


class WorkerLogs(logging.Handler):
    """Sends what is logged in this worker to the server."""

    def __init__(self, messages: MessageChannel, settings: ProcessSettings) -> None:
        super().__init__()
        self._messages = messages
        self._settings = settings
        self.modules: int = 0
        self._kept: list[logging.Handler] = []
        self._plain_showwarning = warnings.showwarning
        self._here: logging.Handler | None = None

    def let_go(self) -> None:
        """Handle records and warnings here from now on, in a child that a handler has forked.

        They go to standard error, which the child shares with the server: what it wrote into the
        worker's socket would get in between the worker's own frames.
        """
        self._here = logging.StreamHandler()
        self._here.setFormatter(logging.Formatter(logging.BASIC_FORMAT))

    def install(self) -> None:
        """Replace every handler that modules have set up until now.

        The server has imported these modules, too, and has the same handlers: a record that is
        handled in both would be logged twice.
        """
        self._settings.apply()
        if not self._settings.captures_warnings:
            warnings.showwarning = self._showwarning
        self._replace(())
        self.modules = len(sys.modules)

    def settle(self, settings: ProcessSettings) -> None:
        """Use ``settings``, to which those of the server have changed, from now on."""
        self._settings = settings
        settings.apply()

    def imported(self) -> None:
        """Replace the handlers of modules that were imported since the last call of this."""
        if len(sys.modules) != self.modules:
            self.modules = len(sys.modules)
            self._replace(self._kept)
            self._settings.apply_levels()

    def keep(self) -> None:
        """Keep the handlers that there are now, which ``on_worker_startup`` has set up."""
        self._kept = [handler for logger in all_loggers() for handler in logger.handlers]

    def _replace(self, kept: Collection[logging.Handler]) -> None:
        for logger in all_loggers():
            ends_here = logger is logging.root or not logger.propagate
            staying = [handler for handler in logger.handlers if handler in kept]
            if ends_here and self not in staying:
                staying.append(self)
            logger.handlers[:] = staying

    def emit(self, record: logging.LogRecord) -> None:
        """Send ``record`` to the server."""
        if self._here is not None:
            self._here.handle(record)
            return
        try:
            self._send(LOG, (record.name, record.levelno, packed_record(record)))
        except OSError:
            pass  # the server is gone, and this process with it
        except Exception:
            self.handleError(record)

    def _send(self, channel: str, value: Any) -> None:
        call = current()
        if call is not None:
            call.send(channel, value)
        else:
            self._messages.send(0, channel, value)

    def _showwarning(
        self,
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: Any = None,
        line: str | None = None,
    ) -> None:
        if file is None and self._here is None:
            try:
                self._send(WARNING, (pickle.dumps((message, category), 5), filename, lineno, line))
            except (pickle.PicklingError, TypeError, AttributeError, OSError):
                pass
            else:
                return
        self._plain_showwarning(message, category, filename, lineno, file, line)


def packed_record(record: logging.LogRecord) -> bytes:
    """``record`` as bytes; what in it cannot travel becomes text."""
    state = dict(record.__dict__)
    packed = None
    if record.exc_info and record.exc_info[1] is not None:
        error = record.exc_info[1]
        packed = pack_as_itself(error)
        if packed is None and not record.exc_text:
            state["exc_text"] = "".join(traceback.format_exception(error)).rstrip()
    state["exc_info"] = None
    if active_sdk() is not None:
        state[CAPTURED] = True  # by the SDK in this worker
    if record.args and not _is_plain(record.args):
        state["msg"], state["args"] = record.getMessage(), None
    try:
        data = pickle.dumps((state, packed), 5)
    except Exception:
        data = pickle.dumps(({name: _travelling(v) for name, v in state.items()}, packed), 5)
    if len(data) <= _MOST_BYTES:
        return data
    state["msg"], state["args"] = record.getMessage(), None
    return pickle.dumps(({name: _cut(value) for name, value in state.items()}, None), 5)


def _cut(value: Any) -> Any:
    """``value`` as it is if it is small, and the beginning and the end of its text if not."""
    value = _travelling(value)
    if len(pickle.dumps(value, 5)) <= _MOST_CHARACTERS:
        return value
    return shortened(value if isinstance(value, str) else repr(value), _MOST_CHARACTERS)


def _is_plain(args: Any) -> bool:
    values = args.values() if isinstance(args, dict) else args
    return all(type(value) in _PLAIN for value in values)


def _travelling(value: Any) -> Any:
    try:
        pickle.dumps(value, 5)
    except Exception:
        return repr(value)
    return value


def arrived_record(
    value: tuple[str, int, bytes],
    pool: str,
    pid: int | None,
    route: str | None,
    take: Callable[[logging.LogRecord], None] | None = None,
) -> None:
    """Handle a record of a worker as if it had been logged here; ``take`` is given it, too."""
    name, level, packed = value
    logger = logging.getLogger(name)
    if not logger.isEnabledFor(level):
        return
    try:
        state, error = pickle.loads(packed)
        record = logging.makeLogRecord(state)
        if error is not None:
            raised = pickle.loads(error)[0]
            record.exc_info = type(raised), raised, raised.__traceback__
    except BaseException as unreadable:  # a class may raise anything when it is unpickled
        logger.log(
            level,
            "a record of this logger came from pool %r and cannot be read: %r",
            pool,
            unreadable,
        )
        return
    record.executor_pool, record.executor_pid, record.executor_route = pool, pid, route
    if take is not None:
        take(record)
    logger.handle(record)


def show_warning(value: tuple[bytes, str, int, str | None]) -> None:
    """Show a warning of a worker the way this process shows its own."""
    packed, filename, lineno, line = value
    try:
        message, category = pickle.loads(packed)
    except BaseException as unreadable:
        message, category = f"(a warning that cannot be read: {unreadable!r})", UserWarning
    warnings.showwarning(message, category, filename, lineno, None, line)
