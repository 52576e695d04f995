# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""For tests of applications: a real server with pools, and an assertion on where routes ran.

The server serves on a thread with an event loop of its own, so that a test may be a plain
function or a coroutine, and no asyncio plugin is needed.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import quote, urlencode

import httpx
import uvicorn

from .console.token import TOKEN_HEADER, ConsoleToken
from .executors import BaseExecutor
from .hosts.loaded import SYSTEM_APPLICATION
from .metrics.counters import OUTCOMES
from .routing.tree import adapter_of, routes_of
from .serving.server import ExecutorServer

__all__ = ["Answer", "ServerUnderTest", "ran_in"]

START_TIMEOUT_SECONDS = 60.0
"""How long a server may take to start: it warms its pools before it takes a request."""

STOP_TIMEOUT_SECONDS = 60.0

REQUEST_TIMEOUT_SECONDS = 60.0


_JSON = "application/json"

_ENDS = [outcome for outcome in OUTCOMES if outcome != "rejected"]
"""The outcomes of calls that a pool has taken."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server answered.

    Attributes:
        status: the HTTP status.
        headers: by name in lower case; of several of one name the last.
        body: as it came.
    """

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode("utf-8", "replace")

    def json(self) -> Any:
        """The body, read as JSON."""
        return json.loads(self.body)


class _Uvicorn(uvicorn.Server):
    """uvicorn that sets an event when it serves or has given up."""

    def __init__(self, config: uvicorn.Config, up: threading.Event) -> None:
        super().__init__(config)
        self._up = up

    async def startup(self, sockets: Any = None) -> None:
        try:
            await super().startup(sockets)
        finally:
            self._up.set()


