# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Who may open a store: one process at a time, and none beside a version that shares with nobody.

Several processes use a store together. While one of them opens it, which may replace a damaged
file and makes tables anew, the others wait. Versions before 0.2 took the file ``owner`` for
themselves; all that share the store hold it together, so that neither opens what the other has.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ...errors import TaskStoreError
from ...worker.forks import when_forked
from .folder import open_file
from .orphans import await_workers_of

__all__ = ["Ownership"]

OPENING_PATIENCE_SECONDS = 60.0
"""How long a start waits for another process that opens the store; a salvage takes a while."""

_LOOK_EVERY_SECONDS = 0.02


class Ownership:
    """The right to use the store in ``folder``, together with others."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._shared: int | None = None
        self._opening: int | None = None

    def take(self, check: Callable[[], None]) -> None:
        """Begin to open the store, when no other process opens it; until ``opened`` is called.

        Args:
            check: called while it waits; what it raises ends the wait.

        Raises:
            TaskStoreError: a server that shares with nobody has it, or another process does not
                come to an end with opening it.
        """
        self._opening = self._locked_for_opening(check)
        when_forked(self._let_go)
        self._shared = descriptor = open_file(self._folder / "owner", os.O_RDWR | os.O_CREAT)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = _read(descriptor)
            raise TaskStoreError(
                f"the store of long jobs {self._folder} is in use by the server with pid "
                f"{owner.get('pid', '?')} on {owner.get('host', '?')}, which lives and has a "
                "version of this package that does not share it. End that one, or give this one a "
                "folder of its own with long_tasks={'path': ...}"
            ) from None
        except OSError as error:
            raise self._no_locks(error) from error
        before = _read(descriptor)
        if before.get("pid") and before.get("host") == socket.gethostname():
            await_workers_of(int(before["pid"]))
        os.ftruncate(descriptor, 0)

    def _locked_for_opening(self, check: Callable[[], None]) -> int:
        descriptor = open_file(self._folder / "opening", os.O_RDWR | os.O_CREAT)
        deadline = time.monotonic() + OPENING_PATIENCE_SECONDS
        try:
            while True:
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    return descriptor
                except BlockingIOError:
                    check()
                except OSError as error:
                    raise self._no_locks(error) from error
                if time.monotonic() > deadline:
                    raise TaskStoreError(
                        f"another process has been opening the store of long jobs {self._folder} "
                        f"for more than {OPENING_PATIENCE_SECONDS:g} seconds. It may be stopped: "
                        f"look at who has {self._folder / 'opening'} open"
                    )
                time.sleep(_LOOK_EVERY_SECONDS)
        except BaseException:
            os.close(descriptor)
            raise

    def _no_locks(self, error: OSError) -> TaskStoreError:
        return TaskStoreError(
            f"the store of long jobs {self._folder} cannot be locked: {error}. Keep it on a local "
            "file system"
        )

    def opened(self) -> None:
        """Let the next process open the store. Doing it again changes nothing."""
        if self._opening is not None:
            os.close(self._opening)
            self._opening = None

    def _let_go(self) -> None:
        """Close the files in a forked child: a lock belongs to every process that has it open."""
        self.release()

    def release(self) -> None:
        """Give the store up. Doing it again changes nothing."""
        self.opened()
        if self._shared is not None:
            os.close(self._shared)
            self._shared = None


def _read(descriptor: int) -> dict[str, Any]:
    try:
        facts = json.loads(os.pread(descriptor, 4096, 0) or b"{}")
    except ValueError:
        return {}  # its holder was killed while it wrote
    return facts if isinstance(facts, dict) else {}
