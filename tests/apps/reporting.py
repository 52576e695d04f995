# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""A program whose errors reach Sentry: it makes them, and prints the events of each as JSON.

The transport is its own and sends nothing. The SDK changes the whole process (logging, threads),
hence a process for it.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import nullcontext, suppress
from typing import Any

import httpx
import sentry_sdk
from genro_routes import route
from host import HTTPException, RoutedApplication
from sentry_sdk.integrations.asyncio import AsyncioIntegration
from sentry_sdk.transport import Transport
from servers import serving, until
from worker_functions import answer, fail

from genro_executor_plugin import ExecutorServer, ThreadExecutor
from genro_executor_plugin.tasks.options import TaskOptions

EVENTS: list[dict[str, Any]] = []
THREADS: list[bool] = []


class Kept(Transport):
    """Keeps events instead of sending them."""

    def capture_envelope(self, envelope: Any) -> None:
        event = envelope.get_event()
        if event is not None:
            EVENTS.append(event)
            THREADS.append(threading.current_thread() is threading.main_thread())


def begin_sdk() -> None:
    sentry_sdk.init(
        dsn="http://key@127.0.0.1:9/1",
        transport=Kept,
        integrations=[AsyncioIntegration()],
        auto_enabling_integrations=False,
    )


def begin_in_worker() -> None:
    """What an application does that initialises the SDK in its workers, too."""

    class Told(Transport):
        def capture_envelope(self, envelope: Any) -> None:
            print("in the worker:", envelope.get_event()["logentry"]["message"], file=sys.stderr)

    sentry_sdk.init(
        dsn="http://key@127.0.0.1:9/1", transport=Told, auto_enabling_integrations=False
    )


class FrozenError(Exception):
    """An error that takes no attributes."""

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(name)


def divide(of: int) -> float:
    secret = "of-the-caller"
    return len(secret) / of


class Shop(RoutedApplication):
    mount = "shop"

    @route(executor="processes")
    def divided(self) -> float:
        return divide(0)

    @route(executor="threads")
    def on_a_thread(self) -> float:
        return divide(0)

    @route(executor="threads")
    def captured(self) -> None:
        try:
            divide(0)
        except ZeroDivisionError:
            logging.getLogger("shop").exception("it is logged and raised")
            raise

    @route(executor="threads")
    def frozen(self) -> None:
        raise FrozenError("no attributes")

    @route(executor="processes")
    def streamed(self) -> Iterator[str]:
        yield "one"
        divide(0)

    @route(executor="processes", executor_timeout=0.1)
    def too_long(self) -> None:
        threading.Event().wait()

    @route(executor="processes", executor_background=True)
    def later(self) -> None:
        divide(0)

    @route(executor="processes")
    def missing(self) -> None:
        raise HTTPException(404, "there is none")

    @route(executor="processes")
    def unavailable(self) -> None:
        raise HTTPException(502, "not now")

    @route(executor="processes")
    def dies(self) -> None:
        os._exit(3)

    @route(executor="told")
    def logged_there(self) -> None:
        logging.getLogger("shop").error("logged in a worker with the SDK")

    @route(executor="processes")
    def logged_here(self) -> None:
        logging.getLogger("shop").error("logged in a worker without the SDK")

    @route(executor="told")
    def dies_there(self) -> float:
        return divide(0)

    @route(executor="full", executor_on_overload="fail")
    def refused(self) -> int:
        return 1


POOLS: dict[str, dict[str, Any]] = {
    "processes": {"max_workers": 1},
    "told": {"max_workers": 1, "initializer": begin_in_worker},
    "threads": {"executor_type": "thread", "max_workers": 1},
    "full": {"executor_type": "thread", "max_workers": 1, "max_pending": 1},
}


PATHS = (
    *("divided", "on_a_thread", "captured", "frozen", "streamed", "too_long", "later"),
    *("unavailable", "dies", "logged_here", "dies_there"),
)


async def made(name: str, making: Any, least: int = 1) -> None:
    """Print the events that ``making`` leads to, at least so many."""
    EVENTS.clear()
    THREADS.clear()
    await making
    async with asyncio.timeout(5):
        await until(lambda: len(EVENTS) >= least)
    await asyncio.get_running_loop().run_in_executor(None, answer)  # what is on its way
    events = [*EVENTS]
    print(json.dumps({"name": name, "events": events, "on_loop": any(THREADS)}, default=str))


async def ask(site: Any, path: str) -> None:
    with suppress(httpx.HTTPError) if path == "streamed" else nullcontext():
        await site.get(f"/shop/{path}")


async def refused(site: Any) -> None:
    pool = site.server.get_executor("full")
    pool.pause()
    waiting = asyncio.create_task(pool.submit(answer))
    await asyncio.sleep(0)
    assert (await site.get("/shop/refused")).status_code == 503
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    pool.resume()


async def job(site: Any) -> None:
    jobs = site.server.long_tasks
    accepted = await jobs.submit(fail, (ValueError("of a job"),), {}, TaskOptions(pool="processes"))
    try:
        await jobs.result(accepted)
    except ValueError as error:
        logging.getLogger("shop").error("it is asked for", exc_info=error)


async def direct(site: Any) -> None:
    pool = site.server.get_executor("threads")
    with suppress(KeyError):
        await asyncio.create_task(pool.submit(fail, KeyError("direct")))


async def main() -> None:
    jobs = {"path": tempfile.mkdtemp()}
    server = ExecutorServer(applications=[Shop], executors=POOLS, long_tasks=jobs, tasks=False)
    async with ThreadExecutor("alone", max_workers=1) as pool:
        error = ValueError("before the SDK is in use")
        with suppress(ValueError):
            await pool.submit(fail, error)
        print(json.dumps({"name": "without", "events": sorted(vars(error)), "on_loop": False}))
    begin_sdk()
    async with serving(server=server) as site:
        for path in PATHS:
            await made(path, ask(site, path))
        await made("missing", ask(site, "missing"), least=0)
        await made("logged_there", ask(site, "logged_there"), least=0)
        await made("refused", refused(site), least=0)
        await made("job", job(site))
        await made("direct", direct(site))


if __name__ == "__main__":
    asyncio.run(main())
