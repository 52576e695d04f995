# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""What a host is asked: who asks, whether it tells of a client that has gone."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from importlib.metadata import packages_distributions
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import host
import pytest
import uvicorn
from apps.left import Left
from host import AsgiSeam, AsgiServer, Avatar, RoutedApplication
from servers import Site, serving

import genro_executor_plugin
from genro_executor_plugin.hosts import names
from genro_executor_plugin.hosts.contract import Asker
from genro_executor_plugin.hosts.loaded import is_default_cleanup, is_hosts_own
from genro_executor_plugin.hosts.names import (
    AttachedApplication,
    asker_of,
    is_told_to_exit,
    put_around,
    require_lifespan,
    tells_of_disconnects,
)
from genro_executor_plugin.routing.client import WATCH_AFTER_SECONDS

PACKAGE = Path(genro_executor_plugin.__file__).parent


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    pools: dict[str, Any] = {"p": {}, "abandoning": {}, "threads": {"executor_type": "thread"}}
    async with serving(Left, executors=pools) as site:
        yield site


def test_who_asks() -> None:
    session = SimpleNamespace(id="s1")
    avatar = Avatar("anna", ["SERVER_ADMIN"])
    tags = frozenset({"SERVER_ADMIN"})
    assert asker_of({}) == Asker(None, frozenset(), "")
    assert asker_of({"auth": None, "session": None}) == Asker(None, frozenset(), "")
    assert asker_of({"auth": None, "session": session}) == Asker(None, frozenset(), "s1")
    assert asker_of({"auth": avatar, "session": session}) == Asker("anna", tags, "s1")
    assert asker_of({"auth": Avatar("")}).identity == "", "somebody without a name"


@pytest.mark.parametrize(("route", "answer"), [("held", b"held"), ("streamed", b"first")])
async def test_a_single_page_application_tells_of_no_disconnect(
    site: Site, gate: Any, route: str, answer: bytes
) -> None:
    """Its workers say ``http.disconnect`` as soon as a body was read; no call ends with that."""
    seam = AsgiSeam(site.server)
    request = {"path": f"/left/{route}", "query_string": f"gate={gate.path}"}
    assert not tells_of_disconnects(seam.build_scope(request, "anna"))
    asking = asyncio.create_task(seam.serve(request, "anna"))
    await gate.entered()
    ended, _ = await asyncio.wait({asking}, timeout=WATCH_AFTER_SECONDS * 4)
    assert not ended
    gate.release()
    reply = await asking
    assert (reply["status"], reply["body"]) == (200, answer)
    assert site.server.get_executor("p").metrics["cancelled"] == 0


def test_a_cleanup_that_nobody_has_written_is_the_hosts() -> None:
    class Cleaning(RoutedApplication):
        def route_cleanup(self) -> None: ...

    assert is_default_cleanup(RoutedApplication.route_cleanup)
    assert not is_default_cleanup(Cleaning.route_cleanup)


def test_an_application_is_told_whose_it_is() -> None:
    found = []

    class Told(AttachedApplication):
        def attached(self, server: Any) -> None:
            found.append((server, self.server))

    server = AsgiServer(applications=[Told], tasks=False)
    assert found == [(server, server)]
    with pytest.raises(RuntimeError, match="already owned"):
        server.applications["told"].server = server


async def test_steps_are_put_around_the_methods_of_a_server() -> None:
    told: list[str] = []

    class Ending(RoutedApplication):
        def on_startup(self) -> None:
            told.append("application starts")

        def on_shutdown(self) -> None:
            told.append("application ends")

    class Around:
        def arm_router(self, router: Any, own: Any) -> None:
            told.append("router")
            own(router)

        def demux(self, scope: Any, own: Any) -> Any:
            told.append("request")
            return own(scope)

        def start_leaving(self, own: Any) -> None:
            told.append("leaving")
            own()

        async def startup(self, own: Any) -> None:
            told.append("startup")
            await own()

        async def shutdown(self, own: Any) -> None:
            told.append("shutdown")
            await own()

    server = AsgiServer(applications=[Ending], tasks=False)
    put_around(server, Around())
    _ = server.applications["ending"].route
    await server.lifespan.startup()
    server.demux({"type": "http", "path": "/ending", "headers": []})
    await server.lifespan.shutdown()
    assert list(dict.fromkeys(told)) == [  # the host's own application may have a router, too
        *("router", "startup", "application starts"),
        *("request", "shutdown", "leaving", "application ends"),
    ]


def test_uvicorn_has_what_it_is_asked_and_told() -> None:
    """Attributes of instances, which the list of reaches cannot name."""
    uvicorn_server = uvicorn.Server(uvicorn.Config(AsgiServer(tasks=False)))
    stand_in = SimpleNamespace(uvicorn_server=uvicorn_server)
    assert not is_told_to_exit(AsgiServer(tasks=False)), "nobody serves it"
    assert not is_told_to_exit(stand_in)
    uvicorn_server.handle_exit(signal.SIGTERM, None)
    assert is_told_to_exit(stand_in)
    assert uvicorn_server.config.lifespan == "auto"
    require_lifespan(stand_in)
    assert uvicorn_server.config.lifespan == "on"


def test_every_name_of_the_surface_is_used() -> None:
    others = [path for path in PACKAGE.rglob("*.py") if path.parent.name != "hosts"]
    text = "\n".join(path.read_text(encoding="utf-8") for path in others)
    assert [name for name in names.__all__ if name not in text] == []


def test_every_package_that_the_host_installs_is_its_own() -> None:
    """A pool for a whole router leaves the handlers of all of them in the server."""
    packages = {
        name for name, owners in packages_distributions().items() if host.DISTRIBUTION in owners
    }
    assert host.PACKAGE in packages
    for package in packages:
        assert is_hosts_own(SimpleNamespace(__module__=f"{package}.some.section")), package
    assert not is_hosts_own(SimpleNamespace(__module__=f"{host.PACKAGE}_user.some.section"))
