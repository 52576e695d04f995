# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The options of pools and of calls, for editors and type checkers.

Each is a keyword argument (``**options: Unpack[PoolKeywords]``), so that an editor completes its
name and a type checker reports one that does not exist. What values are allowed is decided in
``checks``; a test holds the two together.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import Any, Literal, Required, TypedDict
from uuid import UUID

__all__ = [
    "AgentKeywords",
    "AnyPoolKeywords",
    "CallKeywords",
    "NamedPoolDeclaration",
    "NatsPoolKeywords",
    "PoolDeclaration",
    "PoolDeclarations",
    "PoolKeywords",
    "ProcessPoolKeywords",
    "RayKeywords",
    "RayPoolKeywords",
    "ThreadPoolKeywords",
]


class CallKeywords(TypedDict, total=False):
    """The options of one call; ``None`` is what the pool has. ``CallOptions`` describes them."""

    timeout: float | None
    soft_timeout: float | None
    queue_timeout: float | None
    on_overload: Literal["wait", "fail"] | None
    max_waiting: int | None
    retries: int | None
    idle: float | None
    send_timeout: float | None
    key: str | bytes | int | UUID | None
    key_serial: bool | None


class AnyPoolKeywords(TypedDict, total=False):
    """The options that pools of every kind of this package take."""

    max_workers: int | None
    initializer: Callable[..., object] | None
    initargs: tuple[Any, ...] | list[Any]
    finalizer: Callable[[], object] | None
    max_pending: int
    max_waiting: int | None
    on_overload: Literal["wait", "fail"]
    queue_timeout: float | None
    timeout: float | None
    shutdown_timeout: float
    bypass: bool | Literal["fast"]
    context: (
        list[str]
        | list[ContextVar[Any]]
        | list[str | ContextVar[Any]]
        | tuple[str | ContextVar[Any], ...]
    )
    idle: float | None
    send_timeout: float | None
    job_arguments: Literal["drop", "keep", "show"]
    job_log: bool


class ThreadPoolKeywords(AnyPoolKeywords, total=False):
    """The options of a pool of threads, and of one that runs its calls inline."""

    abandon_on_timeout: bool


class ProcessPoolKeywords(AnyPoolKeywords, total=False):
    """The options of a pool of processes."""

    min_workers: int
    idle_timeout: float | None
    threads_per_worker: int
    warm: bool
    start_timeout: float
    nice: int
    cpu_affinity: tuple[int, ...] | list[int] | set[int] | range | None
    env: Mapping[str, str] | None
    gpus: tuple[int | str, ...] | list[int] | list[str] | list[int | str] | range | None
    memory_limit: int | str | None
    oom_score_adj: int
    user: str | None
    preload: tuple[str, ...] | list[str]
    start_method: Literal["forkserver", "spawn"]
    soft_timeout: float | None
    retries: int
    on_cancel: Literal["kill", "abandon"]
    max_tasks_per_child: int | None
    max_memory_per_child: int | str | None
    max_lifetime: float | None


class AgentKeywords(TypedDict, total=False):
    """The options that only a pool of agents on other machines takes."""

    url: str
    subject: str
    secret_file: str | Path | None
    insecure: bool
    lost_after: float
    credentials: str | Path | None
    nkey: str | Path | None
    login: str | Path | None
    tls_ca: str | Path | None
    tls_cert: str | Path | None
    tls_key: str | Path | None


class NatsPoolKeywords(AgentKeywords, total=False):
    """The options of a pool of agents on other machines."""

    max_workers: int | None
    max_pending: int
    max_waiting: int | None
    on_overload: Literal["wait", "fail"]
    queue_timeout: float | None
    timeout: float | None
    soft_timeout: float | None
    retries: int
    on_cancel: Literal["kill", "abandon"]
    shutdown_timeout: float
    bypass: bool | Literal["fast"]
    context: (
        list[str]
        | list[ContextVar[Any]]
        | list[str | ContextVar[Any]]
        | tuple[str | ContextVar[Any], ...]
    )
    idle: float | None
    send_timeout: float | None
    job_arguments: Literal["drop", "keep", "show"]
    job_log: bool


class RayKeywords(TypedDict, total=False):
    """The options that only a pool on a Ray cluster takes, under Ray's own names."""

    address: str | None
    num_cpus: float
    num_gpus: float
    resources: Mapping[str, float] | None
    memory: int | str | None
    runtime_env: Mapping[str, Any] | None
    scheduling_strategy: Any


class RayPoolKeywords(AnyPoolKeywords, RayKeywords, total=False):
    """The options of a pool on a Ray cluster."""

    min_workers: int
    idle_timeout: float | None
    warm: bool
    start_timeout: float
    preload: tuple[str, ...] | list[str]
    retries: int
    on_cancel: Literal["kill", "abandon"]


class PoolKeywords(
    ThreadPoolKeywords, ProcessPoolKeywords, AgentKeywords, RayKeywords, total=False
):
    """The options of a pool whose kind is given by its name, such as ``"thread"``."""


class PoolDeclaration(PoolKeywords, total=False):
    """A pool in ``executors={name: {...}}``.

    A kind of one's own has options of its own: a ``TypedDict`` that derives from this one.
    """

    executor_type: str


class NamedPoolDeclaration(PoolDeclaration, total=False):
    """A pool in ``executors=[{"name": ..., ...}]``."""

    name: Required[str]


PoolDeclarations = Mapping[str, PoolDeclaration] | Sequence[NamedPoolDeclaration]
"""What ``executors=`` takes."""
