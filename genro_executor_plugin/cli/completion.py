# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""``genro-executor completion``: what a shell reads to complete the command's arguments.

The work is done by argcomplete, which asks this command's own parsers at each TAB.
"""

from __future__ import annotations

import argparse
import os
import sys
from typing import Any

from .output import HOLDS, IMPOSSIBLE, CommandError, complain

__all__ = ["SHELLS", "add", "answer_a_shell"]

SHELLS = ("bash", "zsh", "fish")

_ASKED = ("_ARGCOMPLETE", "COMP_LINE")
"""The variables that a shell sets when it asks this command for completions."""

_NOT_INSTALLED = (
    "completion needs argcomplete, which is not installed: "
    "pip install 'genro-executor-plugin[completion]'"
)


def add(commands: Any) -> None:
    """Add the command to ``commands``."""
    parser = commands.add_parser(
        "completion",
        help="print what a shell reads to complete this command's arguments",
        description=(
            "Prints what a shell reads to complete the commands and options of genro-executor "
            'with TAB. For bash, write this line into ~/.bashrc: eval "$(genro-executor '
            'completion bash)"; for zsh the same into ~/.zshrc; for fish, write the output into '
            "~/.config/fish/completions/genro-executor.fish."
        ),
        epilog="It needs argcomplete: pip install 'genro-executor-plugin[completion]'.",
    )
    parser.add_argument("shell", choices=SHELLS, help="the shell")
    parser.set_defaults(run=_completion)


def _completion(arguments: argparse.Namespace) -> int:
    try:
        from argcomplete.shell_integration import shellcode
    except ImportError as error:
        raise CommandError(_NOT_INSTALLED) from error
    sys.stdout.write(shellcode(["genro-executor"], shell=arguments.shell))
    return HOLDS


def answer_a_shell(parser: argparse.ArgumentParser) -> None:
    """Answer with completions and end this process, if a shell has asked for them."""
    if not all(variable in os.environ for variable in _ASKED):
        return
    try:
        import argcomplete
    except ImportError:
        # The shell was told by another installation. The command itself must not run at a TAB.
        complain(parser.prog, _NOT_INSTALLED)
        raise SystemExit(IMPOSSIBLE) from None
    argcomplete.autocomplete(parser)
