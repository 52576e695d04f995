# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The message of an exception, whatever its ``__str__`` does, and texts cut to a length."""

from __future__ import annotations

__all__ = ["shortened", "text_of"]


def text_of(error: BaseException) -> str:
    """What ``str(error)`` returns; in parentheses what it raises, if it does."""
    try:
        return str(error)
    except BaseException as broken:  # also what would end the process
        return f"(its message cannot be read: {type(broken).__name__})"


def shortened(text: str, limit: int) -> str:
    """``text``, or its beginning and its end if it is longer than ``limit`` characters."""
    if len(text) <= limit:
        return text
    half = (limit - 20) // 2
    return f"{text[:half]}\n[...]\n{text[-half:]}"
