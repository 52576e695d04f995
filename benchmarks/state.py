# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""What a megabyte of state in an application costs a call that does not look at it."""

from __future__ import annotations

import pickle
from time import perf_counter
from typing import Any

from genro_asgi import RoutedApplication
from genro_routes import route

from benchmarks.figures import percentile
from benchmarks.peers import Product

__all__ = ["state"]

_ENTRIES = 20_000
_ROUND = 20


class Stateless(RoutedApplication):
    @route(executor="state")
    def noop(self) -> None:
        """Looks at nothing."""


class Immutable(Stateless):
    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.held = tuple(_megabyte())


class Constant(Stateless):
    executor_constants = ("held",)

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.held = _megabyte()


class Mutable(Stateless):
    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.held = _megabyte()


def _megabyte() -> list[str]:
    return [f"{number:045d}" for number in range(_ENTRIES)]


async def state(product: Product, seconds: float) -> dict[str, float]:
    """No-ops of applications with and without state in turn, and one pickling of that state."""
    mutable = Mutable()
    apps = {"none": Stateless(), "fixed": Immutable(), "constant": Constant(), "mutable": mutable}
    times: dict[str, list[float]] = {name: [] for name in (*apps, "pickling")}
    async with product.opened() as pool:
        for app in apps.values():
            for _ in range(50):
                await pool.call(app.noop)
        end = perf_counter() + seconds
        while perf_counter() < end or not times["pickling"]:
            for name, app in apps.items():
                for _ in range(_ROUND):
                    began = perf_counter()
                    await pool.call(app.noop)
                    times[name].append(perf_counter() - began)
            for _ in range(_ROUND):
                began = perf_counter()
                pickle.dumps({"held": mutable.held}, 5)
                times["pickling"].append(perf_counter() - began)
    typical = {name: percentile(sorted(values), 50) for name, values in times.items()}
    return {
        "none_us": typical["none"] * 1e6,
        "fixed_ratio": typical["fixed"] / typical["none"],
        "constant_ratio": typical["constant"] / typical["none"],
        "pickling_us": typical["pickling"] * 1e6,
        "picklings": (typical["mutable"] - typical["none"]) / typical["pickling"],
    }
