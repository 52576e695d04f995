# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""What the figures were taken with: versions and CPUs."""

from __future__ import annotations

import os
import platform
from importlib import metadata
from importlib.util import find_spec

__all__ = ["describe_environment", "version_of"]

_DISTRIBUTIONS = (
    "genro-asgi",
    "genro-routes",
    "uvicorn",
    "uvloop",
    "numpy",
    "loky",
    "pebble",
    "mpire",
    "aiomultiprocess",
    "anyio",
    "distributed",
)


def version_of(distribution: str) -> str | None:
    """The version that is installed, ``None`` if it is not."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def describe_environment() -> dict[str, str]:
    """Name -> version (or count) of everything that moves the figures."""
    import genro_executor_plugin

    granted = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "system": f"{platform.system()} {platform.machine()}",
        "CPUs": f"{granted} granted of {os.cpu_count()}",
        "genro-executor-plugin": version_of("genro-executor-plugin")
        or getattr(genro_executor_plugin, "__version__", "from source"),
        **{name: version_of(name) or "not installed" for name in _DISTRIBUTIONS},
        "HTTP parser": "httptools" if find_spec("httptools") else "h11",
    }
