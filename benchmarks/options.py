# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Numbers on the command lines of the benchmarks."""

from __future__ import annotations

import argparse

__all__ = ["positive_count", "positive_seconds"]


def positive_count(text: str) -> int:
    """A whole number of at least 1."""
    count = int(text)
    if count < 1:
        raise argparse.ArgumentTypeError(f"a whole number of at least 1, not {text}")
    return count


def positive_seconds(text: str) -> float:
    """A finite number of seconds above 0."""
    seconds = float(text)
    if not 0 < seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"a number of seconds above 0, not {text}")
    return seconds
