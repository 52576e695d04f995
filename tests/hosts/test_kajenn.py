# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""What only kajenn has: run_on_loop, channels of authentication, processes with a role."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

from genro_routes import route
from host import AsgiServer, Avatar, RoutedApplication
from press import USERS
from servers import serving

from genro_executor_plugin import ExecutorConsole, ExecutorServer
from genro_executor_plugin.hosts.names import has_authentication

POOLS: dict[str, Any] = {"t": {"executor_type": "thread", "max_workers": 1}}


class Desk(RoutedApplication):
    mount = "desk"

    @route(executor="t")
    def on_loop(self) -> str:
        async def thread() -> int:
            return threading.get_ident()

        return "another" if self.server.run_on_loop(thread()) != threading.get_ident() else "mine"


async def test_a_handler_on_a_thread_of_a_pool_reaches_the_loop() -> None:
    """Before any of the server's own threads has run a handler."""
    stock = AsgiServer(applications=[(ExecutorConsole, {"executors": POOLS}), Desk], tasks=False)
    for server in (ExecutorServer(applications=[Desk], executors=POOLS, tasks=False), stock):
        async with serving(server=server) as site:
            assert (await site.get("/desk/on_loop")).text == "another"


def test_what_counts_as_authentication() -> None:
    class Deciding(ExecutorServer):
        async def authenticate(self, scope: Any) -> Any:
            return Avatar("anna", [])

    def asked(cls: Any = ExecutorServer, **options: Any) -> bool:
        return has_authentication(cls(applications=[Desk], tasks=False, **options))

    assert not asked()
    assert asked(auth=USERS)
    assert asked(Deciding)
    assert asked(channels={"rest": {"authentication_route": "/desk/verify"}})


def test_the_process_of_an_application_has_the_authentication_of_its_parent(
    tmp_path: Path,
) -> None:
    (tmp_path / "config.py").write_text(
        "from kajenn import AsgiConfigBuilder, RoutedApplication\n"
        "class Site(AsgiConfigBuilder):\n"
        "    default_config = False\n"
        "    def main(self, root):\n"
        "        apps = root.configuration().applications()\n"
        "        apps.application(code='shop', app_class=RoutedApplication)\n"
    )
    config = str(tmp_path / "config.py")
    assert not has_authentication(ExecutorServer(config=config))
    assert has_authentication(ExecutorServer(config=config, role="application:shop"))
    assert ExecutorServer(config=config).kbus_source == config
