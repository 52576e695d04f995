# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Handlers of every sort whose answers say nothing of where they ran.

Those of the examples and of the demo are among them, without pid and time.
"""

from __future__ import annotations

import dataclasses
import datetime
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal

from genro_bag import Bag
from genro_routes import RoutingClass, route
from host import (
    HTTPException,
    HTTPNotFound,
    Redirect,
    RoutedApplication,
    SseStream,
    StreamingResponse,
)
from pydantic import BaseModel, Field, TypeAdapter

from genro_executor_plugin.tools.demo.pdf import sales_of


class Item(BaseModel):
    name: str
    price: Decimal = Decimal("1.50")


@dataclasses.dataclass
class Point:
    x: int
    y: int = 0


class OwnError(Exception):
    pass


class Section(RoutingClass):
    def __init__(self, app: Any) -> None:
        self.app = app
        self.count = 3

    @route(executor="p")
    def inner(self, times: int = 1) -> dict[str, Any]:
        return {"name": self.app.name, "count": self.count * times}


class Equal(RoutedApplication):
    mount = "equal"

    def __init__(self, folder: str, **options: Any) -> None:
        super().__init__(**options)
        self.route.plug("pydantic")
        self.file = Path(folder) / "orders.db"
        self.text = Path(folder) / "text.txt"
        self.text.write_text("from a file")
        self.name = "equal"
        self.words = ["one", "two"]
        self.section = Section(self)
        self.add_branches({"name": "section", "instance": self.section})
        with closing(sqlite3.connect(self.file)) as db, db:
            db.execute("CREATE TABLE orders (item TEXT NOT NULL, quantity INTEGER NOT NULL)")

    # -- of the examples and the demo -------------------------------------------------------------

    @route(executor="p")
    def add(self, item: str, quantity: int = 1) -> dict[str, object]:
        with closing(sqlite3.connect(self.file)) as db, db:
            db.execute("INSERT INTO orders VALUES (?, ?)", (item, quantity))
        return {"item": item, "quantity": quantity}

    @route(executor="p", name="list")
    def all_orders(self) -> list[dict[str, object]]:
        with closing(sqlite3.connect(self.file)) as db:
            rows = db.execute("SELECT item, quantity FROM orders").fetchall()
        return [{"item": item, "quantity": quantity} for item, quantity in rows]

    @route(executor="p", meta_media_type="application/pdf")
    def report(
        self, title: str = "Sales", products: Annotated[int, Field(ge=1, le=200)] = 8
    ) -> bytes:
        return repr(sales_of(title, products)).encode()

    @route(executor="p")
    def nothing_for(self, call: Annotated[str, Field(pattern="^[a-z]{1,20}$")]) -> None:
        """As the demo's ``enough``."""

    @route(executor="p")
    async def choose(
        self, disabled: bool = False, on_overload: Literal["wait", "fail"] = "wait"
    ) -> dict[str, Any]:
        return {"disabled": disabled, "on_overload": on_overload}

    # -- results ----------------------------------------------------------------------------------

    @route(executor="p")
    def echo(self, value: Any = None) -> Any:
        return value

    @route(executor="p")
    async def echo_async(self, value: Any = None) -> Any:
        return value

    @route(executor="p")
    def total(self, body_data: Any = None) -> dict[str, Any]:
        return {"keys": sorted(body_data) if isinstance(body_data, dict) else repr(body_data)}

    @route(executor="p")
    def item(self, name: str, price: Decimal = Decimal(1)) -> dict[str, Any]:
        return Item(name=name, price=price).model_dump()

    @route(executor="p")
    def typed(self, days: int = 0) -> dict[str, Any]:
        day = datetime.date(2024, 2, 28) + datetime.timedelta(days=days)
        return {
            "day": day,
            "at": datetime.datetime(2024, 1, 2, 3, 4, 5),
            "price": Decimal("12.30"),
            "words": self.words,
            "ratio": 0.1 + days,
        }

    @route(executor="p")
    def bag(self, size: int = 2) -> Any:
        bag = Bag()
        for number in range(size):
            bag[f"row_{number}.value"] = number
        return bag.to_xml() if size % 2 else {"keys": list(bag.keys())}

    @route(executor="p")
    def wrapped(self, kind: str = "html") -> Any:
        return self.result_wrapper(f"<p>{kind}</p>", media_type=f"text/{kind}")

    @route(executor="p")
    def path(self) -> Any:
        return self.text

    @route(executor="p")
    def obj(self, x: int, y: int = 2) -> Any:
        return Point(x, y)

    @route(executor="p")
    def everything(self, *args: Any, **options: Any) -> dict[str, Any]:
        return {"args": args, "options": options}

    # -- errors -----------------------------------------------------------------------------------

    @route(executor="p")
    def fails(self, kind: str = "own", status: int = 418) -> Any:
        if kind == "own":
            raise OwnError("of its own")
        if kind == "http":
            raise HTTPException(status, "as asked", [(b"x-why", b"asked")])
        if kind == "missing":
            raise HTTPNotFound("no such thing")
        if kind == "redirect":
            raise Redirect("/equal/list")
        if kind == "type":
            raise TypeError("in the body")
        if kind == "validation":
            TypeAdapter(int).validate_python("no number")
        if kind == "item":
            Item(name=[])  # type: ignore[arg-type]
        return {"kind": kind}

    @route(executor="p")
    async def fails_async(self, kind: str = "own") -> Any:
        if kind == "validation":
            TypeAdapter(int).validate_python("no number")
        if kind == "type":
            len(3)  # type: ignore[arg-type]
        raise OwnError(kind)

    # -- chunks -----------------------------------------------------------------------------------

    @route(executor="p")
    def chunks(self, count: int = 3) -> Iterator[str]:
        for number in range(count):
            yield f"{number},"

    @route(executor="p")
    def response(self, status: int = 200) -> StreamingResponse:
        async def body() -> AsyncIterator[bytes]:
            for word in self.words:
                yield word.encode()

        return StreamingResponse(body(), status, {"x-words": "2"}, "text/plain")

    @route(executor="p")
    async def events(self, count: int = 2) -> SseStream:
        async def source() -> AsyncIterator[dict[str, Any]]:
            for number in range(count):
                yield {"id": number, "data": {"n": number}}

        return SseStream(source())
