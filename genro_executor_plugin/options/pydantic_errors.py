# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""What pydantic has against options, in this package's words."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import ValidationError

__all__ = ["in_words"]


def in_words(error: ValidationError, known: Iterable[str], prefix: str = "") -> str:
    """Every mistake of ``error``: the option, its value, and what is wrong.

    Args:
        error: of a function's or a dataclass's options.
        known: the options that there are.
        prefix: what stands before the name of each option where it is written.
    """
    words = []
    for detail in error.errors():
        name = f"{prefix}{detail['loc'][0]}" if detail["loc"] else "?"
        if detail["type"] == "unexpected_keyword_argument":
            words.append(f"unknown option {name!r}; there are {', '.join(known)}")
        else:
            words.append(f"{name}={detail['input']!r}: {detail['msg']}")
    return "; ".join(words)