class ServerUnderTest:
    """A server that serves on a thread until ``stop``.

    ``server`` is the server itself; looking at it from the test is fine, changing it belongs on
    its event loop (``run``).
    """

    def __init__(self, server: Any, port: int = 0) -> None:
        """Prepare ``server`` for ``port`` of the loopback interface; 0 means any free port."""
        self.server = server
        self.url: str = ""
        self._refusal = ""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._up = threading.Event()
        self._uvicorn = _Uvicorn(
            uvicorn.Config(
                self._app,
                interface="asgi3",
                host="127.0.0.1",
                port=port,
                lifespan="on",
                ws="none",
                log_config=None,
            ),
            self._up,
        )
        self._thread = threading.Thread(target=self._serve, name="executor_server")

    @classmethod
    def of(cls, *applications: Any, **options: Any) -> Self:
        """The server of ``applications`` and ``options``, or the one that is the only argument."""
        if len(applications) == 1 and not options and not isinstance(applications[0], type | tuple):
            return cls(applications[0])
        if applications:
            options["applications"] = list(applications)
        return cls(ExecutorServer(**options))

    def start(self) -> None:
        """Serve; returns when the server takes requests.

        Raises:
            RuntimeError: the server did not start; the message has its reason.
        """
        self._thread.start()
        started = self._up.wait(START_TIMEOUT_SECONDS)
        if not started or not self._uvicorn.started:
            self.stop()
            raise RuntimeError(f"the server did not start: {self._refusal or 'see its log'}")
        host, port = self._uvicorn.servers[0].sockets[0].getsockname()[:2]
        self.url = f"http://{host}:{port}"

    def stop(self) -> None:
        """Shut the server and its pools down, and wait for that.

        Raises:
            RuntimeError: it did not come to its end.
        """
        self._uvicorn.should_exit = True
        self._thread.join(STOP_TIMEOUT_SECONDS)
        if self._thread.is_alive():
            raise RuntimeError(f"the server did not end within {STOP_TIMEOUT_SECONDS:g} s")
        if pool := getattr(self.server, "pool", None):
            pool.shutdown()

    # -- requests -----------------------------------------------------------------------------

    def get(self, path: str, **query: Any) -> Answer:
        """The answer to ``GET path?query``, whatever its status."""
        return self.request("GET", path, query=query)

    def post(self, path: str, body: Any = None, **query: Any) -> Answer:
        """The answer to ``POST path?query`` with ``body`` as JSON, whatever its status."""
        return self.request("POST", path, body=body, query=query)

    def request(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        query: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float = REQUEST_TIMEOUT_SECONDS,
    ) -> Answer:
        """The answer to a request, whatever its status; ``timeout`` is in seconds."""
        url = self.url + quote(path)
        if query:
            url += f"?{urlencode(query, doseq=True)}"
        # The server is in this process: no proxy is asked, and there is no TLS to verify.
        with httpx.Client(trust_env=False, verify=False, follow_redirects=True) as client:
            response = client.request(
                method,
                url,
                json=body,
                headers={**self._console_token(), **(headers or {}), "accept": _JSON},
                timeout=timeout,
            )
        return Answer(response.status_code, dict(response.headers.multi_items()), response.content)

    def _console_token(self) -> dict[str, str]:
        """The headers of whoever started the server: a console asks for its token."""
        found = {"accept-encoding": "identity"}
        for application in getattr(self.server, "applications", {}).values():
            token = getattr(application, "token", None)
            if isinstance(token, ConsoleToken):
                found[TOKEN_HEADER] = token.value
        return found

    # -- inside the server --------------------------------------------------------------------

    def submit(self, pool: str, func: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """What ``func`` returns when it runs in ``pool`` of the server."""
        executor: BaseExecutor = self.server.get_executor(pool)
        return self.run(executor.submit, func, *args, **kwargs)

    def run(self, func: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """What the coroutine function ``func`` returns when it runs on the server's event loop."""
        assert self._loop is not None, "the server was not started"
        return asyncio.run_coroutine_threadsafe(func(*args, **kwargs), self._loop).result()

    def ran_in(self, pool: str | None, route: str) -> AbstractContextManager[None]:
        """Assert that calls of ``route`` in the block run in ``pool`` of this server."""
        return ran_in(self.server, pool, route)

    # -- the thread ---------------------------------------------------------------------------

    def _serve(self) -> None:
        try:
            self._uvicorn.run()
        except SystemExit:
            pass  # uvicorn raises it when the server refuses to start; ``start`` reports that
        finally:
            self._up.set()

    async def _app(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve, and note the event loop and why a start was refused."""
        if scope["type"] != "lifespan":
            await self.server(scope, receive, send)
            return
        self._loop = asyncio.get_running_loop()

        async def watched(message: Any) -> None:
            if message["type"] == "lifespan.startup.failed":
                self._refusal = message.get("message", "")
            await send(message)

        await self.server(scope, receive, watched)


@contextmanager
def ran_in(server: Any, pool: str | None, route: str) -> Iterator[None]:
    """Assert that calls of ``route`` in the block run in ``pool``, and in no other pool.

    Args:
        server: the ``ExecutorServer``.
        pool: the pool's name; ``None`` for "in the server itself, not in a pool".
        route: ``"application/route"``, with sections in between.

    Raises:
        AssertionError: the route's configuration says otherwise, or no call ended there. With
            bypass the pool is still asked; where its calls run is then this process.
    """
    path = route.strip("/")
    before = _ended(server, path)
    yield
    meant = _pool_of(server, path)
    assert meant == pool, f"route {path} runs in {_named(meant)}, not in {_named(pool)}"
    ended = {name: n for name, count in _ended(server, path).items() if (n := count - before[name])}
    told = ", ".join(f"{count} in pool {name!r}" for name, count in ended.items()) or "none"
    expected = f"calls of route {path} were to end in {_named(pool)}; those that ended in pools"
    assert ended.keys() == ({pool} - {None}), f"{expected}: {told}"


def _ended(server: Any, path: str) -> Counter[str]:
    """For each pool, how many calls of the route ``path`` have ended in it, however they ended."""
    found: Counter[str] = Counter()
    for name, executor in server.executors.used.items():
        if metrics := executor.counters.routes.get(path):
            found[name] = sum(getattr(metrics, outcome) for outcome in _ENDS)
    return found


def _pool_of(server: Any, wanted: str) -> str | None:
    """The name of the pool that the route ``wanted`` is configured to run in now."""
    known = []
    for route in routes_of(server):
        if route.entry is None:
            continue
        if route.path == wanted:
            handler = adapter_of(route.entry)
            executor = None if handler is None else handler.plan.now().executor
            return executor.name if executor is not None else None
        if not route.path.startswith(SYSTEM_APPLICATION):
            known.append(route.path)
    raise AssertionError(f"there is no route {wanted!r}; there are {', '.join(sorted(known))}")


def _named(pool: str | None) -> str:
    return "the server" if pool is None else f"pool {pool!r}"
