# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Starts the template process of a pool: its command line, its environment, and its user.

The command line has what Python needs to find this package and nothing else: one argument may
have 128 KB, and all of them share two megabytes with the environment. What is longer, such as the
command line of the server itself, goes through the control socket (``settings_for``).
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import stat
import struct
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from ...options.environment import thread_limits
from ...options.granted import granted_cpus
from ...options.pool import PoolOptions
from ...portable.modules import ModuleSources

__all__ = ["SERVER_VARIABLE", "environment_of", "never_ready", "settings_for", "start_template"]

SERVER_VARIABLE = "GENRO_EXECUTOR_SERVER"
"""In a worker's environment: the pid of its server, for tools that look at it from outside."""

_LENGTH = struct.Struct("<I")

_TEMPLATE_CODE = (
    "import sys; sys.path[:] = sys.argv[2:]; "
    "from genro_executor_plugin.engines.process.template import main; "
    "main(int(sys.argv[1]))"
)


def settings_for(sources: ModuleSources, preload: tuple[str, ...], forks: bool) -> bytes:
    """What the template is sent first: where modules come from, and which to import, with length.

    And whether it is to fork workers, which those modules may make impossible.

    ``template`` reads it with the same format.
    """
    content = json.dumps({**asdict(sources), "preload": preload, "forks": forks}).encode("ascii")
    return _LENGTH.pack(len(content)) + content


def start_template(
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
    cpus = granted_cpus() if options.cpu_affinity is None else len(options.cpu_affinity)
    limits = thread_limits(cpus, options.max_workers, {**given, **options.env.of_one(0)})
    return {**limits, **given, SERVER_VARIABLE: str(os.getpid())}


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
