# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""A large table as CSV, sent while it is made.

Shows a generator in a worker: its chunks are sent as they come, it waits for a slow client, and it
is closed in its worker when the client leaves.

Start it with ``python examples/csv_stream.py [port]``, then try::

    curl 'http://127.0.0.1:8000/tables/squares?rows=1000000' | tail -1
    curl 'http://127.0.0.1:8000/tables/squares?rows=1000000' | head -3
"""

import csv
import io
import sys
from collections.abc import Iterator

from genro_asgi import RoutedApplication
from genro_routes import route

from genro_executor_plugin import ExecutorServer

ROWS_OF_A_CHUNK = 1_000


class Tables(RoutedApplication):
    mount = "tables"

    @route(executor="tables", executor_idle=30.0, media_type="text/csv")
    def squares(self, rows: int = 10_000) -> Iterator[str]:
        """Numbers with their squares, a thousand rows in each chunk."""
        rows = int(rows)
        yield "number,square\r\n"
        for first in range(1, rows + 1, ROWS_OF_A_CHUNK):
            chunk = io.StringIO()
            write = csv.writer(chunk)
            last = min(first + ROWS_OF_A_CHUNK, rows + 1)
            write.writerows((number, number**2) for number in range(first, last))
            yield chunk.getvalue()


if __name__ == "__main__":
    server = ExecutorServer(applications=[Tables], executors={"tables": {"max_workers": 2}})
    server.serve(port=int(sys.argv[1]) if len(sys.argv) > 1 else 8000)
