# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""A site with as many pools, routes and workers as a page of the console has to carry."""

from __future__ import annotations

import time
from typing import Any

from genro_routes import RoutingClass, route
from host import RoutedApplication

ROUTES, POOLS, WORKERS = 500, 20, 200
"""How many there are of each in the largest site."""

_SECTIONS = 20


def many_pools(kind: str) -> dict[str, Any]:
    """``POOLS`` pools with ``WORKERS`` workers together, which are there from the start."""
    each: dict[str, Any] = {"executor_type": kind, "max_workers": WORKERS // POOLS}
    if kind == "process":
        each["min_workers"] = WORKERS // POOLS
    return {pool_name(number): dict(each) for number in range(POOLS)}


def pool_name(number: int) -> str:
    """The name of the pool with this number."""
    return f"pool{number:02}"


def paths() -> list[str]:
    """The paths of the routes, in the order of their pools."""
    return [f"many/part{number % _SECTIONS:02}/task{number:03}" for number in range(ROUTES)]


def _handler(section: str, number: int) -> Any:
    def task(self: Any, seconds: float = 0.0, fail: bool = False) -> int:
        time.sleep(min(seconds, 5.0))
        if fail:
            raise ValueError(f"task {number} was told to fail")
        return number

    del task.__annotations__["self"]  # pydantic takes it for an argument
    task.__name__ = f"task{number:03}"
    task.__qualname__ = f"{section}.{task.__name__}"
    return route(executor=pool_name(number % POOLS))(task)


def _section(first: int) -> Any:
    name = f"Part{first:02}"
    handlers = [_handler(name, number) for number in range(first, ROUTES, _SECTIONS)]
    contents = {handler.__name__: handler for handler in handlers}
    return type(name, (RoutingClass,), {"__module__": __name__, **contents})


# Workers find a section's class by its name in this module.
globals().update({f"Part{number:02}": _section(number) for number in range(_SECTIONS)})


class Many(RoutedApplication):
    """An application of ``ROUTES`` routes in ``POOLS`` pools."""

    mount = "many"

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        for number in range(_SECTIONS):
            section = globals()[f"Part{number:02}"]()
            self.add_branches({"name": f"part{number:02}", "instance": section})
