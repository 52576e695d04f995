# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Which host this process has: one, because two of them cannot be imported together.

It is the host that is imported already, else the one that is named in the environment, else the
one that is installed. Importing ``genro_executor_plugin.<host>`` imports that host. Workers are
told the choice of their server.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from importlib.util import find_spec

from .imported import refuse_import
from .loaded import HOST_PACKAGES, HOST_VARIABLE

__all__ = [
    "HostChoiceError",
    "chosen_host",
    "is_undecided",
    "name_host",
    "refuse_others",
]

_DISTRIBUTIONS = {"genro_asgi": "genro-asgi", "kajenn": "kajenn"}


class HostChoiceError(ImportError):
    """It cannot be said which host this process has, or it would have two."""


def chosen_host() -> str:
    """The package of this process's host.

    Raises:
        HostChoiceError: two hosts are imported, or several are installed and none is imported or
            named, or none is installed.
    """
    imported = [package for package in HOST_PACKAGES if package in sys.modules]
    if len(imported) > 1:
        raise HostChoiceError(_both(*imported))
    if imported:
        return imported[0]
    written = os.environ.get(HOST_VARIABLE, "")
    if written:
        return _known(written.replace("-", "_"))
    installed = [package for package in HOST_PACKAGES if find_spec(package) is not None]
    if len(installed) == 1:
        return installed[0]
    hosts = " and ".join(_DISTRIBUTIONS.values())
    if not installed:
        raise HostChoiceError(f"no host is installed: install one of {hosts}")
    cures = " or ".join(f"genro_executor_plugin.{package}" for package in installed)
    raise HostChoiceError(
        f"{hosts} are both installed, and a process can have one of them only: say which one. "
        f"Import it, or import {cures}, before anything else of genro_executor_plugin is used; "
        f"a command line names it by {HOST_VARIABLE}={installed[0]} or "
        f"{HOST_VARIABLE}={installed[1]} in its environment"
    )


def is_undecided() -> bool:
    """Whether it cannot be said yet which host there will be."""
    try:
        chosen_host()
    except HostChoiceError:
        return True
    return False


def name_host(package: str) -> None:
    """Import the host ``package``, which this process then has.

    Raises:
        HostChoiceError: it is not installed, or another host is imported.
    """
    for other in HOST_PACKAGES:
        if other != package and other in sys.modules:
            raise HostChoiceError(_both(other, package))
    if find_spec(package) is None:
        extra = "" if package == HOST_PACKAGES[0] else f" (genro-executor-plugin[{package}])"
        raise HostChoiceError(
            f"{__name__.partition('.')[0]}.{package} names the host {_DISTRIBUTIONS[package]}, "
            f"which is not installed: install it{extra}"
        )
    import_module(package)


def refuse_others(package: str) -> None:
    """Have the import of any other host than ``package`` fail with an error that says why."""
    for other in HOST_PACKAGES:
        if other != package and other not in sys.modules:
            refuse_import(other, HostChoiceError(_both(package, other)))


def _known(package: str) -> str:
    if package not in HOST_PACKAGES:
        raise HostChoiceError(
            f"{HOST_VARIABLE}={package}: there is no such host; write {' or '.join(HOST_PACKAGES)}"
        )
    return package


def _both(first: str, second: str) -> str:
    return (
        f"this process has {_DISTRIBUTIONS[first]} as its host and imports "
        f"{_DISTRIBUTIONS[second]}, too; a process can have one of them only, because they "
        f"register the same names. Take every import, of applications and of recipes "
        f"(config.py) as well, from {first}, or start the program without importing "
        f"{first} and genro_executor_plugin.{first}"
    )
