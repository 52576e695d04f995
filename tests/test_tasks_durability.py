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

"""Accepted jobs survive their server: a short soak; the long one is ``tox run -e tasks-soak``."""

from __future__ import annotations

from pathlib import Path

from tasks_soak import soak


async def test_every_accepted_job_ends_once_however_often_its_server_is_killed(
    tmp_path: Path,
) -> None:
    figures = await soak(tmp_path, jobs=120, kills=3)
    assert figures["succeeded"] + figures.get("lost", 0) == 120
