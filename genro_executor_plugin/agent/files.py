# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Applications that are files: an agent is given the file, and its workers find it.

A server that is started with ``application=./hello.py:Hello`` has the file as a module of a name
that its host makes of the file's. Here the file is put in place under that name, and not run: the
agent's own process needs no application, and its workers import it when a call is about it.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

from ..errors import ExecutorConfigError
from ..hosts.loaded import HOST_PACKAGES

__all__ = ["find_application_file"]


def find_application_file(file: str) -> None:
    """Let workers find ``file``, and the modules that lie beside it.

    Raises:
        ExecutorConfigError: it is no file of Python.
    """
    path = Path(file).absolute()
    if path.suffix != ".py" or not path.is_file():
        raise ExecutorConfigError(
            f"the agent's application file {file!r} is no .py file that can be read here; give the "
            "file that the server is started with, as it lies on this machine"
        )
    for package in HOST_PACKAGES:
        name = f"{package}_target_{path.stem}"
        spec = importlib.util.spec_from_file_location(name, path)
        if spec is not None:
            sys.modules[name] = importlib.util.module_from_spec(spec)
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))
