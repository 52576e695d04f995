# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The subjects of NATS on which the servers and agents of one pool meet.

A pool has a subject of its own, such as ``tasks.heavy``. Everything happens below it, so that the
permissions of a NATS account can name it with ``tasks.heavy.>``.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

__all__ = ["EVERYBODY", "Subjects", "check_subject", "new_name"]

EVERYBODY = "*"
"""The recipient of what is for everybody who listens."""

_TOKEN = re.compile(r"[A-Za-z0-9_-]+")


def check_subject(value: object) -> str:
    """``value``, which is the subject of a pool.

    Raises:
        ValueError: it is not one.
    """
    if not isinstance(value, str) or len(value) > 150:
        raise ValueError("give a subject of NATS, such as 'tasks.heavy'")
    if not all(_TOKEN.fullmatch(token) for token in value.split(".")):
        raise ValueError(
            "give a subject of NATS: words of letters, digits, - and _ with a dot between them, "
            "such as 'tasks.heavy'"
        )
    return value


def new_name() -> str:
    """A name that nobody else has."""
    return os.urandom(8).hex()


@dataclass(frozen=True, slots=True)
class Subjects:
    """The subjects below that of a pool.

    Attributes:
        pool: the subject of the pool.
    """

    pool: str

    @property
    def announcements(self) -> str:
        """Where agents say that they are there, and what is free."""
        return f"{self.pool}.agents"

    @property
    def questions(self) -> str:
        """Where servers ask who is there: every agent listens."""
        return f"{self.pool}.ask"

    def agent(self, name: str) -> str:
        """Where the agent ``name`` is told what to do."""
        return f"{self.pool}.agent.{name}"

    def server(self, name: str) -> str:
        """Where the server ``name`` is answered."""
        return f"{self.pool}.server.{name}"
