# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The host that the tests run on: every name that tests take from it, and what is its own.

It is the one that is installed (``tox run -e kajenn`` installs another), and where both are, the
one that ``GENRO_EXECUTOR_HOST`` names. Nothing of the package is imported for that. Why a test is
left out on a host is in ``host_differences.toml``.
"""

from __future__ import annotations

import os
import re
import tomllib
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

_INSTALLED = [name for name in ("genro_asgi", "kajenn") if find_spec(name) is not None]

PACKAGE = os.environ.get("GENRO_EXECUTOR_HOST", _INSTALLED[0])
"""The package of the host."""

IS_KAJENN = PACKAGE == "kajenn"

DISTRIBUTION = PACKAGE.replace("_", "-")
"""The name that it is installed by, which is the one of its command, too."""

HOME_VARIABLE = f"{PACKAGE.upper()}_HOME"
"""The environment variable with the folder in which it keeps its own."""

THREAD_PREFIX = "kajenn-pool" if IS_KAJENN else "genro-pool"
"""How the names of its threads begin."""

SERVER_APP = "kajenn.server_app" if IS_KAJENN else "genro_asgi_server_app"
"""The module of its own application."""

SPA = "kajenn_orchestra" if IS_KAJENN else "genro_asgi_multiworker_spa"
"""The package that serves single-page applications in worker processes."""

TOOLS = "api/" if IS_KAJENN else ""
"""Where in an application the routes of its tools are (MCP)."""

_HOMES = {
    "AsgiConfigBuilder": ".config",
    "BaseConfiguration": ".config",
    "ConfigurationHandler": ".config",
    "FatalBootError": ".lifespan",
    "McpApplication": ".applications.mcp",
    "McpOpenApiApplication": ".applications",
    "OpenAPIPlugin": ".plugins.openapi",
    "OpenApiApplication": ".applications.openapi",
    "Redirect": ".exceptions",
    "Response": ".response",
    "SseStream": ".sse",
    "StreamingResponse": ".streaming",
    "UvicornServer": ".server",
    "WELL_KNOWN_ROOT": ".well_known",
    "WsxEnvelope": ".wsx",
    "new_descriptor": ".tasks",
}
"""The modules of the names that its package does not have itself."""


def written(program: str) -> str:
    """The text of a program with the host's own modules in place of this one, as users write it."""

    def imports(line: re.Match[str]) -> str:
        names = [name.strip() for name in line["names"].split(",")]
        return "\n".join(
            f"{line['indent']}from {PACKAGE}{_HOMES.get(name, '')} import {name}" for name in names
        )

    return re.sub(r"^(?P<indent> *)from host import (?P<names>.+)$", imports, program, flags=re.M)


def differences() -> list[dict[str, Any]]:
    """What is left out on this host: dicts with ``reason`` and ``tests``, their ids."""
    return [one for one in all_differences() if one["host"] == DISTRIBUTION]


@cache
def all_differences() -> list[dict[str, Any]]:
    """The same for every host, each with its ``host``."""
    file = Path(__file__).with_name("host_differences.toml")
    found: list[dict[str, Any]] = tomllib.loads(file.read_text(encoding="utf-8"))["differs"]
    return found


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    if name == "ServerApplication":
        value = import_module(SERVER_APP).ServerApplication
    elif name == "exceptions":
        value = import_module(f"{PACKAGE}.exceptions")
    elif name == "AsgiSeam":
        value = import_module(f"{SPA}.environ").AsgiSeam
    else:
        value = getattr(import_module(PACKAGE + _HOMES.get(name, "")), name)
    globals()[name] = value
    return value
