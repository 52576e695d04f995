# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Processes that the host starts: their routes run in pools there, or their start says otherwise.

Real ones: the host's worker of a single-page application, and the process of one application.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import host
import httpx
import pytest
from programs import RunningProgram, started
from waiting import block_until

pytestmark = [pytest.mark.once, pytest.mark.timeout(300)]

HOSTED = host.written("""
import os, time
from host import AsgiServer
from host import AsgiConfigBuilder
from genro_executor_plugin import (
    ExecutorApplication, ExecutorConfigBuilder, ExecutorConsole, ExecutorServer,
)
from genro_routes import route

class Shop(ExecutorApplication):
    @route(executor="p")
    def pids(self):
        return f"{os.getpid()} {os.environ['GENRO_EXECUTOR_SERVER']}"

    @route(executor="p", executor_timeout=0.3)
    def slow(self):
        time.sleep(30)

    @route(executor="p")
    def longer_than_a_look(self):
        time.sleep(0.2)
        return "answered"

    @route(executor="p")
    def die(self):
        os._exit(3)

    @route(executor="p")
    def stream(self):
        yield "one "
        yield "two"

    @route(executor="p", executor_background=True)
    def job(self):
        return "done"

    @route()
    async def state_of(self, job):
        return (await self.tasks.status(job)).state.value

    @route()
    async def here(self):
        return str(os.getpid())
""")

SINGLE_PAGE = f"""
import uuid
from hosted import *
from {host.SPA}.orchestration.spa_worker import SpaWorker
from {host.SPA}.spa_app import SpaApplication

class WithPools(SpaWorker):
    def __init__(self, name, **kwargs):
        super().__init__(name, **kwargs)
        self.asgi_app = ExecutorServer(
            applications=[Shop, ExecutorConsole], executors={{"p": {{"max_workers": 1}}}},
            tasks=False, long_tasks={{"pool": "p"}},
        )

class Named(WithPools):
    async def _serve_request(self, payload):
        self.request_slot.is_new = payload.get("identity") is None
        return await super()._serve_request(payload)

    def on_request_served(self):  # every new browser logs in
        if self.request_slot.is_new:
            name = uuid.uuid4().hex
            self.new_connection(name)
            self.change_connection_user(name, "user-" + name)

class Stock(SpaWorker):
    def __init__(self, name, **kwargs):
        super().__init__(name, **kwargs)
        self.asgi_app = AsgiServer(applications=[Shop], tasks=False)

class Site(AsgiConfigBuilder):
    default_config = False

    def main(self, root):
        cfg = root.configuration()
        front = cfg.applications().application(code="site", mount="", app_class=SpaApplication)
        orchestration = front.orchestration()
        commander = orchestration.commander(frozen_users_path="frozen", instance_dir="run")
        commander.groups(default="standard").group(
            name="standard",
            entry_module="{host.SPA}.orchestration.worker_entry",
            worker_class="config:" + os.environ["WORKER"],
            worker_max_users=int(os.environ.get("USERS", "100")),
            worker_admission_interval_seconds=0.01,
        )
"""

ROLES = """
from hosted import *

class Desk(Shop):
    pass

class Site(ExecutorConfigBuilder):
    default_config = False

    def main(self, root):
        cfg = root.configuration()
        apps = cfg.applications()
        apps.application(code="shop", app_class=Shop, spawner="subprocess")
        apps.application(code="desk", app_class=Desk)
        cfg.executors().pool(code="p", max_workers=1)
"""


class Asking:
    """A client of a server whose processes may not be there yet."""

    def __init__(self, program: RunningProgram, client: httpx.Client) -> None:
        self.program = program
        self.client = client

    def ask(self, path: str, method: str = "GET") -> httpx.Response:
        return self.client.request(method, self.program.url + path)

    def text(self, path: str) -> str:
        answer = self.ask(path)
        assert answer.status_code == 200, (path, answer.status_code, answer.text)
        return answer.text


