# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Jobs that wait for their time in a store, and whose time is made to come."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path


def make_due(folder: Path) -> None:
    """Have the jobs of the store in ``folder`` that wait for their time run with the next server.

    A job that waits for a moment only may run before its own server has ended.
    """
    with closing(sqlite3.connect(folder / "store" / "jobs.sqlite")) as connection, connection:
        connection.execute("UPDATE tasks SET eta = 1 WHERE eta IS NOT NULL")
