# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The application's side: configure routes while serving, run functions in pools, long jobs."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import Any, ParamSpec, TypeVar, overload

from ..errors import ExecutorConfigError
from ..executors.registry import ExecutorRegistry
from ..hosts.names import RoutedApplication
from ..offload.configure import ApplicationRouter
from ..portable.main_module import inside_worker
from ..routing.tree import registry_of
from ..tasks.application import ApplicationTasks

__all__ = ["ApplicationExecutors", "ExecutorApplication"]

T = TypeVar("T")
P = ParamSpec("P")


class ApplicationExecutors:
    """Runs functions in the server's pools, for an application's own code."""

    def __init__(self, application: Any) -> None:
        self._application = application

    @overload
    async def run_blocking(
        self, func: Callable[P, Awaitable[T]], /, *args: P.args, **kwargs: P.kwargs
    ) -> T: ...
    @overload
    async def run_blocking(
        self, func: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs
    ) -> T: ...
    async def run_blocking(self, func: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Run ``func`` on a thread of the pool ``blocking`` and return what it returns.

        Raises:
            ExecutorError: as ``BaseExecutor.submit``.
        """
        return await self._run("blocking", func, *args, **kwargs)

    @overload
    async def run_process(
        self, func: Callable[P, Awaitable[T]], /, *args: P.args, **kwargs: P.kwargs
    ) -> T: ...
    @overload
    async def run_process(
        self, func: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs
    ) -> T: ...
    async def run_process(self, func: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Run ``func`` in a process of the pool ``cpu`` and return what it returns.

        Raises:
            ExecutorError: as ``BaseExecutor.submit``.
        """
        return await self._run("cpu", func, *args, **kwargs)

    async def _run(self, pool: str, func: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        if inside_worker():  # this code is offloaded already, and pools do not nest
            result = func(*args, **kwargs)
            if inspect.isawaitable(result):
                result = await result
        else:
            result = await self._registry.get(pool).submit(func, *args, **kwargs)
        return result

    @property
    def _registry(self) -> ExecutorRegistry:
        registry = registry_of(self._application)
        if registry is None:
            raise ExecutorConfigError(
                f"application {self._application.code!r} has no pools: it is not served by a "
                "server with executors. Serve it with ExecutorServer"
            )
        return registry


class ExecutorApplication(RoutedApplication):
    """``RoutedApplication`` with ``app.router.configure(...)``, ``app.executor`` and ``app.tasks``.

    The routes of a plain ``RoutedApplication`` are offloaded as well; this class adds the names.
    """

    @property
    def router(self) -> ApplicationRouter:
        """The application's routes, which can be configured while it serves."""
        return ApplicationRouter(self)

    @property
    def executor(self) -> ApplicationExecutors:
        """The server's pools ``blocking`` and ``cpu``, for the application's own code."""
        return ApplicationExecutors(self)

    @property
    def tasks(self) -> ApplicationTasks:
        """Long jobs: submit, status, result, cancel, progress, list, forget."""
        return ApplicationTasks(self)
