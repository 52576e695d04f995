# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The options of one long job, and the settings for all long jobs of a server."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import ByteSize, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from ..errors import ExecutorConfigError
from ..hosts.contract import HostServer
from ..hosts.loaded import ADMIN_TAGS
from ..options.numbers import MAX_COUNT, MAX_SECONDS, NotAllowedError, seconds_of
from ..options.pydantic_errors import in_words
from .places import default_folder, default_key_file

__all__ = ["TaskOptions", "TaskSettings"]

_Seconds = Annotated[float, Field(ge=0, le=MAX_SECONDS, allow_inf_nan=False, strict=True)]
_Above0 = Annotated[float, Field(gt=0, le=MAX_SECONDS, allow_inf_nan=False, strict=True)]
_Count = Annotated[int, Field(ge=0, le=MAX_COUNT, strict=True)]
_Switch = Annotated[bool, Field(strict=True)]
_Name = Annotated[str, Field(min_length=1, strict=True)]
_Bytes = Annotated[ByteSize, Field(gt=0)]

_FORBID = ConfigDict(extra="forbid", arbitrary_types_allowed=True)

DAY_SECONDS = 86_400.0


@dataclass(frozen=True, slots=True, config=_FORBID)
class TaskOptions:
    """The options of one job.

    Attributes:
        pool: the pool it runs in; by default that of its route, else that of the settings.
        timeout: seconds an attempt may take; by default the timeout of its route or pool.
        retries: how often a failed attempt is repeated.
        backoff: seconds before the first repetition; twice as many before each further one.
        priority: jobs with a higher one begin first; the default is 0.
        key: an idempotency key: when the same submitter submits again with the same key, the
            id of the existing job is returned.
        eta: the job does not begin before this: a ``datetime`` with a time zone, seconds since
            the epoch, or a ``timedelta`` from now.
        keep: seconds to keep the job after its end; by default that of the settings.
        repeatable: run it again when the server ended while it was running.
        durable: with ``False``, awaiting the id does not wait until the job is stored: it is
            lost if the server is killed within the next milliseconds.
        submitter: whose job it is; by default the one whose request is being answered.
    """

    pool: _Name | None = None
    timeout: _Above0 | None = None
    retries: _Count = 0
    backoff: _Seconds = 1.0
    priority: Annotated[int, Field(ge=-MAX_COUNT, le=MAX_COUNT, strict=True)] = 0
    key: _Name | None = None
    eta: Any = None
    keep: _Above0 | None = None
    repeatable: _Switch = False
    durable: _Switch = True
    submitter: Annotated[str, Field(strict=True)] | None = None

    def changed(self, changes: Mapping[str, Any]) -> TaskOptions:
        """These options with some of them changed.

        Raises:
            ExecutorConfigError: naming the option, the value and what is allowed.
        """
        _checked(TaskOptions, "options of a long job", changes)
        if changes.get("eta") is not None:
            _moment(changes["eta"])
        return replace(self, **changes)

    @property
    def begins_at(self) -> float | None:
        """``eta`` in seconds since the epoch, seen from now."""
        return None if self.eta is None else _moment(self.eta)


@dataclass(frozen=True, slots=True, config=_FORBID)
class TaskSettings:
    """The settings for all long jobs of a server (``ExecutorServer(long_tasks={...})``).

    Attributes:
        path: the folder of the store; by default one in the state folder of the server's user.
        key_file: the file of the key that signs what is stored; by default in that state folder.
        accept_unsigned: sign at the start what is in the store and was signed by another key or
            by nobody, as version 0.1 did not sign. Whoever wrote it can run code in the server.
        pool: the pool of jobs that name none, and whose routes name none.
        keep: seconds a job is kept after its end.
        cancel_grace: seconds a running job has after it was asked to end, before it is killed.
        shutdown_timeout: seconds running jobs have when the server stops.
        synchronous: ``"FULL"``: an accepted job survives the loss of power, too; ``"NORMAL"``:
            it survives the end of the server, however that comes, and submitting is faster.
        max_jobs_per_submitter: how many jobs one submitter may have in the store.
        max_bytes_per_submitter: how many bytes their arguments and results may take.
        max_jobs_per_anonymous: how many jobs one session, and one client address, may have in
            the store, of those that no identity has submitted.
        max_bytes_per_anonymous: how many bytes these may take.
        max_listeners_per_submitter: how many event streams one identity, session or client
            address may have open.
        max_call_bytes: how many bytes one job's arguments may take.
        max_result_bytes: how many bytes one job's result may take.
        max_bytes: how large the store may become, ``None`` for as large as its disk.
        admin_tags: authorization tags that allow to see everybody's jobs.
    """

    path: Any = None
    key_file: Any = None
    accept_unsigned: _Switch = False
    pool: _Name = "cpu"
    keep: _Above0 = 7 * DAY_SECONDS
    cancel_grace: _Seconds = 5.0
    shutdown_timeout: _Seconds = 10.0
    synchronous: Literal["FULL", "NORMAL"] = "FULL"
    max_jobs_per_submitter: Annotated[int, Field(ge=1, strict=True)] = 50_000
    max_bytes_per_submitter: _Bytes = ByteSize(1_000_000_000)
    max_jobs_per_anonymous: Annotated[int, Field(ge=1, strict=True)] = 1_000
    max_bytes_per_anonymous: _Bytes = ByteSize(100_000_000)
    max_listeners_per_submitter: Annotated[int, Field(ge=1, strict=True)] = 100
    max_call_bytes: _Bytes = ByteSize(16_000_000)
    max_result_bytes: _Bytes = ByteSize(64_000_000)
    max_bytes: _Bytes | None = None
    admin_tags: frozenset[str] = ADMIN_TAGS

    @classmethod
    def declare(cls, given: Mapping[str, Any]) -> TaskSettings:
        """Check ``given``.

        Raises:
            ExecutorConfigError: naming the setting, the value and what is allowed.
        """
        settings: TaskSettings = _checked(cls, "long_tasks", given)
        return settings

    def folder_of(self, server: HostServer) -> Path:
        """The folder of the store of ``server``.

        Raises:
            ExecutorConfigError: no ``path`` is set, and the server's user has no home.
        """
        return default_folder(server) if self.path is None else Path(self.path).absolute()

    def key_path(self) -> Path:
        """The file of the key that signs what is stored.

        Raises:
            ExecutorConfigError: no ``key_file`` is set, and the server's user has no home.
        """
        return default_key_file() if self.key_file is None else Path(self.key_file).absolute()


def _checked(kind: Any, where: str, given: Mapping[str, Any]) -> Any:
    try:
        return TypeAdapter(kind).validate_python(dict(given))
    except ValidationError as error:
        words = in_words(error, kind.__dataclass_fields__)
        raise ExecutorConfigError(f"{where}: {words}") from error


def _moment(eta: Any) -> float:
    """``eta`` in seconds since the epoch."""
    moment = eta
    if isinstance(eta, timedelta):
        # One that is negative is in the past, where the job begins at once.
        moment = max(0.0, time.time() + eta.total_seconds())
    elif isinstance(eta, datetime) and eta.tzinfo is not None:
        moment = max(0.0, eta.timestamp())
    try:
        return seconds_of(moment, zero=True, most=time.time() + MAX_SECONDS)
    except NotAllowedError:
        raise ExecutorConfigError(
            f"options of a long job: eta={eta!r} is no moment; give a datetime with a time zone, "
            "seconds since the epoch, or a timedelta from now"
        ) from None
