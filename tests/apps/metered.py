# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""A program whose metrics OpenTelemetry collects; it prints what was collected as JSON.

The provider of meters can be set once in a process, hence a process for it.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
import threading
import time
from contextlib import suppress
from typing import Any

from genro_routes import route
from host import RoutedApplication
from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from servers import serving
from worker_functions import add, answer, fail

from genro_executor_plugin import ExecutorConsole
from genro_executor_plugin.errors import ExecutorOverloadError
from genro_executor_plugin.tasks.options import TaskOptions

POOLS: dict[str, dict[str, Any]] = {
    "pdf": {"max_workers": 1},
    "small": {"executor_type": "thread", "max_workers": 2, "max_pending": 1, "on_overload": "fail"},
}


class Shop(RoutedApplication):
    mount = "shop"

    @route(executor="pdf")
    def invoice(self, lines: int = 1) -> int:
        return lines


def tell(name: str, told: Any) -> None:
    print(json.dumps({"name": name, "told": told}), flush=True)


def collected(reader: InMemoryMetricReader) -> Any:
    data = reader.get_metrics_data()
    return json.loads(data.to_json()) if data is not None else None


async def main() -> None:
    reader = InMemoryMetricReader()
    provider = MeterProvider(metric_readers=[reader])
    metrics.set_meter_provider(provider)
    jobs = {"path": tempfile.mkdtemp()}
    async with serving(Shop, ExecutorConsole, executors=POOLS, long_tasks=jobs) as site:
        server = site.server
        for _ in range(3):
            assert (await site.get("/shop/invoice?lines=2")).status_code == 200
        pool = server.get_executor("small")
        with suppress(ValueError):
            await pool.submit(fail, ValueError("it fails"))
        pool.pause()
        waiting = asyncio.create_task(pool.submit(answer))
        await asyncio.sleep(0)  # its first step takes the only place
        with suppress(ExecutorOverloadError):
            await pool.submit(answer)
        await server.long_tasks.submit(add, (1,), {}, TaskOptions(pool="pdf", eta=time.time() + 99))
        tell("thread", await asyncio.to_thread(collected, reader))
        tell("scrape", (await site.get("/_executors/metrics")).text)
        await asyncio.sleep(0.6)  # a reading is kept for half a second
        tell("loop", collected(reader))
        await asyncio.sleep(0.6)
        done = threading.Event()
        asked = asyncio.get_running_loop().run_in_executor(None, collected, reader)
        done.wait(1.3)  # the loop is busy all the while
        tell("busy", await asked)
        pool.resume()
        await waiting
    tell("ended", collected(reader) is not None)


if __name__ == "__main__":
    asyncio.run(main())
