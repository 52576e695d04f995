# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Starts and kills worker processes through a pool's template process, and learns of their ends.

Everything is a message on one socket that the event loop watches: nothing here blocks, no
thread waits for a child, and no pid is signalled that might already belong to another process.
It knows processes by a key, and nothing of calls.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import subprocess
from collections import deque
from collections.abc import Callable, Sequence

from ...options.pool import PoolOptions
from ...portable.main_module import expose_main
from .exit_report import ExitReport
from .groups import signal_all, tree
from .outgoing import Outgoing
from .template import (
    EVENT,
    EXITED,
    FORK,
    FOUND,
    KILL,
    NOT_STARTED,
    PING,
    REQUEST,
    SPAWN,
    STARTED,
)
from .template_start import CLOSE_SECONDS, TemplateStart, never_ready, refusal, wait_for_end
from .template_watch import TemplateWatch

__all__ = ["Launcher"]

_logger = logging.getLogger("genro_executor_plugin")


class Launcher:
    """Starts workers through a template process, which it starts with the first one."""

    def __init__(self, options: PoolOptions, not_forked: Callable[[str], None]) -> None:
        """Start workers later.

        Args:
            options: the options of the pool.
            not_forked: called with what modules have made that forked workers must not share, for
                which reason workers are spawned.
        """
        self._options = options
        self._not_forked = not_forked
        self._what = SPAWN if options.start_method == "spawn" else FORK
        self._starting: TemplateStart | None = None
        self._started = asyncio.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._ended_templates: list[subprocess.Popen[bytes]] = []
        self._control: socket.socket | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._buffer = b""
        self._outgoing: deque[Outgoing] = deque()
        self._on_exit: dict[int, Callable[[ExitReport], None]] = {}
        self._pids: dict[int, int] = {}
        self._orphans: set[int] = set()
        self._forgotten: set[int] = set()
        self._keys = 0
        self._gone: asyncio.Event | None = None
        self._has_modules = False
        self._watch = TemplateWatch(self._ping, self._replace_template)

    @property
    def has_workers(self) -> bool:
        """Whether a worker that it was asked for has not ended."""
        return bool(self._on_exit)

    def start_worker(self, descriptors: list[int], on_exit: Callable[[ExitReport], None]) -> int:
        """Start a worker; ``on_exit`` is called once when it has ended.

        Args:
            descriptors: its socket, its lifeline, its ends of the claims and of the handover.
            on_exit: is given the report of how it ended.

        Returns:
            the worker's key, for ``kill`` and ``forget``.
        """
        key = self._keys = self._keys + 1
        request = REQUEST.pack(self._what, key, 0)
        if not self._request(request, descriptors):
            self._start_template()
            if not self._request(request, descriptors):
                raise ConnectionError("the template process ended as soon as it was started")
        self._on_exit[key] = on_exit
        self._watch_template()
        return key

    def _request(self, request: bytes, descriptors: list[int]) -> bool:
        """Send ``request``; ``False`` if there is no template, or it turns out to be gone."""
        if self._control is None:
            return False
        try:
            self._send(request, descriptors)
        except ConnectionError:
            self._template_is_gone()  # the event loop has not noticed it yet
            return False
        return True

    def _send(self, data: bytes, descriptors: Sequence[int] = ()) -> None:
        """Send ``data`` to the template, now or when its socket takes it: it may be busy.

        Raises:
            ConnectionError: it is gone.
            OSError: there is no descriptor for what has to wait.
        """
        assert self._control is not None
        assert self._loop is not None
        message = Outgoing(data, descriptors)
        if not self._outgoing and self._starting is None:
            message.send(self._control)
            if not message.data:
                return
            self._loop.add_writer(self._control, self._guarded, self._writable)
        message.keep()
        self._outgoing.append(message)

    def _writable(self) -> None:
        assert self._control is not None
        assert self._loop is not None
        try:
            while self._outgoing:
                self._outgoing[0].send(self._control)
                if self._outgoing[0].data:
                    return
                self._outgoing.popleft().close()
        except OSError:
            self._template_is_gone()
        else:
            self._loop.remove_writer(self._control)

    def kill(self, key: int) -> None:
        """End worker ``key`` with SIGKILL. Nothing happens if it has ended."""
        if key not in self._on_exit:
            return
        if self.signal(key, signal.SIGKILL):
            self._watch_template()
        elif key in self._pids:  # no template is there to end what it has started
            signal_all(tree(self._pids[key]), signal.SIGKILL)

    def signal(self, key: int, number: int) -> bool:
        """Have worker ``key`` sent a signal; ``False`` if there is no template that could."""
        if key not in self._on_exit or key in self._orphans:
            return False
        return self._request(REQUEST.pack(KILL, key, number), [])

    def _watch_template(self) -> None:
        """Have a template that does not answer any more, because it was stopped, replaced."""
        if self._has_modules and self._control is not None:
            assert self._loop is not None
            self._watch.expect(self._loop)

    def _ping(self) -> None:
        assert self._control is not None
        with contextlib.suppress(OSError):
            self._control.send(REQUEST.pack(PING, 0, 0))

    def _replace_template(self, what: str, error: BaseException | None = None) -> None:
        """End the template because of ``what``; the workers that it was to start are not lost."""
        if self._process is not None:
            pid = self._process.pid
            _logger.error("the template process %s %s; it is replaced", pid, what, exc_info=error)
            self._process.kill()
            self._template_is_gone(again=True)

    def _guarded(self, callback: Callable[[], None]) -> None:
        try:
            callback()
        except Exception as error:
            self._replace_template("has said something that was lost", error)

    def give_up(self, key: int) -> None:
        """As ``kill``, for a worker that has not started in time."""
        if self._starting is not None:
            self._template_is_gone(reason="the template process could not be started in time")
        elif self._process is None or key in self._pids:
            self.kill(key)
        elif key in self._on_exit:
            self._process.kill()  # the template itself is stuck; every start it was asked for fails

    async def close(self) -> None:
        """End the template, and with it every worker that is still there."""
        if self._starting is not None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._started.wait(), CLOSE_SECONDS)
            if self._starting is not None:
                self._template_is_gone()
        if self._control is not None:
            assert self._gone is not None
            self._control.shutdown(socket.SHUT_WR)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._gone.wait(), CLOSE_SECONDS)
            if self._control is not None:  # it is stuck, for instance in the import of a module
                assert self._process is not None
                self._process.kill()
                self._template_is_gone()
        ended, self._ended_templates = self._ended_templates, []
        for process in ended:
            await asyncio.to_thread(wait_for_end, process)

    def abandon(self) -> None:
        """End the template without its event loop, which is closed already."""
        if self._control is not None:
            self._control.close()
            self._control = None
        if self._starting is not None:
            self._process = self._starting.wait(CLOSE_SECONDS)
            self._starting = None
        if self._process is not None:
            self._ended_templates.append(self._process)
            self._process = None
        for process in self._ended_templates:
            wait_for_end(process)

    def let_go(self) -> None:
        """Close the socket to the template in a forked child; the template is the parent's."""
        if self._control is not None:
            self._control.close()
            self._control = None
        if self._starting is not None:
            self._starting.let_go()
            self._starting = None

    def _start_template(self) -> None:
        """Have a template started; what it is sent waits until it is there."""
        expose_main()
        mine, theirs = socket.socketpair()
        mine.setblocking(False)
        self._control = mine
        self._gone = asyncio.Event()
        self._buffer = b""
        self._loop = asyncio.get_running_loop()
        forks = self._what == FORK
        self._started.clear()
        self._starting = TemplateStart(
            theirs, self._options, forks, self._loop, self._template_started
        )

    def _template_started(self, start: TemplateStart) -> None:
        if start is not self._starting:  # it was given up meanwhile
            if start.process is not None:
                self._ended_templates.append(start.process)
            return
        self._starting = None
        self._started.set()
        if start.process is None:
            self._template_is_gone(reason=start.reason)
            return
        assert self._control is not None
        assert self._loop is not None
        self._process = start.process
        self._loop.add_reader(self._control, self._guarded, self._read)
        self._outgoing.appendleft(Outgoing(start.settings, ()))
        self._loop.add_writer(self._control, self._guarded, self._writable)
        self._guarded(self._writable)

    def _read(self) -> None:
        assert self._control is not None
        try:
            data = self._control.recv(64 * 1024)
        except BlockingIOError:
            return
        except ConnectionError:
            data = b""
        if not data:
            self._template_is_gone()
            return
        self._has_modules = True
        self._watch.heard()
        self._buffer += data
        while len(self._buffer) >= EVENT.size:
            what, key, number, memory = EVENT.unpack_from(self._buffer)
            end = EVENT.size + (number if what == FOUND else 0)
            if len(self._buffer) < end:
                return
            text, self._buffer = self._buffer[EVENT.size : end], self._buffer[end:]
            if what == FOUND:
                self._not_forked(text.decode())
            elif what == STARTED:
                self._pids[key] = number
            elif what == EXITED:
                self._ended(key, ExitReport(os.waitstatus_to_exitcode(number), memory))
            elif what == NOT_STARTED:
                self._ended(key, ExitReport(None, reason=refusal(number)))

    def _ended(self, key: int, report: ExitReport) -> None:
        self._pids.pop(key, None)
        self._orphans.discard(key)
        self._forgotten.discard(key)
        on_exit = self._on_exit.pop(key, None)
        if on_exit is not None:
            try:
                on_exit(report)
            except Exception:  # the ends of other workers may have arrived with this one
                _logger.exception("the end of worker %s could not be taken in", key)

    def _template_is_gone(self, *, again: bool = False, reason: str = "") -> None:
        """Take in that the template has ended; workers that it has not killed go on as orphans.

        With ``again`` the starts that it was asked for are tried again at once; ``reason`` tells
        why they were impossible.
        """
        assert self._control is not None
        assert self._loop is not None
        assert self._gone is not None
        self._loop.remove_reader(self._control)
        self._loop.remove_writer(self._control)
        self._control.close()
        self._control = None
        supposed = "" if again or self._has_modules else never_ready(self._options.user)
        self._has_modules = False
        self._starting = None
        self._started.set()
        self._watch.stop()
        while self._outgoing:
            self._outgoing.popleft().close()
        if self._process is not None:
            self._ended_templates.append(self._process)
            self._process = None
        self._orphans.update(self._pids)
        self._gone.set()  # what follows may start another one
        for key in list(self._on_exit):
            if key not in self._pids or key in self._forgotten:
                # It was asked for, and never started.
                self._ended(key, ExitReport(None, again=again, reason=reason, supposed=supposed))

    def forget(self, key: int) -> None:
        """Report worker ``key``, whose socket closed, as ended if no template can tell how."""
        if self._control is None or key in self._orphans:
            self._ended(key, ExitReport(None))
        elif key in self._on_exit:
            self._forgotten.add(key)
