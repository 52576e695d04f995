# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Whose turn it is to begin schedules, of several servers of one application on one machine.

Each of them has the same schedules, and each would begin them. One holds a lock that the kernel
releases when its process ends, however that ends; then it is another one's turn.
"""

from __future__ import annotations

import fcntl
import logging
import os
from typing import Any

from ..errors import ExecutorError
from .places import default_folder
from .store.folder import make_folder, open_file

__all__ = ["Turn"]

_logger = logging.getLogger("genro_executor_plugin")


class Turn:
    """The right of one server to begin the schedules of its application."""

    def __init__(self, server: Any) -> None:
        self._server = server
        self._descriptor: int | None = None
        self._alone = False

    def take(self) -> bool:
        """Whether it is the turn of this server; it stays so until ``release``.

        Where no lock can be made it always is, as if there were one server only.
        """
        if self._alone or self._descriptor is not None:
            return True
        try:
            folder = default_folder(self._server)
            make_folder(folder)
            descriptor = open_file(folder / "schedules", os.O_RDWR | os.O_CREAT)
        except (OSError, ExecutorError) as error:
            _logger.warning("several servers would begin each schedule several times: %s", error)
            self._alone = True
            return True
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            return False
        self._descriptor = descriptor
        return True

    def release(self) -> None:
        """Let another server have its turn. Doing it again changes nothing."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
