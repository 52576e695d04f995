# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Applications that a server must not start with, and some that only look so."""

from __future__ import annotations

import os
import threading
from typing import Any

from genro_routes import RoutingClass, route
from host import OpenApiApplication, RoutedApplication


class Fine(RoutedApplication):
    mount = "fine"

    @route(executor="cpu")
    def pid(self) -> int:
        return os.getpid()


class Undeclared(RoutedApplication):
    """Two pools that nobody declared: in the application, and in a section's section."""

    mount = "undeclared"

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.section = Section()
        self.add_branches({"name": "section", "instance": self.section})

    @route(executor="pfd")
    def report(self) -> None: ...


class Section(RoutingClass):
    def __init__(self) -> None:
        self.add_branches({"name": "inner", "instance": Inner()})


class Inner(RoutingClass):
    @route(executor="mll")
    async def learn(self) -> None: ...


class RouterWide(RoutedApplication):
    """An undeclared pool that the router names for all."""

    mount = "wide"

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.route.plug("executor", pool="wiide")

    @route()
    def report(self) -> None: ...


class Lazy(RoutedApplication):
    """An undeclared pool in a branch that nobody has built."""

    mount = "lazy"

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.add_branches({"name": "attic", "cls": Inner})
        self.add_branches({"name": "second", "alias": "attic"})


class LazyTimeout(RoutedApplication):
    """A branch that nobody has built asks for what its pool cannot keep."""

    mount = "lazytimeout"

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.add_branches({"name": "attic", "cls": Slow})


class Slow(RoutingClass):
    @route(executor="blocking", executor_timeout=5)
    def slow(self) -> None: ...


class Older(RoutingClass):
    @route(executor="gone")
    def job(self) -> int:
        return 0

    @route(executor="gone")
    def dropped(self) -> int:
        return 0


class Newer(Older):
    """Its parent's pool is no longer asked for: the methods were replaced."""

    @route(executor="cpu")
    def job(self) -> int:
        return os.getpid()

    def dropped(self) -> int:
        return 1


class LazyNewer(RoutedApplication):
    mount = "newer"

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.add_branches({"name": "attic", "cls": Newer})


class TakesRequest(RoutedApplication):
    mount = "request"

    @route(executor="cpu")
    def login(self, _request) -> None: ...  # type: ignore[no-untyped-def]


class TakesRequestDisabled(RoutedApplication):
    mount = "request"

    @route(executor="cpu", executor_disabled=True)
    def login(self, _request) -> str:  # type: ignore[no-untyped-def]
        return str(_request.method)


class TakesRequestOnThreads(RoutedApplication):
    mount = "request"

    @route(executor="blocking")
    def login(self, _request) -> str:  # type: ignore[no-untyped-def]
        return f"{_request.method} on {threading.current_thread().name}"


class PoolForAll(OpenApiApplication):
    """A pool for a whole application that has pages of the host, and takes the request once."""

    mount = "all"

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.route.plug("executor", pool="cpu")

    @route()
    def pid(self) -> int:
        return os.getpid()

    @route()
    def method(self, _request) -> str:  # type: ignore[no-untyped-def]
        return f"{_request.method} in {os.getpid()}"


class ThreadTimeout(RoutedApplication):
    mount = "threads"

    @route(executor="blocking", executor_timeout=5)
    def slow(self) -> None: ...


class EverythingWrong(Undeclared):
    mount = "wrong"

    @route(executor="cpu")
    def login(self, _request) -> None: ...  # type: ignore[no-untyped-def]

    @route(executor="blocking", executor_retries=2)
    def again(self) -> None: ...
