# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Everything of this package, for servers of the host that has the name of this module.

Importing it imports that host, and so says which one this process has where several are
installed. Its names are those of the package:
``from genro_executor_plugin.kajenn import ExecutorServer``. As a program
(``python -m genro_executor_plugin.kajenn serve config.py``) it is the command
``genro-executor``.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

from .hosts.chosen import name_host
from .hosts.loaded import HOST_VARIABLE

if TYPE_CHECKING:
    from . import *  # noqa: F403

_PACKAGE, _, _HOST = __spec__.name.rpartition(".")  # its own name, also as a program

name_host(_HOST)


def __getattr__(name: str) -> Any:
    package = import_module(_PACKAGE)
    if name not in package.__all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(package, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *import_module(_PACKAGE).__all__})


if __name__ == "__main__":
    os.environ[HOST_VARIABLE] = _HOST  # for the processes that the command starts
    sys.exit(import_module(".cli", _PACKAGE).main())
