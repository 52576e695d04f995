# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""What is submitted becomes a job with a stored call, and a stored call is called again.

A stored call has to mean the same after a restart. Functions and classes are named, never copied:
a copy would run the code of the day it was submitted. Applications and sections are named, too,
by their code and path: the server that runs the job has its own.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import io
import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import FunctionType
from typing import Any

from ..errors import SerializationError
from ..executors import BaseExecutor, Call
from ..hosts.contract import HostServer
from ..options.call import CallOptions
from ..portable.pickling import StoredPickler, why
from ..portable.references import describe, reference_to
from ..portable.state.declared import is_routing
from ..portable.stored import finding, loads, served_instance
from ..routing.caller import Caller, current_caller
from ..routing.keys import keyed_options
from .attempt import Attempt
from .fingerprints import fingerprint
from .job_log import JobLog
from .limits import network_of
from .live_job import LiveJob
from .options import TaskOptions, TaskSettings
from .status import Progress, TaskState, TaskStatus
from .targets import Target, Targets

__all__ = ["SMALL_BYTES", "JobFactory", "new_id", "pack", "unpack"]

SMALL_BYTES = 64 * 1024
"""Stored bytes that are not more than this are read on the event loop, others on a thread."""


@dataclass(frozen=True, slots=True)
class StoredCall:
    """A call to be made later.

    Attributes:
        route: application code and path of the handler, empty for a function.
        func: the function, ``None`` for a handler.
        args: its positional arguments.
        kwargs: its keyword arguments.
    """

    route: str
    func: Callable[..., Any] | None
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = field(default_factory=dict)


class _NotNamedError(Exception):
    """Says which function or class has no name under which it is found after a restart."""


class _Pickler(StoredPickler):
    def __init__(self, file: io.BytesIO, address: Callable[[Any], str]) -> None:
        def special(obj: Any) -> Any:
            return (served_instance, (address(obj),)) if is_routing(obj) else NotImplemented

        super().__init__(file, special)

    def reducer_override(self, obj: Any) -> Any:
        if (
            isinstance(obj, FunctionType | type)
            and getattr(obj, "__module__", None) != "builtins"
            and reference_to(obj) is None
        ):
            raise _NotNamedError(
                f"{describe(obj)} can be found under no name, so it would not be found after a "
                "restart; define it at the top level of a module"
            )
        return super().reducer_override(obj)


def pack(stored: StoredCall, title: str, address: Callable[[Any], str]) -> bytes:
    """``stored`` as bytes.

    Args:
        stored: the call.
        title: its name, for messages.
        address: gives the address of an application or a section.

    Raises:
        SerializationError: naming what cannot be stored, the reason and the cure.
    """
    try:
        return _dumps((stored.route, stored.func, stored.args, stored.kwargs), address)
    except Exception as error:
        for name, value in _pieces(stored):
            reason = _reason(value, address)
            if reason is not None:
                raise SerializationError(
                    f"{name} of the long job {title} cannot be stored: {reason}"
                ) from error
        raise SerializationError(
            f"the long job {title} cannot be stored: {_words(error)}"
        ) from error


def _dumps(value: Any, address: Callable[[Any], str]) -> bytes:
    buffer = io.BytesIO()
    _Pickler(buffer, address).dump(value)
    return buffer.getvalue()


def _pieces(stored: StoredCall) -> Iterator[tuple[str, Any]]:
    yield "the function", stored.func
    for number, value in enumerate(stored.args, 1):
        yield f"argument #{number}", value
    for name, value in stored.kwargs.items():
        yield f"argument {name!r}", value


def _reason(value: Any, address: Callable[[Any], str]) -> str | None:
    try:
        _dumps(value, address)
    except Exception as error:
        return _words(error)
    return None


def _words(error: BaseException) -> str:
    return str(error) if isinstance(error, _NotNamedError) else why(error)


def unpack(content: bytes, find: Callable[[str], Any]) -> StoredCall:
    """The call in ``content``.

    Args:
        content: what ``pack`` made.
        find: gives the application or section of an address.

    Raises:
        SerializationError: it cannot be read here, and why.
    """
    try:
        with finding(find):
            route, func, args, kwargs = loads(content)
        return StoredCall(route, func, args, kwargs)
    except Exception as error:
        raise SerializationError(
            f"the stored call cannot be read: {why(error)}. Its modules must import in this "
            "server, and have what the job was submitted with"
        ) from error


