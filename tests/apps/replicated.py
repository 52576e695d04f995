# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Applications and sections whose state travels."""

from __future__ import annotations

import os
import threading
from typing import Any

from genro_routes import RoutingClass, route
from host import RoutedApplication

PICKLED: list[str] = []
"""The names of the ``Watched`` values that were pickled in this process."""


class Watched:
    """A value that says whenever it is pickled."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __reduce__(self) -> Any:
        PICKLED.append(self.name)
        return Watched, (self.name,)


class Shop(RoutedApplication):
    """State of every sort, and a section that refers back to it."""

    mount = "shop"

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.name = "corner"
        self.prices = {"tea": [1, 2]}
        self.till = Till(self)
        self.add_branches({"name": "till", "instance": self.till})

    @route(executor="p")
    def state(self) -> dict[str, Any]:
        return {"name": self.name, "prices": self.prices, "pid": os.getpid()}

    @route(executor="p")
    async def state_async(self) -> dict[str, Any]:
        return {"name": self.name, "prices": self.prices, "pid": os.getpid()}

    @route(executor="p")
    def names(self) -> list[str]:
        hidden = ("_armed", "_db_name", "code", "mount")
        return sorted(
            name
            for name, value in vars(self).items()
            if name not in hidden and type(value).__name__ != "Placeholder"
        )

    @route(executor="p")
    def mark(self, name: str, value: Any) -> None:
        setattr(self, name, value)

    @route(executor="p")
    def has(self, name: str) -> Any:
        return getattr(self, name, "absent")

    @route(executor="p")
    def left_behind(self) -> dict[str, str]:
        """What somebody reads who looks for what is not in a worker."""
        said = {}
        for name, look in {
            "server": lambda: self.server.applications,
            "route": lambda: self.route.nodes(),
            "parent": lambda: self.till._routing_parent.name,
        }.items():
            try:
                said[name] = repr(look())
            except Exception as error:
                said[name] = f"{type(error).__name__}: {error}"
        return said

    @route(executor="p")
    def own_things(self) -> dict[str, Any]:
        """What genro keeps in an application, and what it answers in a worker."""
        return {
            "ctx": None if self.ctx is None else self.ctx.user,
            "config": self.config("parameters.title", default="none"),
            "capabilities": [str(name) for name in self.capabilities],
        }

    @route(executor="p")
    def hides(self, how: str) -> str:
        try:
            return str(self.prices) if how == "text" else str(isinstance(self.prices, dict))
        except Exception:
            return "hidden"

    @route(executor="p")
    def locks(self) -> list[Any]:
        with self.guard, self.other:
            held = self.pair[0].locked()
        return [
            held,
            self.pair[0] is self.guard,
            not self.guard.locked(),
            vars(self.local).get("value"),
        ]

    @route(executor="p")
    def is_top(self) -> bool:
        return self._routing_parent is None

    @route(executor="p")
    def same(self) -> list[bool]:
        return [self.till.shop is self, self.till is self.till.shop.till]

    @route(executor="p")
    def takes(self, other: Any) -> Any:
        return [other is self, type(other).__name__, getattr(other, "name", None)]


class Till(RoutingClass):
    def __init__(self, shop: Shop) -> None:
        self.shop = shop
        self.total = 0

    @route(executor="p")
    def context(self) -> Any:
        return None if self.ctx is None else self.ctx.user

    @route(executor="p")
    def same(self) -> list[Any]:
        return [self.shop.till is self, self.shop.name, self.total]

    @route(executor="p")
    def mark(self, total: int) -> None:
        self.total = total


class Locked(RoutedApplication):
    """Attributes that cannot travel, beside some that can."""

    mount = "locked"

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.name = "locked"
        self.lock = threading.Condition()
        self.jobs: list[Any] = []
        self.pair = (threading.Condition(), 1)

    @route(executor="p")
    def harmless(self) -> list[Any]:
        return [self.name, self.jobs]

    @route(executor="p")
    def use(self, how: str) -> Any:
        ways: dict[str, Any] = {
            "attribute": lambda: self.lock.acquire(),
            "with": lambda: self.lock.__enter__(),
            "call": lambda: self.lock(),  # type: ignore[operator]
            "item": lambda: self.pair[0],
            "iterate": lambda: list(self.pair),
            "length": lambda: len(self.pair),
            "truth": lambda: bool(self.pair),
            "unpack": lambda: [*self.pair],
            "in": lambda: 1 in self.pair,
            "set": lambda: setattr(self.lock, "x", 1),
            "compare": lambda: self.pair == (1, 2),
            "order": lambda: self.pair < (1, 2),  # type: ignore[operator]
            "add": lambda: self.pair + (1,),  # noqa: RUF005 - this is the operator that is meant
            "number": lambda: int(self.pair),  # type: ignore[call-overload]
            "return": lambda: self.lock,
        }
        return ways[how]()

    @route(executor="p")
    def replace(self) -> str:
        """A handler may put something in the place of what did not travel."""
        self.lock = threading.Condition()
        with self.lock:
            return "locked"


class Slotted(RoutingClass):
    """No ``__dict__``; a private slot, and one that is never set."""

    __slots__ = ("__private", "__weakref__", "label", "number", "unset")

    def __init__(self) -> None:
        self.number = 1
        self.label = ["a"]
        self.__private = "p"

    @route(executor="p")
    def state(self) -> list[Any]:
        return [self.number, self.label, self.__private, hasattr(self, "unset")]


class Unweakable(RoutingClass):
    """Slots without ``__weakref__``."""

    __slots__ = ("number",)

    def __init__(self) -> None:
        self.number = 1

    @route(executor="p")
    def state(self) -> int:
        return self.number


class Hooked(RoutedApplication):
    """Something that every worker makes for itself, once."""

    mount = "hooked"

    def __init__(self, log: str, **options: Any) -> None:
        super().__init__(**options)
        self.log = log
        self.part = HookedPart(log)
        self.add_branches({"name": "part", "instance": self.part})
        self.version = 1

    def on_worker_startup(self) -> None:
        note(self.log, "start", "app")
        self.model = threading.Condition()

    def on_worker_shutdown(self) -> None:
        note(self.log, "end", "app")

    @route(executor="p")
    def use(self) -> str:
        with self.model:
            return f"{os.getpid()} {self.version}"


class HookedPart(RoutingClass):
    def __init__(self, log: str) -> None:
        self.log = log

    def on_worker_startup(self) -> None:
        note(self.log, "start", "part")

    def on_worker_shutdown(self) -> None:
        note(self.log, "end", "part")

    @route(executor="p")
    def use(self) -> int:
        return os.getpid()


class FailsToStart(RoutedApplication):
    mount = "fails"

    def __init__(self, marker: str, **options: Any) -> None:
        super().__init__(**options)
        self.marker = marker

    def on_worker_startup(self) -> None:
        if not os.path.exists(self.marker):
            raise LookupError("no model yet")

    @route(executor="p")
    def use(self) -> int:
        return os.getpid()


class AsyncHooked(RoutedApplication):
    mount = "asynchooked"

    async def on_worker_startup(self) -> None:
        self.ready = True

    @route(executor="p")
    async def use(self) -> bool:
        return getattr(self, "ready", False)


def note(log: str, *words: str) -> None:
    with open(log, "a") as file:
        file.write(" ".join((*words, str(os.getpid()))) + "\n")
