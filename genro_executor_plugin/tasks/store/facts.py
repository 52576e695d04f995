# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""What a store is given of a new job, and what it gives of a job that is to run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Protocol

from ..status import TaskStatus

__all__ = ["Claim", "NewJob", "Used"]


class NewJob(Protocol):
    """What is stored of a new job besides its status.

    Attributes:
        content: its call as bytes.
        client: the network that its anonymous submitter comes from, empty for others.
        fingerprint: what two calls have in common that are the same; empty without a key.
    """

    @property
    def content(self) -> bytes: ...
    @property
    def client(self) -> str: ...
    @property
    def fingerprint(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Claim:
    """A job that this server runs now.

    Attributes:
        status: what is known of it.
        call: its stored call, ``None`` if that cannot be read.
        damage: why its call cannot be read.
    """

    status: TaskStatus
    call: bytes | None
    damage: str = ""


class Used(NamedTuple):
    """One job in the store, as far as it counts.

    Attributes:
        task_id: its id.
        submitter: the identity of its submitter, empty for none.
        session: its session, empty for none.
        client: the network of its anonymous submitter, empty for others.
        size: the bytes of its arguments or its result.
    """

    task_id: str
    submitter: str
    session: str
    client: str
    size: int
