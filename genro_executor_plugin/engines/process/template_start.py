# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Starts the template process of a pool: its command line, its environment, and its user.

It is started on a thread. The kernel lets whoever starts a process wait until the new program has
been loaded, and on a busy machine that takes as long as it takes.

The command line has what Python needs to find this package and nothing else: one argument may
have 128 KB, and all of them share two megabytes with the environment. What is longer, such as the
command line of the server itself, goes through the control socket (``_settings_for``).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import stat
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

from ...hosts.loaded import HOST_VARIABLE, loaded_host
from ...options.environment import thread_limits
from ...options.lacks import cure_for
from ...options.pool import PoolOptions
from ...options.share import cpu_share
from ...portable.modules import ModuleSources
from ...portable.pickling import why
from .groups import GRACE_SECONDS

__all__ = [
    "CLOSE_SECONDS",
    "SERVER_VARIABLE",
    "TemplateStart",
    "environment_of",
    "never_ready",
    "refusal",
    "wait_for_end",
]

CLOSE_SECONDS = GRACE_SECONDS + 3.0
"""How long the template may take to end, when it has been told to, before it is killed. It ends
what the workers have started first, which has a grace of its own."""

SERVER_VARIABLE = "GENRO_EXECUTOR_SERVER"
"""In a worker's environment: the pid of its server, for tools that look at it from outside."""

_LENGTH = struct.Struct("<I")

_TEMPLATE_CODE = (
    "import sys; sys.path[:] = sys.argv[2:]; "
    "from genro_executor_plugin.engines.process.template import main; "
    "main(int(sys.argv[1]))"
)


def _settings_for(sources: ModuleSources, preload: tuple[str, ...], forks: bool) -> bytes:
    """What the template is sent first: where modules come from, and which to import, with length.

    And whether it is to fork workers, which those modules may make impossible.

    ``template`` reads it with the same format.
    """
    content = json.dumps({**asdict(sources), "preload": preload, "forks": forks}).encode("ascii")
    return _LENGTH.pack(len(content)) + content


def _start_template(
    control: int, sources: ModuleSources, options: PoolOptions
) -> subprocess.Popen[bytes]:
    """Start a template process that serves the socket ``control``.

    Raises:
        OSError: no process can be started, or not as ``options.user``.
    """
    uid, gid, groups = _credentials(options.user)
    with _no_interrupt():
        return subprocess.Popen(
            [
                sys.executable,
                *subprocess._args_from_interpreter_flags(),  # type: ignore[attr-defined]
                "-c",
                _TEMPLATE_CODE,
                str(control),
                *sources.path,
            ],
            stdin=subprocess.DEVNULL,
            cwd=_working_directory(),
            pass_fds=[control],
            # A terminal's Ctrl-C is for the server alone, which then drains its workers.
            start_new_session=True,
            env=environment_of(options),
            user=uid,
            group=gid,
            extra_groups=groups,
        )


class TemplateStart:
    """A template process that is being started on a thread.

    Attributes:
        process: the process, ``None`` until it is there.
        settings: what it is sent first.
        reason: why it could not be started, and the cure.
    """

    def __init__(
        self,
        control: socket.socket,
        options: PoolOptions,
        forks: bool,
        loop: asyncio.AbstractEventLoop,
        done: Callable[[TemplateStart], None],
    ) -> None:
        """Start a template that serves the socket ``control``, which is closed here.

        ``done`` is called on ``loop`` when it is there, or cannot be started.
        """
        self.process: subprocess.Popen[bytes] | None = None
        self.settings: bytes = b""
        self.reason: str = ""
        self._control = control
        self._options = options
        self._forks = forks
        self._loop = loop
        self._done = done
        self._ended = threading.Event()
        thread = threading.Thread(target=self._run, name="genro-executor-template", daemon=True)
        try:
            thread.start()
        except RuntimeError:
            self._run()  # the system has no thread for it

    def _run(self) -> None:
        try:
            sources = ModuleSources.here()
            self.settings = _settings_for(sources, self._options.preload, self._forks)
            self.process = _start_template(self._control.fileno(), sources, self._options)
        except BaseException as error:
            number = error.errno if isinstance(error, OSError) else None
            self.reason = why(error) if number is None else refusal(number)
        finally:
            self._control.close()
        self._ended.set()
        with contextlib.suppress(RuntimeError):  # the event loop is closed, and nobody waits
            self._loop.call_soon_threadsafe(self._done, self)

    def wait(self, seconds: float) -> subprocess.Popen[bytes] | None:
        """The process, once it is there or cannot be started; ``None`` without one by then."""
        self._ended.wait(seconds)
        return self.process

    def let_go(self) -> None:
        """Close the template's socket in a forked child of the server."""
        self._control.close()


