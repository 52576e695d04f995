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

"""A short soak; the long one is ``tox run -e soak``."""

from __future__ import annotations

from soak import OUTCOMES, soak


async def test_nothing_is_lost_and_nothing_runs_twice() -> None:
    result = await soak(3000)
    result.check(3000)
    assert all(result.outcomes[name] for name in OUTCOMES if name != "rejected"), result.outcomes
