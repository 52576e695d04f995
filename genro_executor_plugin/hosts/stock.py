# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""A look at servers of the host that have no pools, when they start.

Nothing of such a server is this package's, so that the look is put around two methods of
the host's classes: the start of a server, and the registration of applications. A process of a
remote application has a bare server without a start, and a worker of a single-page application
has one that is never started.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from typing import Any
from weakref import WeakSet

from .surface import BaseServer, Lifespan

__all__ = ["look_at_starts"]

_ENTRIES = tuple(
    f"{package}.orchestration.{entry}"
    for package in ("genro_asgi_multiworker_spa", "kajenn_orchestra")
    for entry in ("worker_entry", "template_entry")
)
"""The programs of processes in which applications are told of no start."""


def _is_told_of_no_start() -> bool:
    spec = getattr(sys.modules.get("__main__"), "__spec__", None)
    return spec is not None and spec.name in _ENTRIES


def look_at_starts(look: Callable[[Any], None]) -> None:
    """Call ``look`` with every server that starts in this process from now on."""
    built: WeakSet[BaseServer] = WeakSet()
    startup, register = Lifespan.startup, BaseServer.register_application

    async def looking_startup(self: Lifespan) -> None:
        look(self.server)
        await startup(self)

    def looking_register(self: BaseServer, app: Any) -> None:
        register(self, app)
        if type(self) is BaseServer:  # which has no start that anybody would look at
            look(self)
        elif _is_told_of_no_start() and self not in built:
            built.add(self)
            try:
                loop = asyncio.get_running_loop()
            except RuntimeError:
                return
            loop.call_soon(look, self)  # once all of its applications are there

    Lifespan.startup = looking_startup  # type: ignore[method-assign]
    BaseServer.register_application = looking_register  # type: ignore[method-assign]
