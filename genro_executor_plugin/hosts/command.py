# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The command line of the host, which serves from a name, a file or a target."""

from __future__ import annotations

from argparse import ArgumentParser, _SubParsersAction
from pathlib import Path
from typing import Any

from .surface import (
    LAUNCHER_ENV,
    QUITTING,
    Cli,
    CliError,
    ServerLauncher,
    TargetResolver,
)

__all__ = [
    "LAUNCHER_ENV",
    "Cli",
    "CliError",
    "ServerLauncher",
    "TargetResolver",
    "described_source",
    "save_at_the_end",
    "serve_parser",
]


def serve_parser(cli: Cli) -> ArgumentParser:
    """The parser of the arguments of ``serve`` alone."""
    parser = cli.parser()
    # argparse has no public way to a parser of a subcommand that other code has added.
    (commands,) = [action for action in parser._actions if isinstance(action, _SubParsersAction)]
    found: ArgumentParser = commands.choices["serve"]
    return found


def described_source(launcher: ServerLauncher) -> dict[str, Any]:
    """The server's arguments, with the ``config`` or the ``application`` it is made of.

    Raises:
        CliError: there is no such source, or the home of its site is not there.
    """
    launcher.check_home()
    role = getattr(launcher, "role", None)
    if role is not None:
        return {"config": str(Path(launcher.resolved_source).resolve()), "role": role}
    if not (launcher.is_quickstart or launcher.is_template or launcher.is_config_path):
        ServerLauncher.build_server(launcher)  # which says what a source can be
    described: dict[str, Any] = launcher.launcher_payload
    return described


def save_at_the_end(server: Any) -> None:
    """Have ``server`` save what it holds when it ends; the next one takes that over."""
    server.shutdown_mode = QUITTING
