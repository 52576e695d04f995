# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Where a call of a route runs, by the configuration as it is at that moment.

The answer is computed once for each change of the configuration and kept until the next one.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from ..errors import ExecutorError, RemoteTraceback
from ..executors import BaseExecutor
from ..metrics.sentry import CAPTURED, is_reported
from ..options.call import CallOptions
from ..routing.route_options import PLUGIN, RouteOptions
from ..routing.tree import cleanup_of, options_of, path_of, registry_of

__all__ = ["HERE", "Plan", "RouteConfiguration", "RoutePlan", "call_options", "log_failure"]

_logger = logging.getLogger("genro_executor_plugin")


@dataclass(frozen=True, slots=True)
class Plan:
    """Where a call runs.

    Attributes:
        executor: its pool, ``None`` for in the server.
        options: the options of the call.
        background: whether a request is answered at once and the call runs as a long job.
        cleanup: the application whose ``route_cleanup`` follows the run, ``None`` for none.
    """

    executor: BaseExecutor | None
    options: CallOptions
    background: bool = False
    cleanup: Any = None


HERE = Plan(None, CallOptions())
"""In the server, as if the plugin were not there."""


class RouteConfiguration(Protocol):
    """What a plan is computed from: the plugin of the route's router."""

    @property
    def version(self) -> int:
        """Changes whenever the options may have changed."""

    def configuration(self, method_name: str | None = None) -> dict[str, Any]:
        """The options in force of an entry."""


class RoutePlan:
    """The plan of one route: the entry ``name`` of ``router``, with its configuration."""

    __slots__ = ("_configuration", "_handler", "_known", "_name", "_router")

    def __init__(
        self,
        configuration: RouteConfiguration,
        router: Any,
        name: str,
        handler: Callable[..., Any],
    ) -> None:
        self._configuration = configuration
        self._handler = handler
        self._router = router
        self._name = name
        # One tuple and not two attributes: threads may ask, each with an event loop of its own.
        self._known: tuple[int, Plan] = (-1, HERE)

    def now(self) -> Plan:
        """Where a call runs by the configuration as it is now.

        Raises:
            UnknownExecutorError: the pool that is configured is not declared.
            ExecutorConfigError: the pool cannot keep an option that is configured.
        """
        if not self._router.is_plugin_enabled(self._name, PLUGIN):
            return HERE
        version = self._configuration.version
        known, plan = self._known
        if known == version:
            return plan
        computed = self._computed()
        if computed is None:
            return HERE
        self._known = version, computed
        return computed

    def _computed(self) -> Plan | None:
        """The plan of the configuration; ``None`` without a server, which may come yet."""
        options = options_of(self._router, self._name)
        pool = options.pool
        if pool is None or not options.offloaded:
            return HERE
        registry = registry_of(self._router.instance)
        if registry is None:
            return None
        try:
            executor = registry.get(pool)
            checked = call_options(executor, self._router, self._name, options)
            cleanup = cleanup_of(self._router.instance, self._handler)
            return Plan(executor, checked, options.background, cleanup)
        except ExecutorError as error:
            log_failure(self._name, error)
            raise


def call_options(
    executor: BaseExecutor, router: Any, name: str, options: RouteOptions
) -> CallOptions:
    """The options of the calls of the entry ``name``, checked against what the pool can keep.

    Raises:
        ExecutorConfigError: naming the route, the option and the reason.
    """
    path = path_of(router, name)
    return executor.check_call(f"route {name!r}", options.of_calls, route=name, path=path)


def log_failure(route: str, error: ExecutorError) -> None:
    """Name ``route`` in ``error``, and log it if it is the server's fault and not the caller's."""
    error.route = error.route or route
    if error.status == 500:
        # Its frames are this package's, and tell nothing; what it was caused by may tell more.
        more = list(getattr(error, "__notes__", ()))
        cause = error.__cause__
        if isinstance(cause, RemoteTraceback):
            more.append(cause.text)
            cause = None
        text = "\n".join((str(error), *more))
        known = {CAPTURED: True} if is_reported(error) else None
        _logger.error("route %r: %s", route, text.rstrip(), exc_info=cause, extra=known)
