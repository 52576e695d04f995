# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Texts that jobs bring, cut to a stated size: of exceptions, tracebacks and progress."""

from __future__ import annotations

__all__ = [
    "MAX_DATA_CHARS",
    "MAX_MESSAGE_CHARS",
    "MAX_TRACEBACK_CHARS",
    "cut",
    "is_text",
]

MAX_MESSAGE_CHARS = 4_000
"""Of the message of an exception or of progress."""

MAX_TRACEBACK_CHARS = 32_000
"""Of a traceback; its end says most and is kept, too."""

MAX_DATA_CHARS = 16_000
"""Of what else is reported with progress, as JSON."""


def cut(text: str, most: int) -> str:
    """``text``, without its middle if it has more than ``most`` characters, and always storable.

    A lone surrogate, which no file takes, is replaced by its escape.
    """
    if len(text) > most:
        half = most // 2
        text = f"{text[:half]} [... {len(text) - 2 * half} characters cut ...] {text[-half:]}"
    return text.encode("utf-8", "backslashreplace").decode()


def is_text(text: str) -> bool:
    """Whether there is no lone surrogate in it, which JSON can name and no file takes."""
    return not any("\ud800" <= one <= "\udfff" for one in text)
