# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""What processes that have one store tell each other by it, and take over from each other."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Sequence
from concurrent.futures import Future

from ..status import TaskState, TaskStatus
from . import schema
from .facts import Glance, Order, Usage
from .members import Ended
from .opened import OpenedStore
from .recovery import Recovered, take_over, usage_in

__all__ = ["SharedStore"]


class SharedStore(OpenedStore):
    """The steps that concern several processes."""

    def glance(self, version: int, wanted: Collection[str]) -> Future[Glance]:
        """What others have done since the store had ``version``; the jobs that are ``wanted``."""
        process = self.process

        def step(connection: sqlite3.Connection) -> Glance:
            (now,) = connection.execute("PRAGMA data_version").fetchone()
            orders: list[Order] = []
            left = False
            if now != version:  # what this process has done itself does not change it
                found = connection.execute(
                    "SELECT number, task_id, grace FROM orders WHERE owner = ? ORDER BY number",
                    (process,),
                )
                orders = [Order(*row) for row in found]
                left = _anything_left(connection)
            jobs = {task_id: schema.read_job(connection, task_id) for task_id in wanted}
            return Glance(now, orders, left, jobs)

        return self._database.ask(step)

    def usage(self) -> Future[Usage]:
        """What counts for those who have submitted what is in the store."""
        return self._database.ask(usage_in)

    def take_over(self, ended: Sequence[Ended]) -> Future[Recovered]:
        """Take the jobs over of processes that have ended, and those that others have left."""
        heir, names = self.process, [one.name for one in ended]

        def step(connection: sqlite3.Connection) -> Recovered:
            return take_over(connection, self._signer, heir=heir, ended=names)

        return self._database.run(step)

    def leave_to_others(self) -> Future[None]:
        """Leave the jobs that wait here to whichever process takes them first."""
        process = self.process

        def step(connection: sqlite3.Connection) -> None:
            connection.execute(
                f"UPDATE tasks SET owner = '' WHERE {schema.UNFINISHED} AND owner = ? "
                "AND state = 'queued'",
                (process,),
            )

        return self._database.run(step)

    def order_to_end(
        self, task_id: str, grace: float | None, now: float
    ) -> Future[TaskStatus | None]:
        """Have a job end that another process has: queued -> cancelled, or it is told to end it.

        The result is the job, ``None`` for none of that id.
        """
        process = self.process

        def step(connection: sqlite3.Connection) -> TaskStatus | None:
            row = connection.execute(
                f"SELECT owner, state FROM tasks WHERE {schema.UNFINISHED} AND task_id = ?",
                (task_id,),
            ).fetchone()
            if row is not None:
                owner, state = row
                if state == TaskState.QUEUED:
                    schema.end_job(connection, task_id, TaskState.CANCELLED, now, None)
                else:
                    connection.execute(
                        "UPDATE tasks SET cancel_requested = 1 WHERE task_id = ?", (task_id,)
                    )
                # A job that waits here, or nowhere, has ended with this: nobody is left to be told.
                if state != TaskState.QUEUED or owner not in ("", process):
                    connection.execute(
                        "INSERT INTO orders (owner, task_id, grace) VALUES (?, ?, ?)",
                        (owner, task_id, grace),
                    )
            return schema.read_job(connection, task_id)

        return self._database.run(step)

    def orders_done(self, orders: Sequence[Order]) -> Future[None]:
        """Forget orders that this process has followed."""
        numbers = [(order.number,) for order in orders]

        def step(connection: sqlite3.Connection) -> None:
            connection.executemany("DELETE FROM orders WHERE number = ?", numbers)

        return self._database.run(step)


def _anything_left(connection: sqlite3.Connection) -> bool:
    found = connection.execute(
        f"SELECT 1 FROM tasks WHERE {schema.UNFINISHED} AND owner = '' LIMIT 1"
    ).fetchone()
    return found is not None
