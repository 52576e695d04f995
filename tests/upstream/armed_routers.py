# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""A pytest plugin for somebody else's tests: arms their routers, and notes how each test ended.

It is loaded by its bare name (``-p armed_routers``), because ``tests`` is their package there.
``UPSTREAM_WAY`` says what is armed:

- ``stock``: nothing.
- ``plugged``: every router has the plugin, and no pool.
- ``pooled``: every ``AsgiServer`` is an ``ExecutorServer``, and all routes of its applications
  have a pool. In the suite of genro-routes, which has no servers, every router has a pool's name,
  and the call of a node is awaited as a host awaits it.

``UPSTREAM_OUTCOMES`` is the file that the outcomes are written to, a line of JSON for each test.
"""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import pytest

WAY = os.environ["UPSTREAM_WAY"]

HAS_SERVERS = Path.cwd().name.startswith("genro_asgi")
"""Whether it is the suite of the host; pytest runs in the folder of the source distribution."""

POOL = "upstream"


def plug_every_router(**options: Any) -> None:
    """Plug ``executor`` into every router as soon as there is one."""
    from genro_routes import Router

    import genro_executor_plugin  # noqa: F401 - it registers the plugin

    made = Router.__init__

    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        made(self, *args, **kwargs)
        self.plug("executor", **options)

    Router.__init__ = __init__  # type: ignore[method-assign] # their tests make their own routers


def await_calls_of_nodes() -> None:
    """Have a node whose route has a pool return what its handler does, as a host awaits it."""
    from genro_routes import RouterNode

    called = RouterNode.__call__

    def __call__(self: Any, *args: Any, **kwargs: Any) -> Any:
        result = called(self, *args, **kwargs)
        handler = getattr(getattr(self._entry, "func", None), "offloaded_handler", None)
        if handler is None or handler.is_async or not asyncio.iscoroutine(result):
            return result
        return asyncio.run(result)

    RouterNode.__call__ = __call__  # type: ignore[method-assign] # as above


def pool_every_server() -> None:
    """Give every ``AsgiServer`` a pool, and all of its routes to that pool."""
    import genro_asgi
    import genro_asgi.asgi_server

    from genro_executor_plugin import ExecutorServer

    class PooledServer(ExecutorServer):
        def __init__(self, config: Any = None, **kwargs: Any) -> None:
            kwargs.setdefault("executors", {POOL: {"executor_type": "inline"}})
            plugins = dict(kwargs.pop("plugins", None) or {})
            plugins.setdefault("executor", {"pool": POOL})
            super().__init__(config, plugins=plugins, **kwargs)

    PooledServer.__name__ = PooledServer.__qualname__ = "AsgiServer"
    genro_asgi.AsgiServer = PooledServer  # type: ignore[misc] # what their tests import
    genro_asgi.asgi_server.AsgiServer = PooledServer  # type: ignore[misc] # as above


if WAY == "plugged":
    plug_every_router()
elif WAY == "pooled" and HAS_SERVERS:
    pool_every_server()
elif WAY == "pooled":
    plug_every_router(pool=POOL)
    await_calls_of_nodes()


class Outcomes:
    """Writes how each test has ended, as soon as all of it is over."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._worst: dict[str, str] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" or report.outcome != "passed":
            bad = "error" if report.when != "call" else "failed"
            outcome = bad if report.failed else report.outcome
            if self._worst.get(report.nodeid) not in ("failed", "error"):
                self._worst[report.nodeid] = outcome

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self._worst[report.nodeid] = "not collected"

    def pytest_sessionfinish(self) -> None:
        self._path.write_text(json.dumps(self._worst, indent=0), encoding="utf-8")


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):  # with xdist, its main process hears of every test
        config.pluginmanager.register(Outcomes(Path(os.environ["UPSTREAM_OUTCOMES"])))
