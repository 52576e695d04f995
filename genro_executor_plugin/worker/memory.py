# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The memory limit of a worker, as far as the worker itself keeps it.

The server looks at the memory of its workers and ends one that is over the limit. Between two
looks a single allocation may be larger than all that the machine has: the kernel refuses that
one, and the call fails with ``MemoryError``.
"""

from __future__ import annotations

import contextlib

__all__ = ["limit_allocations"]

_HEADROOM = 2
"""How many times the limit may be allocated: most programs allocate more than they ever use."""


def limit_allocations(limit: int) -> None:
    """Have the kernel refuse this process allocations far above ``limit`` bytes."""
    with contextlib.suppress(ImportError, OSError, ValueError, AttributeError):
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
        wanted = _allocated() + _HEADROOM * limit
        for present in (soft, hard):
            if present != resource.RLIM_INFINITY:
                wanted = min(wanted, present)
        resource.setrlimit(resource.RLIMIT_DATA, (wanted, hard))


def _allocated() -> int:
    """How many bytes of private memory this process has been given, used or not."""
    with open("/proc/self/statm", "rb") as file:
        pages = int(file.read().split()[5])
    import resource

    return pages * resource.getpagesize()
