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

from .output import HOLDS, CommandError

__all__ = ["SHELLS", "add", "answer_a_shell"]

SHELLS = ("bash", "zsh", "fish")

_ASKED = "_ARGCOMPLETE"
"""The variable that a shell sets when it asks this command for completions."""


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
        raise CommandError(
            "completion needs argcomplete, which is not installed: "
            "pip install 'genro-executor-plugin[completion]'"
        ) from error
    sys.stdout.write(shellcode(["genro-executor"], shell=arguments.shell))
    return HOLDS


def answer_a_shell(parser: argparse.ArgumentParser) -> None:
    """Answer with completions and end this process, if a shell has asked for them."""
    if _ASKED not in os.environ:
        return
    import argcomplete  # it has printed what the shell was told

    argcomplete.autocomplete(parser)
