# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""What is submitted, as a job to be stored; what was stored, as a call to be made."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..executors import BaseExecutor, Call
from ..options.call import CallOptions
from ..routing.caller import Caller, calling
from .attempt import Attempt
from .live_job import LiveJob
from .options import TaskOptions, TaskSettings
from .status import Progress, TaskState, TaskStatus
from .stored_call import Parcel, pack, unpack
from .targets import Target, Targets

__all__ = ["SMALL_BYTES", "Order", "Orders"]

SMALL_BYTES = 64 * 1024
"""What is not larger is read on the event loop."""


@dataclass(frozen=True, slots=True)
class Order:
    """A job before it is accepted: what is known of it, whom the hub tells of it, its call."""

    status: TaskStatus
    couriers: tuple[str, ...]
    content: bytes


class Orders:
    """Makes jobs of what is submitted to ``server``, and calls of jobs."""

    def __init__(self, server: Any, settings: TaskSettings) -> None:
        self.targets = Targets(server)
        self._server = server
        self._settings = settings

    def order(
        self, target: Target, args: tuple[Any, ...], kwargs: dict[str, Any], options: TaskOptions
    ) -> Order:
        """A job that calls ``target`` with these arguments.

        Raises:
            TypeError: a handler does not take them.
            SerializationError: something cannot be stored.
            ExecutorConfigError: there is no such pool, or it cannot keep an option.
        """
        if target.signature is not None:
            target.signature.bind(*args, **kwargs)
        pool = options.pool or target.pool or self._settings.pool
        self._call_options(self._server.executors.get(pool), target, options.timeout)
        func = None if target.route else target.func
        parcel = Parcel(target.route, func, args, kwargs)
        content = pack(parcel, target.title, self.targets.address)
        caller = calling.get()
        couriers = (caller.courier,) if caller is not None and caller.courier else ()
        return Order(self._described(target, pool, options, len(content)), couriers, content)

    def _described(self, target: Target, pool: str, options: TaskOptions, size: int) -> TaskStatus:
        caller = calling.get()
        given = options.submitter
        by_caller = caller is not None and given is None
        who = caller if by_caller and caller is not None else Caller(identity=given or "")
        return TaskStatus(
            task_id=_new_id(who, options.key),
            state=TaskState.QUEUED,
            title=target.title,
            pool=pool,
            submitter=who.identity,
            session=who.session,
            open_to_id=by_caller and who.anonymous,
            priority=options.priority,
            submitted_at=time.time(),
            eta=options.begins_at,
            retries=options.retries,
            backoff=options.backoff,
            repeatable=options.repeatable,
            timeout=options.timeout,
            keep=self._settings.keep if options.keep is None else options.keep,
            stored_bytes=size,
        )

    async def attempt(
        self,
        job: LiveJob,
        executor: BaseExecutor,
        content: bytes,
        on_progress: Callable[[Progress], None],
    ) -> Attempt:
        """The run of ``job`` that its stored call describes.

        Raises:
            SerializationError: the call cannot be read here.
            ExecutorConfigError: its route is not served, or its pool cannot keep an option.
        """
        find = self.targets.instance_at
        if len(content) <= SMALL_BYTES:
            parcel = unpack(content, find)
        else:
            parcel = await asyncio.to_thread(unpack, content, find)
        if parcel.route:
            target = self.targets.at(parcel.route)
        else:
            target = Target(parcel.func, job.status.title)  # type: ignore[arg-type]
        options = self._call_options(executor, target, job.status.timeout)
        call = Call(target.func, parcel.args, parcel.kwargs, options, target.cleanup)
        return Attempt(executor, call, int(self._settings.max_result_bytes), on_progress)

    @staticmethod
    def _call_options(executor: BaseExecutor, target: Target, timeout: float | None) -> CallOptions:
        asked = dict(target.options)
        if timeout is not None:
            asked["timeout"] = timeout
        return executor.check_call(f"long job {target.title}", asked, target.route or None)


def _new_id(who: Caller, key: str | None) -> str:
    """An id that nobody guesses; with a key, the one that belongs to it."""
    if key is None:
        return secrets.token_urlsafe(16)
    owner = (who.identity, "") if who.identity else ("", who.session)
    digest = hashlib.sha256("\0".join((*owner, key)).encode()).digest()
    return base64.urlsafe_b64encode(digest[:18]).decode()
