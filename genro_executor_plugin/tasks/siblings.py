# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Whether another process serves the same application: it is said at the start what that means.

The mark is a name that the kernel gives to one process and takes back when that one ends: an
abstract Unix socket (Linux), on which nothing listens. Nothing is written to a disk.
"""

from __future__ import annotations

import hashlib
import logging
import os
import socket
import sys
from pathlib import Path

from ..hosts.contract import HostServer

__all__ = ["Siblings"]

_logger = logging.getLogger("genro_executor_plugin")


class Siblings:
    """The processes that serve the applications of ``server`` with the store in one folder."""

    def __init__(self, server: HostServer) -> None:
        self._server = server
        self._mark: socket.socket | None = None

    def tell(self, folder: Path) -> bool:
        """Mark this process as the first of its siblings; warn if there is one already.

        ``True`` if there is one. Where there are no abstract sockets, it is not known.
        """
        if sys.platform != "linux" or self._mark is not None:
            return False
        mark = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        try:
            mark.bind(self._name(folder))
        except OSError:
            mark.close()
            _logger.warning(
                "another process serves the same applications (store %s), as with uvicorn "
                "--workers or gunicorn -w. What works in each of them: every route, in pools of "
                "its own. What works in one of them only, the one that opens the store first: to "
                "submit long jobs, to ask for them and to cancel them; the others answer with an "
                "error. The console shows the process that a request happens to reach. Serve with "
                "one process (its pools use all CPUs), or send what concerns long jobs to one",
                folder,
            )
            return True
        self._mark = mark
        return False

    def _name(self, folder: Path) -> bytes:
        kinds = (type(application) for application in self._server.applications.values())
        served = sorted(f"{kind.__module__}.{kind.__qualname__}" for kind in kinds)
        text = "\0".join((str(folder), *served))
        digest = hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:32]
        return f"\0genro-executor:{os.geteuid()}:{digest}".encode()

    def release(self) -> None:
        """Take the mark away. Doing it again changes nothing."""
        if self._mark is not None:
            self._mark.close()
            self._mark = None
