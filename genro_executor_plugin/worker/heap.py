# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0
"""How the C library of a worker treats large blocks of memory.

By default it gives every large block back to the system when it is freed, and gets fresh pages
for the next one; taking them, page by page, costs several times what copying a large argument
does. A worker that is given large values therefore keeps some of what it has freed.
"""

from __future__ import annotations

import contextlib

__all__ = ["keep_freed_blocks"]

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_LARGEST_BLOCK_BYTES = 32 * 2**20
"""Blocks above this size always go back at once; glibc allows no larger limit."""

_KEPT_BYTES = 64 * 2**20
"""How much freed memory, at most, a worker keeps at the end of its heap."""


def keep_freed_blocks() -> None:
    """Have freed blocks used again in this process. Does nothing where there is no ``mallopt``."""
    import ctypes  # 2 MB that only workers with large values pay

    with contextlib.suppress(AttributeError, OSError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_MMAP_THRESHOLD, _LARGEST_BLOCK_BYTES)
        mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)
