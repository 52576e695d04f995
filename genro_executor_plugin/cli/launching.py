# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Builds a server with pools from a name, a file or a target, as ``genro-asgi serve`` does.

genro-asgi's launcher resolves the source, files cards of named sites and keeps their pids; here
it makes an ``ExecutorServer``, also in the process that its reload supervisor starts anew.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import uvicorn

from ..hosts.names import (
    LAUNCHER_ENV,
    Cli,
    CliError,
    ServerLauncher,
    TargetResolver,
    described_source,
    save_at_the_end,
    serve_parser,
)
from ..portable.main_module import stop_main_import
from ..serving.server import ExecutorServer

__all__ = [
    "CliError",
    "ExecutorCli",
    "ExecutorLauncher",
    "UnbuiltError",
    "factory",
    "find_siblings",
]

FACTORY_TARGET = f"{__name__}:factory"
"""What the reload supervisor builds the server from, in every process it starts."""


class UnbuiltError(Exception):
    """The server could not be built. The cause is what a recipe or an application raised."""


class ExecutorLauncher(ServerLauncher):
    """genro-asgi's launcher, for servers with pools."""

    @property
    def described(self) -> dict[str, Any]:
        """The server's arguments, with the ``config`` or the ``application`` it is made of.

        Raises:
            CliError: the source cannot be served, or the home folder of its site does not exist.
        """
        return described_source(self)

    def build_server(self) -> ExecutorServer:
        """The server that the source describes.

        Raises:
            CliError: as ``described``.
            UnbuiltError: a recipe or an application is wrong.
        """
        return self.building(self.described)

    def building(self, described: Mapping[str, Any]) -> ExecutorServer:
        """The server with the arguments ``described``.

        Raises:
            UnbuiltError: a recipe or an application is wrong.
        """
        try:
            return _server(described)
        except CliError:
            raise
        except Exception as error:
            raise UnbuiltError(str(error)) from error

    def run_reloading(self, host: str, port: int) -> None:
        """Serve under uvicorn's reload supervisor."""
        os.environ[LAUNCHER_ENV] = json.dumps({**self.described, "host": host, "port": port})
        uvicorn.run(
            FACTORY_TARGET,
            factory=True,
            reload=True,
            reload_dirs=[self.reload_dir],
            host=host,
            port=port,
        )


class ExecutorCli(Cli):
    """genro-asgi's command ``serve``, for servers with pools."""

    def serve_parser(self) -> argparse.ArgumentParser:
        """The parser of ``serve``'s own arguments."""
        return serve_parser(self)

    def launcher(self, options: argparse.Namespace) -> ExecutorLauncher:
        """The launcher that builds and serves the server described by ``options`` of ``serve``.

        Raises:
            CliError: the source is the name of a site that is not configured, or whose card
                cannot be read.
        """
        try:
            return ExecutorLauncher(options, self.registry)
        except (OSError, ValueError, LookupError, TypeError) as error:
            raise CliError(
                f"the card of the site {options.source} cannot be read: "
                f"{type(error).__name__}: {error}"
            ) from error

    def serve(self, options: argparse.Namespace) -> int:
        """Serve what ``options`` describe until the server ends."""
        return self.launcher(options).run()


def factory() -> ExecutorServer:
    """Build the server again that the reload supervisor was started for."""
    stop_main_import()
    server = _server(json.loads(os.environ[LAUNCHER_ENV]))
    save_at_the_end(server)
    return server


def _server(described: Mapping[str, Any]) -> ExecutorServer:
    """The server of a launcher's description: an application or a configuration, and options."""
    options = dict(described)
    application, config = options.pop("application", None), options.pop("config", None)
    if application is not None:
        return ExecutorServer(applications=[TargetResolver(application).resolve()], **options)
    find_siblings(config)
    return ExecutorServer(config=config, **options)


def find_siblings(config: Any) -> None:
    """Let a recipe import the modules next to it, if ``config`` is a recipe's file."""
    if isinstance(config, str) and config.endswith(".py"):
        folder = str(Path(config).parent)
        if folder not in sys.path:
            sys.path.insert(0, folder)