@contextmanager
def serving(folder: Path, recipe: str, *command: str, **more: str) -> Iterator[Asking]:
    for name in ("run", "frozen"):
        (folder / name).mkdir()
    (folder / "hosted.py").write_text(HOSTED)
    (folder / "config.py").write_text(recipe)
    variables: dict[str, Any] = {
        host.HOME_VARIABLE: str(folder / "home"),
        "PYTHONPATH": os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH")])),
        **more,
    }
    arguments = ("-m", *command, "serve", "config.py", "--port", "0")
    with started(*arguments, cwd=folder, finds_tests=False, **variables) as program:
        program.until_it_serves()
        with httpx.Client(timeout=90, trust_env=False) as client:
            asking = Asking(program, client)
            deadline = time.monotonic() + 90
            while asking.ask("/shop/here").status_code != 200:
                assert time.monotonic() < deadline, "its process did not come up"
                time.sleep(0.05)
            yield asking
        program.descendants()
        program.signal(signal.SIGTERM)
        program.wait_for_itself()
        assert not program.left(), "all of it ends with the server"


def check_pools(asking: Asking) -> None:
    """Calls run in a pool of the process that answers, with its limits."""
    process = asking.text("/shop/here")
    assert int(process) != asking.program.pid
    worker, server = asking.text("/shop/pids").split()
    assert worker != process == server
    assert asking.ask("/shop/slow").status_code == 504
    assert asking.ask("/shop/die").status_code == 500
    assert asking.text("/shop/longer_than_a_look") == "answered"
    assert asking.text("/shop/stream") == "one two"
    assert asking.text("/shop/here") == process, "nothing of that has ended it"


def check_job(asking: Asking) -> None:
    accepted = asking.ask("/shop/job", "POST")
    assert accepted.status_code == 202, accepted.text
    # Not by its URL: host and hosted server have a session each, in one cookie.
    job = accepted.json()["task_id"]
    block_until(lambda: asking.text(f"/shop/state_of?job={job}") == "succeeded")


def test_a_worker_of_a_single_page_application_has_pools(tmp_path: Path) -> None:
    with serving(tmp_path, SINGLE_PAGE, host.PACKAGE, WORKER="WithPools") as asking:
        check_pools(asking)
        check_job(asking)


def test_three_workers_have_pools_of_their_own(tmp_path: Path) -> None:
    with (
        serving(tmp_path, SINGLE_PAGE, host.PACKAGE, WORKER="Named", USERS="1") as first,
        contextlib.ExitStack() as clients,
    ):
        users = [first]
        for _ in range(2):
            client = clients.enter_context(httpx.Client(timeout=30, trust_env=False))
            users.append(Asking(first.program, client))
            block_until(lambda: users[-1].ask("/shop/here").status_code == 200)
        assert len({user.text("/shop/here") for user in users}) == 3
        for user in users:
            check_pools(user)
        with ThreadPoolExecutor() as threads:
            dying = threads.submit(users[0].ask, "/shop/die")
            held = [threads.submit(user.text, "/shop/longer_than_a_look") for user in users[1:]]
            assert dying.result().status_code == 500
            assert [call.result() for call in held] == ["answered", "answered"]
        for user in users:
            check_job(user)
            assert user.ask("/_executors/health").json() == {"healthy": True}
            assert user.ask("/_executors/snapshot").status_code == 401


def test_a_worker_without_pools_says_so_when_it_starts(tmp_path: Path) -> None:
    with serving(tmp_path, SINGLE_PAGE, host.PACKAGE, WORKER="Stock") as asking:
        said = asking.program.until_it_says("has no pools, so that these routes run in the server")
        assert "shop/pids (pool 'p')" in asking.program.log[said.start() :]


def test_the_process_of_an_application_has_the_pools_of_the_recipe(tmp_path: Path) -> None:
    with serving(tmp_path, ROLES, "genro_executor_plugin.kajenn") as asking:
        check_pools(asking)
        asking.program.until_it_says("shop/job answer with lead nowhere")
        _, server = asking.text("/desk/pids").split()
        assert int(server) == asking.program.pid


def test_the_process_of_an_application_without_pools_says_so(tmp_path: Path) -> None:
    with serving(tmp_path, ROLES, "kajenn") as asking:
        asking.program.until_it_says(r"run in the server: shop/pids \(pool 'p'\)")
