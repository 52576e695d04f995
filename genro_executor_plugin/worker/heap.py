# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""How the C library of a worker treats large blocks of memory.

By default it returns every large block to the system when it is freed, and asks for fresh pages
for the next one; getting them, page by page, costs several times as much as copying a large
argument. A worker that is given large values therefore keeps some of what it has freed.
"""

from __future__ import annotations

import contextlib

__all__ = ["keep_freed_blocks"]

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_LARGEST_BLOCK_BYTES = 32 * 2**20
"""Larger blocks are always returned at once; glibc allows no higher limit."""

_KEPT_BYTES = 64 * 2**20
"""How much freed memory, at most, a worker keeps at the end of its heap."""


def keep_freed_blocks() -> None:
    """Make this process use freed blocks again; does nothing where there is no ``mallopt``."""
    with contextlib.suppress(AttributeError, ImportError, OSError):
        import ctypes  # it costs 2 MB, which only workers with large values need

        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_MMAP_THRESHOLD, _LARGEST_BLOCK_BYTES)
        mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)
