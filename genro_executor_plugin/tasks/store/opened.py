# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""A store is opened and closed: its folder is checked, damage is mended, nobody's jobs are taken.

One process at a time opens it. The first one mends what is damaged, and every one takes over the
jobs that no living process has.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path

from ...errors import TaskStoreError
from . import tables
from .database import Database, is_busy
from .folder import check_file, check_room, make_folder, open_file
from .members import Ended, Member, Membership
from .ownership import Ownership
from .questions import Questions
from .reader import Reader
from .recovery import Recovered, recover
from .salvage import replace_if_damaged
from .signing import Signer

__all__ = ["OpenedStore"]

_logger = logging.getLogger("genro_executor_plugin")

START_PATIENCE_SECONDS = 15.0
"""How long a start waits for a lock that another process has on the file."""


class OpenedStore(Questions):
    """The store in ``folder``, opened beside the other processes that have it open.

    Attributes:
        folder: where it is.
    """

    def __init__(
        self,
        folder: Path,
        key_file: Path,
        *,
        accept_unsigned: bool = False,
        synchronous: str = "FULL",
        max_bytes: int | None = None,
        membership: Membership | None = None,
    ) -> None:
        self.folder = folder
        self._membership = membership if membership is not None else Membership(folder)
        self._ended: list[Ended] = []
        self._alive: list[Member] = []
        self._signer = Signer(key_file)
        self._accept_unsigned = accept_unsigned
        self._told_to_end = False
        self._max_bytes = max_bytes
        self._ownership = Ownership(folder)
        self._database = Database(folder / "jobs.sqlite", self._prepare, synchronous=synchronous)
        self._reader = Reader(folder / "jobs.sqlite")

    @property
    def process(self) -> str:
        """The name of this process, which the jobs have that it runs."""
        return self._membership.name

    @classmethod
    def exists(cls, folder: Path) -> bool:
        """Whether there is a store in ``folder``; also where we may not look, as opening tells."""
        try:
            os.lstat(folder / "jobs.sqlite")
        except OSError as error:
            return not isinstance(error, FileNotFoundError | NotADirectoryError)
        return True

    def check_place(self) -> None:
        """Find out whether a store could be made, and make none.

        Raises:
            TaskStoreError: its folder or its key cannot be made or written, or are not ours alone.
        """
        try:
            make_folder(self.folder)
            self._signer.load()
            check_room(self.folder)
        except OSError as error:
            raise self._cannot_be_made(error) from error

    def _cannot_be_made(self, error: OSError) -> TaskStoreError:
        return TaskStoreError(f"the store of long jobs {self.folder} cannot be made: {error}")

    # -- opening and closing ----------------------------------------------------------------------

    def open(self) -> Future[Recovered]:
        """Open the store and read what is in it.

        Raises:
            TaskStoreError: at once if a server has the store that does not share it, or its files
                cannot be opened or are not ours alone; in the future if it cannot be read.
        """
        try:
            make_folder(self.folder)
            self._signer.load()
            self._ownership.take(self._check_told)
            self._join()
        except OSError as error:
            # A lock may be taken before the disk is found full: it must not stay taken.
            self._give_up()
            raise self._cannot_be_made(error) from error
        except BaseException:
            self._give_up()
            raise
        try:
            file = self.folder / "jobs.sqlite"
            for ending in ("", "-wal", "-shm"):
                check_file(Path(f"{file}{ending}"))
            damage = []
            if not any(member.has_store for member in self._alive):
                damage = self._patiently(lambda: replace_if_damaged(file, self._check_told))
            os.close(open_file(file, os.O_CREAT | os.O_RDWR))
        except (OSError, sqlite3.Error) as error:
            self._give_up()
            raise TaskStoreError(
                f"the store of long jobs {self.folder} cannot be opened: {error}. Look at its "
                "files' owner and mode, and at who else has them open"
            ) from error
        except BaseException:
            self._give_up()
            raise
        for text in damage:
            _logger.error("%s", text)
        self._found_damage = damage
        opened = self._database.open()
        opened.add_done_callback(self._is_open)
        return opened

    def _join(self) -> None:
        """Become one of those that have the store; hold what processes that ended have left.

        Raises:
            TaskStoreError: a server of other applications has it.
            OSError: the file of this process cannot be made.
        """
        self._alive = self._membership.others()
        for member in self._alive:
            if member.has_store and member.serves != self._membership.serves:
                raise TaskStoreError(
                    f"the store of long jobs {self.folder} is in use by the server with pid "
                    f"{member.pid} on {member.host}, which lives and serves other applications: "
                    "each of the two would run jobs of the other. End that one, or give this one "
                    "a folder of its own with long_tasks={'path': ...}"
                )
        self._membership.join(has_store=True)
        self._ended = self._membership.ended()
        names = {ended.name for ended in self._ended}
        self._alive = [member for member in self._alive if member.name not in names]
        for ended in self._ended:
            ended.await_workers()

    def _is_open(self, opened: Future[Recovered]) -> None:
        """Let others open the store, in which no job is any more that nobody has."""
        for ended in self._ended:
            if opened.cancelled() or opened.exception() is not None:
                ended.release()
            else:
                ended.remove()
        self._ended = []
        self._ownership.opened()

    def _give_up(self) -> None:
        for ended in self._ended:
            ended.release()
        self._ended = []
        self._membership.gives_up_store()
        self._ownership.release()

    def leave(self) -> None:
        """Give up opening the store: the server is told to end. May be called at any time."""
        self._told_to_end = True
        self._database.leave()

    def _patiently(self, work: Callable[[], list[str]]) -> list[str]:
        """What ``work`` returns, tried again while another process has locked the file."""
        deadline = time.monotonic() + START_PATIENCE_SECONDS
        told = False
        while True:
            try:
                return work()
            except sqlite3.OperationalError as error:
                if not is_busy(error) or time.monotonic() > deadline:
                    raise
            self._check_told()
            if not told:
                _logger.warning(
                    "the store of long jobs %s is locked by another process; the start waits for "
                    "it for %g seconds",
                    self.folder,
                    START_PATIENCE_SECONDS,
                )
                told = True
            time.sleep(0.1)

    def _check_told(self) -> None:
        if self._told_to_end:
            raise TaskStoreError(f"the server was told to end while it opened {self.folder}")

    def close(self, *, release: bool = True, left: Future[None] | None = None) -> None:
        """Commit what is queued and leave the store to others. Blocks until that is done.

        Args:
            release: without it no other server takes the jobs over that run here before this
                process has ended.
            left: the step that leaves what waits to the others, if there was one.
        """
        self._reader.close()
        self._database.close()
        if release:
            failed = left is not None and left.exception() is not None
            self._membership.leave(takes_all=not failed)
            self._ownership.release()

    def _prepare(self, connection: sqlite3.Connection) -> Recovered:
        tables.create(connection)
        if self._max_bytes is not None:
            (page,) = connection.execute("PRAGMA page_size").fetchone()
            connection.execute(f"PRAGMA max_page_count = {max(self._max_bytes // page, 1)}")
        return recover(
            connection,
            self._found_damage,
            self._signer,
            accept=self._accept_unsigned,
            heir=self.process,
            alive=[self.process, *(member.name for member in self._alive)],
        )
