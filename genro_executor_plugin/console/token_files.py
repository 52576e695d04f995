# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The tokens of the consoles that run, in files that only their user can read.

``genro-executor top`` finds the token of a server of the same user there, by the port that the
server's process listens on. Server processes that the same process has started (``uvicorn
--workers 2``), or that share the folder of long jobs, find each other there, and ask for one token
together.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

__all__ = [
    "TOKEN_HEADER",
    "TOKEN_VARIABLE",
    "TokenFile",
    "consoles_of",
    "publish",
    "tokens_of_port",
]

TOKEN_VARIABLE = "GENRO_EXECUTOR_CONSOLE_TOKEN"
"""The environment variable that has the token, where it is to survive the server."""

TOKEN_HEADER = "genro-executor-token"
"""Not ``Authorization``: genro-asgi answers 401 to one that it does not know, before the console
is asked."""

_logger = logging.getLogger("genro_executor_plugin")

_FOLDER = "genro-executor-plugin"
_LARGEST_BYTES = 4096


@dataclass(frozen=True, slots=True)
class TokenFile:
    """The token of one server.

    Attributes:
        pid: its process.
        started: when it was started, in seconds since the epoch: pids are used again.
        parent: the process that has started it.
        token: what its console asks for.
        group: what it has in common with other processes of the same server, empty for nothing.
        path: where that is written down.
    """

    pid: int
    started: float
    parent: int
    token: str
    group: str
    path: Path

    @property
    def alive(self) -> bool:
        """Whether that process still runs."""
        return _started_at(self.pid) == self.started

    def remove(self) -> None:
        """Remove it: its server ends."""
        with suppress(OSError):
            self.path.unlink()


def publish(token: str | None, group: str = "") -> TokenFile:
    """Write the token of this process down, and return it; a new one if ``token`` is ``None``.

    Where a process that runs has the same parent or the same ``group``, the new one is that
    one's. Nothing is written where there is no place for it: ``top`` needs the token on its
    command line then.
    """
    pid, parent = os.getpid(), os.getppid()
    started = _started_at(pid) or 0.0
    path = _folder() / f"{pid}-{secrets.token_hex(4)}.json"  # a process may have several servers
    try:
        with _locked():
            for other in list(_files()):
                if not other.alive:
                    other.remove()
                elif token is None and (other.parent == parent or (group and other.group == group)):
                    token = other.token
            token = token or secrets.token_urlsafe(24)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            with open(os.open(path, flags, 0o600), "w", encoding="ascii") as file:
                facts = {"pid": pid, "started": started, "parent": parent, "token": token}
                json.dump({**facts, "group": group}, file)
    except OSError as error:
        _logger.info("the console's token is not written down: %s", error)
    return TokenFile(pid, started, parent, token or secrets.token_urlsafe(24), group, path)


def tokens_of_port(port: int) -> list[str]:
    """The tokens of this user's servers that listen on ``port``.

    A token is never given to a port that its server does not hold.
    """
    try:
        return [one.token for one in _files() if one.alive and port in _ports_of(one.pid)]
    except OSError:
        return []


def consoles_of(pid: int) -> list[tuple[int, str]]:
    """The ports and tokens of this user's servers that process ``pid`` is, or was started by."""
    try:
        process = psutil.Process(pid)
        family = {pid, *(parent.pid for parent in process.parents())}
        return [
            (port, one.token)
            for one in _files()
            if one.pid in family and one.alive
            for port in sorted(_ports_of(one.pid))
        ]
    except (OSError, psutil.Error):
        return []


def _ports_of(pid: int) -> set[int]:
    try:
        found = psutil.Process(pid).net_connections("tcp")
    except psutil.Error:
        return set()
    return {one.laddr.port for one in found if one.status == psutil.CONN_LISTEN}


def _files() -> Iterator[TokenFile]:
    for path in _folder().glob("*.json"):
        found = _read(path)
        if found is not None:
            yield found


def _read(path: Path) -> TokenFile | None:
    """The file at ``path``; ``None`` if it is not ours alone, or is no such file."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    with open(descriptor, encoding="ascii") as file:
        about = os.fstat(descriptor)
        mine = about.st_uid == os.geteuid() and not stat.S_IMODE(about.st_mode) & 0o077
        if not mine or not stat.S_ISREG(about.st_mode):
            return None
        try:
            given = json.loads(file.read(_LARGEST_BYTES))
            found = TokenFile(
                int(given["pid"]),
                float(given["started"]),
                int(given["parent"]),
                str(given["token"]),
                str(given.get("group", "")),
                path,
            )
        except (ValueError, LookupError, TypeError, OverflowError):
            return None
    return found


@contextmanager
def _locked() -> Iterator[None]:
    """Hold the folder's lock, so that servers which start at once see each other."""
    folder = _folder()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        about = os.fstat(descriptor)
        if about.st_uid != os.geteuid() or stat.S_IMODE(about.st_mode) & 0o022:
            raise PermissionError(f"{folder} is not this user's alone")
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _folder() -> Path:
    """The folder of the files, by the XDG base directory specification."""
    given = os.environ.get("XDG_STATE_HOME", "")
    home = Path(given) if os.path.isabs(given) else Path(os.path.expanduser("~"), ".local", "state")
    return home / _FOLDER / "consoles"


def _started_at(pid: int) -> float | None:
    try:
        return psutil.Process(pid).create_time()
    except psutil.Error:
        return None
