# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The server processes that share a folder: each has a file there, locked for as long as it lives.

The kernel releases an ``flock`` however its holder has ended, and not before: a process that is
stopped or slow keeps it. So there is no lease that could run out under a process that goes on, and
no clock is compared. What a file says is for people and for the other processes.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from ...worker.forks import when_forked
from .folder import make_folder, open_file
from .orphans import await_workers_of

__all__ = ["Ended", "Member", "Membership"]

_FOLDER = "processes"

_DRAFT = "."
"""How the name of a file begins that is not locked yet."""

_DRAFT_SECONDS = 60.0
"""How old a draft is that its process has not finished: it was killed."""

_BEAT_SECONDS = 5.0
"""How often a process says that it goes on. Nothing is decided by it; it keeps what cleans old
files up away from its file."""


@dataclass(frozen=True, slots=True)
class Member:
    """A server process that shares the folder. Times are seconds since the epoch.

    Attributes:
        name: of its file; the jobs that it runs have it.
        pid: the process.
        host: its host name: a container has one of its own, and pids of its own.
        started_at: when the process was started.
        serves: a digest of the applications that it serves.
        has_store: whether it has the store open, and may run jobs.
    """

    name: str
    pid: int
    host: str
    started_at: float
    serves: str
    has_store: bool


class Ended:
    """A process that has ended, and whose jobs are this process's to take over: nobody else can.

    Attributes:
        member: what is known of it; ``None`` if it was killed while it wrote that.
        name: of its file.
    """

    def __init__(self, path: Path, descriptor: int) -> None:
        self.name: str = path.name
        self.member: Member | None = _read(path, descriptor)
        self._path = path
        self._descriptor: int | None = descriptor
        when_forked(self.release)

    def await_workers(self) -> None:
        """Wait until none of its workers runs any more.

        Raises:
            TaskStoreError: one of them cannot be ended.
        """
        if self.member is not None and self.member.host == socket.gethostname():
            await_workers_of(self.member.pid)

    def remove(self) -> None:
        """Take its file away: what it had is taken care of."""
        _unlink(self._path)
        self.release()

    def release(self) -> None:
        """Let another process take over. Doing it again changes nothing."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


class Membership:
    """This server among the processes that share ``folder``, from ``join`` until ``leave``.

    Attributes:
        name: of its file, empty before ``join``.
        serves: a digest of the applications that it serves.
    """

    def __init__(self, folder: Path, serves: str = "") -> None:
        self._folder = folder / _FOLDER
        self.serves: str = serves
        self._descriptor: int | None = None
        self._beat_at = 0.0
        self.name: str = ""

    @property
    def path(self) -> Path:
        """The file of this process; what it publishes stands beside it."""
        return self._folder / self.name

    def join(self, *, has_store: bool = False) -> None:
        """Make the file of this process, locked; if there is one, say in it what has changed.

        Args:
            has_store: this process opens the store: it may run jobs from now on.

        Raises:
            TaskStoreError: the folder is not ours alone.
            OSError: the file cannot be made.
        """
        if self._descriptor is not None:
            if has_store:
                self._write(self._descriptor, has_store=True)
            return
        make_folder(self._folder)
        name = f"{os.getpid()}-{secrets.token_hex(4)}"
        draft = self._folder / f"{_DRAFT}{name}"
        descriptor = open_file(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._write(descriptor, has_store=has_store)
            draft.rename(self._folder / name)  # nobody ever sees it unlocked
        except BaseException:
            os.close(descriptor)
            with contextlib.suppress(FileNotFoundError):
                draft.unlink()
            raise
        self.name, self._descriptor = name, descriptor
        when_forked(self._let_go)

    def _write(self, descriptor: int, *, has_store: bool) -> None:
        process = psutil.Process()
        facts = {
            "pid": process.pid,
            "host": socket.gethostname(),
            "started_at": process.create_time(),
            "serves": self.serves,
            "has_store": has_store,
        }
        text = json.dumps(facts).encode()
        os.pwrite(descriptor, text, 0)
        os.ftruncate(descriptor, len(text))

    def gives_up_store(self) -> None:
        """Say that this process has not the store open: it could not be opened."""
        if self._descriptor is not None:
            with contextlib.suppress(OSError):
                self._write(self._descriptor, has_store=False)

    def _let_go(self) -> None:
        """Close the file in a forked child: the lock belongs to every process that has it open."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def leave(self, *, takes_all: bool = True) -> None:
        """Take the file away: this process has nothing any more that others could take over.

        Args:
            takes_all: ``False`` if it still has: then the file stays, as that of one that ended.
        """
        if self._descriptor is not None:
            if takes_all:
                _unlink(self.path)
            self._let_go()

    def beat(self) -> None:
        """Say now and then that this process goes on."""
        now = time.monotonic()
        if self._descriptor is not None and now - self._beat_at >= _BEAT_SECONDS:
            self._beat_at = now
            with contextlib.suppress(OSError):  # a disk that is full or gone: it is a hint
                os.utime(self._descriptor)

    def others(self) -> list[Member]:
        """The other processes that share the folder and live, in the order of their start."""
        found = []
        for path in self._files():
            with _opened(path) as descriptor:
                if descriptor is not None and not _can_lock(descriptor, fcntl.LOCK_SH):
                    member = _read(path, descriptor)
                    found += [member] if member is not None else []
        return sorted(found, key=lambda member: (member.started_at, member.name))

    def ended(self) -> list[Ended]:
        """The processes that have ended, and that no other process takes over."""
        found = []
        for path in self._files():
            descriptor = _open(path)
            if descriptor is None:
                continue
            # One that was taken over meanwhile has a file without a name.
            if _can_lock(descriptor, fcntl.LOCK_EX) and os.fstat(descriptor).st_nlink:
                found.append(Ended(path, descriptor))
            else:
                os.close(descriptor)
        return found

    def _files(self) -> list[Path]:
        """The files of other processes."""
        try:
            names = os.listdir(self._folder)
        except FileNotFoundError:
            return []
        found = []
        for name in names:
            path = self._folder / name
            whose, _, ending = name.partition(".")
            if ending and whose and whose not in names:
                _unlink(self._folder / whose)  # it was killed while it published that
            elif name.startswith(_DRAFT):
                with contextlib.suppress(OSError):
                    if time.time() - path.lstat().st_mtime > _DRAFT_SECONDS:
                        path.unlink()
            elif name != self.name and "." not in name:
                found.append(path)
        return found


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[int | None]:
    descriptor = _open(path)
    try:
        yield descriptor
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _open(path: Path) -> int | None:
    """A descriptor of the file; ``None`` if it was taken away meanwhile."""
    try:
        return open_file(path, os.O_RDWR)
    except FileNotFoundError:
        return None


def _unlink(path: Path) -> None:
    """Take the file of a process away, and what it has published."""
    for one in (path, Path(f"{path}.json"), path.with_name(f".{path.name}.json")):
        with contextlib.suppress(OSError):
            one.unlink()


def _can_lock(descriptor: int, how: int) -> bool:
    try:
        fcntl.flock(descriptor, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _read(path: Path, descriptor: int) -> Member | None:
    try:
        facts = json.loads(os.pread(descriptor, 4096, 0))
        return Member(
            path.name,
            int(facts["pid"]),
            str(facts["host"]),
            float(facts["started_at"]),
            str(facts["serves"]),
            bool(facts["has_store"]),
        )
    except (ValueError, LookupError, TypeError, OverflowError):
        return None
