# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""What a job calls: a function, or a handler that is named by its application and path.

A handler is looked up again when its job runs, in the server that runs it: the application is
the one that is served then, and the options are those that its route has then.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MethodType
from typing import Any

from ..errors import ExecutorConfigError, SerializationError
from ..hosts.contract import HostServer
from ..portable.references import describe
from ..portable.state.declared import is_routing
from ..routing.live_request import live_request_refusal, takes_live_request
from ..routing.privates import children
from ..routing.route_options import RouteOptions
from ..routing.tree import (
    adapter_of,
    application_of,
    cleanup_of,
    entry_at,
    handler_of,
    options_of,
    routes_below,
)

__all__ = ["Target", "Targets"]


@dataclass(frozen=True, slots=True)
class Target:
    """What a job calls.

    Attributes:
        func: the function, bound to its application if it is a handler.
        title: its name, to be shown.
        route: application code and path of a handler, empty for a function.
        pool: the pool that its route names, ``None`` for none.
        options: the call options that its route sets.
        cleanup: the application whose ``route_cleanup`` is called after the run.
        signature: the parameters of a handler, ``None`` for a function.
        metadata: the metadata of its route, which says how results are answered.
    """

    func: Callable[..., Any]
    title: str
    route: str = ""
    pool: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    cleanup: Any = None
    signature: inspect.Signature | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)


class Targets:
    """Finds what jobs call, among the applications of ``server``."""

    def __init__(self, server: HostServer) -> None:
        self._server = server

    def of(self, job: Any, application: Any = None) -> Target:
        """The target that ``job`` names: a function, a handler, or a route's path.

        Args:
            job: the function, the handler or the path. A path that begins with ``/`` is one on
                the server (``"/reports/yearly"``), any other is inside ``application``.
            application: the application that submits the job.

        Raises:
            ExecutorConfigError: there is no such route, or ``job`` cannot be called.
        """
        if isinstance(job, str):
            return self._by_path(job, application)
        if isinstance(job, MethodType) and is_routing(job.__self__):
            found = self._of_method(job)
            if found is not None:
                return found
        if not callable(job):
            raise ExecutorConfigError(
                f"a long job is a function, a handler or a route's path, not {job!r}"
            )
        return Target(job, describe(job))

    def at(self, route: str) -> Target:
        """The handler at ``route``: application code, a slash, its path.

        Raises:
            ExecutorConfigError: this server has no such route.
        """
        code, _, path = route.partition("/")
        application = self._server.applications.get(code)
        router = getattr(application, "route", None)
        entry = entry_at(router, path) if router is not None else None
        if entry is None:
            raise ExecutorConfigError(f"this server has no route {route!r}")
        return self._handler(route, entry)

    def _by_path(self, path: str, application: Any) -> Target:
        if not path.startswith("/"):
            if application is None:
                raise ExecutorConfigError(
                    f"the path {path!r} is inside of an application, and there is none here; "
                    "write '/<mount>/<path>'"
                )
            return self.at(f"{application.code}/{path.strip('/')}")
        mount, _, rest = path.strip("/").partition("/")
        found = self._server.application_at(mount)
        if found is None:
            found, rest = self._server.root_application, path.strip("/")
        if found is None:
            raise ExecutorConfigError(f"this server has no application at {path!r}")
        return self.at(f"{found.code}/{rest}")

    def _of_method(self, method: MethodType) -> Target | None:
        application = application_of(method.__self__)
        router = getattr(application, "route", None)
        if router is None or not self._serves(application):
            return None
        for found in routes_below(router, f"{application.code}/"):
            if found.entry is not None and found.handler == method:
                return self._handler(found.path, found.entry)
        return None

    def _serves(self, application: Any) -> bool:
        code: Any = getattr(application, "code", None)
        return self._server.applications.get(code) is application

    def _handler(self, route: str, entry: Any) -> Target:
        func = handler_of(entry)
        if takes_live_request(entry):
            raise SerializationError(
                live_request_refusal(repr(route), "a long job"),
                route=route,
            )
        options = RouteOptions()
        if adapter_of(entry) is not None:
            options = options_of(entry.router, entry.name)
        return Target(
            func,
            route,
            route,
            pool=options.pool if options.offloaded else None,
            options=options.of_calls,
            cleanup=cleanup_of(entry.router.instance, func),
            signature=entry.signature,
            metadata=entry.metadata.get("meta", {}),
        )

    # -- applications among the arguments ---------------------------------------------------------

    def address(self, instance: Any) -> str:
        """The address of ``instance``, an application or a section: code and path.

        Raises:
            SerializationError: this server does not serve it.
        """
        application = application_of(instance)
        if self._serves(application):
            path = _path_to(application.route, instance)
            if path is not None:
                return f"{application.code}/{path}"
        raise SerializationError(
            f"an instance of {describe(type(instance))} that this server does not serve"
        )

    def instance_at(self, address: str) -> Any:
        """The application or section at ``address``.

        Raises:
            ExecutorConfigError: this server has none there.
        """
        code, _, path = address.partition("/")
        application = self._server.applications.get(code)
        router = getattr(application, "route", None)
        if router is not None and path:
            router = router.router_at_path(path)
        if router is None:
            raise ExecutorConfigError(f"this server has no application or section at {address!r}")
        return router.instance


def _path_to(router: Any, instance: Any, prefix: str = "") -> str | None:
    if router.instance is instance:
        return prefix
    for name, child in children(router):
        found = _path_to(child, instance, f"{prefix}/{name}" if prefix else name)
        if found is not None:
            return found
    return None
