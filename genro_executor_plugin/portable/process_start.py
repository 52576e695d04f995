# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""What a worker takes over from the server when it starts, and what it must not take over.

Environment, working directory and umask are as they are in the server at that moment; a template
process has those of the moment at which it was started. ``sys.path`` goes with ``ModuleSources``.
Random generators are seeded anew: a forked worker has the state of the process it was forked
from, and all workers would draw the same numbers.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["ProcessStart", "reseed"]


@dataclass(frozen=True, slots=True)
class ProcessStart:
    """How a process is when it starts.

    Attributes:
        environment: its environment variables.
        directory: its working directory, ``None`` if that was removed.
        umask: its umask.
    """

    environment: dict[str, str]
    directory: str | None
    umask: int

    @classmethod
    def here(cls, environment: Mapping[str, str]) -> ProcessStart:
        """What holds in this process, now; with the ``environment`` of a process below it."""
        directory: str | None = None
        with contextlib.suppress(OSError):
            directory = os.getcwd()
        return cls(dict(environment), directory, _umask())

    def apply(self) -> None:
        """Make this process so. A directory that it may not enter is left out."""
        before = os.environ.get("TZ")
        for name in os.environ.keys() - self.environment.keys():
            del os.environ[name]
        for name, value in self.environment.items():
            if os.environ.get(name) != value:
                os.environ[name] = value
        if os.environ.get("TZ") != before:
            time.tzset()
        if self.directory is not None:
            with contextlib.suppress(OSError):
                os.chdir(self.directory)
        os.umask(self.umask)


def _umask() -> int:
    with contextlib.suppress(OSError), open("/proc/self/status", encoding="ascii") as status:
        for line in status:
            if line.startswith("Umask:"):
                return int(line.split()[1], 8)
    umask = os.umask(0o77)  # there is no other way to read it; the strictest one meanwhile
    os.umask(umask)
    return umask


def reseed() -> None:
    """Seed the global generators of the libraries that this process has loaded.

    ``random`` does it by itself when a process is forked.
    """
    numbers: Any = sys.modules.get("numpy.random")
    if numbers is not None:
        numbers.seed()
    torch: Any = sys.modules.get("torch")
    if torch is not None and hasattr(torch, "seed"):
        torch.seed()
