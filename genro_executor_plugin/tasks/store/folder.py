# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Folders and files of a store that are ours alone, opened as ssh opens its own.

What another user could have written is neither read nor written: a folder or a file that is not
ours, that others may write, or that is a link. A file is opened first and looked at then, so that
nothing can be put in its place in between.
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
from pathlib import Path

from ...errors import TaskStoreError

__all__ = ["check_file", "check_room", "make_folder", "open_file"]

ROOM_BYTES = 256 * 1024
"""What a disk must have room for where a store is to be made: tables, log and one small job."""

_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


def make_folder(folder: Path) -> None:
    """Make ``folder``, and those above it that are missing, for ourselves alone.

    Raises:
        TaskStoreError: it is there and others could have put files into it.
        OSError: it cannot be made.
    """
    for missing in [*_missing(folder)][::-1]:
        # Not by ``parents=True``: with a umask of 0 all of the world could write there.
        missing.mkdir(mode=0o700, exist_ok=True)
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        descriptor = os.open(folder, flags)
    except OSError as error:
        if error.errno not in (errno.ELOOP, errno.ENOTDIR):
            raise
        raise _refusal(folder, "is a link or no folder") from error
    try:
        _check(folder, os.fstat(descriptor))
    finally:
        os.close(descriptor)
    for above in folder.resolve().parents:
        mode = above.stat().st_mode
        if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
            raise _refusal(folder, f"lies in {above}, which everybody may write")


def _missing(folder: Path) -> list[Path]:
    missing = []
    while not os.path.lexists(folder):
        missing.append(folder)
        folder = folder.parent
    return missing


def open_file(path: Path, flags: int, *, secret: bool = False) -> int:
    """A descriptor of the file at ``path``, which is ours alone; made with mode 0600 if asked to.

    Args:
        path: the file.
        flags: as of ``os.open``.
        secret: refuse it also when others may read it.

    Raises:
        TaskStoreError: others could have written it, or it is a link or no file.
        OSError: it cannot be opened.
    """
    flags |= os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK  # a FIFO must not hold us up
    try:
        descriptor = os.open(path, flags, 0o600)
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        raise _refusal(path, "is a link") from error
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise _refusal(path, "is no file")
        _check(path, found)
        if secret and stat.S_IMODE(found.st_mode) & 0o077:
            raise _refusal(path, f"has mode {stat.S_IMODE(found.st_mode):04o}: others may read it")
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def check_file(path: Path) -> None:
    """Refuse the file at ``path`` as ``open_file`` does; there may be none."""
    try:
        os.close(open_file(path, os.O_RDONLY))
    except FileNotFoundError:
        return


def check_room(folder: Path) -> None:
    """Write a small file into ``folder``, and remove it again.

    Raises:
        OSError: nothing can be written there, or there is no room.
    """
    probe = folder / f"room.{os.getpid()}.{secrets.token_hex(4)}"
    descriptor = os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        left = ROOM_BYTES
        while left:
            left -= os.write(descriptor, bytes(left))
        os.fsync(descriptor)  # some disks say so only then
    finally:
        os.close(descriptor)
        probe.unlink()


def _check(path: Path, found: os.stat_result) -> None:
    if found.st_uid != os.geteuid():
        raise _refusal(
            path, f"belongs to uid {found.st_uid}, and this process has uid {os.geteuid()}"
        )
    if found.st_mode & _OTHERS_WRITE:
        raise _refusal(path, f"has mode {stat.S_IMODE(found.st_mode):04o}: others may write it")


def _refusal(path: Path, what: str) -> TaskStoreError:
    return TaskStoreError(
        f"the store of long jobs is not opened: {path} {what}. Whoever can write there could run "
        "code in this server. Give it the server's user and no rights for others (chown, chmod "
        "go-w), or give the server a folder of its own with long_tasks={'path': ...}"
    )
