# Copyright 2026 the genro-executor-plugin authors
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     https://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.

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
