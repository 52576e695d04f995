# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""A look at servers of the host that have no pools, when they start.

Nothing of such a server is this package's, so that the look is put around two methods of
the host's classes: the start of a server, and the registration with the bare server that a
process of a remote application has.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .surface import BaseServer, Lifespan

__all__ = ["look_at_starts"]


def look_at_starts(look: Callable[[Any], None]) -> None:
    """Call ``look`` with every server that starts in this process from now on."""
    startup, register = Lifespan.startup, BaseServer.register_application

    async def looking_startup(self: Lifespan) -> None:
        look(self.server)
        await startup(self)

    def looking_register(self: BaseServer, app: Any) -> None:
        register(self, app)
        if type(self) is BaseServer:  # which has no start that anybody would look at
            look(self)

    Lifespan.startup = looking_startup  # type: ignore[method-assign]
    BaseServer.register_application = looking_register  # type: ignore[method-assign]
