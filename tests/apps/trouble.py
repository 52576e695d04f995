# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Handlers that fail in every way."""

from __future__ import annotations

import os
import signal
import sys
import threading
from typing import Any

from genro_routes import route
from host import (
    HTTPBadRequest,
    HTTPException,
    HTTPForbidden,
    HTTPNotFound,
    HTTPUnauthorized,
    Redirect,
)
from pydantic import BaseModel
from worker_functions import hold

from genro_executor_plugin import ExecutorApplication


class Teapot(HTTPException):
    """An application's own exception; its constructor takes something else than the base's."""

    def __init__(self, pot: str, *, litres: float) -> None:
        super().__init__(418, f"{pot} holds {litres} l", [(b"x-pot", pot.encode())])
        self.pot = pot
        self.litres = litres


class Gone(HTTPException):
    status = 410

    def __init__(self) -> None:
        super().__init__(410)


class Model(BaseModel):
    number: int


class Unloadable:
    """Pickles, and fails to unpickle anywhere."""

    def __reduce__(self) -> Any:
        return _refuse, ()


def _refuse() -> None:
    raise ValueError("secret: it does not load")


class SecretError(Exception):
    pass


class Trouble(ExecutorApplication):
    mount = "trouble"

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.lock = threading.Condition()

    @route(executor="p")
    def pid(self) -> int:
        return os.getpid()

    @route(executor="p")
    def held(self, gate: str) -> int:
        hold(gate)
        return os.getpid()

    @route()
    def plain(self) -> int:
        return os.getpid()

    # -- mistakes of the body, and of the request

    @route(executor="p")
    def type_error(self) -> Any:
        return 1 + "secret"  # type: ignore[operator]

    @route(executor="p")
    async def type_error_async(self) -> Any:
        return 1 + "secret"  # type: ignore[operator]

    @route(executor="p")
    def invalid(self) -> Any:
        return Model(number="secret")  # type: ignore[arg-type]

    @route(executor="p")
    async def invalid_async(self) -> Any:
        return Model(number="secret")  # type: ignore[arg-type]

    @route(executor="p")
    def secret(self) -> None:
        raise SecretError("secret")

    @route(executor="p")
    def takes(self, number: int, text: str = "") -> dict[str, Any]:
        return {"number": number, "text": text}

    @route(executor="p")
    def filtered(self, **filters):  # without annotations, which pydantic would read
        return {name: type(value).__name__ for name, value in filters.items()}

    # -- HTTP exceptions

    @route(executor="p")
    def http(self, kind: str) -> None:
        raise {
            "bad": lambda: HTTPBadRequest("no such colour"),
            "missing": lambda: HTTPNotFound("no report 7", [(b"x-report", b"7")]),
            "login": lambda: HTTPUnauthorized(
                "who are you?", [(b"www-authenticate", b'Basic realm="x"')]
            ),
            "forbidden": lambda: HTTPForbidden(),
            "moved": lambda: Redirect("/trouble/pid", 307, [(b"x-old", b"1")]),
            "teapot": lambda: Teapot("blue", litres=0.5),
            "gone": Gone,
            "plain": lambda: HTTPException(409, "conflict", [(b"retry-after", b"9")]),
        }[kind]()

    @route(executor="p")
    async def http_async(self) -> None:
        raise HTTPNotFound("no report 8", [(b"x-report", b"8")])

    # -- what cannot travel

    @route(executor="p")
    def gives_lock(self) -> Any:
        return threading.Condition()

    @route(executor="p")
    def gives_unloadable(self) -> Any:
        return Unloadable()

    @route(executor="p")
    def uses_lock(self) -> str:
        with self.lock:
            return "locked"

    @route(executor="p")
    def gives_attribute(self) -> Any:
        return self.lock

    @route(executor="p")
    def takes_anything(self, thing: Any = None) -> str:
        return repr(thing)

    # -- the end of a worker

    @route(executor="p")
    def dies(self, code: int) -> None:
        os._exit(code)

    @route(executor="p")
    def killed(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)
        signal.pause()

    @route(executor="p")
    def leaves(self) -> None:
        sys.exit(3)

    @route(executor="p", executor_retries=1)
    def dies_once(self, marker: str) -> int:
        if not os.path.exists(marker):
            with open(marker, "w"):
                pass
            os._exit(9)
        return os.getpid()

    @route(executor="p", executor_timeout=0.2)
    def endless(self) -> None:
        while True:
            pass

    @route(executor="p", executor_on_overload="fail")
    def impatient(self) -> int:
        return os.getpid()

    @route(executor="p", executor_queue_timeout=0.05)
    def short_wait(self) -> int:
        return os.getpid()

    # -- the application's side

    @route()
    async def with_pools(self) -> dict[str, Any]:
        return {
            "thread": await self.executor.run_blocking(thread_name, "x"),
            "pid": await self.executor.run_process(os.getpid),
        }

    @route()
    async def pool_failure(self) -> None:
        await self.executor.run_process(echo, threading.Condition())

    @route(executor="p")
    async def nested(self) -> Any:
        return await self.executor.run_process(os.getpid)


def thread_name(prefix: str) -> str:
    return prefix + threading.current_thread().name


def echo(thing: Any) -> Any:
    return thing
