# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""genro-asgi as a host: the names of its command line."""

from __future__ import annotations

from genro_asgi.__main__ import Cli, CliError, ServerLauncher, TargetResolver
from genro_asgi.lifespan import QUITTING
from genro_asgi.reloading import LAUNCHER_ENV

__all__ = ["LAUNCHER_ENV", "QUITTING", "Cli", "CliError", "ServerLauncher", "TargetResolver"]
