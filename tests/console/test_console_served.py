# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Pools of a stock ``genro-asgi serve config.py``, as a deployment has them: a file, a process."""

from __future__ import annotations

import asyncio
import re
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import host
import httpx
import pytest
from programs import RunningProgram
from waiting import block_until, is_dead, until

from genro_executor_plugin.console.token import TOKEN_HEADER, TOKEN_VARIABLE

CONFIG = host.written("""
from host import RoutedApplication
from host import AsgiConfigBuilder
from genro_bag.resolvers import EnvResolver
from genro_executor_plugin import ExecutorConsole
from shop import Shop, greeting


class Site(AsgiConfigBuilder):
    default_config = {default!r}

    def main(self, root):
        cfg = root.configuration()
        cfg.server(host="127.0.0.1", port=0)
        apps = cfg.applications()
        apps.application(app_class=Shop, code="shop")
        pools = apps.application(app_class=ExecutorConsole, code="_executors")
        {pools}
""")

SHOP = host.written("""
import os
from host import RoutedApplication
from genro_routes import route
from worker_functions import hold

SAID = []


def greeting(text):
    SAID.append(text)


class Shop(RoutedApplication):
    @route(executor="pdf")
    def report(self):
        return {"pid": os.getpid(), "server": os.getppid(), "said": SAID}

    @route(executor="pdf")
    def held(self, gate):
        hold(gate)
""")

TOKEN = "the-token-of-these-tests"

LISTENS = re.compile(r"Uvicorn running on (?P<url>http://\S+)")


@contextmanager
def served(
    folder: Path, pools: str, *arguments: str, default: object = False, **environment: str
) -> Iterator[RunningProgram]:
    (folder / "shop.py").write_text(SHOP)
    (folder / "config.py").write_text(CONFIG.format(pools=pools, default=default))
    command = Path(sys.executable).with_name(host.DISTRIBUTION)
    process = RunningProgram(
        command, "serve", "config.py", *arguments, cwd=folder,
        PYTHONUNBUFFERED="1",
        **{host.HOME_VARIABLE: str(folder / "asgi-home"), TOKEN_VARIABLE: TOKEN},
        **environment,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.end()


def get(process: RunningProgram, path: str) -> Any:
    headers = {TOKEN_HEADER: TOKEN}
    answer = httpx.get(f"{process.url}{path}", headers=headers, trust_env=False, timeout=20)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_pools_written_below_the_console_serve(tmp_path: Path) -> None:
    pools = (
        'pools.pool(code="pdf", max_workers=EnvResolver("PDF_WORKERS"), warm=True, '
        'initializer=greeting, initargs=("hello",))'
    )
    with served(tmp_path, pools, PDF_WORKERS="2") as process:
        process.until_it_serves()
        descendants = process.descendants()
        assert len(descendants) == 3, "two warm workers and their template"
        report = get(process, "/shop/report")
        assert report["said"] == ["hello"]
        assert report["pid"] in {one.pid for one in descendants}
        (pdf,) = get(process, "/_executors/snapshot")["pools"]
        assert (pdf["max_workers"], pdf["workers"]) == (2, 2)
        process.signal(signal.SIGTERM)
        process.wait()
        assert not process.left()


async def test_a_client_that_goes_and_a_second_signal_end_calls(gate: Any, tmp_path: Path) -> None:
    """As they do on a server that has its pools by itself."""
    with served(tmp_path, 'pools.pool(code="pdf", max_workers=1, shutdown_timeout=60)') as process:
        await asyncio.to_thread(process.until_it_serves)
        async with process.client() as client:
            goes = asyncio.create_task(client.get("/shop/held", params={"gate": gate.path}))
            pid = await gate.entered()
            goes.cancel()
            await until(lambda: is_dead(pid))
            held = asyncio.create_task(client.get("/shop/held", params={"gate": gate.path}))
            await gate.entered()
            process.descendants()
            process.signal(signal.SIGTERM)
            await asyncio.to_thread(process.until_it_says, "Waiting for connections to close")
            process.signal(signal.SIGTERM)
            assert (await held).status_code == 503
            await asyncio.to_thread(process.wait)
            assert not process.left()


def test_a_machines_defaults_are_overridden_by_a_site(tmp_path: Path) -> None:
    (tmp_path / "machine.py").write_text(
        CONFIG.format(
            default=False,
            pools='pools.pool(code="pdf", max_workers=7, max_pending=55)\n'
            '        pools.pool(code="db", executor_type="thread", max_workers=3)',
        ).replace("class Site", "class Machine")
    )
    default = str(tmp_path / "machine.py")
    with served(tmp_path, 'pools.pool(code="pdf", max_workers=1)', default=default) as process:
        process.until_it_serves()
        get(process, "/shop/report")
        shown = get(process, "/_executors/snapshot")
        (pdf,) = shown["pools"]
        assert (pdf["options"]["max_workers"], pdf["options"]["max_pending"]) == (1, 55)
        assert "db" in shown["unused_pools"]


def test_a_changed_file_is_served_by_new_workers_and_the_old_ones_are_gone(tmp_path: Path) -> None:
    pools = 'pools.pool(code="pdf", max_workers=1, warm=True)'
    with served(tmp_path, pools, "--port", _free_port(), "--reload") as process:
        process.until_it_serves()
        process.until_it_says("Application startup complete")
        first = get(process, "/shop/report")["pid"]
        before = {one.pid for one in process.descendants()}
        assert first in before
        process.log = ""
        (tmp_path / "shop.py").write_text(SHOP.replace('"said": SAID', '"said": "again"'))
        process.until_it_says("Application startup complete")
        report = get(process, "/shop/report")
        assert report["said"] == "again"
        assert report["pid"] not in before
        block_until(lambda: is_dead(first))
        process.signal(signal.SIGTERM)
        process.wait()
        assert not process.left()


@pytest.mark.parametrize(
    ("pools", "said"),
    [
        (
            'pools.pool(code="pdf", max_workers=0, speed=3)\n'
            '        pools.pool(code="db", executor_type="fibre")',
            [
                "config.py:18: pool 'pdf': max_workers=0 is not a whole number of at least 1",
                "config.py:18: pool 'pdf': unknown option 'speed'",
                "config.py:19: pool 'db': executor_type='fibre' is not a kind of pool",
            ],
        ),
        ('pools.pool(code="other")', ["route shop/report", "names the pool 'pdf'"]),
        (
            'pools.pool(code="pdf", max_workers=1, warm=True, initializer=exit, initargs=(3,))',
            ["pool 'pdf'"],
        ),
    ],
)
def test_a_server_with_a_mistake_does_not_start(
    tmp_path: Path, pools: str, said: list[str]
) -> None:
    with served(tmp_path, pools) as process:
        assert process.wait() != 0
        for text in said:
            assert text in process.log, process.log
        assert "Application startup complete" not in process.log
        assert not process.left()


def _free_port() -> str:
    import socket

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return str(listener.getsockname()[1])
