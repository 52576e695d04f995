# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Lazy imports (``lazy import numpy``, from Python 3.15 on) of modules that are preloaded.

A module is preloaded so that all workers share it. What it imports lazily would be loaded by each
worker, in its first call that uses it: so it is loaded with the module.
"""

from __future__ import annotations

import sys
import types
from collections.abc import Collection

__all__ = ["load_lazy_imports"]


def load_lazy_imports(before: Collection[str]) -> list[str]:
    """Load what the modules that are not in ``before`` import lazily.

    Returns:
        Why some cannot be loaded, a sentence each. They stay lazy: what uses them gets the error.
    """
    lazy = getattr(types, "LazyImportType", None)
    if lazy is None:
        return []
    refused: dict[tuple[str, str], str] = {}
    done = False
    while not done:  # what is loaded here may import lazily as well
        done = True
        for name, module in list(sys.modules.items()):
            if name in before:
                continue
            for attribute, value in list(getattr(module, "__dict__", {}).items()):
                if type(value) is not lazy or (name, attribute) in refused:
                    continue
                done = False
                try:
                    getattr(module, attribute)  # loads it, and puts it in the place of ``value``
                except Exception as error:
                    why = f"{type(error).__name__}: {error}"
                    refused[name, attribute] = f"{name} imports {attribute!r} lazily: {why}"
    return list(refused.values())
