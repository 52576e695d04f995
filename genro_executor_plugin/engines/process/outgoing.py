# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""What waits until the template's socket takes it."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Sequence

__all__ = ["Outgoing"]


class Outgoing:
    """A message for the template, and the descriptors that go with its first byte.

    Attributes:
        data: what of it is not sent yet.
    """

    def __init__(self, data: bytes, descriptors: Sequence[int]) -> None:
        self.data: memoryview = memoryview(data)
        self._descriptors = descriptors
        self._kept = contextlib.ExitStack()

    def send(self, control: socket.socket) -> None:
        """Send as much as ``control`` takes now."""
        with contextlib.suppress(BlockingIOError):
            while self.data:
                if self._descriptors:
                    sent = socket.send_fds(control, [self.data], list(self._descriptors))
                    self._descriptors = ()
                else:
                    sent = control.send(self.data)
                self.data = self.data[sent:]

    def keep(self) -> None:
        """Have descriptors of its own, because the caller closes those that it gave."""
        kept = []
        with contextlib.ExitStack() as undo:
            for descriptor in self._descriptors:
                kept.append(os.dup(descriptor))
                undo.callback(os.close, kept[-1])
            self._kept = undo.pop_all()
        self._descriptors = kept

    def close(self) -> None:
        """Close the descriptors that it kept."""
        self._kept.close()
