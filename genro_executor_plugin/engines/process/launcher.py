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

from ...options.lacks import cure_for
from ...options.pool import PoolOptions
from ...portable.main_module import expose_main
from ...portable.modules import ModuleSources
from .exit_report import ExitReport
from .groups import GRACE_SECONDS, signal_all, tree
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
from .template_start import never_ready, settings_for, start_template

__all__ = ["Launcher"]

_logger = logging.getLogger("genro_executor_plugin")

_CLOSE_SECONDS = GRACE_SECONDS + 3.0
"""How long the template may take to end, when it has been told to, before it is killed. It ends
what the workers have started first, which has a grace of its own."""

_SILENT_SECONDS = 5.0
"""How long a template may take to answer when it has its modules, before it is replaced."""


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
        self._heard = self._asked = False
        self._watch: asyncio.TimerHandle | None = None

    def start_worker(self, descriptors: list[int], on_exit: Callable[[ExitReport], None]) -> int:
        """Start a worker; ``on_exit`` is called once when it has ended.

        Args:
            descriptors: its socket, its lifeline, its ends of the claims and of the handover.
            on_exit: is given the report of how it ended.

        Returns:
            the worker's key, for ``kill`` and ``forget``.
        """
        self._keys += 1
        key = self._keys
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
        if not self._outgoing:
            message.send(self._control)
            if not message.data:
                return
            self._loop.add_writer(self._control, self._writable)
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
        if self._control is not None and key not in self._orphans:
            try:
                self._send(REQUEST.pack(KILL, key, signal.SIGKILL))
                self._watch_template()
                return
            except ConnectionError:
                self._template_is_gone()
        if key in self._pids:  # no template is there to end what it has started
            signal_all(tree(self._pids[key]), signal.SIGKILL)

    def _watch_template(self) -> None:
        """Have a template that does not answer any more, because it was stopped, replaced."""
        self._asked = True
        if self._watch is None and self._has_modules and self._control is not None:
            assert self._loop is not None
            self._heard = self._asked = False
            with contextlib.suppress(OSError):
                self._control.send(REQUEST.pack(PING, 0, 0))
            self._watch = self._loop.call_later(_SILENT_SECONDS, self._look)

    def _look(self) -> None:
        self._watch = None
        if self._heard:
            if self._asked:  # the answer may be older than what it was asked last
                self._watch_template()
        elif self._process is not None:
            _logger.error(
                "the template process %s has not answered for %g s; it is replaced",
                self._process.pid,
                _SILENT_SECONDS,
            )
            self._process.kill()
            self._template_is_gone(again=True)

    def give_up(self, key: int) -> None:
        """As ``kill``, for a worker that has not started in time."""
        if self._process is None or key in self._pids:
            self.kill(key)
        elif key in self._on_exit:
            self._process.kill()  # the template itself is stuck; every start it was asked for fails

    async def close(self) -> None:
        """End the template, and with it every worker that is still there."""
        if self._control is not None:
            assert self._gone is not None
            self._control.shutdown(socket.SHUT_WR)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._gone.wait(), _CLOSE_SECONDS)
            if self._control is not None:  # it is stuck, for instance in the import of a module
                assert self._process is not None
                self._process.kill()
                self._template_is_gone()
        ended, self._ended_templates = self._ended_templates, []
        for process in ended:
            await asyncio.to_thread(_ended, process)

    def abandon(self) -> None:
        """End the template without its event loop, which is closed already."""
        if self._control is not None:
            self._control.close()
            self._control = None
        if self._process is not None:
            self._ended_templates.append(self._process)
            self._process = None
        for process in self._ended_templates:
            _ended(process)

    def let_go(self) -> None:
        """Close the socket to the template in a forked child; the template is the parent's."""
        if self._control is not None:
            self._control.close()
            self._control = None

    def _start_template(self) -> None:
        expose_main()
        sources = ModuleSources.here()
        mine, theirs = socket.socketpair()
        with theirs, contextlib.ExitStack() as undo:
            undo.callback(mine.close)
            self._process = start_template(theirs.fileno(), sources, self._options)
            undo.pop_all()
        self._control = mine
        self._control.setblocking(False)
        self._gone = asyncio.Event()
        self._buffer = b""
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._control, self._read)
        self._send(settings_for(sources, self._options.preload, self._what == FORK))

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
        self._heard = self._has_modules = True
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
                self._ended(key, ExitReport(None, reason=_refusal(number)))

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

    def _template_is_gone(self, *, again: bool = False) -> None:
        """Take in that the template has ended; workers that it has not killed go on as orphans.

        With ``again`` the starts that it was asked for are tried again at once.
        """
        assert self._control is not None
        assert self._loop is not None
        assert self._gone is not None
        self._loop.remove_reader(self._control)
        self._loop.remove_writer(self._control)
        self._control.close()
        self._control = None
        reason = "" if again or self._has_modules else never_ready(self._options.user)
        self._has_modules = False
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
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
                self._ended(key, ExitReport(None, reason=reason, again=again))

    def forget(self, key: int) -> None:
        """Report worker ``key``, whose socket closed, as ended if no template can tell how."""
        if self._control is None or key in self._orphans:
            self._ended(key, ExitReport(None))
        elif key in self._on_exit:
            self._forgotten.add(key)


def _ended(template: subprocess.Popen[bytes]) -> None:
    """Wait until ``template``, whose socket is closed, has ended; kill it if it does not."""
    try:
        template.wait(_CLOSE_SECONDS)
    except subprocess.TimeoutExpired:
        template.kill()  # an import, or a thread of a module that it imported, does not end
        template.wait()


def _refusal(number: int) -> str:
    """The error ``number`` of a template that could not start a worker, in words."""
    cure = cure_for(number)
    words = f"the system refused to start it: {os.strerror(number)}"
    return f"{words}. {cure}" if cure else words
