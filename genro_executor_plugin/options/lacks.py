# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""What to do when the system refuses a resource: the cure that an error names, by its number."""

from __future__ import annotations

import errno

__all__ = ["MORE_FILES", "MORE_PROCESSES", "cure_for"]

MORE_PROCESSES = (
    "Raise the limit of processes and threads (ulimit -u, pids.max of the control group), or use "
    "fewer workers"
)
MORE_FILES = "Raise the limit of open files (ulimit -n), or close files that are left open"

_CURES = {
    errno.EAGAIN: MORE_PROCESSES,
    errno.EMFILE: MORE_FILES,
    errno.ENFILE: "Raise the system's limit of open files (fs.file-max), or close some",
    errno.ENOMEM: "Give it more memory, or use fewer workers",
    errno.ENOSPC: "Free some space, or some memory where the file lies in memory",
    errno.EFBIG: "Raise the limit of the size of files (ulimit -f)",
    errno.E2BIG: "Make the environment, or sys.path, shorter",
    errno.ETOOMANYREFS: MORE_FILES,
    errno.EACCES: "Install Python and the application where the workers' user can read them",
}


def cure_for(error: OSError | int | None) -> str:
    """What to do about ``error``, or about an error number: a sentence; empty if not known."""
    number = error.errno if isinstance(error, OSError) else error
    return _CURES.get(number or 0, "")
