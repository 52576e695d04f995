# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The launchers of one pool: the one that starts workers, and older ones that still have some.

A template has imported modules. When their code has changed, new workers come from another one,
and the old one stays until its last worker has ended, because it alone can tell how that was.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from ...options.pool import PoolOptions
from ...portable.reloads import reload_watch
from .launcher import Launcher

__all__ = ["Launchers"]

_logger = logging.getLogger("genro_executor_plugin")


class Launchers:
    """The launchers of one pool."""

    def __init__(self, options: PoolOptions, not_forked: Callable[[str], None]) -> None:
        self._options = options
        self._not_forked = not_forked
        self._older: dict[Launcher, asyncio.Task[None] | None] = {}
        self._current = Launcher(options, not_forked)

    def next(self) -> Launcher:
        """The one that starts the next worker; call it for each start."""
        reload_watch().workers_start()
        return self._current

    def renew(self) -> None:
        """Have the next worker come from a new template."""
        self._older[self._current] = None
        self._current = Launcher(self._options, self._not_forked)
        self.look()

    def look(self) -> None:
        """End older templates that have no worker any more."""
        for launcher, closing in list(self._older.items()):
            if closing is None:
                if not launcher.has_workers:
                    self._older[launcher] = asyncio.create_task(_closed(launcher))
            elif closing.done():
                del self._older[launcher]

    async def close(self) -> None:
        """End all templates, and with them every worker that is still there."""
        closing = [task or launcher.close() for launcher, task in self._older.items()]
        self._older.clear()
        await asyncio.gather(self._current.close(), *closing)

    def let_go(self) -> None:
        """Close the sockets to the templates in a forked child; they are the parent's."""
        for launcher in (self._current, *self._older):
            launcher.let_go()

    def abandon(self) -> None:
        """End the templates without their event loop, which is closed already."""
        for launcher in (self._current, *self._older):
            launcher.abandon()


async def _closed(launcher: Launcher) -> None:
    try:
        await launcher.close()
    except Exception:  # nobody but the end of the pool waits for it, and that is not held up
        _logger.exception("an older template could not be ended")
