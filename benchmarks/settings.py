# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""How long, how often, and which part: what the command line decides."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Settings"]


@dataclass(frozen=True, slots=True)
class Settings:
    """What one run does.

    Attributes:
        rounds: how often every variant is measured; figures are medians over the rounds.
        seconds: how long one measurement of one variant lasts.
        only: a text that the keys of the experiments must contain; empty for all of them.
        goals_only: leave out the peers that no goal is about.
    """

    rounds: int
    seconds: float
    only: str = ""
    goals_only: bool = False

    def wants(self, key: str) -> bool:
        """Whether the experiment called ``key`` is part of this run."""
        return self.only in key
