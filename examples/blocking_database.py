# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""A blocking database driver (sqlite3) on threads of its own.

Shows a whole application in one pool of threads: the handlers block in the driver, and neither
the event loop nor the server's own threads wait with them. Threads, because the driver waits
outside of Python's lock; the application is the same object as in the server.

Start it with ``python examples/blocking_database.py [port]``, then try::

    curl 'http://127.0.0.1:8000/orders/add?item=tea&quantity=3'
    curl http://127.0.0.1:8000/orders/list
    curl http://127.0.0.1:8000/orders/slow
"""

import sqlite3
import sys
import tempfile
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

from genro_asgi import RoutedApplication
from genro_routes import route

from genro_executor_plugin import ExecutorServer


class Orders(RoutedApplication):
    mount = "orders"

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.route.plug("executor", pool="db")  # every route of this application

    def on_startup(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.file = Path(self.folder.name) / "orders.db"
        with closing(sqlite3.connect(self.file)) as db, db:
            db.execute("CREATE TABLE orders (item TEXT NOT NULL, quantity INTEGER NOT NULL)")

    def on_shutdown(self) -> None:
        self.folder.cleanup()

    @route()
    def add(self, item: str, quantity: int = 1) -> dict[str, object]:
        """Write an order."""
        with closing(sqlite3.connect(self.file)) as db, db:
            db.execute("INSERT INTO orders VALUES (?, ?)", (item, quantity))
        return {"item": item, "quantity": quantity}

    @route(name="list")
    def all_orders(self) -> list[dict[str, object]]:
        """Read them all."""
        with closing(sqlite3.connect(self.file)) as db:
            rows = db.execute("SELECT item, quantity FROM orders").fetchall()
        return [{"item": item, "quantity": quantity} for item, quantity in rows]

    @route()
    def slow(self) -> dict[str, object]:
        """A query that takes its time: the thread waits for it, and nobody else does."""
        numbers = (
            "WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers "
            "LIMIT 1000000) SELECT sum(n) FROM numbers"
        )
        with closing(sqlite3.connect(self.file)) as db:
            (total,) = db.execute(numbers).fetchone()
        return {"sum": total, "thread": threading.current_thread().name}


if __name__ == "__main__":
    server = ExecutorServer(
        applications=[Orders],
        executors={"db": {"executor_type": "thread", "max_workers": 8}},
    )
    server.serve(port=int(sys.argv[1]) if len(sys.argv) > 1 else 8000)
