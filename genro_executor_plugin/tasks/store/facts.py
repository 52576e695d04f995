# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""What a store is given of a new job, and what it gives of jobs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from ..status import TaskStatus

__all__ = ["Claim", "Glance", "KeptCall", "NewJob", "Order", "Usage"]


class NewJob(Protocol):
    """What is stored of a new job besides its status.

    Attributes:
        content: its call as bytes.
        client: the network that its anonymous submitter comes from, empty for others.
        fingerprint: what two calls have in common that are the same; empty without a key.
        arguments: what becomes of its call at its end, as the pool's ``job_arguments`` says.
    """

    @property
    def content(self) -> bytes: ...
    @property
    def client(self) -> str: ...
    @property
    def fingerprint(self) -> str: ...
    @property
    def arguments(self) -> str: ...


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


@dataclass(frozen=True, slots=True)
class KeptCall:
    """The call of a job that has ended.

    Attributes:
        status: what is known of the job.
        client: the network that its anonymous submitter comes from, empty for others.
        arguments: what becomes of it, as its pool's ``job_arguments`` said.
        content: the call as bytes, ``None`` if it was not kept.
    """

    status: TaskStatus
    client: str
    arguments: str
    content: bytes | None


@dataclass(frozen=True, slots=True)
class Usage:
    """What is in the store, as far as it counts for those who have submitted it.

    Attributes:
        jobs: for each submitter, session and network of an anonymous client (each empty for
            none): how many jobs there are, and how many bytes they take.
        clients: the networks of the anonymous clients, by the ids of their jobs.
    """

    jobs: list[tuple[str, str, str, int, int]] = field(default_factory=list)
    clients: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Order:
    """What another process asks this one for: to end a job that it has.

    Attributes:
        number: of the order.
        task_id: the job.
        grace: seconds it has to end by itself, ``None`` for the server's ``cancel_grace``.
    """

    number: int
    task_id: str
    grace: float | None


@dataclass(frozen=True, slots=True)
class Glance:
    """What other processes have done to the store.

    Attributes:
        version: of the store, another one after each of their commits.
        orders: what they ask this process for.
        left: whether there are jobs that a process has left to the others.
        found: the jobs that were asked about, ``None`` for each that is gone.
    """

    version: int
    orders: list[Order]
    left: bool
    found: dict[str, TaskStatus | None]
