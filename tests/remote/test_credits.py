# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""How calls find places, by simulation: real dispatchers and places, a simulated network."""

from __future__ import annotations

from pathlib import Path

import pytest

with pytest.MonkeyPatch.context() as patch:  # the package is the installed one nevertheless
    patch.syspath_prepend(Path(__file__).parents[2])
    from benchmarks.credits import Plan, simulate

SMALL = Plan(agents=40, servers=8, calls=4000, seconds=0.1)


def test_every_call_runs_once_and_few_wait_long() -> None:
    found = simulate(SMALL)
    assert found.begun > 1000
    assert found.twice == found.unanswered == 0
    assert found.wait(50) < 1  # milliseconds: one way through the network, and nothing else
    assert found.wait(99) < SMALL.length * 1000  # no longer than a call
    assert found.refused < found.begun
    assert max(found.by_agent.values()) < 1.5 * found.begun / SMALL.agents
    assert max(found.shares) < 2 * min(found.shares)


def test_more_calls_than_places_wait_and_none_is_lost() -> None:
    found = simulate(Plan(agents=10, servers=5, calls=1000, load=1.5, seconds=0.1, seed=2))
    assert found.begun > 300
    assert found.twice == found.unanswered == 0