def wait_for_end(template: subprocess.Popen[bytes]) -> None:
    """Wait until ``template``, whose socket is closed, has ended; kill it if it does not."""
    try:
        template.wait(CLOSE_SECONDS)
    except subprocess.TimeoutExpired:
        template.kill()  # an import, or a thread of a module that it imported, does not end
        template.wait()


def refusal(number: int) -> str:
    """The error ``number`` of a process that could not be started, in words."""
    cure = cure_for(number)
    words = f"the system refused to start it: {os.strerror(number)}"
    return f"{words}. {cure}" if cure else words


def never_ready(user: str | None) -> str:
    """Why a template that ended before it was ready may have done so, in words."""
    words = (
        "the Python that starts the workers ended before it was ready; the server's standard "
        "error has what it said"
    )
    closed = None if user is None else _closed_to(user)
    return words if closed is None else f"{words}. User {user!r} has to be able to read {closed}"


def _closed_to(user: str) -> Path | None:
    """The first folder of this package or of Python whose mode keeps ``user`` out."""
    import pwd

    entry = pwd.getpwnam(user)
    groups = os.getgrouplist(user, entry.pw_gid)
    package = Path(__file__).parents[2]
    for folder in (*reversed(package.parents), package, *reversed(Path(sys.executable).parents)):
        status = folder.stat()
        if status.st_uid == entry.pw_uid:
            needed = stat.S_IXUSR
        elif status.st_gid in groups:
            needed = stat.S_IXGRP
        else:
            needed = stat.S_IXOTH
        if entry.pw_uid and not status.st_mode & needed:
            return folder
    return None


def environment_of(options: PoolOptions) -> dict[str, str]:
    """The environment of the template, which every worker has before its own code runs."""
    given = {**os.environ, **_home(options.user), **options.env.of_all()}
    cpus = cpu_share() if options.cpu_affinity is None else len(options.cpu_affinity)
    limits = thread_limits(cpus, options.max_workers, {**given, **options.env.of_one(0)})
    # A worker imports what a call needs, in whatever order: it cannot choose a host anew.
    host = loaded_host()
    chosen = {HOST_VARIABLE: host} if host is not None else {}
    return {**limits, **given, **chosen, SERVER_VARIABLE: str(os.getpid())}


def _working_directory() -> str | None:
    """``None`` for that of this process; the root where that is deleted: Python needs one."""
    try:
        os.getcwd()
    except FileNotFoundError:
        return "/"
    return None


def _home(user: str | None) -> dict[str, str]:
    """The variables that tell a process whose it is."""
    if user is None:
        return {}
    import pwd

    return {"HOME": pwd.getpwnam(user).pw_dir, "USER": user, "LOGNAME": user}


def _credentials(user: str | None) -> tuple[int | None, int | None, list[int] | None]:
    """The ids of ``user`` and of all its groups; ``None`` for those that stay as they are."""
    if user is None:
        return None, None, None
    import pwd

    entry = pwd.getpwnam(user)
    if os.geteuid() == entry.pw_uid:
        return None, None, None  # it is that user already, and may not set its groups
    return entry.pw_uid, entry.pw_gid, os.getgrouplist(user, entry.pw_gid)


@contextlib.contextmanager
def _no_interrupt() -> Iterator[None]:
    """Block SIGINT while a template is started.

    The template inherits the mask: a Ctrl-C that comes before it has a session of its own stays
    pending there, and ``template.main`` drops it.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
