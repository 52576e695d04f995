# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Applications that say themselves how their state travels, and some that cannot."""

from __future__ import annotations

import threading
from typing import Any

from genro_routes import RoutingClass, route
from host import RoutedApplication

from apps.replicated import Watched


class Base(RoutedApplication):
    """A private attribute of a base class, and a property over it."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.__secret = "base"

    @property
    def secret(self) -> str:
        return self.__secret


class Lazy(Base):
    """What a handler loads for itself, by assignment and into a container."""

    mount = "lazy"

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.__secret = "derived"
        self.model: Any = None
        self.loaded: dict[str, Any] = {}
        self.version = 1
        self.settings = {"a": 1}
        self.table: list[Any] = []
        self.view = {"table": self.table}

    @route(executor="p")
    def load(self) -> list[Any]:
        if self.model is None:
            self.model = threading.Condition()  # could never be sent
            self.fresh = True
        else:
            self.fresh = False
        self.loaded.setdefault("index", threading.Condition())
        return [self.fresh, len(self.loaded), self.version, self.settings]

    @route(executor="p")
    def shared(self) -> list[Any]:
        return [self.view["table"] is self.table, len(self.table)]

    @route(executor="p")
    def secrets(self) -> list[str]:
        return [self.secret, self.__secret]


class Chosen(RoutedApplication):
    """Declares what travels."""

    mount = "chosen"
    executor_state = ("prices", "__private")
    executor_constants = ("catalogue",)

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.prices = {"tea": 1}
        self.catalogue = ["a", Watched("catalogue")]
        self.big = Watched("big")
        self.__private = "mine"

    @route(executor="p")
    def look(self) -> list[Any]:
        return [self.prices, len(self.catalogue), self.__private, self.code]

    @route(executor="p")
    def look_at_big(self) -> Any:
        return self.big.name

    @route(executor="p")
    def look_at(self, name: str) -> Any:
        return getattr(self, name)


class MoreChosen(Chosen):
    """Adds to what its base declares."""

    executor_state = ("more",)

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.more = [1]

    @route(executor="p")
    def both(self) -> list[Any]:
        return [self.prices, self.more]


class Getting(RoutedApplication):
    """Leaves one attribute out, and adds one that is made for the way."""

    mount = "getting"

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.lock = threading.Condition()
        self.numbers = [1, 2]

    def __getstate__(self) -> dict[str, Any]:
        state = self.__dict__.copy()
        del state["lock"]
        state["total"] = sum(self.numbers)
        return state

    @route(executor="p")
    def look(self) -> list[Any]:
        return [self.numbers, self.total, hasattr(self, "lock")]  # type: ignore[attr-defined]


class Setting(Getting):
    """Makes the missing attribute again."""

    mount = "setting"

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.lock = threading.Condition()

    @route(executor="p")
    def locked(self) -> bool:
        with self.lock:
            return True


class Whole(RoutingClass):
    """A state that is no dict."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __getstate__(self) -> str:
        return self.text.upper()

    def __setstate__(self, state: str) -> None:
        self.text = state + "!"

    @route(executor="p")
    def look(self) -> str:
        return self.text


class NobodyTakes(RoutingClass):
    def __getstate__(self) -> str:
        return "text"

    @route(executor="p")
    def look(self) -> int:
        return 1


class Database:
    def __init__(self) -> None:
        self.connection = threading.Condition()
        self.pool = {"spare": [1, threading.Condition()]}


class RaisingReduce:
    def __reduce__(self) -> Any:
        raise ValueError("not today")


class NonsenseReduce:
    """Says that it is made by something that makes nothing."""

    def __reduce__(self) -> Any:
        return "no_such_name_anywhere"


class LyingReduce:
    """Can be packed, and not be unpacked."""

    def __reduce__(self) -> Any:
        return int, ("not a number",)


class Troubled(RoutedApplication):
    """Whatever a test puts into it."""

    mount = "troubled"

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.db: Any = None

    @route(executor="p")
    def harmless(self) -> str:
        return "fine"

    @route(executor="p")
    def use(self) -> Any:
        return bool(self.db)

    @route(executor="p")
    def ring(self) -> list[Any]:
        return [self.db["self"] is self.db, self.db["app"] is self, len(self.db["chain"])]


class Leaf(RoutingClass):
    """At the bottom of a tree, with a way up and a value that it shares with the top."""

    def __init__(self, top: Any, shared: list[Any]) -> None:
        self.top = top
        self.shared = shared

    @route(executor="p")
    def look(self) -> list[Any]:
        return [self.top.name, self.shared, self.top.middle.name]


class Middle(RoutingClass):
    def __init__(self, top: Any) -> None:
        self.name = "middle"
        self.leaf = Leaf(top, top.shared)
        self.add_branches({"name": "leaf", "instance": self.leaf})

    @route(executor="p")
    def look(self) -> list[Any]:
        return [self.leaf.top.middle is self, self.name]


class Attic(RoutingClass):
    """A lazy branch: it is made when somebody goes there."""

    def __init__(self, size: int = 0) -> None:
        self.size = size

    @route(executor="p")
    def look(self) -> int:
        return self.size


class Tree(RoutedApplication):
    mount = "tree"

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.name = "tree"
        self.shared: list[Any] = ["shared"]
        self.middle = Middle(self)
        self.add_branches({"name": "middle", "instance": self.middle})
        self.add_branches({"name": "attic", "cls": Attic, "params": {"size": 3}})


class Misdeclared(RoutedApplication):
    executor_state = "prices"

    @route(executor="cpu")
    def job(self) -> None: ...


class NamesProperty(RoutedApplication):
    executor_constants = ("total",)

    @property
    def total(self) -> int:
        return 1

    @route(executor="cpu")
    def job(self) -> None: ...


class AsyncHook(RoutedApplication):
    async def on_worker_startup(self) -> None: ...

    @route(executor="cpu")
    def job(self) -> None: ...


def with_a_lock() -> Any:
    lock = threading.Condition()

    class Captive(RoutedApplication):
        @route(executor="cpu")
        def job(self) -> bool:
            return lock.locked()

    return Captive
