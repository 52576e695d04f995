# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""kajenn as a host: what only it can be asked.

It finds out who asks when a routed application executes the request, and not before that. Whoever
decides about a request earlier has it find out by ``identify``.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from kajenn import AuthMixin, BaseServer, Scope
from kajenn.spawner import PARENT_VARIABLE, SPAWNERS, SubprocessSpawner

from .contract import Reach

__all__ = [
    "REACHES",
    "give_children_pools",
    "has_authentication",
    "identify",
    "note_identities",
    "note_loop",
    "role_of",
    "server_arguments",
    "tells_of_disconnects",
]


def has_authentication(server: Any, scope: Scope | None = None) -> bool:
    """Whether any authentication is configured for ``server``, which answers ``scope``, if any.

    No middleware has to be there for it. Where something of it is not as it is known here, there
    is: closed is safe.
    """
    decides = type(server).authenticate
    if decides not in (BaseServer.authenticate, AuthMixin.authenticate):
        return True
    if decides is BaseServer.authenticate:
        return False
    if getattr(server, "kbus_role", None) is not None:
        return True  # the process of an application: its parent decides
    entries = [getattr(server.auth_core, name, True) for name in _CREDENTIALS]
    stores = [server.user_store, server.api_key_store]
    login = getattr(server.applications.get("_server"), "oidc_providers", True)
    return any(store is not None for store in stores) or any([*entries, login, server.channels])


_CREDENTIALS = ("_basic", "_bearer", "_jwt")
"""Where an ``AuthCore`` keeps what it knows, empty for nothing."""


def tells_of_disconnects(scope: Mapping[str, Any]) -> bool:
    """Whether ``http.disconnect`` means, in the request of ``scope``, that its client has gone.

    It does not in a worker of a single-page application: the request came there in one piece, and
    its ``receive`` says ``http.disconnect`` as soon as the body was read.
    """
    return "genro.identity" not in scope


async def identify(server: Any, scope: Scope) -> None:
    """Find out who asks, and note it in ``scope`` as the execution of the request would.

    Raises:
        HTTPUnauthorized: the request has a credential that is wrong.
    """
    if scope.get("auth") is None:
        scope["auth"] = await server.authenticate(scope)


def note_identities(server: Any, note: Callable[[Any], None]) -> None:
    """Call ``note`` with each identity that ``server`` finds.

    An application that answers a copy of its scope has it there, and the request's own scope stays
    without.
    """
    find = type(server).authenticate

    async def authenticate(scope: Any) -> Any:
        found = await find(server, scope)
        note(found)
        return found

    server.authenticate = authenticate


class _SpawnerWithPools(SubprocessSpawner):  # type: ignore[misc] # kajenn may not be installed
    """Starts the process of an application as kajenn does, with a server that has pools."""

    async def ensure(self, role: str, *, url: str, environment: dict[str, str]) -> None:
        process = self.processes.get(role)
        if process is not None and process.returncode is None:
            return
        process = self.processes[role] = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", _PROGRAM, "serve", self.source, "--role", role),
            env={**os.environ, **environment, PARENT_VARIABLE: url},
        )
        self.started_at[role] = time.monotonic()
        self.joined_at.pop(role, None)
        self.watchers[role] = asyncio.create_task(self._watch(role, process))


_PROGRAM = f"{__name__.partition('.')[0]}.kajenn"
"""The command of this package, on this host."""


def give_children_pools(server: Any) -> None:
    """Have the processes that ``server`` starts (``spawner="subprocess"``) serve with pools."""
    spawners = getattr(server, "kbus_spawners", None)
    if spawners is None or not server.external_applications or "subprocess" in spawners:
        return
    if SPAWNERS.get("subprocess") is SubprocessSpawner and server.kbus_source is not None:
        spawners["subprocess"] = _SpawnerWithPools(
            server.kbus_source,
            shutdown_timeout=server.shutdown_timeout_seconds,
            on_exit=server._relaunch_role,
        )


def note_loop(server: Any) -> None:
    """Have handlers on threads reach the event loop that runs here (``server.run_on_loop``).

    kajenn notes it with the first call on its own threads; a pool of threads may have run handlers
    before.
    """
    server._loop = asyncio.get_running_loop()


def role_of(server: Any) -> str:
    """The application that this process of ``server`` was started for, empty for a server."""
    role: str = getattr(server, "kbus_role", None) or ""
    return role.partition(":")[2]


def server_arguments(config: Any) -> dict[str, Any]:
    """What a server is to be told beside the configuration that was read from ``config``.

    The processes that it starts (``spawner=``) read the configuration anew.
    """
    return {"kbus_source": str(config)} if isinstance(config, str | Path) else {}


REACHES = (
    Reach(
        "kajenn:AsgiServer()",
        ("_loop",),
        use="have handlers in pools of threads call run_on_loop before any of the server's own",
        wish="a server that notes its event loop when it starts",
    ),
    Reach(
        "kajenn.server_app.server_app:ServerApplication",
        ("oidc_providers",),
        use="find out whether a provider of identities is configured",
        wish="AuthMixin.is_configured",
    ),
    Reach(
        "kajenn:AsgiServer()",
        ("channels", "kbus_role"),
        use="find out whether any authentication is configured",
        wish="AuthMixin.is_configured",
    ),
    Reach(
        "kajenn:AsgiServer()",
        (
            "_relaunch_role",
            "external_applications",
            "kbus_spawners",
            "shutdown_timeout_seconds",
        ),
        use="have the processes of applications serve with pools",
        wish="a registry of spawners that a server can be given",
    ),
    Reach(
        "kajenn.spawner:SubprocessSpawner",
        ("_watch", "ensure", "joined"),
        use="start the process of an application with another program",
        wish="SubprocessSpawner.command(role)",
    ),
    Reach(
        "kajenn:AsgiServer()",
        ("kbus_source",),
        use="have the processes that a server starts read the same configuration",
        wish="a ConfigurationHandler that knows what it was read from",
    ),
)
"""What is used of kajenn alone and not promised by it."""
