# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""A short soak; the long one is ``tox run -e soak``."""

from __future__ import annotations

from soak import OUTCOMES, soak


async def test_nothing_is_lost_and_nothing_runs_twice() -> None:
    result = await soak(3000)
    result.check(3000)
    assert all(result.outcomes[name] for name in OUTCOMES if name != "rejected"), result.outcomes
