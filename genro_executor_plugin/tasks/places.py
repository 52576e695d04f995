# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Where the store of a server lies if nothing is said: in the state folder of its user.

The working directory is no place for it: it may be shared, served, or under version control.
Applications of one user stay apart by the folder of their site storage, which is the working
directory unless the server says otherwise.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
from pathlib import Path

from ..errors import ExecutorConfigError
from ..hosts.contract import HostServer
from ..hosts.names import role_of, site_folder

__all__ = ["default_folder", "default_key_file", "tell_of_former"]

_logger = logging.getLogger("genro_executor_plugin")

_FOLDER = "genro-executor-plugin"

_VARIABLES = ("STATE_DIRECTORY", "XDG_STATE_HOME")
"""What names the state folder: systemd's ``StateDirectory=``, then that of the XDG base
directory specification."""


def default_folder(server: HostServer) -> Path:
    """The folder of the store of ``server``.

    Raises:
        ExecutorConfigError: the user has no home.
    """
    former = _former_folder(server)
    site = former.parent if former is not None else Path.cwd()
    name = re.sub(r"[^A-Za-z0-9._-]", "_", site.name)[:40] or "root"
    digest = hashlib.sha256(os.fsencode(site)).hexdigest()[:8]
    # A process for one application runs no jobs of the others, and they run none of its.
    role = f"-{role_of(server)}" if role_of(server) else ""
    return _state_folder("path") / "long_tasks" / f"{name}-{digest}{role}"


def default_key_file() -> Path:
    """The file of the key that signs what is stored, one for each user.

    Raises:
        ExecutorConfigError: the user has no home.
    """
    return _state_folder("key_file") / "keys" / "long_tasks.key"


def tell_of_former(server: HostServer) -> None:
    """Warn of a store of ``server`` in the place where version 0.1 kept it."""
    former = _former_folder(server)
    if former is not None and os.path.lexists(former / "jobs.sqlite"):
        _logger.warning(
            "the store of long jobs in %s is not used: the place for it is %s now. Move the folder "
            "there, or give the server long_tasks={'path': %r}; start once with 'accept_unsigned': "
            "True if you trust what is in it",
            former,
            default_folder(server),
            str(former),
        )


def _former_folder(server: HostServer) -> Path | None:
    """``long_tasks`` on the server's ``site`` storage, if that is local."""
    path = site_folder(server, "long_tasks")
    return None if path is None else Path(path).absolute()


def _state_folder(setting: str) -> Path:
    for variable in _VARIABLES:
        folder = os.environ.get(variable, "").partition(":")[0]
        if os.path.isabs(folder):  # both specifications say that others are ignored
            return Path(folder) / _FOLDER
    home = os.path.expanduser("~")
    if not os.path.isdir(home):
        raise ExecutorConfigError(
            f"long jobs need a folder that outlives the server, and its user's home {home!r} is "
            f"none. Set XDG_STATE_HOME, or give the server long_tasks={{{setting!r}: ...}}"
        )
    return Path(home) / ".local" / "state" / _FOLDER