@dataclass(frozen=True, slots=True)
class NewJob:
    """A job before it is accepted.

    Attributes:
        status: what is known of it.
        couriers: the channels of the hub that are told of it, besides its own.
        content: its call as bytes.
        client: the network that its anonymous submitter comes from, empty for others.
        fingerprint: what two calls have in common that are the same; empty without a key.
        arguments: what becomes of its call at its end, as the pool's ``job_arguments`` says.
    """

    status: TaskStatus
    couriers: tuple[str, ...]
    content: bytes
    client: str
    fingerprint: str
    arguments: str


class JobFactory:
    """Makes jobs of what is submitted to ``server``, and attempts of stored calls."""

    def __init__(self, server: HostServer, settings: TaskSettings) -> None:
        self.targets: Targets = Targets(server)
        self._server = server
        self._settings = settings

    def new_job(
        self, target: Target, args: tuple[Any, ...], kwargs: dict[str, Any], options: TaskOptions
    ) -> NewJob:
        """A job that calls ``target`` with these arguments; its call is stored bytes already.

        Raises:
            TypeError: a handler does not take them.
            SerializationError: something cannot be stored.
            ExecutorConfigError: there is no such pool, or it cannot keep an option.
        """
        if target.signature is not None:
            target.signature.bind(*args, **kwargs)
        pool = options.pool or target.pool or self._settings.pool
        executor = self._server.executors.get(pool)
        self._call_options(executor, target, options.timeout)
        func = None if target.route else target.func
        stored = StoredCall(target.route, func, args, kwargs)
        content = pack(stored, target.title, self.targets.address)
        caller = current_caller()
        couriers = (caller.courier,) if caller is not None and caller.courier else ()
        strange = caller is not None and options.submitter is None and not caller.identity
        return NewJob(
            self._described(target, pool, options, len(content)),
            couriers,
            content,
            network_of(caller.address) if caller is not None and strange else "",
            fingerprint(target.title, args, kwargs) if options.key is not None else "",
            executor.pool_options.job_arguments,
        )

    def _described(self, target: Target, pool: str, options: TaskOptions, size: int) -> TaskStatus:
        caller = current_caller()
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
        log: JobLog | None = None,
    ) -> Attempt:
        """The run of ``job`` that its stored call describes.

        Raises:
            SerializationError: the call cannot be read here.
            ExecutorConfigError: its route is not served, or its pool cannot keep an option.
        """
        find = self.targets.instance_at
        if len(content) <= SMALL_BYTES:
            stored = unpack(content, find)
        else:
            stored = await asyncio.to_thread(unpack, content, find)
        if stored.route:
            target = self.targets.at(stored.route)
        else:
            assert stored.func is not None
            target = Target(stored.func, job.status.title)
        options = self._call_options(executor, target, job.status.timeout)
        if options.key is not None:
            who = Caller(identity=job.status.submitter, session=job.status.session)
            options = keyed_options(options, target.func, stored.args, stored.kwargs, who)
        call = Call(target.func, stored.args, stored.kwargs, options, target.cleanup)
        return Attempt(executor, call, int(self._settings.max_result_bytes), on_progress, log)

    @staticmethod
    def _call_options(executor: BaseExecutor, target: Target, timeout: float | None) -> CallOptions:
        asked = dict(target.options)
        if timeout is not None:
            asked["timeout"] = timeout
        where, route = f"long job {target.title}", target.route
        return executor.check_call(where, asked, route or None, path=route)


def new_id() -> str:
    """An id that cannot be guessed, and that no command line takes for an option."""
    while (made := secrets.token_urlsafe(16)).startswith("-"):
        pass
    return made


def _new_id(who: Caller, key: str | None) -> str:
    """An id that cannot be guessed; with ``key``, the same id for the same submitter and key."""
    if key is None:
        return new_id()
    owner = (who.identity, "") if who.identity else ("", who.session)
    if who.address and who.anonymous:
        # Neither a session nor the application itself has such a name.
        owner = ("", f"@{network_of(who.address)}")
    digest = hashlib.sha256("\0".join((*owner, key)).encode()).digest()
    return base64.urlsafe_b64encode(digest[:18]).decode()
