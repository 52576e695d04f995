# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Accepted jobs survive their server: a short soak; the long one is ``tox run -e tasks-soak``."""

from __future__ import annotations

from pathlib import Path

from tasks_soak import soak


async def test_every_accepted_job_ends_once_however_often_its_server_is_killed(
    tmp_path: Path,
) -> None:
    figures = await soak(tmp_path, jobs=80, kills=2)
    assert figures["succeeded"] + figures.get("lost", 0) == 80
