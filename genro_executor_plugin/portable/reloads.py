# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Notices that a module is imported once more while the program runs.

A worker keeps the modules that it has imported, so one that has the old code must be replaced.
The import system asks its finders about each import, and tells them when it is a reload: a finder
that finds nothing is told without cost for calls.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from types import ModuleType

__all__ = ["ReloadWatch", "reload_watch"]


class ReloadWatch:
    """The first of this process's finders.

    Attributes:
        count: how many times a module was imported once more.
    """

    def __init__(self) -> None:
        self.count: int = 0
        self._when: dict[str, int] = {}
        self._loaded: set[str] = set()

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> None:
        """Find nothing, and take notice; ``importlib.reload`` gives a ``target``."""
        if target is None and fullname not in self._loaded:
            return
        if fullname.partition(".")[0] not in sys.stdlib_module_names:
            self.count += 1
            self._when[fullname] = self.count

    def workers_start(self) -> None:
        """Take notice from now on of all modules that are loaded, which workers may import, too."""
        self._loaded.update(sys.modules)

    def since(self, count: int) -> list[str]:
        """The modules that were imported once more since ``count`` was that."""
        return [name for name, when in self._when.items() if when > count]


def reload_watch() -> ReloadWatch:
    """The watch of this process."""
    for finder in sys.meta_path:
        if isinstance(finder, ReloadWatch):
            return finder
    watch = ReloadWatch()
    sys.meta_path.insert(0, watch)
    return watch
